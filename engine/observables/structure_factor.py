"""Structure factors, the folding of momenta, and paths through the Brillouin zone.

    S(q) = | N^-1 sum_i S_i exp(i q . r_i) |^2,      sum over the N momenta of the lattice = 1   (unit spins)

(Cheng et al., Phys. Rev. Research 5, 033188 (2023), eq. 12, before its average over runs.) On the FFT grid the order is
that of ``lattice.momenta()``: q = (m1 / L1) b1 + (m2 / L2) b2 at index m1 * L2 + m2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from engine.lattice import DISTANCE_TOLERANCE, Lattice
from engine.observables.spin import checked_spin

DIRECT_SUM_ELEMENTS = 1 << 22  # phase factors held at once by the direct sum


class ZonePath(NamedTuple):
    """Momenta q (Q, 2) along straight lines, arc length (Q,), and name and arc length of every corner."""

    q: np.ndarray
    length: np.ndarray
    names: tuple[str, ...]
    corners: np.ndarray


def structure_factor(
    spin: torch.Tensor | np.ndarray, lattice: Lattice, q: torch.Tensor | np.ndarray | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Momenta q (Q, d) and S(q) (B, Q), both float64 whatever the spins are (the sum rule holds to 1e-6).

    ``q=None``: the FFT grid of a regular lattice, unfolded, Q = N. Else a direct sum at any ``q`` (Q, d), which random
    sites need. Raises ValueError for a wrong shape.
    """
    values = checked_spin(spin, lattice)
    if q is None:
        momenta = torch.as_tensor(lattice.momenta(), device=values.device)
        return momenta, field_structure_factor(values, lattice)
    momenta = torch.as_tensor(q, dtype=torch.float64, device=values.device)
    if momenta.ndim != 2 or momenta.shape[1] != lattice.dimension:
        raise ValueError(
            f"q must have shape (Q, {lattice.dimension}), got {tuple(momenta.shape)}; one row per momentum"
        )
    return momenta, _direct_sum(values.double(), lattice, momenta)


def field_structure_factor(field: torch.Tensor, lattice: Lattice) -> torch.Tensor:
    """|N^-1 sum_i f_i exp(i q . r_i)|^2 on the FFT grid, (B, N) float64, of real f (B, N, C), summed over C."""
    rows, columns = lattice.shape
    grid = field.double().movedim(-1, 1).reshape(len(field), field.shape[-1], rows, columns)
    half = torch.fft.rfft2(grid).abs().square().sum(1) / lattice.sites**2
    # f is real: S(-q) = S(q) gives the other half of the columns
    mirror = half[:, :, 1 : columns - columns // 2].flip(1, 2).roll(1, 1)
    return torch.cat([half, mirror], 2).flatten(1)


def fold_to_zone(q: np.ndarray, lattice: Lattice) -> np.ndarray:
    """The shortest momentum equivalent to each q (..., 2): inside or on the edge of the first Brillouin zone."""
    reciprocal = lattice.brillouin_zone().reciprocal
    fractions = np.asarray(q, dtype=np.float64) @ np.linalg.inv(reciprocal)
    reduced = (fractions - np.floor(fractions + 0.5 + DISTANCE_TOLERANCE)) @ reciprocal
    best, shortest = reduced, np.square(reduced).sum(-1)
    for first in (-1, 0, 1):
        for second in (-1, 0, 1):
            image = reduced + np.array([first, second]) @ reciprocal
            length = np.square(image).sum(-1)
            closer = length < shortest - DISTANCE_TOLERANCE
            best, shortest = np.where(closer[..., None], image, best), np.where(closer, length, shortest)
    return best


def zone_path(lattice: Lattice, points: Sequence[str] = ("Γ", "K", "M", "Γ"), count: int = 100) -> ZonePath:
    """``count`` momenta along straight lines between high-symmetry points, evenly spaced in arc length, corners first.

    Raises ValueError for a point that the lattice's zone does not have (square: Γ, X, M; triangular: Γ, K, M).
    """
    known = lattice.brillouin_zone().points
    unknown = [name for name in points if name not in known]
    if unknown or len(points) < 2:
        raise ValueError(
            f"points must be two or more of {sorted(known)} for a {lattice.kind} lattice, got {tuple(points)}"
        )
    if count < len(points):
        raise ValueError(f"count must be at least the number of points ({len(points)}), got {count}")
    corners = np.stack([known[name] for name in points])
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    length = np.linspace(0.0, at[-1], count)
    q = np.stack([np.interp(length, at, corners[:, axis]) for axis in range(2)], 1)
    return ZonePath(q, length, tuple(points), at)


def ring_average(
    structure: torch.Tensor, lattice: Lattice, width: float | None = None
) -> tuple[np.ndarray, torch.Tensor]:
    """Mean of S(q) (B, N) on the FFT grid over rings of |q| (folded): |q| (R,) and values (B, R).

    Rings are ``width`` wide (default: 2 pi over the longest period) and centred at multiples of it, Γ alone in the
    first; |q| is the mean over the ring; empty rings are left out.
    """
    if structure.ndim != 2 or structure.shape[1] != lattice.sites:
        raise ValueError(f"structure must have shape (B, {lattice.sites}), got {tuple(structure.shape)}")
    step = 2 * np.pi / np.linalg.norm(lattice.periods, axis=1).max() if width is None else width
    if not step > 0:
        raise ValueError(f"width must be positive, got {width}")
    radius = np.linalg.norm(fold_to_zone(lattice.momenta(), lattice), axis=1)
    _, ring, counts = np.unique(np.ceil(radius / step - 0.5), return_inverse=True, return_counts=True)
    ring = ring.reshape(-1)
    sums = structure.new_zeros((len(structure), len(counts)))
    sums.index_add_(1, torch.as_tensor(ring, device=structure.device), structure)
    centres = np.bincount(ring, weights=radius) / counts
    return centres, sums / torch.as_tensor(counts, device=structure.device)


def _direct_sum(spin: torch.Tensor, lattice: Lattice, momenta: torch.Tensor) -> torch.Tensor:
    positions = lattice.tensor("positions", spin.device, torch.float64)
    batch = max(1, DIRECT_SUM_ELEMENTS // lattice.sites)
    pieces = []
    for part in momenta.split(batch):
        angle = part @ positions.T
        amplitude = torch.complex(angle.cos(), angle.sin()) @ spin.to(torch.complex128)
        pieces.append((amplitude / lattice.sites).abs().square().sum(-1))
    return torch.cat(pieces, 1) if pieces else spin.new_zeros((len(spin), 0))
