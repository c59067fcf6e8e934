"""What the electrons do in a frozen texture: exact diagonalization on a mesh of boundary twists, step by step. Regular
lattices too large for that are sampled (spinviz.pages.electron_sampling).

Density of states, local density, bond currents and torque come from one solution at the preset's chemical potential or
filling (engine.electrons); sigma_xy(mu) from the Kubo formula (engine.observables.hall_conductivity). Everything leaves as
NumPy arrays.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from engine import PRESETS, PoleExpansion, SpinState, hall_conductivity, preset, texture
from engine.forces import ElectronicForce
from engine.frame import Frame
from engine.lattice import Lattice
from engine.observables import bond_current, density_of_states, local_density
from spinviz.pages.electron_sampling import LEVELS, MARGIN, POTENTIALS, Progress, sampled, with_poles

LARGEST_COST = 5e10  # twists times the cube of the matrix size; about a minute on one core
LARGEST_SAMPLE = 96 * 96  # sites; about two minutes on one core


class StudyStopped(Exception):  # noqa: N818 - the name says what happened
    """The reader left, or asked for something else."""


@dataclass(frozen=True)
class Request:
    """What to compute: system, linear size, texture by name or ``frame`` of a recording, twists k x k, resolution."""

    preset: str
    size: int
    texture: str = "random"
    frame: Frame | None = None
    twists: int = 4
    broadening: float = 0.05
    seed: int = 0


@dataclass(frozen=True, eq=False)
class ElectronStudy:
    """Outcome. ``energies``, ``states`` (K,) per site; ``density`` (N,); ``current`` (E,) along ``lattice.bonds``;
    ``potentials``, ``hall`` (M,) in e^2/h, None on random sites; ``torque`` (N,) in t1; ``gap`` (low, high) around mu, or
    None where the mesh has levels within the resolution of mu. ``hall_error``: of ``hall_at_mu``, None for exact values."""

    frame: Frame
    energies: np.ndarray
    states: np.ndarray
    chemical_potential: float
    filling: float
    density: np.ndarray
    current: np.ndarray
    potentials: np.ndarray
    hall: np.ndarray | None
    hall_at_mu: float | None
    torque: np.ndarray
    title: str
    seconds: float
    hall_error: float | None = None

    @property
    def lattice(self) -> Lattice:
        return self.frame.lattice


def studied(request: Request, progress: Progress = lambda share, text: None) -> ElectronStudy:
    """Compute everything. Raises ValueError for what cannot be; ``progress(share, what)`` may raise to stop."""
    begin = time.perf_counter()
    simulation = prepared(request)
    lattice, spin = simulation.lattice, simulation.state.spin
    frame = Frame(0, np.zeros(1), spin.numpy().astype(np.float32), lattice)
    system = PRESETS[request.preset].title
    if isinstance(electronic(simulation).solver, PoleExpansion):
        found = sampled(simulation, request.broadening, request.seed, progress)
        progress(1.0, "Done")
        return ElectronStudy(frame, title=system, seconds=time.perf_counter() - begin, **found)
    progress(0.05, "Levels and densities …")
    response = simulation.response()
    assert response.electrons is not None
    electrons = response.electrons
    mu = float(electrons.chemical_potential[0])
    filling = float(electrons.number[0]) / (2 * lattice.sites)
    density = local_density(response)[0].numpy()
    progress(0.3, "Density of states …")
    low, high = band(electrons)
    energies = np.linspace(low - MARGIN, high + MARGIN, LEVELS)
    states = density_of_states(response, torch.from_numpy(energies), request.broadening)[0].numpy()
    progress(0.35, "Bond currents …")
    current = bond_current(response)[0].numpy()
    torque = np.linalg.norm(np.cross(spin[0].numpy(), response.force[0].numpy()), axis=1)
    hall = at_mu = None
    potentials = np.linspace(low - MARGIN, high + MARGIN, POTENTIALS)
    if lattice.is_regular:
        progress(0.5, "Hall conductivity …")
        model = electronic(simulation).model
        wanted = np.append(potentials, mu)
        mesh = (max(request.twists, 2),) * 2
        every = hall_conductivity(
            model, spin, torch.from_numpy(wanted), mesh, electronic(simulation).ensemble.temperature
        )
        hall, at_mu = every[0, :-1].numpy(), float(every[0, -1])
    progress(1.0, "Done")
    return ElectronStudy(
        frame, energies, states, mu, filling, density, current, potentials, hall, at_mu, torque, system,
        time.perf_counter() - begin,
    )  # fmt: skip


def prepared(request: Request) -> Any:
    """The simulation to solve, checked before anything long is begun. Raises ValueError."""
    if request.preset not in PRESETS or not PRESETS[request.preset].coupling:
        known = [name for name, system in PRESETS.items() if system.coupling]
        raise ValueError(f"{request.preset!r} has no electrons; choose one of {', '.join(known)}")
    system, frame = PRESETS[request.preset], request.frame
    regular = system.lattice != "random_sites"
    sites = (request.size**2 if regular else request.size) if frame is None else frame.lattice.sites
    twists = request.twists if regular else 1
    if not 1 <= twists <= 12:
        raise ValueError(f"the mesh of twists must be from 1 × 1 to 12 × 12, got {twists}")
    cost = twists**2 * (2.0 * sites) ** 3
    large = cost > LARGEST_COST
    if large and (not regular or sites > LARGEST_SAMPLE):
        raise ValueError(
            f"{sites} sites with {twists} × {twists} twists would take some {60 * cost / LARGEST_COST:.0f} s or more; "
            "choose a smaller size or fewer twists"
        )
    size = request.size
    if frame is not None:
        if frame.lattice.kind != system.lattice or (regular and len(set(frame.lattice.shape)) != 1):
            raise ValueError(
                f"this recording is on {'random sites' if not frame.lattice.is_regular else frame.lattice.kind} "
                f"{frame.lattice.shape}, {system.title!r} needs a {system.lattice.replace('_', ' ')} lattice with equal "
                "sides; choose another system"
            )
        size = frame.lattice.shape[0]
    made = preset(request.preset, size, force="ed", twists=(twists, twists) if regular else (1, 1), seed=request.seed)
    if frame is None:
        spin = texture(request.texture, made.lattice, seed=request.seed)
    else:
        spin = torch.from_numpy(np.array(frame.spin[:1]))
    placed = replace(made, state=SpinState(spin.to(made.state.spin)))
    return with_poles(placed) if large else placed


def electronic(simulation: Any) -> ElectronicForce:
    """The electrons' term of a preset's force."""
    term = simulation.force.terms["electrons"]
    assert isinstance(term, ElectronicForce)
    return term


def band(electrons: Any) -> tuple[float, float]:
    """Energies between which all states lie, from Gershgorin's circles, cut to where the density of states is not zero."""
    matrix = electrons.matrix
    onsite = matrix.onsite[0].abs().sum(-1).amax(-1)
    reach = onsite.clone()
    blocks = matrix.bond_blocks()[0].abs().sum(-1).amax(-1)
    for end in (0, 1):
        reach.index_add_(0, torch.as_tensor(matrix.lattice.bonds[:, end]), blocks)
    bound = float(reach.max())
    wide = torch.linspace(-bound, bound, 1200, dtype=torch.float64)
    filled = torch.nonzero(electrons.density_of_states(wide, 0.02)[0] > 1e-6).flatten()
    return float(wide[filled[0]]), float(wide[filled[-1]])
