"""The Chebyshev recursion and its reverse, on real columns.

    alpha_0 = R, alpha_1 = X R, alpha_{m+1} = 2 X alpha_m - alpha_{m-1},                X = (h - centre) / half_width
    mu_{2m} = 2 <alpha_m|alpha_m> - mu_0,   mu_{2m+1} = 2 <alpha_{m+1}|alpha_m> - mu_1   (doubling)

For E = sum_m c_m mu_m the adjoint vectors lambda_m = dE/d alpha_m obey the same recursion backwards,

    lambda_m = 4 c_{2m} alpha_m + 2 c_{2m+1} alpha_{m+1} + 2 c_{2m-1} alpha_{m-1} + 2 X lambda_{m+1} - lambda_{m+2},

and rho = dE/dh = (1/half_width) sum_m 2 lambda_{m+1} alpha_m+ (hermitian part; half the weight at m = 0): the derivative
of the estimate itself, for any number of moments and any R (Barros, Kato, PRB 88, 235101 (2013)).

Memory layout: (G, N, 2, o, S) real: group (replica x twist x draw), site, real/imaginary part, component, column.
Hopping that is real and blind to the spin acts on (G N, 2 o S) as one sparse product; with a twist, on (2 G N, o S).
The on-site blocks act as real 2o x 2o matrices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.block_matrix import BlockMatrix
from engine.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class ScaledMatrix:
    """2 X in real form: ``hopping`` sparse CSR on rows of one group set, ``onsite`` (G N, 2o, 2o)."""

    hopping: torch.Tensor
    onsite: torch.Tensor
    rows: int

    def accumulate(self, out: torch.Tensor, vector: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        """out * beta + 2 X vector in place, with beta = -1; ``scale`` multiplies the product."""
        shape = (self.rows, -1)
        out.view(shape).addmm_(self.hopping, vector.view(shape), beta=-1, alpha=scale)
        width = self.onsite.shape[-1]
        blocks = (self.onsite.shape[0], width, -1)
        out.view(blocks).baddbmm_(self.onsite, vector.view(blocks), alpha=scale)
        return out


def scaled_matrix(
    matrix: BlockMatrix, replica: torch.Tensor, phases: torch.Tensor, centre: float, half_width: float
) -> ScaledMatrix:
    """2 X of groups with replica index (G,) and twist phases (G, E)."""
    groups, sites, o = len(replica), matrix.lattice.sites, matrix.components
    identity = torch.eye(o, dtype=matrix.onsite.dtype, device=matrix.onsite.device)
    onsite = (matrix.onsite[replica] - centre * identity) * (2 / half_width)
    pairs = matrix.lattice.tensor("bonds", onsite.device)
    if matrix.bond.ndim == 1 and not bool((phases.imag != 0).any()):
        blocks = (matrix.bond * phases.real)[..., None, None]
    elif matrix.bond.ndim == 1:
        blocks = real_form((matrix.bond * phases)[..., None, None])
    else:
        bond = matrix.bond[replica] if matrix.bond.shape[0] > 1 else matrix.bond
        blocks = real_form(bond * phases[..., None, None])
    hopping = _sparse(blocks * (2 / half_width), pairs, groups, sites)
    return ScaledMatrix(hopping, real_form(onsite).flatten(0, 1).contiguous(), hopping.shape[0])


def real_form(blocks: torch.Tensor) -> torch.Tensor:
    """Complex (..., o, o) as real (..., 2o, 2o) acting on (real parts, imaginary parts)."""
    return torch.cat([torch.cat([blocks.real, -blocks.imag], -1), torch.cat([blocks.imag, blocks.real], -1)], -2)


def _sparse(blocks: torch.Tensor, pairs: torch.Tensor, groups: int, sites: int) -> torch.Tensor:
    """Block-diagonal symmetric CSR from bond blocks (G, E, p, p)."""
    p = blocks.shape[-1]
    blocks = blocks.expand(groups, -1, -1, -1)
    offset = torch.arange(groups, device=blocks.device)[:, None] * sites
    start, end = ((pairs[:, k] + offset) * p for k in (0, 1))
    inner = torch.arange(p, device=blocks.device)
    row = (start[..., None, None] + inner[:, None]).expand(-1, -1, p, p).reshape(-1)
    column = (end[..., None, None] + inner[None, :]).expand(-1, -1, p, p).reshape(-1)
    value, size = blocks.reshape(-1), groups * sites * p
    return csr_matrix(torch.cat([row, column]), torch.cat([column, row]), torch.cat([value, value]), size)


def forward(matrix: ScaledMatrix, probes: torch.Tensor, order: int) -> torch.Tensor:
    """All vectors alpha_0 .. alpha_order, (order + 1, G, N, 2, o, S)."""
    history = torch.empty((order + 1, *probes.shape), dtype=probes.dtype, device=probes.device)
    history[0] = probes
    matrix.accumulate(history[1].zero_(), history[0], 0.5)
    for m in range(1, order):
        matrix.accumulate(history[m + 1].copy_(history[m - 1]), history[m])
    return history


def doubled_moments(history: torch.Tensor) -> torch.Tensor:
    """mu_0 .. mu_{2 order - 1}, (G, 2 order) float64."""
    order, groups = history.shape[0] - 1, history.shape[1]
    flat = history.view(order + 1, groups, 1, -1)
    even = torch.stack([torch.matmul(flat[m], flat[m].mT).view(groups) for m in range(order)], 1).double()
    odd = torch.stack([torch.matmul(flat[m + 1], flat[m].mT).view(groups) for m in range(order)], 1).double()
    even = torch.cat([even[:, :1], 2 * even[:, 1:] - even[:, :1]], 1)
    odd = torch.cat([odd[:, :1], 2 * odd[:, 1:] - odd[:, :1]], 1)
    return torch.stack([even, odd], 2).flatten(1)


def reverse(
    matrix: ScaledMatrix, history: torch.Tensor, series: torch.Tensor, pairs: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Gradient of sum_m c_m mu_m with respect to X.

    series (G, 2 order). Returns the on-site outer products (G N, 2o, 2o), and with ``pairs`` (E, 2) those of
    lambda_i alpha_j + alpha_i lambda_j on the bonds, (G E, 2o, 2o), in real form.
    """
    order, groups = history.shape[0] - 1, history.shape[1]
    mixing = _mixing(series, order).to(history.dtype)
    sites, width, columns = history.shape[2], 2 * history.shape[4], history.shape[5]
    onsite = history.new_zeros((groups * sites, width, width))
    bonds = None if pairs is None else history.new_zeros((groups * len(pairs), width, width))
    later, current = torch.zeros_like(history[0]), torch.zeros_like(history[0])
    for m in range(order, 0, -1):
        # lambda_m = mixing . (alpha_{m-1}, alpha_m, alpha_{m+1}) + 2 X lambda_{m+1} - lambda_{m+2}
        later = matrix.accumulate(later, current) if m < order else later
        stop = min(m + 2, order + 1)
        sources = history[m - 1 : stop].view(stop - m + 1, groups, -1).transpose(0, 1)
        later.view(groups, 1, -1).baddbmm_(mixing[:, m : m + 1, : stop - m + 1], sources)
        later, current = current, later
        weight = 2.0 if m > 1 else 1.0
        left, right = current.view(-1, width, columns), history[m - 1].view(-1, width, columns)
        onsite.baddbmm_(left, right.mT, alpha=weight)
        if bonds is not None and pairs is not None:
            _add_bonds(bonds, left, right, pairs, sites, weight)
    return onsite, bonds


def _mixing(series: torch.Tensor, order: int) -> torch.Tensor:
    """Coefficients of (alpha_{m-1}, alpha_m, alpha_{m+1}) in the source of lambda_m: (G, order + 1, 3)."""
    even, odd = series[:, 0::2], series[:, 1::2]
    mixing = series.new_zeros((series.shape[0], order + 1, 3))
    mixing[:, 1:, 0] = 2 * odd
    mixing[:, 1:order, 1] = 4 * even[:, 1:]
    mixing[:, 1:order, 2] = 2 * odd[:, 1:]
    mixing[:, 1, 0] -= odd.sum(1)  # every doubled odd moment subtracts mu_1 = <alpha_1|alpha_0>
    return mixing


def _add_bonds(
    bonds: torch.Tensor, left: torch.Tensor, right: torch.Tensor, pairs: torch.Tensor, sites: int, weight: float
) -> None:
    groups = left.shape[0] // sites
    offset = torch.arange(groups, device=left.device)[:, None] * sites
    start, end = ((pairs[:, k] + offset).reshape(-1) for k in (0, 1))
    bonds.baddbmm_(left[start], right[end].mT, alpha=weight)
    bonds.baddbmm_(right[start], left[end].mT, alpha=weight)


def complex_form(products: torch.Tensor) -> torch.Tensor:
    """sum_s u_a conj(v_b) from real outer products (..., 2o, 2o) of u and v: complex (..., o, o)."""
    o = products.shape[-1] // 2
    rr, ri = products[..., :o, :o], products[..., :o, o:]
    ir, ii = products[..., o:, :o], products[..., o:, o:]
    return torch.complex(rr + ii, ir - ri)
