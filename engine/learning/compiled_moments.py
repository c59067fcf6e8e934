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

try:
    from engine.learning import moment_kernel as kernel
    from engine.learning.moment_pullback import pullback
except ImportError:  # numba is not installed
    kernel = None  # type: ignore[assignment]


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
        sites, cluster, work = self._problem(spin, shape)
        count, length = spin.shape[1], sites.groups.shape[1]
        groups = len(sites.groups)
        gradient = torch.zeros_like(spin)
        rows = weight.detach().new_zeros(groups * length, self.moments.count)
        for record, pulled in enumerate(gradient):
            rows[:count] = weight.detach()[record]
            lanes = rows.view(groups, length, -1).mT.reshape(groups, -1).numpy()
            pullback(_numbers(spin[record]), lanes, sites, cluster, work, pulled.numpy())
        return gradient

    def _moments(self, spin: torch.Tensor, shape: tuple[int, int], sweep: Callable[..., None]) -> torch.Tensor:
        sites, cluster, work = self._problem(spin, shape)
        groups, length = sites.groups.shape
        made = spin.new_empty(len(spin), groups, self.moments.count * length)
        for record, rows in enumerate(made):
            sweep(record, sites, cluster, work, rows.numpy())
        lanes = made.view(len(spin), groups, self.moments.count, length)
        return lanes.mT.reshape(len(spin), -1, self.moments.count)[:, : spin.shape[1]].contiguous()

    def _problem(self, spin: torch.Tensor, shape: tuple[int, int]) -> tuple[Any, Any, Any]:
        """Sites, cluster and room to work in (not shared between threads)."""
        real = np.dtype(str(spin.dtype).removeprefix("torch."))
        key = (tuple(shape), real)
        if key not in self._tables:
            around = self.moments.around(shape, spin.device).numpy().astype(np.int32)
            count = around.shape[1]
            groups = np.arange(-(-count // kernel.LANES) * kernel.LANES)
            groups[count:] = 0  # their weights are zero
            sites = kernel.Sites(around, groups.reshape(-1, kernel.LANES).astype(np.int32))
            self._tables[key] = sites, self._cluster(real)
        return *self._tables[key], self._room(real)

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

    def _room(self, real: np.dtype) -> tuple[np.ndarray, ...]:
        m = self.moments
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


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
