"""Skyrmion crystals against the magnetic field (paper 000, fig. 4): exact energies, and learned dynamics.

Exact: states with n_sk = 2, 1, 0 are followed in the field, brought to rest by exact forces in their 48-site magnetic
cell, and their energies computed on two meshes of boundary twists (see skyrmion_energies). First-order transitions are
where two energies cross: zero of the cubic through differences and slopes dE/dH = -M_z of the two fields around it.
Error of a difference, for all fields of a pair: rms change from one mesh to the other, and rms failure of dE/dH = -M_z
from field to field (over sqrt 2, two energies), which is what rest on a mesh of its own leaves; in quadrature.

Learned dynamics: shaken crystals on a large lattice, at every field of the kinds that are followed there, move by the LLG
equation at damping 1, then relax; the lowest energy counts. At T = 0 a state that is only metastable stays: without
comparing energies the dynamics alone shows where a crystal becomes unstable, not where the phases cross. Critical fields
are again where energies cross, for every replica; their error joins its scatter and the failure of dE/dH = -M_z.
n_sk = |Q| 48 / N.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch

from engine.dynamics import Relax, SemiImplicitLLG
from engine.forces import ForceProvider
from engine.lattice import Lattice, triangular
from engine.learning.force import load_force
from engine.noise import Noise
from engine.observables import magnetization, topological_charge
from engine.presets import PRESETS
from engine.state import SpinState
from engine.statistics import mean_and_error
from engine.textures import perturbed, texture
from spinviz.reproduce.figure import COLOURS, Compared, Figure, Made, panels
from spinviz.reproduce.runs import in_field, visited
from spinviz.reproduce.settings import Settings
from spinviz.reproduce.skyrmion_energies import Branch, follow, magnetic_cell
from spinviz.reproduce.work import Work

CELL = 48
PAPER = {(2, 1): 0.00325, (1, 0): 0.0065}
SMALL: Settings = {
    "branches": {2: (0.003, 0.0035, 0.004), 1: (0.003, 0.0035, 0.004, 0.006, 0.007, 0.008), 0: (0.006, 0.007, 0.008)},
    "twists": (12, 24), "meshes": (36, 48), "evaluations": 20, "size": 24, "replicas": 3,
    "fields": (0.003, 0.0035, 0.004, 0.005, 0.006, 0.0065, 0.007), "steps": 30, "relax": 60,
}  # fmt: skip
FULL: Settings = {
    "branches": {n: tuple(np.round(np.arange(low, high + 1e-6, 0.0005), 6)) for n, low, high in
                 ((2, 0.0, 0.0045), (1, 0.002, 0.008), (0, 0.0055, 0.01))},
    "twists": (12, 24, 36), "meshes": (48, 72), "evaluations": 60, "size": 96, "replicas": 30,
    "fields": tuple(np.round(np.arange(0, 0.0101, 0.0005), 6)), "steps": 400, "relax": 600,
}  # fmt: skip
SHAKEN = 0.15
TORQUE, FIRST_STEP = 2e-6, 30.0
TIME_STEP = 5.0
NETWORK = "skyrmion/best"
KINDS = (2, 1, 0)
Points = list[tuple[int, int, float]]


@dataclass(frozen=True)
class Crossing:
    """A critical field and its standard error."""

    at: float
    error: float


@dataclass(frozen=True)
class Learned:
    """States that shaken crystals with n_sk = 2, 1, 0 become: energy per site, charge per cell, M_z. Arrays
    (fields, kinds, replicas), NaN for a kind that is not followed at a field."""

    fields: np.ndarray
    energy: np.ndarray
    charge: np.ndarray
    polarization: np.ndarray

    def lowest(self, values: np.ndarray) -> np.ndarray:
        """Of these values those of the kind with the lowest energy, (fields, replicas)."""
        return np.take_along_axis(values, np.nanargmin(self.energy, 1)[:, None], 1)[:, 0]

    def branch(self, n_sk: int, replica: int) -> Branch:
        """One crystal along the field, where it has kept its charge; its torque is not known."""
        kind = KINDS.index(n_sk)
        energy, charge, along = (v[:, kind, replica] for v in (self.energy, self.charge, self.polarization))
        kept = np.abs(charge - n_sk) < 0.5
        return Branch(
            self.fields[kept], energy[kept], energy[kept], charge[kept], along[kept], np.full(int(kept.sum()), np.nan)
        )


def make(settings: Settings, work: Work) -> Made:
    points = _points(settings)
    follows = {f"exact-{n}": partial(_followed, n, settings) for n in settings["branches"]}
    followed = work.all("exact states, kinds", follows)
    branches = {n: Branch(**followed[f"exact-{n}"]) for n in settings["branches"]}
    crossings = {pair: _crossing(branches[pair[0]], branches[pair[1]]) for pair in PAPER}
    learned = _learned(settings, points, work)
    steps = {pair: _learned_crossing(learned, pair, settings["replicas"]) for pair in PAPER}
    sheet, axes = panels(1, 3)
    _draw_energies(axes[0, 0], branches, crossings)
    _draw_learned(axes[0, 1], axes[0, 2], learned, crossings, branches)
    numbers = {
        "exact": {str(n): asdict(branch) for n, branch in branches.items()},
        "differences": {f"{a}-{b}": dict(zip(("fields", "energy", "slope", "error"),
                                             _difference(branches[a], branches[b]), strict=True)) for a, b in PAPER},
        "learned": {"kinds": KINDS, **asdict(learned)},
    }  # fmt: skip
    return Made(sheet, numbers, _compared(crossings, steps), {**settings, "network": NETWORK},
                _remarks(settings, branches))  # fmt: skip


def _points(settings: Settings) -> Points:
    """Number of the field, number of the kind and field, where exact states of that kind are followed. Raises ValueError
    for a field without any."""
    spans = [settings["branches"][n_sk] for n_sk in KINDS]
    lowest, highest = min(map(min, spans)), max(map(max, spans))
    for field in settings["fields"]:
        if not lowest <= field <= highest:
            raise ValueError(
                f"fields must lie between {lowest:g} and {highest:g}, where states are followed, got {field:g}"
            )
    return [
        (number, kind, field)
        for number, field in enumerate(settings["fields"])
        for kind, span in enumerate(spans)
        if min(span) <= field <= max(span)
    ]


def _followed(n_sk: int, settings: Settings) -> dict[str, np.ndarray]:
    """Exact states of one kind."""
    fields, most = settings["branches"][n_sk], settings["evaluations"]
    return asdict(follow(n_sk, fields, magnetic_cell(), settings["twists"], settings["meshes"], most))


def _start(n_sk: int, lattice: Lattice, count: int, seed: int) -> torch.Tensor:
    """Shaken crystals of one kind, (count, N, 3)."""
    return perturbed(texture("skyrmion_crystal", lattice, n_sk=n_sk, replicas=count), SHAKEN, seed)


def _relaxed(
    electrons: ForceProvider, lattice: Lattice, spin: torch.Tensor, field: float, most: int
) -> tuple[torch.Tensor, np.ndarray]:
    """Spins at rest and their learned energies per site."""
    minimizer = Relax(time_step=FIRST_STEP, torque_tolerance=TORQUE, maximum_steps=most)
    found = minimizer.run(SpinState(spin), in_field(electrons, field))
    energy = found.response.energy
    assert energy is not None
    return found.state.spin, (energy / lattice.sites).cpu().numpy()


def _cell_charge(spin: torch.Tensor, lattice: Lattice) -> np.ndarray:
    """|Q| per 48-site cell, (B,)."""
    return (topological_charge(spin, lattice).abs() * CELL / lattice.sites).cpu().numpy()


def _learned(settings: Settings, points: Points, work: Work) -> Learned:
    """What the three kinds of starts become at every field."""
    length, replicas = settings["size"], settings["replicas"]
    lattice = triangular(length, length, shells=3)
    electrons = load_force(NETWORK, lattice)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dynamics = SemiImplicitLLG(damping=1.0, time_step=TIME_STEP)

    def moved(number: int, n_sk: int, field: float) -> dict[str, np.ndarray]:
        state = SpinState(_start(n_sk, lattice, replicas, 1000 * number + 100 * n_sk).to(device))
        force, noise = in_field(electrons, field), Noise([0] * replicas)
        *_, state = visited(state, dynamics, force, noise, [settings["steps"]])
        spin, energy = _relaxed(electrons, lattice, state.spin, field, settings["relax"])
        along = magnetization(spin, lattice)[:, 2].cpu().numpy()
        return {"energy": energy, "charge": _cell_charge(spin, lattice), "polarization": along}

    table = np.full((3, len(settings["fields"]), len(KINDS), replicas), np.nan)
    names = {f"learned-{field:g}-{KINDS[kind]}": (number, kind, field) for number, kind, field in points}
    moves = {name: partial(moved, number, KINDS[kind], field) for name, (number, kind, field) in names.items()}
    for name, found in work.all(f"learned dynamics, {length} x {length}, points", moves).items():
        number, kind, _ = names[name]
        table[:, number, kind] = [found[quantity] for quantity in ("energy", "charge", "polarization")]
    return Learned(np.array(settings["fields"]), *table)


def _difference(high: Branch, low: Branch) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Fields where both branches exist, E_high - E_low and its slope -(M_high - M_low) there, and its error."""
    fields, here, there = np.intersect1d(high.fields, low.fields, return_indices=True)
    energy, coarse = high.energy[here] - low.energy[there], high.coarse[here] - low.coarse[there]
    slope = low.polarization[there] - high.polarization[here]
    if len(fields) < 2:
        return fields, energy, slope, math.nan
    mesh = np.mean((energy - coarse) ** 2)
    rest = np.mean((np.diff(energy) - np.diff(fields) * (slope[1:] + slope[:-1]) / 2) ** 2) / 2
    return fields, energy, slope, float(np.sqrt(mesh + rest))


def _crossing(high: Branch, low: Branch) -> Crossing | str:
    """Where the energies of two branches cross, or why they do not."""
    fields, energy, slope, error = _difference(high, low)
    change = np.nonzero(np.diff(np.sign(energy)))[0]
    if not len(change):
        where = f"between {fields[0]:g} and {fields[-1]:g}" if len(fields) else "anywhere: no field has both states"
        return f"the difference of the energies does not change its sign {where}"
    at, step = int(change[0]), float(fields[change[0] + 1] - fields[change[0]])
    (d, e), (p, q) = energy[at : at + 2], step * slope[at : at + 2]
    cubic = np.array([2 * d - 2 * e + p + q, 3 * e - 3 * d - 2 * p - q, p, d])  # Hermite's, on 0..1
    roots = np.roots(cubic)
    inside = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real >= 0) & (roots.real <= 1)]
    steepness = abs(np.polyval(np.polyder(cubic), inside[0])) / step
    return Crossing(float(fields[at] + step * inside[0]), float(error / steepness))


def _learned_crossing(learned: Learned, pair: tuple[int, int], replicas: int) -> Crossing | str:
    """Mean over replicas of where the energies of two kinds cross, or why they do not."""
    found = [_crossing(learned.branch(pair[0], k), learned.branch(pair[1], k)) for k in range(replicas)]
    none = [one for one in found if isinstance(one, str)]
    if none:
        return f"{len(none)} of {replicas} replicas: {none[0]}"
    crossings = [one for one in found if isinstance(one, Crossing)]
    at, scatter = mean_and_error(np.array([one.at for one in crossings]))
    rest = float(np.mean([one.error for one in crossings]))
    return Crossing(float(at), math.hypot(float(scatter), rest))


def _draw_energies(axes, branches: dict[int, Branch], crossings: dict) -> None:
    for number, pair in enumerate(((2, 1), (0, 1))):
        fields, energy, _, error = _difference(branches[pair[0]], branches[1])
        axes.errorbar(fields, energy * 1e4, error * 1e4, color=COLOURS[number], marker="o", capsize=2,
                      label=f"n_sk = {pair[0]}")  # fmt: skip
    axes.axhline(0, color=COLOURS[2], label="n_sk = 1")
    _mark(axes, crossings)
    axes.set(title="Exact energy per site over that of n_sk = 1", xlabel="H_z", ylabel="difference, 10⁻⁴ t₁")
    axes.legend()


def _mark(axes, crossings: dict) -> None:
    """Dotted: the paper's critical fields; bands: where the exact energies cross."""
    for value in PAPER.values():
        axes.axvline(value, color="#9aa3b5", ls=":", label="paper" if value == 0.0065 else None)
    for found in crossings.values():
        if isinstance(found, Crossing):
            axes.axvspan(found.at - found.error, found.at + found.error, color=COLOURS[1], alpha=0.25, lw=0)


def _draw_learned(left, right, learned: Learned, crossings: dict, branches: dict) -> None:
    for axes, values, name in ((left, learned.charge, "|n_sk|"), (right, learned.polarization, "M_z")):
        mean, error = mean_and_error(learned.lowest(values), 1)
        axes.errorbar(
            learned.fields, mean, error, color=COLOURS[0], marker="o", capsize=2, label="learned, lowest state"
        )
        _mark(axes, crossings)
        axes.set(title=f"{name} (band: exact energies cross)", xlabel="H_z", ylabel=name)
    for (n_sk, branch), colour in zip(branches.items(), (COLOURS[0], COLOURS[2], COLOURS[1]), strict=True):
        right.plot(branch.fields, branch.polarization, "x--", lw=0.7, color=colour, label=f"exact, n_sk = {n_sk}")
    left.legend()
    right.legend()


def _compared(crossings: dict, steps: dict) -> list[Compared]:
    rows = []
    for pair, paper in PAPER.items():
        for name, found in (("exact energies", crossings[pair]), ("learned dynamics", steps[pair])):
            quantity = f"H_z of {pair[0]} → {pair[1]}, {name}"
            if isinstance(found, str):
                rows.append(Compared(quantity, f"{paper:g}", None, None, found))
            else:
                rows.append(Compared(quantity, f"{paper:g}", found.at, found.error))
    return rows


def _remarks(settings: dict, branches: dict[int, Branch]) -> list[str]:
    errors = [_difference(branches[a], branches[b])[3] for a, b in PAPER]
    worst = max([error for error in errors if math.isfinite(error)], default=math.nan)
    coarse, fine = min(settings["meshes"]), max(settings["meshes"])
    thin = "" if settings["replicas"] >= 10 else f"; only {settings['replicas']} replicas: errors are rough"
    return [
        f"exact: 48-site cell, T = {PRESETS['skyrmion'].electron_temperature:g}, spins at rest on "
        f"{settings['twists'][-1]}² twists; errors of differences ({worst:.0e} per site): {coarse}² against {fine}² twists, "
        f"and dE/dH against -M_z",
        f"learned: {settings['size']} x {settings['size']} (paper: 96 x 96), damping 1, t = "
        f"{settings['steps'] * TIME_STEP:g}, then relaxed{thin}",
    ]  # fmt: skip


FIGURE = Figure(
    "skyrmion-phases", "Skyrmion crystals against the field", "000 fig. 4",
    "|n_sk| and M_z against H_z from learned dynamics with critical fields, beside exact energies of the 2, 1, 0 states "
    "followed in the field", make, SMALL, FULL, (NETWORK,), "96 x 96, 30 replicas, 21 fields; energies with 72 x 72 twists",
)  # fmt: skip
