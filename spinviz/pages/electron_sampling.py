"""What the electrons do in a large texture, where nothing can be diagonalized: densities, currents and torques by pole
expansion (engine.electrons.poles), density of states and sigma_xy(mu) from Chebyshev moments with random vectors
(engine.observables.transport). One torus, no twists: a large sample averages over momenta by itself.

sigma_xy is that of carriers with relaxation rate eta at temperature T, both at least so large that the moments stay
affordable; its standard error over the random vectors comes with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from engine import ElectronicForce, PoleExpansion
from engine.electrons.series import spectral_bounds
from engine.observables import Sampling, bond_current, conductivity, local_density, sampled_density_of_states
from engine.observables.transport import Conductivity

LEVELS, POTENTIALS = 400, 61
MARGIN = 0.3  # t1 beyond the band edges
LEAST_RELAXATION, LEAST_TEMPERATURE = 0.1, 0.03  # t1; half as much would take twice the moments, four times the work
SPECTRUM_VECTORS = 8
WEIGHT = 1e-3  # states per site and energy below which there is no band
VECTOR_SITES = 150_000  # random vectors times sites: the error falls like one over the root of this number
Progress = Callable[[float, str], None]


def sampled(simulation: Any, broadening: float, seed: int, progress: Progress) -> dict[str, Any]:
    """Fields of :class:`spinviz.pages.electron_study.ElectronStudy` for a simulation whose electrons' force is a pole
    expansion. ``progress(share, what)`` may raise to stop."""
    lattice, spin = simulation.lattice, simulation.state.spin
    force = simulation.force.terms["electrons"]
    progress(0.02, "Densities and torques by pole expansion …")
    response = simulation.response()
    electrons = response.electrons
    mu = float(electrons.chemical_potential[0])
    torque = np.linalg.norm(np.cross(spin[0].numpy(), response.force[0].numpy()), axis=1)
    progress(0.25, "Density of states …")
    energies, states = spectrum(force.model, spin, broadening, seed)
    progress(0.3, "Hall conductivity …")
    potentials = np.linspace(energies[0], energies[-1], POTENTIALS)
    hall = hall_curve(force, spin, np.append(potentials, mu), broadening, seed, progress)
    error = None if hall.hall_error is None else float(hall.hall_error[0, -1])
    return {
        "energies": energies, "states": states, "chemical_potential": mu,
        "filling": float(electrons.number[0]) / (2 * lattice.sites), "density": local_density(response)[0].numpy(),
        "current": bond_current(response)[0].numpy(), "torque": torque, "potentials": potentials,
        "hall": hall.hall[0, :-1].numpy(), "hall_at_mu": float(hall.hall[0, -1]), "hall_error": error,
    }  # fmt: skip


def with_poles(simulation: Any) -> Any:
    """The simulation with its electrons' force by pole expansion, on the bare torus."""
    term = simulation.force.terms["electrons"]
    force = ElectronicForce(term.model, PoleExpansion(), term.ensemble)
    return replace(simulation, force=simulation.force.with_term("electrons", force))


def spectrum(model: Any, spin: torch.Tensor, broadening: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Energies across the band, and states per site there; resolution ``broadening``, total 2."""
    low, high = spectral_bounds(model.matrix(spin))
    wide = np.linspace(low, high, 4 * LEVELS)
    moments = math.ceil(math.pi * (high - low) / 2 / broadening)
    density = sampled_density_of_states(
        model, spin, torch.from_numpy(wide), Sampling(SPECTRUM_VECTORS, seed=seed), moments
    ).density[0]
    filled = np.flatnonzero(density.numpy() > WEIGHT)
    energies = np.linspace(wide[filled[0]] - MARGIN, wide[filled[-1]] + MARGIN, LEVELS)
    return energies, np.interp(energies, wide, density.numpy())


def hall_curve(
    force: ElectronicForce, spin: torch.Tensor, wanted: np.ndarray, broadening: float, seed: int, progress: Progress
) -> Conductivity:
    """sigma_xy at the chemical potentials ``wanted``, with so many vectors that all sizes have about one error."""
    vectors = max(4, round(VECTOR_SITES / spin.shape[1]))
    sampling = Sampling(
        vectors, seed=seed, dtype=torch.complex64,
        progress=lambda done, total: progress(0.3 + 0.7 * done / total, f"Hall conductivity, {done} of {total} vectors"),
    )  # fmt: skip
    return conductivity(
        force.model, spin, torch.from_numpy(wanted), max(force.ensemble.temperature, LEAST_TEMPERATURE),
        max(broadening, LEAST_RELAXATION), sampling,
    )  # fmt: skip
