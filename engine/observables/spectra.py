"""Densities of states and of electrons of large samples from Chebyshev moments; nothing is diagonalized.

    D(e) = sum_m (2 - delta_m0) g_m mu_m T_m(x) / {pi half_width sqrt(1 - x^2)} per site,  x = (e - centre) / half_width
    n_i(mu, T) = sum_m c_m mu_m(i),      c_m = Chebyshev coefficients of the Fermi function

g_m = Jackson kernel: D >= 0, resolution pi half_width / moments, and its integral is 2 (both spins). n_i takes no kernel:
f is smooth at T > 0. Weisse, Wellein, Alvermann, Fehske, Rev. Mod. Phys. 78, 275 (2006).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from engine.block_matrix import BlockMatrix
from engine.electrons import series
from engine.electrons.ensemble import occupation
from engine.electrons.spectral_moments import Sampling, local_moments, trace_moments
from engine.models.model import Model
from engine.observables.spin import checked_spin

GRID_FACTOR = 4  # quadrature points per moment


class Spectrum(NamedTuple):
    """density (B, ..., energies) per site, per unit energy; error: standard error over random vectors, or None."""

    energies: torch.Tensor
    density: torch.Tensor
    error: torch.Tensor | None


def sampled_density_of_states(
    model: Model,
    spin: torch.Tensor | np.ndarray,
    energies: Sequence[float] | torch.Tensor,
    sampling: Sampling | None = None,
    moments: int = 512,
) -> Spectrum:
    """Density of states per site at ``energies`` (K,): (B, K), total 2, zero outside the window.

    Cost: moments / 2 products per vector and twist. Raises ValueError for a model without electrons or wrong numbers.
    """
    matrix, energies = _prepare(model, spin, energies, moments)
    sampling = sampling or Sampling()
    found, centre, half = trace_moments(matrix, moments, sampling)
    draws = series.density_of_states(found, energies, centre, half) / matrix.lattice.sites
    count = draws.shape[1]
    return Spectrum(energies, draws.mean(1), None if count < 2 else draws.std(1) / math.sqrt(count))


def local_density_of_states(
    model: Model,
    spin: torch.Tensor | np.ndarray,
    energies: Sequence[float] | torch.Tensor,
    sites: Sequence[int] | None = None,
    sampling: Sampling | None = None,
    moments: int = 512,
) -> Spectrum:
    """Density of states at ``sites``, exact, or at all sites (None) from the vectors of ``sampling``: (B, sites, K).

    Cost: moments products with 2 columns per site, or with every vector.
    """
    matrix, energies = _prepare(model, spin, energies, moments)
    chosen = None if sites is None else _checked_sites(sites, matrix.lattice.sites)
    found, centre, half = local_moments(matrix, moments, chosen, sampling or Sampling())
    return Spectrum(energies, series.density_of_states(found, energies, centre, half), None)


def electron_density(
    model: Model,
    spin: torch.Tensor | np.ndarray,
    chemical_potentials: Sequence[float] | torch.Tensor,
    temperature: float,
    sites: Sequence[int] | None = None,
    sampling: Sampling | None = None,
    moments: int = 512,
) -> torch.Tensor:
    """Electrons per site at many chemical potentials, (B, sites, M), float64; as ``local_density_of_states``."""
    matrix, mu = _prepare(model, spin, chemical_potentials, moments)
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be > 0, got {temperature}")
    chosen = None if sites is None else _checked_sites(sites, matrix.lattice.sites)
    found, centre, half = local_moments(matrix, moments, chosen, sampling or Sampling())
    grid = centre + half * series.grid(GRID_FACTOR * moments, mu.device)
    return found @ series.coefficients(occupation(grid - mu[:, None], temperature), moments).T


def _prepare(
    model: Model, spin: torch.Tensor | np.ndarray, values: Sequence[float] | torch.Tensor, moments: int
) -> tuple[BlockMatrix, torch.Tensor]:
    if model.lattice is None or (matrix := model.matrix(checked_spin(spin, model.lattice))) is None:
        raise ValueError(f"a spectrum needs electrons, but {type(model).__name__} has none; use an SDModel")
    points = torch.as_tensor(values, dtype=torch.float64, device=matrix.onsite.device)
    if points.ndim != 1 or not bool(torch.isfinite(points).all()):
        raise ValueError(f"energies must be finite numbers (K,), got shape {tuple(points.shape)}")
    if int(moments) != moments or moments < 4:
        raise ValueError(f"moments must be an integer >= 4, got {moments}")
    return matrix.detach(), points


def _checked_sites(sites: Sequence[int], count: int) -> np.ndarray:
    chosen = np.asarray(sites)
    if chosen.ndim != 1 or not np.issubdtype(chosen.dtype, np.integer) or (chosen < 0).any() or (chosen >= count).any():
        raise ValueError(f"sites must be whole numbers from 0 to {count - 1}, got {sites!r}")
    return chosen
