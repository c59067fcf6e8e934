"""The Chebyshev recursion and its reverse, on real columns.

    alpha_0 = R, alpha_1 = X R, alpha_{m+1} = 2 X alpha_m - alpha_{m-1},                X = (h - centre) / half_width
    mu_{2m} = 2 <alpha_m|alpha_m> - mu_0,   mu_{2m+1} = 2 <alpha_{m+1}|alpha_m> - mu_1   (doubling)

For E = sum_m c_m mu_m the adjoint vectors lambda_m = dE/d alpha_m obey the same recursion backwards,

    lambda_m = 4 c_{2m} alpha_m + 2 c_{2m+1} alpha_{m+1} + 2 c_{2m-1} alpha_{m-1} + 2 X lambda_{m+1} - lambda_{m+2},

and rho = dE/dh = (1/half_width) sum_m 2 lambda_{m+1} alpha_m+ (hermitian part; half the weight at m = 0): the derivative
of the estimate itself, for any number of moments and any R (Barros, Kato, PRB 88, 235101 (2013)).

Memory layout: (G, N, 2, o, S) real: group (replica x twist x draw), site, real/imaginary part, component, column.
2 X acts as one real sparse matrix on the (G N 2 o) rows: hopping that is real and blind to the spin costs one
multiplication per neighbour and real number. Outer products are collected for several m before they are multiplied,
which makes the small matrix products long.
"""

from __future__ import annotations

import torch

from engine.block_matrix import BlockMatrix
from engine.sparse import csr_matrix

COLLECTED = 4  # recursion steps whose outer products are multiplied together; more no longer fit in the cache


def scaled_matrix(
    matrix: BlockMatrix, replica: torch.Tensor, phases: torch.Tensor, centre: float, half_width: float
) -> torch.Tensor:
    """2 X in real form for groups with replica index (G,) and twist phases (G, E): CSR (2 o G N, 2 o G N)."""
    o, device = matrix.components, matrix.onsite.device
    identity = torch.eye(o, dtype=matrix.onsite.dtype, device=device)
    onsite = real_form(matrix.onsite[replica] - centre * identity) * (2 / half_width)
    bond = matrix.bond_blocks()
    bond = real_form((bond[replica] if bond.shape[0] > 1 else bond) * phases[..., None, None]) * (2 / half_width)
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


def forward(matrix: torch.Tensor, probes: torch.Tensor, order: int) -> torch.Tensor:
    """All vectors alpha_0 .. alpha_order, (order + 1, G, N, 2, o, S)."""
    history = torch.empty((order + 1, *probes.shape), dtype=probes.dtype, device=probes.device)
    history[0] = probes
    _recur(matrix, history[1].zero_(), history[0], 0.5)
    for m in range(1, order):
        _recur(matrix, history[m + 1].copy_(history[m - 1]), history[m])
    return history


def doubled_moments(history: torch.Tensor) -> torch.Tensor:
    """mu_0 .. mu_{2 order - 1}, (G, 2 order) float64."""
    flat = history.flatten(2)
    even, odd = _dot(flat[:-1], flat[:-1]), _dot(flat[1:], flat[:-1])
    even = torch.cat([even[:, :1], 2 * even[:, 1:] - even[:, :1]], 1)
    odd = torch.cat([odd[:, :1], 2 * odd[:, 1:] - odd[:, :1]], 1)
    return torch.stack([even, odd], 2).flatten(1)


def _dot(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Scalar products of (m, G, n) vectors, (G, m) float64."""
    rows = [torch.dot(a, b) for a, b in zip(left.flatten(0, 1), right.flatten(0, 1), strict=True)]
    return torch.stack(rows).view(left.shape[:2]).T.double()


def reverse(
    matrix: torch.Tensor, history: torch.Tensor, series: torch.Tensor, pairs: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Gradient of sum_m c_m mu_m with respect to X.

    series (G, 2 order). Returns the on-site outer products (G N, 2o, 2o), and with ``pairs`` (E, 2) those of
    lambda_i alpha_j + alpha_i lambda_j on the bonds, (G E, 2o, 2o), in real form.
    """
    order, groups = history.shape[0] - 1, history.shape[1]
    mixing = _mixing(series, order).to(history.dtype)
    sites, width = history.shape[2], 2 * history.shape[4]
    onsite = history.new_zeros((groups * sites, width, width))
    bonds = None if pairs is None else history.new_zeros((groups * len(pairs), width, width))
    later, current = torch.zeros_like(history[0]), torch.zeros_like(history[0])
    left = history.new_empty((groups * sites, width, COLLECTED, history.shape[5]))
    right = torch.empty_like(left)
    filled = 0
    for m in range(order, 0, -1):
        # lambda_m = mixing . (alpha_{m-1}, alpha_m, alpha_{m+1}) + 2 X lambda_{m+1} - lambda_{m+2}
        later = _recur(matrix, later, current) if m < order else later
        stop = min(m + 2, order + 1)
        sources = history[m - 1 : stop].view(stop - m + 1, groups, -1).transpose(0, 1)
        later.view(groups, 1, -1).baddbmm_(mixing[:, m : m + 1, : stop - m + 1], sources)
        later, current = current, later
        torch.mul(current.view(left[:, :, 0].shape), 2.0 if m > 1 else 1.0, out=left[:, :, filled])
        right[:, :, filled] = history[m - 1].view(left[:, :, 0].shape)
        filled += 1
        if filled == COLLECTED or m == 1:
            parts = left[:, :, :filled].flatten(2), right[:, :, :filled].flatten(2)
            onsite.baddbmm_(parts[0], parts[1].mT)
            if bonds is not None and pairs is not None:
                _add_bonds(bonds, *parts, pairs, sites)
            filled = 0
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
