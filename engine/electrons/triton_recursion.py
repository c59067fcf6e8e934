"""The Chebyshev recursion of s-d electrons on a GPU: tables, buffers and graphs for :mod:`engine.electrons.triton_kernel`.

For two spin components and hopping that is real and blind to the spin, where Triton is installed. A whole way there, or
back, is a CUDA graph of one kernel per step, captured at the second call and replayed along a trajectory: a step of
48 x 48 sites takes less time than launching a kernel from Python. On a CPU the same kernels run in Triton's interpreter
(TRITON_INTERPRET=1), which is how they are tested; no graph is made there.

``path="triton"`` asks for it; "eager" stays the choice on GPUs until this has been timed on one.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from engine.block_matrix import BlockMatrix
from engine.electrons.recursion import Recursion, Scaled, doubled_moments, source_weights
from engine.lattice import Lattice

WIDTH, PROGRAM = 64, 256  # columns and numbers of each component that a program takes


class _Hopping(NamedTuple):
    """2X between sites: neighbour (N, Z) int32, real and imaginary parts of amplitudes (K twists, N, Z)."""

    neighbour: torch.Tensor
    real: torch.Tensor
    imaginary: torch.Tensor
    twisted: bool


class _Size(NamedTuple):
    """What a set of buffers and graphs is made for; ``thread`` keeps two runs in one process apart."""

    replicas: int
    groups: int
    sites: int
    columns: int
    order: int
    dtype: torch.dtype
    device: torch.device
    thread: int


class _Plan:
    """Buffers of one problem size, and the steps on them, replayed as CUDA graphs."""

    def __init__(self, size: _Size, hopping: _Hopping) -> None:
        from engine.electrons import triton_kernel  # importing Triton takes a second, and few need it

        self.kernels, self.size, self.hopping = triton_kernel, size, hopping
        replicas, groups, sites, columns, order, dtype, device, _ = size
        self.width = min(WIDTH, _power_of_two(columns))
        self.block = max(1, PROGRAM // self.width)
        self.grid = (-(-sites // self.block), -(-columns // self.width), groups)
        programs = self.grid[0] * self.grid[1]
        self.vectors = torch.zeros(
            (4, groups, sites, 4, columns), dtype=dtype, device=device
        )  # alpha, lambda: two each
        self.onsite = torch.zeros((replicas, sites, 4), dtype=dtype, device=device)
        self.place = torch.zeros((2, groups), dtype=torch.int32, device=device)  # replica and twist of every group
        self.mixing = torch.zeros((groups, order + 1, 3), dtype=dtype, device=device)
        self.squares, self.products = torch.zeros((2, order, groups, programs), dtype=dtype, device=device)
        self.sums = torch.zeros((groups, self.grid[1], sites, 4), dtype=dtype, device=device)
        self.owner: object = None
        self._graphs: dict[str, torch.cuda.CUDAGraph | None] = {}

    def play(self, name: str, run: Callable[[], None]) -> None:
        """Run; on a GPU the second time as a graph, which is captured then and replayed from there on."""
        if self.size.device.type != "cuda" or name not in self._graphs:
            self._graphs[name] = None
            run()  # compiles the kernels, too
            return
        graph = self._graphs[name]
        if graph is None:
            graph = self._graphs[name] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                run()
        graph.replay()

    def forward(self) -> None:
        """vectors[0] = R; afterwards vectors[order % 2] = alpha_order, the other alpha_{order-1}."""
        self.vectors[1].zero_()
        for m in range(1, self.size.order + 1):
            self.kernels.forward_step[self.grid](
                self.vectors[(m - 1) % 2], self.vectors[m % 2], *self.hopping[:3], self.onsite, *self.place,
                self.squares[m - 1], self.products[m - 1], 0.5 if m == 1 else 1.0, self.size.sites, *self._shape,
            )  # fmt: skip

    def backward(self) -> None:
        """From the last two vectors and ``mixing`` to ``sums``."""
        order, (alpha, beta, older, adjoint) = self.size.order, self.vectors
        later, current = (alpha, beta) if order % 2 == 0 else (beta, alpha)
        older.zero_()
        adjoint.copy_(self.mixing[:, order, 0, None, None, None] * current)  # lambda_order has one source
        a, b, c, d = current.unbind(2)
        i, j, k, n = adjoint.unbind(2)
        weight = 2.0 if order > 1 else 1.0  # the last product counts once, all others twice
        first = [i * a + j * b, k * c + n * d, (i * c + j * d + k * a + n * b) / 2, (j * c - i * d - n * a + k * b) / 2]
        self.sums.zero_()
        self.sums[:, 0] = weight * torch.stack([part.sum(-1) for part in first], -1)
        for m in range(order - 1, 0, -1):
            self.kernels.backward_step[self.grid](
                later, current, older, adjoint, *self.hopping[:3], self.onsite, *self.place, self.mixing, self.sums,
                2.0 if m > 1 else 1.0, order, m, self.size.sites, *self._shape,
            )  # fmt: skip
            later, current, older, adjoint = current, later, adjoint, older

    @property
    def _shape(self) -> tuple[int, bool, int, int, int]:
        """DEGREE, TWISTED, COLUMNS, BLOCK, WIDTH of the kernels."""
        return self.hopping.neighbour.shape[1], self.hopping.twisted, self.size.columns, self.block, self.width


class TritonRecursion(Recursion):
    """One kernel per step; the buffers of the last two problem sizes of a thread are kept."""

    path, vectors, block, has_pairs = "triton", 5, 1, False

    @staticmethod
    def refusal(matrix: BlockMatrix) -> str | None:
        if importlib.util.find_spec("triton") is None:
            return "Triton is not installed"
        if matrix.onsite.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
            return f"the matrix is on {matrix.onsite.device}, not on a GPU"
        if matrix.components != 2 or matrix.bond.ndim != 1:
            return "the hopping is not one real number per bond for two spin components"
        return None

    def __init__(self, scaled: Scaled, probes: Sequence[np.ndarray], order: int) -> None:
        onsite, lattice = scaled.matrix.onsite, scaled.matrix.lattice
        real, device = onsite.real.dtype, onsite.device
        self.scaled, self.order = scaled, order
        hopping = _hopping(
            lattice, scaled.matrix.bond.double().cpu().numpy().tobytes(), scaled.phases.cpu().numpy().tobytes(),
            str(scaled.phases.dtype).removeprefix("torch."), 2 / scaled.half_width, real, device,
        )  # fmt: skip
        columns = torch.stack([torch.as_tensor(p) for p in probes]).to(device, onsite.dtype)
        size = _Size(
            len(onsite), len(probes), lattice.sites, columns.shape[3], order, real, device, threading.get_ident()
        )
        self.plan = plan = _plan(size, hopping)
        plan.owner = self
        start = torch.stack([columns.real, columns.imag], 3).flatten(2, 3)
        plan.vectors[0].copy_(start)
        plan.onsite.copy_(_pauli(onsite, scaled.centre) * (2 / scaled.half_width))
        plan.place.copy_(torch.stack([scaled.replica, scaled.twist]))
        plan.play("forward", plan.forward)
        first = start.double().square().flatten(1).sum(1)[:, None]
        even, odd = (x.double().sum(2).T for x in (plan.squares, plan.products))
        self.moments = doubled_moments(torch.cat([first, even], 1), odd)

    def gradient(
        self, series: torch.Tensor, pairs: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        assert pairs is None, "these kernels have no pairs"
        plan = self.plan
        if plan.owner is not self:
            raise RuntimeError("another recursion of the same size was begun meanwhile; ask for the gradient first")
        plan.owner = None
        plan.mixing.copy_(source_weights(series, self.order))
        plan.play("backward", plan.backward)
        up, down, real, imaginary = (plan.sums.double().sum(1) / self.scaled.half_width).unbind(-1)
        across = torch.complex(real, imaginary)
        blocks = torch.stack([up + 0j, across, across.conj(), down + 0j], -1).unflatten(-1, (2, 2))
        return blocks.to(self.scaled.matrix.onsite.dtype), None


@lru_cache(maxsize=2)
def _plan(size: _Size, hopping: _Hopping) -> _Plan:
    return _Plan(size, hopping)


def _power_of_two(number: int) -> int:
    """The least one that is not smaller."""
    return 1 << (number - 1).bit_length()


def _pauli(onsite: torch.Tensor, centre: float) -> torch.Tensor:
    """(mean - centre, x, y, z) of h_ii = mean + x sigma_x + y sigma_y + z sigma_z: (B, N, 4)."""
    up, down, across = onsite[..., 0, 0].real, onsite[..., 1, 1].real, onsite[..., 1, 0]
    return torch.stack([(up + down) / 2 - centre, across.real, across.imag, (up - down) / 2], -1)


@lru_cache(maxsize=4)
def _hopping(
    lattice: Lattice, bond: bytes, twists: bytes, kind: str, scale: float, real: torch.dtype, device: torch.device
) -> _Hopping:
    """Table for the phases (K, E) of some twists; ``bond`` (float64) and ``twists`` (of ``kind``) as bytes, which can be
    compared. Sites with fewer neighbours than others meet themselves with amplitude 0."""
    phases = np.frombuffer(twists, dtype=kind).reshape(-1, len(lattice.bonds)).astype(np.complex128)
    amplitude = scale * np.frombuffer(bond) * np.concatenate([phases, phases.conj()]).reshape(2, len(phases), -1)
    start, end = lattice.bonds.T
    site, other = np.concatenate([start, end]), np.concatenate([end, start])
    value = np.concatenate([amplitude[0], amplitude[1]], 1)  # (K, 2 E)
    order = np.argsort(site, kind="stable")
    counts = np.bincount(site, minlength=lattice.sites)
    rank = np.arange(len(site)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = lattice.sites, int(counts.max(initial=1))
    neighbour = np.repeat(np.arange(lattice.sites)[:, None], shape[1], 1)
    table = np.zeros((len(phases), *shape), dtype=np.complex128)
    neighbour[site[order], rank], table[:, site[order], rank] = other[order], value[:, order]
    real_part, imaginary = (torch.from_numpy(x).to(device, real).contiguous() for x in (table.real, table.imag))
    twisted = bool(np.abs(table.imag).max(initial=0) > 0)
    return _Hopping(torch.from_numpy(neighbour).to(device, torch.int32), real_part, imaginary, twisted)
