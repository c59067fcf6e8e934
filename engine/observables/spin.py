"""Magnetization, spin correlations and torque of spin configurations.

    M = N^-1 sum_i S_i,      C(r) = < S_i . S_j >  over all pairs at distance r (nearest image), C(0) = 1.

Every function takes spin (B, N, 3) as a torch tensor or a NumPy array and answers with torch tensors.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from engine.lattice import DISTANCE_TOLERANCE, Lattice


def checked_spin(spin: torch.Tensor | np.ndarray, lattice: Lattice) -> torch.Tensor:
    """``spin`` as a torch tensor (B, N, 3) of float32 or float64. Raises ValueError for any other shape."""
    values = torch.as_tensor(spin)
    if values.ndim != 3 or values.shape[1:] != (lattice.sites, 3):
        raise ValueError(
            f"spin must have shape (B, {lattice.sites}, 3) on this lattice, got {tuple(values.shape)}; "
            "add the batch axis with spin[None], or pass the lattice the spins belong to"
        )
    return values if values.dtype in (torch.float32, torch.float64) else values.to(torch.float64)


def magnetization(spin: torch.Tensor | np.ndarray, lattice: Lattice) -> torch.Tensor:
    """Mean spin (B, 3), between -1 and 1 in each component."""
    return checked_spin(spin, lattice).mean(1)


def torque(spin: torch.Tensor, force: torch.Tensor) -> torch.Tensor:
    """Root mean square over the sites of |S_i x h_i|, (B,), in t1; spin and force h are (B, N, 3)."""
    return torch.linalg.cross(spin, force, dim=-1).square().sum(-1).mean(1).sqrt()


def spin_correlation(
    spin: torch.Tensor | np.ndarray, lattice: Lattice, width: float = 0.25
) -> tuple[torch.Tensor, torch.Tensor]:
    """Equal-time correlation C(r) = <S_i . S_j>: distances (R,) and values (B, R), ascending, first r = 0 with C = 1.

    Regular lattices: one entry per distinct nearest-image distance, by the Wiener-Khinchin theorem (FFT), O(N log N).
    Random sites: bins of ``width`` (lattice constants), r = mean distance in the bin, empty bins left out, O(N^2).
    """
    values = checked_spin(spin, lattice)
    if not (np.isfinite(width) and width > 0):
        raise ValueError(f"width must be a positive length, got {width}")
    if lattice.is_regular:
        return _regular_correlation(values, lattice)
    return _binned_correlation(values, lattice, float(width))


def nearest_image(offsets: np.ndarray, lattice: Lattice) -> np.ndarray:
    """The shortest periodic image of every vector in ``offsets`` (..., d)."""
    reduced = offsets - np.round(offsets @ np.linalg.inv(lattice.periods)) @ lattice.periods
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * lattice.dimension, indexing="ij"), -1).reshape(-1, lattice.dimension)
    best, shortest = reduced, np.square(reduced).sum(-1)
    for shift in steps @ lattice.periods:
        image = reduced + shift
        length = np.square(image).sum(-1)
        closer = length < shortest - DISTANCE_TOLERANCE
        best, shortest = np.where(closer[..., None], image, best), np.where(closer, length, shortest)
    return best


def _regular_correlation(spin: torch.Tensor, lattice: Lattice) -> tuple[torch.Tensor, torch.Tensor]:
    distances, shell_of_site, counts = _distance_shells(lattice)
    amplitude = torch.fft.fft2(spin.double().unflatten(1, lattice.shape), dim=(1, 2))
    correlation = torch.fft.ifft2(amplitude.abs().square().sum(-1)).real.flatten(1) / lattice.sites
    sums = correlation.new_zeros((len(spin), len(distances)))
    sums.index_add_(1, torch.as_tensor(shell_of_site, device=spin.device), correlation)
    mean = sums / torch.as_tensor(counts, device=spin.device)
    return torch.as_tensor(distances, device=spin.device), mean.to(spin.dtype)


@lru_cache(maxsize=8)
def _distance_shells(lattice: Lattice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct nearest-image distances from site 0 (R,), the shell of every site (N,), sites per shell (R,)."""
    length = np.linalg.norm(nearest_image(lattice.positions, lattice), axis=1)
    key, shell, counts = np.unique(np.round(length**2, 6), return_inverse=True, return_counts=True)
    return np.sqrt(key), shell.reshape(-1), counts


def _binned_correlation(spin: torch.Tensor, lattice: Lattice, width: float) -> tuple[torch.Tensor, torch.Tensor]:
    first, second, bin_of_pair, centres, counts = _distance_bins(lattice, width)
    device = spin.device
    i, j = torch.as_tensor(first, device=device), torch.as_tensor(second, device=device)
    product = (spin[:, i] * spin[:, j]).sum(-1)
    sums = product.new_zeros((len(spin), len(centres)))
    sums.index_add_(1, torch.as_tensor(bin_of_pair, device=device), product)
    mean = sums / torch.as_tensor(counts, device=device, dtype=spin.dtype)
    itself = spin.square().sum(-1).mean(1, keepdim=True)
    distances = torch.as_tensor(np.concatenate([[0.0], centres]), device=device)
    return distances, torch.cat([itself, mean], 1)


@lru_cache(maxsize=8)
def _distance_bins(lattice: Lattice, width: float) -> tuple[np.ndarray, ...]:
    """All pairs (first, second), their bin, the mean distance of every filled bin, and pairs per bin."""
    first, second = np.triu_indices(lattice.sites, 1)
    offsets = nearest_image(lattice.positions[second] - lattice.positions[first], lattice)
    length = np.linalg.norm(offsets, axis=1)
    _, bins, counts = np.unique(np.floor(length / width).astype(np.int64), return_inverse=True, return_counts=True)
    bins = bins.reshape(-1)
    return first, second, bins, np.bincount(bins, weights=length) / counts, counts
