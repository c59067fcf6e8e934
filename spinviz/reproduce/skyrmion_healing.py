"""A shaken skyrmion crystal heals (paper 001, figs. 7 and 8; paper 002, fig. 3.15).

The crystal's ansatz, each spin kicked by a Gaussian vector, moves at T = 0 by the learned force. Kept are the texture
before and after, S at the six peaks and the topological charge. On 12 x 12 the same is done with exact forces.
"""

from __future__ import annotations

import numpy as np
import torch

from engine.dynamics import SemiImplicitLLG
from engine.forces import ClassicalForce, ForceProvider, SumForce
from engine.lattice import Lattice, triangular
from engine.learning.force import load_force
from engine.models import Zeeman
from engine.noise import Noise
from engine.observables import peak_order, topological_charge
from engine.state import SpinState
from engine.statistics import mean_and_error
from engine.textures import perturbed, texture
from spinviz.reproduce.figure import COLOURS, Compared, Figure, Made, panels
from spinviz.reproduce.networks import exact_force
from spinviz.reproduce.pictures import draw_spins, kept_steps
from spinviz.reproduce.settings import Settings
from spinviz.reproduce.work import Work

SMALL: Settings = {
    "size": 48, "starts": 4, "steps": 100, "exact_steps": 20, "exact_starts": 3, "twists": 4, "network": "skyrmion/best",
}  # fmt: skip
FULL: Settings = {
    "size": 96, "starts": 30, "steps": 5000, "exact_steps": 100, "exact_starts": 10, "twists": 8, "network": "skyrmion/fast",
}  # fmt: skip
FIELD, TIME_STEP, DAMPING, KICK, CELL = 0.005, 5.0, 1.0, 0.5, 48
PEAK = (np.pi / 3, 0.0)


def make(settings: Settings, work: Work) -> Made:
    lattice = triangular(settings["size"], settings["size"], shells=3)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps = kept_steps(settings["steps"], 20)
    work.say(f"learned, {settings['size']} x {settings['size']}")
    network = settings["network"]
    before, after, order, charge = _healed(load_force(network, lattice), lattice, settings["starts"], steps, device)
    exact, small = exact_force("skyrmion", 12, settings["twists"])
    short = kept_steps(settings["exact_steps"], 8)
    pairs = {}
    for name, force in (("exact", exact), ("learned", load_force(network, small))):
        work.say(f"{name}, 12 x 12")
        pairs[name] = _healed(force, small, settings["exact_starts"], short, torch.device("cpu"))
    sheet, axes = panels(1, 4)
    draw_spins(axes[0, 0], lattice, before[0], "before")
    draw_spins(axes[0, 1], lattice, after[0], f"after, t = {TIME_STEP * steps[-1]:g}")
    _curve(axes[0, 2], steps, order, COLOURS[0], f"learned, {settings['size']}²")
    _curve(axes[0, 2], short, pairs["exact"][2], COLOURS[1], "exact, 12²")
    axes[0, 2].set(title="M: S at the six peaks", xlabel="time (ħ/t₁)", xscale="symlog")
    cells = lattice.sites / CELL
    _curve(axes[0, 3], steps, np.abs(charge) / cells, COLOURS[0], f"learned, {settings['size']}²")
    _curve(axes[0, 3], short, np.abs(pairs["exact"][3]) / 3, COLOURS[1], "exact, 12²")
    axes[0, 3].set(title="|Q| per magnetic cell", xlabel="time (ħ/t₁)", xscale="symlog")
    axes[0, 2].legend()
    numbers = {"time": TIME_STEP * np.array(steps), "M": mean_and_error(order), "charge": charge,
               "small": {name: {"M": found[2], "charge": found[3]} for name, found in pairs.items()}}  # fmt: skip
    return Made(sheet, numbers, _compared(order, charge, cells, pairs),
                {**settings, "field": FIELD, "damping": DAMPING, "time_step": TIME_STEP, "kick": KICK},
                [f"n_sk = 1 crystal, every spin kicked by a Gaussian vector of {KICK} per component; field {FIELD}, T = 0; "
                 f"{settings['starts']} starts"])  # fmt: skip


def _healed(
    electrons: ForceProvider, lattice: Lattice, starts: int, steps: list[int], device: torch.device
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Spins before and after (R, N, 3), M (R, T) and charge (R, T)."""
    spin = perturbed(texture("skyrmion_crystal", lattice, n_sk=1, replicas=starts), KICK, seed=31).to(device)
    force = SumForce(electrons=electrons, zeeman=ClassicalForce(Zeeman((0.0, 0.0, FIELD))))
    dynamics, noise = SemiImplicitLLG(damping=DAMPING, time_step=TIME_STEP), Noise([0] * starts)
    state, order, charge = SpinState(spin), [], []
    for step in range(steps[-1] + 1):
        if step in steps:
            order.append(peak_order(state.spin, lattice, PEAK).cpu().numpy())
            charge.append(topological_charge(state.spin, lattice).cpu().numpy())
        if step < steps[-1]:
            state, _ = dynamics.step(state, force, noise)
    return spin.cpu().numpy(), state.spin.cpu().numpy(), np.stack(order, 1), np.stack(charge, 1)


def _curve(axes, steps: list[int], values: np.ndarray, colour: str, label: str) -> None:
    mean, error = mean_and_error(values)
    axes.errorbar(TIME_STEP * np.array(steps), mean, error, color=colour, marker=".", capsize=2, label=label)


def _compared(order: np.ndarray, charge: np.ndarray, cells: float, pairs: dict) -> list[Compared]:
    density, wrong = mean_and_error(np.abs(charge[:, -1]) / cells)
    late = order[:, -1] / order[:, order.shape[1] * 3 // 4]
    steady, spread = mean_and_error(late)
    difference = pairs["learned"][2][:, -1] / pairs["exact"][2][:, -1]
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
