"""Chebyshev series: coefficients of functions, quadrature weights of moments, the Jackson kernel, spectral bounds.

On the grid x_k = cos(pi (k + 1/2) / P) a function g has coefficients c_m = (2 - delta_m0)/P sum_k g(x_k) cos(m theta_k),
and moments mu_m = Tr T_m(x) have weights w_k = 1/P sum_m (2 - delta_m0) mu_m cos(m theta_k); then
sum_m c_m mu_m = sum_k w_k g(x_k) exactly, so that mu found from the weights is the one the energy is stationary at.
Weisse, Wellein, Alvermann, Fehske, Rev. Mod. Phys. 78, 275 (2006).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch

from engine.block_matrix import BlockMatrix
from engine.lattice import PRIMITIVE_VECTORS

DISPERSION_GRID = 256
BOUND_QUANTUM = 1.0 / 64.0  # bounds are rounded outwards, so that they do not move under small changes of the spins


def grid(points: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Chebyshev-Gauss nodes x_k (P,), float64."""
    return torch.cos(math.pi * (torch.arange(points, dtype=torch.float64, device=device) + 0.5) / points)


def coefficients(values: torch.Tensor, moments: int) -> torch.Tensor:
    """c_m (..., M) of a function given on the grid (..., P), by a cosine transform."""
    points = values.shape[-1]
    spectrum = torch.fft.rfft(torch.cat([values, values.flip(-1)], -1))[..., :moments]
    turn = -math.pi * torch.arange(moments, dtype=values.dtype, device=values.device) / (2 * points)
    cosines = (spectrum * torch.polar(torch.ones_like(turn), turn)).real / points
    cosines[..., 0] /= 2
    return cosines


def weights(moments: torch.Tensor, points: int) -> torch.Tensor:
    """w_k (..., P) of moments (..., M), the adjoint of :func:`coefficients`."""
    count = moments.shape[-1]
    turn = math.pi * torch.arange(count, dtype=moments.dtype, device=moments.device) / (2 * points)
    series = 2 * moments * torch.polar(torch.ones_like(turn), turn)
    series[..., 0] /= 2
    return torch.fft.ifft(series, n=2 * points)[..., :points].real * 2


def jackson(moments: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Jackson damping factors g_m (M,): positive kernel of width pi / M."""
    m, n = torch.arange(moments, dtype=torch.float64, device=device), moments + 1
    angle = math.pi / n
    return ((n - m) * torch.cos(angle * m) + torch.sin(angle * m) / math.tan(angle)) / n


def damping_factors(kernel: str | None, moments: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Factors of a kernel by name: None (plain Chebyshev) or "jackson"."""
    if kernel is None:
        return torch.ones(moments, dtype=torch.float64, device=device)
    return jackson(moments, device)


def density_of_states(moments: torch.Tensor, energies: torch.Tensor, centre: float, half_width: float) -> torch.Tensor:
    """Density of states (..., K) at ``energies`` (K,) from moments (..., M), zero outside the window:

    D(e) = sum_m (2 - delta_m0) g_m mu_m T_m(x) / {pi half_width sqrt(1 - x^2)},      x = (e - centre) / half_width

    with the Jackson factors g_m.
    """
    x = (energies - centre) / half_width
    inside = x.abs() < 1
    angle = torch.arccos(torch.where(inside, x, torch.zeros_like(x)))
    orders = torch.arange(moments.shape[-1], dtype=torch.float64, device=moments.device)
    factors = 2 * jackson(moments.shape[-1], moments.device)
    factors[0] /= 2
    density = (moments * factors) @ torch.cos(orders[:, None] * angle) / (math.pi * half_width * torch.sin(angle))
    return torch.where(inside, density, torch.zeros_like(density))


def trace_function(
    matrix: torch.Tensor,
    function: Callable[[torch.Tensor], torch.Tensor],
    moments: int,
    window: tuple[float, float],
    kernel: str | None = None,
) -> float:
    """Tr g(A) of a small dense Hermitian A by a truncated series, for checks and teaching.

    Raises ValueError when the window does not enclose the spectrum.
    """
    matrix = matrix.to(torch.complex128)
    low, high = window
    levels = torch.linalg.eigvalsh(matrix)
    if float(levels[0]) < low or float(levels[-1]) > high:
        raise ValueError(f"window {window} must enclose the spectrum [{float(levels[0])}, {float(levels[-1])}]")
    centre, half = (low + high) / 2, (high - low) / 2
    identity = torch.eye(len(matrix), dtype=matrix.dtype)
    x = (matrix - centre * identity) / half
    previous, current = identity, x
    traces = [previous.diagonal().sum().real, current.diagonal().sum().real]
    for _ in range(moments - 2):
        previous, current = current, 2 * x @ current - previous
        traces.append(current.diagonal().sum().real)
    series = coefficients(function(half * grid(4 * moments) + centre), moments) * damping_factors(kernel, moments)
    return float((series * torch.stack(traces)[:moments]).sum())


def spectral_bounds(matrix: BlockMatrix) -> tuple[float, float]:
    """Bounds that hold for every twist: those of the hopping plus the largest on-site norm (Weyl's inequality).

    The hopping of a translation-invariant lattice is bounded by its dispersion, any other by Gershgorin's row sums.
    """
    low, high = _dispersion_bounds(matrix) or _row_sum_bounds(matrix)
    norm = _largest_norm(matrix.onsite)
    low, high = low - norm * 1.005, high + norm * 1.005
    return math.floor(low / BOUND_QUANTUM - 0.5) * BOUND_QUANTUM, math.ceil(high / BOUND_QUANTUM + 0.5) * BOUND_QUANTUM


def window_error(matrix: BlockMatrix, low: float, high: float) -> ValueError:
    """What to raise when (low, high) was found not to enclose the spectrum."""
    return ValueError(
        f"the spectrum exceeds the window ({low:.4g}, {high:.4g}); use window=None or one that contains "
        f"{spectral_bounds(matrix)}"
    )


def _largest_norm(onsite: torch.Tensor) -> float:
    """Largest |eigenvalue| of all Hermitian blocks (B, N, o, o); for two components |mean| + |half difference|."""
    if onsite.shape[-1] != 2:
        return float(torch.linalg.matrix_norm(onsite.to(torch.complex128), ord=2).amax())
    up, down = onsite[..., 0, 0].real.double(), onsite[..., 1, 1].real.double()
    split = ((up - down) ** 2 / 4 + onsite[..., 0, 1].abs().double() ** 2).sqrt()
    return float(((up + down).abs() / 2 + split).amax())


def _dispersion_bounds(matrix: BlockMatrix) -> tuple[float, float] | None:
    """Extrema of sum_d h_d exp(i k.d) over all k, with the curvature's margin; None if not translation invariant."""
    lattice = matrix.lattice
    if not lattice.is_regular or matrix.bond.ndim != 1:
        return None
    amplitudes = matrix.bond.detach().double().cpu().numpy().reshape(-1, lattice.sites)
    if not np.allclose(amplitudes, amplitudes[:, :1], rtol=0, atol=1e-12):
        return None
    displacements = lattice.displacements.reshape(-1, lattice.sites, 2)[:, 0]
    return _band_bounds(lattice.kind, displacements.tobytes(), np.ascontiguousarray(amplitudes[:, 0]).tobytes())


@lru_cache(maxsize=16)
def _band_bounds(kind: str, displacements: bytes, amplitudes: bytes) -> tuple[float, float]:
    """The same for one of each +-pair of displacements (K, 2) and amplitudes (K,), as bytes: they seldom change."""
    vectors, hopping = np.frombuffer(displacements).reshape(-1, 2), np.frombuffer(amplitudes)
    primitive = PRIMITIVE_VECTORS[kind]
    steps = np.round(vectors @ np.linalg.inv(primitive)).astype(int)
    stencil = np.zeros((DISPERSION_GRID, DISPERSION_GRID))
    for sign in (1, -1):
        np.add.at(stencil, tuple((sign * steps % DISPERSION_GRID).T), hopping)
    band = np.fft.fft2(stencil).real
    reciprocal = np.linalg.norm(2 * np.pi * np.linalg.inv(primitive), axis=0).max()
    gap = reciprocal / DISPERSION_GRID
    margin = 0.5 * gap**2 * float(np.sum(2 * np.abs(hopping) * np.sum(vectors**2, 1)))
    return float(band.min() - margin), float(band.max() + margin)


def _row_sum_bounds(matrix: BlockMatrix) -> tuple[float, float]:
    blocks = matrix.bond_blocks()
    norms = torch.linalg.matrix_norm(blocks, ord=2) if matrix.bond.ndim == 4 else matrix.bond.abs()[None]
    pairs = matrix.lattice.tensor("bonds", norms.device)
    rows = norms.new_zeros((norms.shape[0], matrix.lattice.sites))
    for end in (0, 1):
        rows.index_add_(1, pairs[:, end], norms)
    radius = float(rows.amax())
    return -radius, radius
