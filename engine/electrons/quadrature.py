"""Thermodynamics of electrons from Chebyshev moments: mu, Omega, number and density of states.

    Tr g(h) = sum_m g_m c_m mu_m = sum_k w_k g(e_k),     e_k = centre + half_width cos(pi (k + 1/2) / P),  P = 4 M

with c_m the coefficients of g on that grid, g_m the factors of a kernel, and w_k the weights of the same moments
(engine.electrons.series): both sums are equal to rounding, so that the mu found from the weights is the one at which the
energy of the series is stationary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.electrons import series
from engine.electrons.ensemble import grand_potential, occupation, solve_chemical_potential

GRID_FACTOR = 4  # points per moment


@dataclass(frozen=True, eq=False)
class Quadrature:
    """The window centre +- half_width and the factors g_m (M,) of its moments; those left out of a series are zero."""

    centre: float
    half_width: float
    factors: torch.Tensor

    @property
    def energies(self) -> torch.Tensor:
        """e_k (P,), float64."""
        return self.half_width * series.grid(GRID_FACTOR * len(self.factors), self.factors.device) + self.centre

    def weights(self, moments: torch.Tensor) -> torch.Tensor:
        """w_k (..., P) of moments (..., M)."""
        return series.weights(moments * self.factors, GRID_FACTOR * len(self.factors))

    def coefficients(self, mu: torch.Tensor, temperature: float) -> torch.Tensor:
        """g_m c_m (B, M) of the grand potential -T ln(1 + exp(-(e - mu)/T)) for mu (B,)."""
        values = grand_potential(self.energies - mu[:, None], temperature)
        return series.coefficients(values, len(self.factors)) * self.factors

    def chemical_potential(self, moments: torch.Tensor, number: float, temperature: float) -> torch.Tensor:
        """mu (B,) that gives ``number`` electrons, moments (B, M)."""
        replicas = len(moments)
        levels, target = self.energies.expand(replicas, -1), moments.new_full((replicas,), number)
        return solve_chemical_potential(levels, self.weights(moments), target, temperature)

    def grand_potential(
        self, moments: torch.Tensor, mu: torch.Tensor, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Omega of every draw (B, D) and the number of electrons of their mean (B,), moments (B, D, M)."""
        weights, shifted = self.weights(moments), self.energies - mu[:, None]
        energies = (weights * grand_potential(shifted, temperature)[:, None]).sum(2)
        return energies, (weights.mean(1) * occupation(shifted, temperature)).sum(1)

    def density_of_states(self, moments: torch.Tensor, energies: torch.Tensor) -> torch.Tensor:
        """D (B, K) of the whole sample at ``energies`` (K,), moments (B, M); zero outside the window."""
        return series.density_of_states(moments, energies, self.centre, self.half_width)
