"""Does a learned force move spins as the exact one does?

``energy_drift``: without damping and at T = 0 the energy of a conservative force is constant but for the integrator.
``same_starts``: quenches from the same spins under both forces. Single trajectories part (the motion is chaotic), so what
is compared is the ring-averaged structure factor S(|q|, t), mean over starts, in units of the scatter between starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.dynamics import SemiImplicitLLG
from engine.forces import ForceProvider
from engine.lattice import Lattice
from engine.learning.evaluate import random_spins
from engine.noise import Noise
from engine.observables.structure_factor import structure_factor
from engine.state import SpinState

RINGS = 12


def energy_drift(force: ForceProvider, sites: int, time_step: float, steps: int, seed: int = 0) -> dict[str, Any]:
    """Energy per site along an undamped run from random spins: its values, and the largest departure from the first.

    Raises ValueError for a force without an energy.
    """
    spin = random_spins(1, sites, seed).double()  # the drift is below what single precision resolves
    state, dynamics = SpinState(spin), SemiImplicitLLG(damping=0.0, time_step=time_step)
    noise = Noise([seed])
    energies = []
    for _ in range(steps + 1):
        response = force(state)
        if response.energy is None:
            raise ValueError("energy drift needs a force with an energy; a torque network has none")
        energies.append(float(response.energy[0]) / sites)
        state, _ = dynamics.step(state, force, noise, response)
    values = np.array(energies)
    return {"time_step": time_step, "energy_per_site": values.tolist(), "largest": float(abs(values - values[0]).max())}


def same_starts(
    learned: ForceProvider, exact: ForceProvider, lattice: Lattice, steps: Sequence[int], starts: int,
    dynamics: SemiImplicitLLG, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """S(|q|, t) at these steps from ``starts`` random states under both forces: means over starts, standard errors of
    their difference, and the rms of difference / error (1: they agree within the scatter of starts)."""
    rings = ring_of(lattice)
    maps = np.stack([_history(force, lattice, rings, steps, starts, dynamics, seed) for force in (learned, exact)])
    means, scatter = maps.mean(1), maps.var(1, ddof=1)
    error = np.sqrt(scatter.sum(0) / starts)
    score = (means[0] - means[1]) / np.maximum(error, 1e-12)
    paired = maps[0] - maps[1]
    return {
        "steps": list(map(int, steps)), "starts": starts, "wave_number": _wave_numbers(lattice, rings).tolist(),
        "learned": means[0].tolist(), "exact": means[1].tolist(), "standard_error": error.tolist(),
        "rms_of_difference_over_error": float(np.sqrt((score**2).mean())),
        "largest_difference_over_error": float(abs(score).max()),
        "relative_difference": float(np.linalg.norm(paired.mean(0)) / np.linalg.norm(means[1])),
    }  # fmt: skip


def ring_of(lattice: Lattice) -> np.ndarray:
    """Which of at most ``RINGS`` intervals of |q| (shortest equivalent) every momentum of the FFT grid is in."""
    length = np.linalg.norm(_folded(lattice), axis=1)
    interval = np.minimum((length / length.max() * RINGS * (1 - 1e-9)).astype(int), RINGS - 1)
    return np.unique(interval, return_inverse=True)[1]  # a small lattice leaves some intervals empty


def _wave_numbers(lattice: Lattice, rings: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(_folded(lattice), axis=1)
    return np.array([length[rings == ring].mean() for ring in range(rings.max() + 1)])


def _folded(lattice: Lattice) -> np.ndarray:
    """Momenta of the FFT grid, each as its shortest equivalent."""
    reciprocal = lattice.brillouin_zone().reciprocal
    shifts = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], indexing="ij"), -1).reshape(-1, 2) @ reciprocal
    images = lattice.momenta()[:, None] + shifts
    return images[np.arange(len(images)), np.linalg.norm(images, axis=2).argmin(1)]


def _history(
    force: ForceProvider, lattice: Lattice, rings: np.ndarray, steps: Sequence[int], starts: int,
    dynamics: SemiImplicitLLG, seed: int,
) -> np.ndarray:  # fmt: skip
    """Ring sums of S(q) of every start at every step, (starts, steps, rings)."""
    state = SpinState(random_spins(starts, lattice.sites, seed))
    noise = Noise([seed + start for start in range(starts)])
    found = []
    for step in range(max(steps) + 1):
        if step in steps:
            _, s = structure_factor(state.spin, lattice)
            sums = np.zeros((starts, rings.max() + 1))
            np.add.at(sums.T, rings, s.cpu().numpy().T)
            found.append(sums)
        if step < max(steps):
            state, _ = dynamics.step(state, force, noise)
    return np.stack(found, 1)
