"""A shaken skyrmion crystal heals (paper 001, figs. 7 and 8; paper 002, fig. 3.15).

The crystal's ansatz, each spin kicked by a Gaussian vector, moves at T = 0 by the learned force. Kept are the texture
before and after, S at the six peaks and the topological charge. On 12 x 12 the same is done with exact forces.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from engine.dynamics import SemiImplicitLLG
from engine.forces import ForceProvider
from engine.lattice import Lattice, triangular
from engine.observables import peak_order, topological_charge
from engine.statistics import mean_and_error
from engine.textures import perturbed, texture
from spinviz.reproduce.figure import COLOURS, Compared, Figure, Made, panels
from spinviz.reproduce.networks import exact_force, learned_force
from spinviz.reproduce.pictures import draw_spins, kept_steps
from spinviz.reproduce.runs import Runs, in_field
from spinviz.reproduce.settings import Settings
from spinviz.reproduce.work import Work

SMALL: Settings = {
    "size": 48, "starts": 4, "steps": 100, "exact_steps": 20, "exact_starts": 3, "twists": 4,
    "network": "skyrmion/best", "batch": 4,
}  # fmt: skip
FULL: Settings = {
    "size": 96, "starts": 30, "steps": 5000, "exact_steps": 100, "exact_starts": 10, "twists": 8,
    "network": "skyrmion/fast", "batch": 5,
}  # fmt: skip
FIELD, TIME_STEP, DAMPING, KICK, CELL = 0.005, 5.0, 1.0, 0.5, 48
SMALL_LENGTH = 12  # of the lattice with exact forces
PEAK = (np.pi / 3, 0.0)


def make(settings: Settings, work: Work) -> Made:
    lattice = triangular(settings["size"], settings["size"], shells=3)
    steps = kept_steps(settings["steps"], 20)
    force, learned = (
        learned_force("skyrmion", settings["network"], length) for length in (settings["size"], SMALL_LENGTH)
    )
    large = _healed("large", force, lattice, settings["starts"], steps, settings, work)
    order, charge = large["M"], large["charge"]
    exact, small = exact_force("skyrmion", SMALL_LENGTH, settings["twists"])
    short = kept_steps(settings["exact_steps"], 8)
    pairs = {
        name: _healed(name, force, small, settings["exact_starts"], short, settings, work)
        for name, force in (("exact", exact), ("learned", learned))
    }
    sheet, axes = panels(1, 4)
    draw_spins(axes[0, 0], lattice, large["first"], "before")
    draw_spins(axes[0, 1], lattice, large["last"], f"after, t = {TIME_STEP * steps[-1]:g}")
    _curve(axes[0, 2], steps, order, COLOURS[0], f"learned, {settings['size']}²")
    _curve(axes[0, 2], short, pairs["exact"]["M"], COLOURS[1], "exact, 12²")
    axes[0, 2].set(title="M: S at the six peaks", xlabel="time (ħ/t₁)", xscale="symlog")
    cells = lattice.sites / CELL
    _curve(axes[0, 3], steps, np.abs(charge) / cells, COLOURS[0], f"learned, {settings['size']}²")
    _curve(axes[0, 3], short, np.abs(pairs["exact"]["charge"]) * CELL / SMALL_LENGTH**2, COLOURS[1], "exact, 12²")
    axes[0, 3].set(title="|Q| per magnetic cell", xlabel="time (ħ/t₁)", xscale="symlog")
    axes[0, 2].legend()
    numbers = {"time": TIME_STEP * np.array(steps), "M": mean_and_error(order), "charge": charge,
               "small": {name: {"M": found["M"], "charge": found["charge"]} for name, found in pairs.items()}}  # fmt: skip
    return Made(sheet, numbers, _compared(order, charge, cells, pairs),
                {**settings, "field": FIELD, "damping": DAMPING, "time_step": TIME_STEP, "kick": KICK},
                [f"n_sk = 1 crystal, every spin kicked by a Gaussian vector of {KICK} per component; field {FIELD}, T = 0; "
                 f"{settings['starts']} starts"])  # fmt: skip


def _healed(
    name: str, electrons: ForceProvider, lattice: Lattice, starts: int, steps: list[int], settings: Settings, work: Work
) -> dict[str, np.ndarray]:
    """M and charge (R, T) of shaken crystals, and the first of them before and after, (N, 3)."""
    spin = perturbed(texture("skyrmion_crystal", lattice, n_sk=1, replicas=starts), KICK, seed=31)
    dynamics = SemiImplicitLLG(damping=DAMPING, time_step=TIME_STEP)
    runs = Runs(name, lattice, in_field(electrons, FIELD), dynamics, steps, partial(_measured, lattice))
    return runs.made(spin, settings["batch"], work)


def _measured(lattice: Lattice, spin: torch.Tensor) -> dict[str, np.ndarray]:
    return {"M": peak_order(spin, lattice, PEAK).numpy(), "charge": topological_charge(spin, lattice).numpy()}


def _curve(axes, steps: list[int], values: np.ndarray, colour: str, label: str) -> None:
    mean, error = mean_and_error(values)
    axes.errorbar(TIME_STEP * np.array(steps), mean, error, color=colour, marker=".", capsize=2, label=label)


def _compared(order: np.ndarray, charge: np.ndarray, cells: float, pairs: dict) -> list[Compared]:
    density, wrong = mean_and_error(np.abs(charge[:, -1]) / cells)
    late = order[:, -1] / order[:, order.shape[1] * 3 // 4]
    steady, spread = mean_and_error(late)
    difference = pairs["learned"]["M"][:, -1] / pairs["exact"]["M"][:, -1]
    same, apart = mean_and_error(difference)
    return [
        Compared("skyrmions per cell after healing", "1, restored (001 fig. 7)", float(density), float(wrong)),
        Compared("M at the end over M at three quarters of ln t", "1 (001 fig. 8)", float(steady), float(spread)),
        Compared("M learned over M exact on 12 x 12, same starts", "–", float(same), float(apart)),
    ]  # fmt: skip


FIGURE = Figure(
    "skyrmion-healing", "A shaken skyrmion crystal heals", "001 figs. 7, 8; 002 fig. 3.15",
    "texture before and after, strength of the peaks and topological charge in time, learned beside exact",
    make, SMALL, FULL,
    (SMALL["network"], FULL["network"]),
    "96 x 96, 30 starts, 5000 steps",
)  # fmt: skip
