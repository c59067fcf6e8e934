"""The Chebyshev recursion and its reverse, on real columns.

    alpha_0 = R, alpha_1 = X R, alpha_{m+1} = 2 X alpha_m - alpha_{m-1},                X = (h - centre) / half_width
    mu_{2m} = 2 <alpha_m|alpha_m> - mu_0,   mu_{2m+1} = 2 <alpha_{m+1}|alpha_m> - mu_1   (doubling)

For E = sum_m c_m mu_m the adjoint vectors lambda_m = dE/d alpha_m obey the same recursion backwards,

    lambda_m = 4 c_{2m} alpha_m + 2 c_{2m+1} alpha_{m+1} + 2 c_{2m-1} alpha_{m-1} + 2 X lambda_{m+1} - lambda_{m+2},

and rho = dE/dh = (1/half_width) sum_m 2 lambda_{m+1} alpha_m+ (hermitian part; half the weight at m = 0): the derivative
of the estimate itself, for any number of moments and any R (Barros, Kato, PRB 88, 235101 (2013)).

No vector is stored on the way: alpha_{m-1} = 2 X alpha_m - alpha_{m+1} is recomputed from the last two while lambda runs,
so M moments cost 1.5 M products and memory of a few vectors. The recursion is as stable backwards as forwards: |T_m| <= 1
in the window, and a rounding error made m steps ago has grown by |U_m(x)| <= min(m + 1, 1 / sqrt(1 - x^2)) at most. So M
steps there and back in float32 are wrong by at most about M z 6e-8 / sqrt(1 - x^2), z the neighbours; errors of random sign
add up to much less: 1.3e-5 of the spin density for M = 2000. The compiled loops add up moments in float64.

Layout here: (G, N, 2, o, S) real: group (replica x twist x draw), site, real/imaginary part, component, column.
2 X acts as one real sparse matrix on the (G N 2 o) rows: hopping that is real and blind to the spin costs one
multiplication per neighbour and real number. Outer products are collected for several m before they are multiplied,
which makes the small matrix products long. :mod:`engine.electrons.fused` does the same arithmetic in compiled loops.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from engine.block_matrix import BlockMatrix
from engine.sparse import csr_matrix

COLLECTED = 4  # recursion steps whose outer products are multiplied together; more no longer fit in the cache


class Scaled(NamedTuple):
    """X of G groups: group g has replica ``replica[g]`` of ``matrix``, its bonds times ``phases[twist[g]]``, (K, E)."""

    matrix: BlockMatrix
    replica: torch.Tensor
    twist: torch.Tensor
    phases: torch.Tensor
    centre: float
    half_width: float


class Recursion(ABC):
    """The recursion of some columns of G groups, run forwards when made: ``moments`` (G, 2 order) float64.

    ``path`` is the name a solver knows it by, ``vectors`` how many complex vectors it holds per column, ``block`` how many
    columns it always takes together, ``has_pairs`` whether its gradient knows pairs.
    """

    path: ClassVar[str]
    vectors: ClassVar[float]
    block: ClassVar[int]
    has_pairs: ClassVar[bool] = True
    moments: torch.Tensor

    @staticmethod
    def refusal(matrix: BlockMatrix) -> str | None:
        """Why this path cannot serve a matrix, or None when it can."""
        return None

    @abstractmethod
    def __init__(self, scaled: Scaled, probes: Sequence[np.ndarray], order: int) -> None:
        """``probes``: alpha_0 of every group, complex (N, o, S)."""

    @abstractmethod
    def gradient(
        self, series: torch.Tensor, pairs: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """d/dh of sum_m c_m mu_m, series (G, 2 order): rho_ii (G, N, o, o) and, for ``pairs`` (E, 2), rho_ij (G, E, o, o).

        Uses up the vectors: to be called once.
        """


class SparseRecursion(Recursion):
    """Sparse matrix times columns: any block matrix on any device, and the reference of every other path."""

    path, vectors, block = "eager", 7 + 2 * COLLECTED, 1

    def __init__(self, scaled: Scaled, probes: Sequence[np.ndarray], order: int) -> None:
        onsite = scaled.matrix.onsite
        columns = torch.stack([torch.as_tensor(p) for p in probes]).to(onsite.device, onsite.dtype)
        self.scaled, self.order, self.matrix = scaled, order, scaled_matrix(scaled)
        current = torch.stack([columns.real, columns.imag], 2)
        even, odd = [_dot(current, current)], []
        later, current = current, _recur(self.matrix, torch.zeros_like(current), current, 0.5)
        for m in range(1, order + 1):
            even.append(_dot(current, current))
            odd.append(_dot(current, later))
            if m < order:
                later, current = current, _recur(self.matrix, later, current)
        self.last, self.before = current, later
        self.moments = doubled_moments(torch.stack(even, 1), torch.stack(odd, 1))

    def gradient(
        self, series: torch.Tensor, pairs: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        groups, sites, width = self.last.shape[0], self.last.shape[1], 2 * self.last.shape[3]
        products = _Products(groups * sites, width, self.last, pairs)
        later, current = self.last, self.before
        older, adjoint = torch.zeros_like(later), torch.zeros_like(later)
        mixing = source_weights(series, self.order).to(later.dtype)[..., None]
        for m in range(self.order, 0, -1):
            if m < self.order:
                older = _recur(self.matrix, older, adjoint)
                older.view(groups, -1).addcmul_(mixing[:, m, 1], current.view(groups, -1))
                older.view(groups, -1).addcmul_(mixing[:, m, 2], later.view(groups, -1))
                later, current = current, _recur(self.matrix, later, current)
            older.view(groups, -1).addcmul_(mixing[:, m, 0], current.view(groups, -1))
            older, adjoint = adjoint, older
            products.add(adjoint, current, 2.0 if m > 1 else 1.0)
        products.flush()
        half_width = self.scaled.half_width
        onsite = complex_form(products.onsite).unflatten(0, (groups, sites)) / half_width
        if products.bonds is None:
            return (onsite + onsite.mH) / 2, None
        return (onsite + onsite.mH) / 2, complex_form(products.bonds).unflatten(0, (groups, -1)) / (2 * half_width)


def scaled_matrix(scaled: Scaled) -> torch.Tensor:
    """2 X in real form, CSR (2 o G N, 2 o G N)."""
    matrix, replica, twist, phases, centre, half_width = scaled
    o, device = matrix.components, matrix.onsite.device
    identity = torch.eye(o, dtype=matrix.onsite.dtype, device=device)
    onsite = real_form(matrix.onsite[replica] - centre * identity) * (2 / half_width)
    bond = matrix.bond_blocks()
    bond = real_form((bond[replica] if bond.shape[0] > 1 else bond) * phases[twist][..., None, None]) * (2 / half_width)
    sites = torch.arange(matrix.lattice.sites, device=device)
    pairs = matrix.lattice.tensor("bonds", device)
    entries = [
        _entries(onsite, sites, sites, matrix.lattice.sites),
        _entries(bond, pairs[:, 0], pairs[:, 1], matrix.lattice.sites),
        _entries(bond.mT, pairs[:, 1], pairs[:, 0], matrix.lattice.sites),
    ]
    row, column, value = (torch.cat(parts) for parts in zip(*entries, strict=True))
    return csr_matrix(row, column, value, 2 * o * len(replica) * matrix.lattice.sites)


def real_form(blocks: torch.Tensor) -> torch.Tensor:
    """Complex (..., o, o) as real (..., 2o, 2o) acting on (real parts, imaginary parts)."""
    return torch.cat([torch.cat([blocks.real, -blocks.imag], -1), torch.cat([blocks.imag, blocks.real], -1)], -2)


def _entries(
    blocks: torch.Tensor, start: torch.Tensor, end: torch.Tensor, sites: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Coordinates and values of the non-zero elements of blocks (G, E, p, p) at (start, end)."""
    groups, _, p, _ = blocks.shape
    offset = torch.arange(groups, device=blocks.device)[:, None] * sites
    inner = torch.arange(p, device=blocks.device)
    row = (((start + offset) * p)[..., None, None] + inner[:, None]).expand(-1, -1, p, p)
    column = (((end + offset) * p)[..., None, None] + inner[None, :]).expand(-1, -1, p, p)
    keep = blocks != 0
    return row[keep], column[keep], blocks[keep]


def _recur(matrix: torch.Tensor, out: torch.Tensor, vector: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """out <- 2 X vector * scale - out, in place."""
    rows = matrix.shape[0]
    out.view(rows, -1).addmm_(matrix, vector.view(rows, -1), beta=-1, alpha=scale)
    return out


def doubled_moments(even: torch.Tensor, odd: torch.Tensor) -> torch.Tensor:
    """mu_0 .. mu_{2 order - 1}, (G, 2 order), of <alpha_m|alpha_m> (G, order + 1) and <alpha_{m+1}|alpha_m> (G, order)."""
    even = torch.cat([even[:, :1], 2 * even[:, 1:-1] - even[:, :1]], 1)
    odd = torch.cat([odd[:, :1], 2 * odd[:, 1:] - odd[:, :1]], 1)
    return torch.stack([even, odd], 2).flatten(1)


def _dot(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Scalar products of (G, ...) vectors, (G,) float64."""
    pairs = zip(left.flatten(1), right.flatten(1), strict=True)
    return torch.stack([torch.dot(a, b) for a, b in pairs]).double()


def source_weights(series: torch.Tensor, order: int) -> torch.Tensor:
    """Coefficients of (alpha_{m-1}, alpha_m, alpha_{m+1}) in the source of lambda_m: (G, order + 1, 3)."""
    even, odd = series[:, 0::2], series[:, 1::2]
    mixing = series.new_zeros((series.shape[0], order + 1, 3))
    mixing[:, 1:, 0] = 2 * odd
    mixing[:, 1:order, 1] = 4 * even[:, 1:]
    mixing[:, 1:order, 2] = 2 * odd[:, 1:]
    mixing[:, 1, 0] -= odd.sum(1)  # every doubled odd moment subtracts mu_1 = <alpha_1|alpha_0>
    return mixing


class _Products:
    """Sums of weight left right+ on the sites (G N, 2o, 2o) and on ``pairs`` (G E, 2o, 2o), in real form."""

    def __init__(self, rows: int, width: int, like: torch.Tensor, pairs: torch.Tensor | None) -> None:
        self.sites, self.pairs, self.filled = like.shape[1], pairs, 0
        self.onsite = like.new_zeros((rows, width, width))
        self.bonds = None if pairs is None else like.new_zeros((like.shape[0] * len(pairs), width, width))
        self.left = like.new_empty((rows, width, COLLECTED, like.shape[4]))
        self.right = torch.empty_like(self.left)

    def add(self, left: torch.Tensor, right: torch.Tensor, weight: float) -> None:
        shape = self.left[:, :, 0].shape
        torch.mul(left.view(shape), weight, out=self.left[:, :, self.filled])
        self.right[:, :, self.filled] = right.view(shape)
        self.filled += 1
        if self.filled == COLLECTED:
            self.flush()

    def flush(self) -> None:
        left, right = self.left[:, :, : self.filled].flatten(2), self.right[:, :, : self.filled].flatten(2)
        self.filled = 0
        self.onsite.baddbmm_(left, right.mT)
        if self.bonds is not None and self.pairs is not None:
            _add_bonds(self.bonds, left, right, self.pairs, self.sites)


def _add_bonds(bonds: torch.Tensor, left: torch.Tensor, right: torch.Tensor, pairs: torch.Tensor, sites: int) -> None:
    groups = left.shape[0] // sites
    offset = torch.arange(groups, device=left.device)[:, None] * sites
    start, end = ((pairs[:, k] + offset).reshape(-1) for k in (0, 1))
    bonds.baddbmm_(left[start], right[end].mT)
    bonds.baddbmm_(right[start], left[end].mT)


def complex_form(products: torch.Tensor) -> torch.Tensor:
    """sum_s u_a conj(v_b) from real outer products (..., 2o, 2o) of u and v: complex (..., o, o)."""
    o = products.shape[-1] // 2
    rr, ri = products[..., :o, :o], products[..., :o, o:]
    ir, ii = products[..., o:, :o], products[..., o:, o:]
    return torch.complex(rr + ii, ir - ri)
