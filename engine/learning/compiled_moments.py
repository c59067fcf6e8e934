"""Local moments and their derivatives for tensors on the CPU, by :mod:`engine.learning.moment_kernel` and
:mod:`engine.learning.moment_pullback`.

Where that cannot run (another device, numba not installed) the same numbers come from
:class:`engine.learning.local_moments.LocalMoments` by autograd, which is the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from engine.learning.local_moments import LocalMoments
from engine.threads import shared

try:
    from engine.learning import moment_kernel as kernel
    from engine.learning.moment_pullback import pullback
except ImportError:  # numba is not installed
    kernel = None  # type: ignore[assignment]

PARTS = 8  # of the groups of one record


class CompiledMoments:
    """The moments of a ``LocalMoments``: ``forward``, ``pullback``, ``tangent`` (B, N, .) without autograd."""

    def __init__(self, moments: LocalMoments) -> None:
        self.moments = moments
        self._tables: dict[Any, Any] = {}

    @staticmethod
    def runs_on(spin: torch.Tensor) -> bool:
        return kernel is not None and spin.device.type == "cpu" and spin.dtype in (torch.float32, torch.float64)

    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """(B, N, 3) -> (B, N, 4 K), as ``LocalMoments`` orders them."""
        return self._moments(spin, shape, lambda record, *rest: kernel.forward(_numbers(spin[record]), *rest))

    def tangent(self, spin: torch.Tensor, move: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Change of the moments (B, N, 4 K) when the spins change by ``move`` (B, N, 3)."""
        return self._moments(
            spin, shape, lambda record, *rest: kernel.tangent(_numbers(spin[record]), _numbers(move[record]), *rest)
        )

    def pullback(self, spin: torch.Tensor, weight: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Derivative by the spins (B, N, 3) of sum weight (B, N, 4 K) x moments."""
        sites, cluster = self._problem(spin, shape)
        groups, lanes = sites.groups.shape
        filled = torch.nn.functional.pad(weight.detach(), (0, 0, 0, groups * lanes - spin.shape[1]))
        rows = filled.unflatten(1, (groups, lanes)).mT.flatten(2).contiguous().numpy()
        parts = spin.new_zeros(len(spin), PARTS, *spin.shape[1:])  # added in this order, on however many threads

        def some(record: int, part: int, chosen: slice) -> None:
            near = kernel.Sites(sites.around, sites.groups[chosen])
            total = parts[record, part].numpy()
            pullback(_numbers(spin[record]), rows[record, chosen], near, cluster, self._room(cluster), total)

        _in_parts(len(spin), groups, some)
        return parts.sum(1)

    def _moments(self, spin: torch.Tensor, shape: tuple[int, int], sweep: Callable[..., None]) -> torch.Tensor:
        sites, cluster = self._problem(spin, shape)
        groups, lanes = sites.groups.shape
        made = spin.new_empty(len(spin), groups, self.moments.count * lanes)

        def some(record: int, part: int, chosen: slice) -> None:
            near = kernel.Sites(sites.around, sites.groups[chosen])
            sweep(record, near, cluster, self._room(cluster), made[record, chosen].numpy())

        _in_parts(len(spin), groups, some)
        by_site = made.unflatten(2, (self.moments.count, lanes)).mT.flatten(1, 2)
        return by_site[:, : spin.shape[1]].contiguous()

    def _problem(self, spin: torch.Tensor, shape: tuple[int, int]) -> tuple[Any, Any]:
        """Sites and their clusters."""
        real = np.dtype(str(spin.dtype).removeprefix("torch."))
        key = (tuple(shape), real)
        if key not in self._tables:
            around = self.moments.around(shape, spin.device).numpy().astype(np.int32)
            count = around.shape[1]
            groups = np.arange(-(-count // kernel.LANES) * kernel.LANES)
            groups[count:] = 0  # their weights are zero
            sites = kernel.Sites(around, groups.reshape(-1, kernel.LANES).astype(np.int32))
            self._tables[key] = sites, self._cluster(real)
        return self._tables[key]

    def _cluster(self, real: np.dtype) -> Any:
        m = self.moments
        sizes = np.array(m.sizes)
        rows, others = np.nonzero(m.hops)
        offsets = np.concatenate(([0], np.cumsum(sizes[:-1]))) * kernel.SIZE
        numbers = [1, -1, 2, m.centre / m.half, -m.coupling / m.half, 0]
        return kernel.Cluster(
            sizes, offsets, np.searchsorted(rows, np.arange(sizes[-1] + 1)), others,
            m.hops[rows, others].astype(real), np.array(numbers, real),
        )  # fmt: skip

    def _room(self, cluster: Any) -> tuple[np.ndarray, ...]:
        """Room for one sweep to work in."""
        m, real = self.moments, cluster.numbers.dtype
        vectors, blocks = m.sizes[-2] * kernel.VECTOR, sum(m.sizes) * kernel.SIZE
        products = 2 * m.products * kernel.PRODUCT
        lengths = (kernel.VECTOR, vectors, blocks, products, kernel.VECTOR, vectors, blocks, products)
        return tuple(np.empty(length, real) for length in lengths)


class Pulled(torch.autograd.Function):
    """The pullback as a function of the weights; its derivative by them is the tangent. None by the spins."""

    @staticmethod
    def forward(
        ctx: Any, weight: torch.Tensor, spin: torch.Tensor, shape: tuple[int, int], moments: CompiledMoments
    ) -> torch.Tensor:
        ctx.spin, ctx.shape, ctx.moments = spin, shape, moments
        return moments.pullback(spin, weight, shape)

    @staticmethod
    def backward(ctx: Any, move: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:  # type: ignore[override]
        return ctx.moments.tangent(ctx.spin, move, ctx.shape), None, None, None


def _in_parts(records: int, groups: int, run: Callable[[int, int, slice], None]) -> None:
    """run(record, part, groups of it) over all, on as many threads as torch has."""
    edges = [groups * k // PARTS for k in range(PARTS + 1)]

    def several(first: int, last: int) -> None:
        for record, part in (divmod(number, PARTS) for number in range(first, last)):
            if edges[part] < edges[part + 1]:
                run(record, part, slice(edges[part], edges[part + 1]))

    shared(PARTS * records, several)


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
