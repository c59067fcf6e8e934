"""Skyrmion crystals against the magnetic field (paper 000, fig. 4): exact energies, and learned dynamics.

Candidates at every field: crystals with n_sk = 2 and 1 per 48-site cell, and n_sk = 0. They are relaxed on 12 x 12 sites
(three cells) and their exact grand potential per site is computed on a mesh of boundary twists; an energy is stationary
there, so that what is left of the learned force's error enters squared. First-order transitions are where two energies
cross. Error of an energy difference: its change between two meshes.

Learned dynamics: shaken crystals of each kind on a large lattice move by the LLG equation at damping 1, then relax; at
every field the lowest energy of the three counts. At T = 0 a state that is only metastable stays: without comparing
energies the dynamics alone shows where a crystal becomes unstable, not where the phases cross. n_sk = |Q| 48 / N.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine.dynamics import Relax, SemiImplicitLLG
from engine.forces import ClassicalForce, ForceProvider, SumForce
from engine.lattice import Lattice, triangular
from engine.learning.force import load_force
from engine.models import Zeeman
from engine.noise import Noise
from engine.observables import magnetization, topological_charge
from engine.state import SpinState
from engine.statistics import Transition, crossing, mean_and_error, step_position
from engine.textures import perturbed, texture
from spinviz.reproduce.figure import COLOURS, Compared, Figure, Made, Say, panels
from spinviz.reproduce.networks import exact_force

CELL, LENGTH = 48, 12
PAPER = {(2, 1): 0.00325, (1, 0): 0.0065}
SMALL: dict[str, Any] = {
    "exact_fields": (0.001, 0.0025, 0.004, 0.0055, 0.007, 0.0085), "meshes": (6, 9), "size": 24, "replicas": 3,
    "fields": tuple(np.round(np.arange(0.002, 0.0081, 0.001), 6)), "steps": 30, "starts": 6,
    "relax": 60,
}  # fmt: skip
FULL: dict[str, Any] = {
    "exact_fields": tuple(np.round(np.arange(0, 0.0101, 0.001), 6)), "meshes": (12, 18), "size": 96, "replicas": 30,
    "fields": tuple(np.round(np.arange(0, 0.0101, 0.0005), 6)), "steps": 400, "starts": 48, "relax": 600,
}  # fmt: skip
SHAKEN, POLARIZED = 0.15, 1.0
TORQUE, FIRST_STEP = 2e-6, 30.0
TIME_STEP = 5.0
NETWORK = "skyrmion/best"


@dataclass(frozen=True)
class Relaxed:
    """Per kind n_sk and field: energies per site, spins' charge per cell and M_z. Arrays (fields, replicas)."""

    energy: np.ndarray
    charge: np.ndarray
    polarization: np.ndarray


def make(full: bool, say: Say) -> Made:
    settings = FULL if full else SMALL
    fields = np.array(settings["exact_fields"])
    exact, uncertain, kinds = _exact_energies(fields, settings, say)
    crossings = {pair: _crossing(fields, exact, uncertain, pair) for pair in PAPER}
    learned_fields = np.array(settings["fields"])
    lowest = _learned(learned_fields, settings, say)
    steps = {pair: _step(learned_fields, lowest.charge.T, pair) for pair in PAPER}
    sheet, axes = panels(1, 3)
    _draw_energies(axes[0, 0], fields, exact, uncertain)
    _draw_learned(axes[0, 1], axes[0, 2], learned_fields, lowest, crossings)
    numbers = {
        "exact": {"fields": fields, "energy": {str(n): exact[n] for n in exact}, "charge": kinds,
                  "error_of_differences": {f"{a}-{b}": uncertain[a, b] for a, b in uncertain}},
        "learned": {"fields": learned_fields, "energy": lowest.energy, "charge": lowest.charge,
                    "magnetization_z": lowest.polarization},
    }  # fmt: skip
    return Made(sheet, numbers, _compared(crossings, steps, exact, fields), {**settings, "network": NETWORK},
                _remarks(settings, uncertain))  # fmt: skip


def _exact_energies(fields: np.ndarray, settings: dict, say: Say) -> tuple[dict, dict, dict]:
    """Energies per site {n_sk: (fields,)} on the finer mesh, errors of their differences, and charges found."""
    lattice = triangular(LENGTH, LENGTH, shells=3)
    electrons = load_force(NETWORK, lattice)
    say("relaxing the crystals by the learned force")
    starts = {n: _start(n, lattice, 2 if n else settings["starts"], 5) for n in (2, 1, 0)}
    states = {
        n: [_relaxed(electrons, lattice, spin, h, 2 * settings["relax"]) for h in fields] for n, spin in starts.items()
    }
    best: dict[int, list] = {n: [] for n in states}
    charge = {}
    for n, found in states.items():
        for spin, energy in found:
            kind = _cell_charge(spin, lattice)
            right = np.abs(kind - n) < 0.5
            energy = np.where(right, energy, np.inf) if right.any() else energy
            best[n].append(spin[int(energy.argmin())])
        charge[str(n)] = [float(_cell_charge(spin[None], lattice)[0]) for spin in best[n]]
    meshes = []
    for twists in settings["meshes"]:
        force, _ = exact_force("skyrmion", LENGTH, twists)
        rows = {}
        for n, spins in best.items():
            say(f"exact energies, n_sk = {n}, {twists} x {twists} twists")
            energies = [force(SpinState(spin[None])).energy for spin in spins]
            rows[n] = np.array([float(e[0]) for e in energies if e is not None]) / lattice.sites
            rows[n] = rows[n] - fields * np.array([float(s[:, 2].double().mean()) for s in spins])
            rows[n][np.abs(np.array(charge[str(n)]) - n) > 0.5] = np.nan  # this state does not exist at this field
        meshes.append(rows)
    fine, coarse = meshes[1], meshes[0]
    uncertain = {(a, b): np.abs((fine[a] - fine[b]) - (coarse[a] - coarse[b])) for a, b in PAPER}
    return fine, uncertain, charge


def _start(n_sk: int, lattice: Lattice, count: int, seed: int) -> torch.Tensor:
    """Shaken crystals of one kind, or (n_sk = 0) half polarized random spins: (count, N, 3)."""
    if n_sk:
        return perturbed(texture("skyrmion_crystal", lattice, n_sk=n_sk, replicas=count), SHAKEN, seed)
    loose = texture("random", lattice, replicas=count, seed=seed) + torch.tensor([0.0, 0.0, POLARIZED])
    return torch.nn.functional.normalize(loose, dim=-1)


def _total(electrons: ForceProvider, field: float) -> SumForce:
    return SumForce(electrons=electrons, zeeman=ClassicalForce(Zeeman((0.0, 0.0, float(field)))))


def _relaxed(
    electrons: ForceProvider, lattice: Lattice, spin: torch.Tensor, field: float, most: int
) -> tuple[torch.Tensor, np.ndarray]:
    """Spins at rest and their learned energies per site."""
    minimizer = Relax(time_step=FIRST_STEP, torque_tolerance=TORQUE, maximum_steps=most)
    found = minimizer.run(SpinState(spin), _total(electrons, field))
    energy = found.response.energy
    assert energy is not None
    return found.state.spin, (energy / lattice.sites).numpy()


def _cell_charge(spin: torch.Tensor, lattice: Lattice) -> np.ndarray:
    """|Q| per 48-site cell, (B,)."""
    return (topological_charge(spin, lattice).abs() * CELL / lattice.sites).cpu().numpy()


def _learned(fields: np.ndarray, settings: dict, say: Say) -> Relaxed:
    """Lowest state of the three kinds of starts at every field, per replica."""
    length, replicas = settings["size"], settings["replicas"]
    lattice = triangular(length, length, shells=3)
    electrons = load_force(NETWORK, lattice)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dynamics = SemiImplicitLLG(damping=1.0, time_step=TIME_STEP)
    rows = []
    for number, field in enumerate(fields):
        say(f"learned dynamics, H = {field:g}")
        starts = [_start(n, lattice, replicas, 1000 * number + 100 * n) for n in (2, 1, 0)]
        state, noise = SpinState(torch.cat(starts).to(device)), Noise([0] * (3 * replicas))
        force = _total(electrons, field)
        for _ in range(settings["steps"]):
            state, _ = dynamics.step(state, force, noise)
        spin, energy = _relaxed(electrons, lattice, state.spin, field, settings["relax"])
        table = np.stack([energy, _cell_charge(spin, lattice), magnetization(spin, lattice)[:, 2].cpu().numpy()])
        table = table.reshape(3, 3, replicas)
        chosen = table[0].argmin(0)
        rows.append(table[:, chosen, np.arange(replicas)])
    stacked = np.stack(rows)
    return Relaxed(stacked[:, 0], stacked[:, 1], stacked[:, 2])


def _crossing(fields: np.ndarray, exact: dict, uncertain: dict, pair: tuple[int, int]) -> Transition | str:
    difference, error = exact[pair[0]] - exact[pair[1]], uncertain[pair]
    there = np.isfinite(difference)
    try:
        return crossing(fields[there], difference[there], np.maximum(error[there], 1e-7))
    except (ValueError, np.linalg.LinAlgError) as problem:
        return str(problem)


def _step(fields: np.ndarray, charge: np.ndarray, pair: tuple[int, int]) -> Transition | str:
    """Where the learned n_sk steps from one number to the next; fields beyond the next step are left out."""
    mean = charge.mean(0)
    kept = (mean > pair[1] - 0.5) if pair[1] else (mean < pair[0] + 0.5)
    try:
        return step_position(fields[kept], charge[:, kept])
    except ValueError as problem:
        return str(problem)


def _draw_energies(axes, fields: np.ndarray, exact: dict, uncertain: dict) -> None:
    for number, pair in enumerate(((2, 1), (0, 1))):
        known = uncertain[pair if pair in uncertain else pair[::-1]]
        difference = (exact[pair[0]] - exact[1]) * 1e4
        axes.errorbar(fields, difference, known * 1e4, color=COLOURS[number], marker="o", capsize=2,
                      label=f"n_sk = {pair[0]}")  # fmt: skip
    axes.axhline(0, color=COLOURS[2], label="n_sk = 1")
    for value in PAPER.values():
        axes.axvline(value, color="#9aa3b5", ls=":")
    axes.set(
        title="Exact energy per site over that of n_sk = 1", xlabel="H_z", ylabel="difference, 10⁻⁴ t₁", ylim=(-2.5, 5)
    )
    axes.legend()


def _draw_learned(left, right, fields: np.ndarray, lowest: Relaxed, crossings: dict) -> None:
    for axes, values, name in ((left, lowest.charge, "|n_sk|"), (right, lowest.polarization, "M_z")):
        mean, error = mean_and_error(values, 1)
        axes.errorbar(fields, mean, error, color=COLOURS[0], marker="o", capsize=2, label="learned, lowest state")
        for value in PAPER.values():
            axes.axvline(value, color="#9aa3b5", ls=":", label="paper" if value == 0.0065 else None)
        for found in crossings.values():
            if isinstance(found, Transition):
                axes.axvspan(found.at - found.error, found.at + found.error, color=COLOURS[1], alpha=0.25, lw=0)
        axes.set(title=f"{name}, learned (band: exact crossings)", xlabel="H_z", ylabel=name)
    left.legend()


def _compared(crossings: dict, steps: dict, exact: dict, fields: np.ndarray) -> list[Compared]:
    rows = []
    for pair, paper in PAPER.items():
        for name, found in (("exact energies", crossings[pair]), ("learned dynamics", steps[pair])):
            quantity = f"H_z of {pair[0]} → {pair[1]}, {name}"
            if isinstance(found, str):
                rows.append(Compared(quantity, f"{paper:g}", None, None, found))
            else:
                rows.append(Compared(quantity, f"{paper:g}", found.at, found.error))
    return rows


def _remarks(settings: dict, uncertain: dict) -> list[str]:
    worst = max(float(np.nanmax(error)) for error in uncertain.values() if np.isfinite(error).any())
    thin = "" if settings["replicas"] >= 10 else f"; only {settings['replicas']} replicas: errors are rough"
    return [
        f"{LENGTH} x {LENGTH}, T = 0.005: energy differences change by at most {worst:.0e} per site from "
        f"{settings['meshes'][0]}² to {settings['meshes'][1]}² twists; spins relaxed by the learned force",
        f"learned: {settings['size']} x {settings['size']} (paper: 96 x 96), damping 1, t = "
        f"{settings['steps'] * TIME_STEP:g}, then relaxed{thin}",
    ]  # fmt: skip


FIGURE = Figure(
    "skyrmion-phases", "Skyrmion crystals against the field", "000 fig. 4",
    "|n_sk| and M_z against H_z from learned dynamics with critical fields, beside exact energies of the relaxed 2, 1, 0 "
    "states", make, (NETWORK,), "96 x 96, 30 replicas, 21 fields; energies with 18 x 18 twists",
)  # fmt: skip
