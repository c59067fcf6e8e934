"""Measurements of the electrons and of the networks that stand for them.

bare susceptibility:  chi0(q) = N^-1 sum_k [f(e_k) - f(e_(k+q))] / (e_(k+q) - e_k),  e_k of the hopping alone
Hall conductivity:    Kubo formula of the electrons in the present spins (engine.observables.electron)
error of a force:     epsilon = rms(h_perp - h_perp exact) / rms(h_perp exact), exact by diagonalization (running/audit.py)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine import ElectronicForce, Simulation, SpinState, triangular
from engine.dynamics import Relax
from engine.observables.electron import hall_conductivity
from engine.observables.structure_factor import fold_to_zone
from engine.observables.topology import topological_charge
from engine.textures import texture
from spinviz.lessons.record import Measurement, Outcome, Record
from spinviz.running.audit import audited

LEVELS_APART = 1e-6  # e_k and e_(k+q) closer than this count as equal: the quotient is then -df/de

CELL = 48  # sites of the magnetic cell of the skyrmion crystals, wave vectors of length pi / 3


def _electrons(simulation: Simulation) -> ElectronicForce:
    term = simulation.force.terms.get("electrons")  # type: ignore[attr-defined]
    if not isinstance(term, ElectronicForce):
        raise ValueError("this measurement needs electrons; use force = 'ed' or 'kpm' in the set-up")
    return term


def susceptibility(
    hopping: Mapping[int, float], mu: float, temperature: float, mesh: int, stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """Momenta (Q, 2) and chi0 (Q,) per spin of the triangular lattice with hopping {shell: t} (energies -t).

    The sum runs over mesh x mesh k, q over every ``stride``-th of them in the triangle Γ, M, K; the others are
    equivalent. At temperatures far below the band width over ``mesh`` the sum is noise.
    """
    lattice = triangular(6, 6, shells=max(hopping))
    fractions = np.arange(mesh) / mesh
    momenta = np.stack(np.meshgrid(fractions, fractions, indexing="ij"), -1) @ lattice.brillouin_zone().reciprocal
    energy = np.full((mesh, mesh), -mu)
    for shell, amplitude in hopping.items():
        steps = lattice.displacements[lattice.shells == shell][:: lattice.sites]
        energy -= 2 * amplitude * np.cos(momenta @ steps.T).sum(-1)
    filled = 0.5 * (1 - np.tanh(energy / (2 * temperature)))
    slope = filled * (1 - filled) / temperature
    points, values = [], []
    for m in range(0, 2 * mesh // 3 + 1, stride):
        for n in range(0, m // 2 + 1, stride):
            gap = np.roll(energy, (-m, -n), (0, 1)) - energy
            drop = filled - np.roll(filled, (-m, -n), (0, 1))
            apart = np.abs(gap) > LEVELS_APART
            points.append(momenta[m, n])
            values.append(np.where(apart, drop / np.where(apart, gap, 1.0), slope).mean())
    return fold_to_zone(np.array(points), lattice), np.array(values)


def susceptibility_peak(record: Record, mesh: int = 192, stride: int = 8, temperature: float = 0.02) -> Outcome:
    """|q| where the bare susceptibility of the running electrons is largest, at a temperature that the mesh resolves."""
    term = _electrons(record.last)
    mu = term.ensemble.chemical_potential
    if mu is None:
        raise ValueError("the susceptibility is computed at fixed chemical potential; give one in the set-up")
    momenta, values = susceptibility(dict(term.model.hopping), mu, temperature, mesh, stride)  # type: ignore[attr-defined]
    return Outcome(float(np.linalg.norm(momenta[values.argmax()])))


def hall(record: Record, twists: int, chemical_potential: float) -> Outcome:
    """sigma_xy in e^2/h of the electrons in the spins at the end."""
    model = _electrons(record.last).model
    spin = record.last.state.spin[:1]
    return Outcome(float(hall_conductivity(model, spin, [chemical_potential], (twists, twists))[0, 0]))


def force_error(record: Record) -> Outcome:
    """epsilon of the running force at the end."""
    return Outcome(audited(record.last).epsilon)


def lowest_crystal(record: Record, steps: int = 150) -> Outcome:
    """|Q| per magnetic cell of the state with the lowest energy, of several that are relaxed with the running force.

    They begin as shaken crystals of 2 and 1 and as shaken parallel spins, and may end as something else.
    """
    lattice, force = record.last.lattice, record.last.force
    starts = [texture("skyrmion_crystal", lattice, n_sk=n_sk, perturbation=0.1) for n_sk in (2, 1)]
    starts.append(texture("ferromagnet", lattice, perturbation=0.1))
    relax = Relax(time_step=50.0, torque_tolerance=2e-6, maximum_steps=steps)
    found = [relax.run(SpinState(start), force) for start in starts]
    lowest = min(found, key=lambda end: float(end.response.energy))  # type: ignore[arg-type]
    cells = lattice.sites / CELL
    return Outcome(abs(float(topological_charge(lowest.state.spin, lattice))) / cells)


ELECTRON_MEASUREMENTS: dict[str, Measurement] = {
    "susceptibility_peak": Measurement("|q| of the largest susceptibility", "1/a", susceptibility_peak),
    "hall": Measurement("Hall conductivity", "e²/h", hall),
    "force_error": Measurement("error ε of the force", "", force_error),
    "lowest_crystal": Measurement("|Q| per cell of the state of lowest energy", "", lowest_crystal),
}
