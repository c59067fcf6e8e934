"""Thermodynamics of free electrons: grand potential at fixed mu, free energy at fixed filling.

    Omega = -T sum_n ln(1 + exp(-(e_n - mu)/T)),   N = sum_n f((e_n - mu)/T),   F = Omega + mu N.

At T = 0: Omega = sum_n min(e_n - mu, 0), f = 1, 1/2, 0 below, at, above mu. k_B = 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Ensemble:
    """Temperature and either ``chemical_potential`` or ``filling`` (electrons per spin-orbital, 0 < n < 1).

    Raises ValueError for a negative temperature, both or none of the two, a filling outside (0, 1), or NaN.
    """

    temperature: float
    chemical_potential: float | None = None
    filling: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"temperature must be a number >= 0, got {self.temperature}")
        if (self.chemical_potential is None) == (self.filling is None):
            raise ValueError(
                "give exactly one of chemical_potential and filling, got "
                f"chemical_potential={self.chemical_potential}, filling={self.filling}"
            )
        if self.chemical_potential is not None and not math.isfinite(self.chemical_potential):
            raise ValueError(f"chemical_potential must be finite, got {self.chemical_potential}")
        if self.filling is not None and not 0 < self.filling < 1:
            raise ValueError(f"filling must lie between 0 and 1 (per spin-orbital), got {self.filling}")


def occupation(energy: torch.Tensor, temperature: float) -> torch.Tensor:
    """Fermi function of energy measured from mu; at T = 0 the step with 1/2 at zero."""
    if temperature == 0:
        return torch.heaviside(-energy, energy.new_tensor(0.5))
    return torch.sigmoid(-energy / temperature)


def grand_potential(energy: torch.Tensor, temperature: float) -> torch.Tensor:
    """-T ln(1 + exp(-energy/T)) of energy measured from mu, safe against overflow."""
    if temperature == 0:
        return torch.clamp(energy, max=0.0)
    return -temperature * torch.logaddexp(-energy / temperature, energy.new_zeros(()))


def solve_chemical_potential(
    levels: torch.Tensor, weights: torch.Tensor, number: torch.Tensor, temperature: float, iterations: int = 120
) -> torch.Tensor:
    """mu (B,) such that sum_n w_n f(e_n - mu) = number, by bisection without waiting for the device.

    levels, weights: (B, n) float64 (weights may be slightly negative for a truncated expansion). The residual of the
    filling is below 1e-10 because the bracket is halved down to rounding. At T = 0 use levels sorted and unit weights.
    """
    span = 40 * temperature + 1e-9
    low = levels.amin(1) - span
    high = levels.amax(1) + span
    for _ in range(iterations):
        middle = (low + high) / 2
        below = (weights * occupation(levels - middle[:, None], temperature)).sum(1) < number
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def fill_levels(levels: torch.Tensor, number: float) -> tuple[torch.Tensor, torch.Tensor]:
    """T = 0 filling of (B, n) levels with ``number`` electrons: (occupations (B, n), mu (B,)).

    Levels degenerate at the Fermi energy (within 1e-9) share their electrons equally; mu lies in the middle of the gap.
    """
    ordered = levels.sort(1).values
    full = min(max(math.floor(number + 1e-9), 0), levels.shape[1])
    last = ordered[:, max(full - 1, 0)]
    following = ordered[:, min(full, levels.shape[1] - 1)]
    fermi = torch.where(torch.tensor(number - full > 1e-9, device=levels.device), following, (last + following) / 2)
    distance = levels - fermi[:, None]
    edge = distance.abs() <= 1e-9
    inside = (distance < -1e-9).to(levels.dtype)
    missing = number - inside.sum(1)
    share = missing / edge.sum(1).clamp(min=1)
    return inside + edge * share[:, None], fermi
