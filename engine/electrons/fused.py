"""The Chebyshev recursion of s-d electrons in compiled loops: tables and threads for
:mod:`engine.electrons.fused_kernel` and :mod:`engine.electrons.fused_adjoint`.

For two spin components and hopping that is real and blind to the spin, on CPU, where numba is installed. A *unit* is four
columns of one group; units share nothing, so that threads need not wait for each other, and sums over units are made
in a fixed order: the answer does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from engine.block_matrix import BlockMatrix
from engine.electrons.recursion import Recursion, Scaled, doubled_moments, source_weights
from engine.lattice import Lattice
from engine.threads import shared

try:
    from engine.electrons import fused_adjoint, fused_kernel
    from engine.electrons.fused_kernel import COLUMNS, LANES, SIGNS, Hopping
except ImportError:  # numba is not installed
    fused_adjoint = fused_kernel = None  # type: ignore[assignment]

ALIGNMENT = 64  # bytes: a vector of 16 float32 lies in one line of the cache


class FusedRecursion(Recursion):
    """Four columns at a time through all steps; see the kernel's file for operations, bytes and floors."""

    path, vectors, block = "fused", 2.5, 4

    @staticmethod
    def refusal(matrix: BlockMatrix) -> str | None:
        if fused_kernel is None:
            return "numba is not installed"
        if matrix.onsite.device.type != "cpu":
            return f"the matrix is on {matrix.onsite.device}"
        if matrix.components != 2 or matrix.bond.ndim != 1:
            return "the hopping is not one real number per bond for two spin components"
        return None

    def __init__(self, scaled: Scaled, probes: Sequence[np.ndarray], order: int) -> None:
        matrix, groups = scaled.matrix, len(probes)
        self.scaled, self.order, self.groups = scaled, order, groups
        self.real = np.dtype(str(matrix.onsite.real.dtype).removeprefix("torch."))
        self.vectors_, units = _packed(probes, self.real)
        self.blocks = units // groups
        self.group = np.repeat(np.arange(groups), self.blocks)
        bond, phases = (x.detach().cpu().numpy().tobytes() for x in (matrix.bond.double(), scaled.phases))
        kind = str(scaled.phases.dtype).removeprefix("torch.")
        hopping = _hopping(matrix.lattice, bond, phases, kind, 2 / scaled.half_width, self.real)
        onsite = _pauli(matrix.onsite, scaled.centre, 2 / scaled.half_width, self.real)
        replica, twist = scaled.replica.numpy()[self.group], scaled.twist.numpy()[self.group]
        self.problem = (onsite, replica, hopping, twist, SIGNS.astype(self.real).ravel())
        even, odd = np.empty((units, order + 1)), np.empty((units, order))
        shared(units, lambda first, last: fused_kernel.forward(
            self.vectors_, first, last, order, *self.problem, even, odd))  # fmt: skip
        sums = (torch.from_numpy(x.reshape(groups, self.blocks, -1).sum(1)) for x in (even, odd))
        self.moments = doubled_moments(*sums)

    def gradient(
        self, series: torch.Tensor, pairs: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        units, sites, half_width = len(self.group), self.scaled.matrix.lattice.sites, self.scaled.half_width
        mixing = source_weights(series, self.order).numpy().astype(self.real)[self.group]
        ends = np.zeros((0, 2), dtype=np.int64) if pairs is None else np.ascontiguousarray(pairs.numpy())
        out, bonds = np.empty((units, 4 * sites), self.real), np.empty((units, 8 * len(ends)), self.real)

        def run(first: int, last: int) -> None:
            work = aligned((3, LANES * sites), self.real)
            bond_work = aligned((2 * LANES * len(ends),), self.real)
            fused_adjoint.backward(self.vectors_, work, bond_work, first, last, mixing, *self.problem, ends, out, bonds)

        shared(units, run)
        dtype = self.scaled.matrix.onsite.dtype
        onsite = _onsite_blocks(self._summed(out).reshape(self.groups, sites, 4)) / half_width
        if pairs is None:
            return torch.from_numpy(onsite).to(dtype), None
        real, imaginary = np.moveaxis(self._summed(bonds).reshape(self.groups, -1, 2, 4), 2, 0)
        blocks = (real + 1j * imaginary)[..., [0, 2, 3, 1]].reshape(self.groups, -1, 2, 2) / (2 * half_width)
        return torch.from_numpy(onsite).to(dtype), torch.from_numpy(blocks).to(dtype)

    def _summed(self, units: np.ndarray) -> np.ndarray:
        return units.reshape(self.groups, self.blocks, -1).sum(1, dtype=np.float64)


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Uninitialized array that starts on a line of the cache."""
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def _packed(probes: Sequence[np.ndarray], real: np.dtype) -> tuple[np.ndarray, int]:
    """Probes (N, 2, S) of every group as (units, 2, 16 N), columns filled up with zeros; the second place is free."""
    sites, _, columns = probes[0].shape
    blocks = -(-columns // COLUMNS)
    packed = aligned((len(probes) * blocks, 2, LANES * sites), real)
    view = packed.reshape(len(probes), blocks, 2, sites, 2, 2, COLUMNS)
    for group, block in enumerate(probes):
        filled = np.pad(block, ((0, 0), (0, 0), (0, blocks * COLUMNS - columns)))
        parts = filled.view(block.real.dtype).reshape(sites, 2, blocks, COLUMNS, 2)
        view[group, :, 0] = parts.transpose(2, 0, 1, 4, 3)
    return packed, len(probes) * blocks


def _pauli(onsite: torch.Tensor, centre: float, scale: float, real: np.dtype) -> np.ndarray:
    """(a, x, y, z) of scale (h_ii - centre) = a + x sigma_x + y sigma_y + z sigma_z: (B, N, 4)."""
    h = onsite.numpy()
    mean, z = (h[..., 0, 0] + h[..., 1, 1]).real / 2 - centre, (h[..., 0, 0] - h[..., 1, 1]).real / 2
    return (scale * np.stack([mean, h[..., 1, 0].real, h[..., 1, 0].imag, z], -1)).astype(real)


def _onsite_blocks(sums: np.ndarray) -> np.ndarray:
    """rho from (up up, down down, <sigma_x>, <sigma_y>): (G, N, 2, 2)."""
    up, down, x, y = np.moveaxis(sums, -1, 0)
    across = (x - 1j * y) / 2
    return np.stack([up + 0j, across, across.conj(), down + 0j], -1).reshape(*up.shape, 2, 2)


@lru_cache(maxsize=8)
def _hopping(lattice: Lattice, bond: bytes, twists: bytes, kind: str, scale: float, real: np.dtype) -> Hopping:
    """Table of 2X between sites for the phases (K, E) of some twists; along a trajectory it is always the same.

    ``bond`` and ``twists`` are given as bytes (float64, and complex numbers of ``kind``), which can be compared.
    """
    amplitude = scale * np.frombuffer(bond)
    phases = np.frombuffer(twists, dtype=kind).reshape(-1, len(lattice.bonds)).astype(np.complex128)
    turned = np.abs(phases - 1).max(0) > 0
    kept = amplitude != 0
    straight = _runs(lattice, kept & ~turned, amplitude)
    crossing = _runs(lattice, kept & turned, amplitude)
    starts = np.flatnonzero(straight.first | crossing.first)
    ends, order = straight.of(starts)
    phase_ends, phase_order = crossing.of(starts)
    factors = np.concatenate([phases, phases.conj()], 1)[:, crossing.bond[phase_order]] * crossing.value[phase_order]
    return Hopping(
        np.append(starts, lattice.sites), ends, LANES * straight.offset[order], straight.value[order].astype(real),
        phase_ends, LANES * crossing.offset[phase_order], np.stack([factors.real, factors.imag], -1).astype(real),
    )  # fmt: skip


class _Runs:
    """Directed neighbours in the order (site, offset); ``first`` marks sites whose neighbours differ from the last's."""

    def __init__(self, site: np.ndarray, offset: np.ndarray, value: np.ndarray, bond: np.ndarray, wraps: np.ndarray,
                 sites: int) -> None:  # fmt: skip
        order = np.lexsort((value, *wraps.T, offset, site))
        self.offset, self.value, self.bond = offset[order], value[order], bond[order]
        self.counts = np.bincount(site, minlength=sites)
        self.begin = np.concatenate([[0], np.cumsum(self.counts)])
        keys = np.concatenate([offset[order, None], value[order, None], wraps[order]], 1)
        table = np.zeros((sites, int(self.counts.max(initial=0)), keys.shape[1]))
        row = site[order]
        table[row, np.arange(len(row)) - self.begin[row]] = keys
        self.first = np.ones(sites, dtype=bool)
        self.first[1:] = (self.counts[1:] != self.counts[:-1]) | (table[1:] != table[:-1]).any((1, 2))

    def of(self, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the lists of these sites, one after the other, and where they lie."""
        counts = self.counts[starts]
        ends = np.concatenate([[0], np.cumsum(counts)])
        return ends, np.arange(ends[-1]) + np.repeat(self.begin[starts] - ends[:-1], counts)


def _runs(lattice: Lattice, chosen: np.ndarray, amplitude: np.ndarray) -> _Runs:
    """Both directions of the chosen bonds; a bond e backwards is number E + e."""
    number = np.flatnonzero(chosen)
    start, end = lattice.bonds[number].T
    wraps, value = lattice.wraps[number], amplitude[number]
    return _Runs(
        np.concatenate([start, end]), np.concatenate([end - start, start - end]), np.concatenate([value, value]),
        np.concatenate([number, number + len(lattice.bonds)]), np.concatenate([wraps, -wraps]), lattice.sites,
    )  # fmt: skip
