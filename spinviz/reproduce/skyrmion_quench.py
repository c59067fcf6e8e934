"""Quench of random spins towards the skyrmion crystal (paper 001, figs. 5 and 6; paper 002, figs. 3.14 to 3.16).

Small lattice: S(q, t), averaged over starts, by the best network and by exact diagonalization from the same random spins.
Large lattice: the fast network alone; M(t) is the mean of S within 0.1 of a peak, L(t) = 2 pi / width of the peaks. Paper
002 sees three stages: slow, M and L proportional to t, arrested. Its times are in units of 1/(gamma J S), ours in hbar/t1;
exponents do not care. Each is fitted between the times at which ln M, or ln L, has made 20 % and 80 % of its way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from engine.dynamics import SemiImplicitLLG
from engine.forces import ClassicalForce, ForceProvider, SumForce
from engine.lattice import Lattice, triangular
from engine.learning.force import load_force
from engine.models import Zeeman
from engine.noise import Noise
from engine.observables import peak_length, peak_order, structure_factor
from engine.state import SpinState
from engine.statistics import Growth, growth_exponent
from engine.textures import texture
from spinviz.reproduce.figure import COLOURS, Compared, Figure, Made, Say, panels
from spinviz.reproduce.networks import exact_force
from spinviz.reproduce.pictures import (
    compared_growth,
    draw_fit,
    draw_growth,
    draw_spins,
    draw_structure,
    kept_steps,
)

SMALL: dict[str, Any] = {
    "size": 12, "starts": 6, "steps": 18, "twists": 4, "large": 96, "large_starts": 4, "large_steps": 200,
}  # fmt: skip
FULL: dict[str, Any] = {
    "size": 12, "starts": 30, "steps": 60, "twists": 8, "large": 150, "large_starts": 50, "large_steps": 4000,
}  # fmt: skip
NETWORK, LARGE_NETWORK, FIELD, TIME_STEP, DAMPING = "skyrmion/best", "skyrmion/fast", 0.005, 5.0, 1.0
PEAK = (np.pi / 3, 0.0)
SHOWN = 3


def make(full: bool, say: Say) -> Made:
    settings = FULL if full else SMALL
    length = settings["size"]
    exact, lattice = exact_force("skyrmion", length, settings["twists"])
    start = texture("random", lattice, replicas=settings["starts"], seed=21)
    steps = sorted({0, *np.linspace(settings["steps"] // 4, settings["steps"], SHOWN + 1).astype(int).tolist()})
    say("learned, small lattice")
    learned_maps, _ = _history(load_force(NETWORK, lattice), lattice, start, steps)
    say("exact, small lattice")
    exact_maps, _ = _history(exact, lattice, start, steps)
    large = triangular(settings["large"], settings["large"], shells=3)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    start = texture("random", large, replicas=settings["large_starts"], seed=22).to(device)
    large_steps = kept_steps(settings["large_steps"], 24)
    say(f"learned, {settings['large']} x {settings['large']}")
    order, spin = _history(load_force(LARGE_NETWORK, large), large, start, large_steps, say)
    time = TIME_STEP * np.array(large_steps)
    growths = {}
    for i, name in enumerate(("M", "L")):
        values = order[..., i]
        growths[name] = growth_exponent(time, values, _rise(time, values))
    score, agreement = _agreement(learned_maps[:, 1:], exact_maps[:, 1:])
    sheet, axes = panels(2, 4)
    _draw_maps(axes, lattice, learned_maps, exact_maps, steps)
    for i, (name, growth) in enumerate(growths.items()):
        draw_growth(axes[i, 3], time, order[..., i], COLOURS[i], "learned")
        draw_fit(axes[i, 3], growth, COLOURS[2])
        axes[i, 3].set(title=f"{name}(t), {settings['large']} x {settings['large']}")
        axes[i, 3].legend(loc="upper left")
    draw_spins(axes[1, 2], large, spin[0], f"one run at t = {time[-1]:g}")
    numbers = {
        "small": {"steps": steps, "learned": learned_maps.mean(0), "exact": exact_maps.mean(0),
                  "difference_over_error": score},
        "large": {"time": time, "M": order[..., 0], "L": order[..., 1]},
    }  # fmt: skip
    return Made(sheet, numbers, _compared(score, agreement, growths, order),
                {**settings, "network": NETWORK, "large_network": LARGE_NETWORK, "field": FIELD, "damping": DAMPING,
                 "time_step": TIME_STEP},
                [f"field {FIELD}, T = 0, damping {DAMPING:g}; small lattice {length} x {length} with {settings['twists']}² "
                 f"twists, {settings['starts']} common starts (paper: 48 x 48, KPM, 30 starts)"])  # fmt: skip


def _history(
    electrons: ForceProvider, lattice: Lattice, spin: torch.Tensor, steps: list[int], say: Say | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """S(q) (R, T, N) at these steps, or, with ``say``, M and L (R, T, 2); and the last spins (R, N, 3)."""
    force = SumForce(electrons=electrons, zeeman=ClassicalForce(Zeeman((0.0, 0.0, FIELD))))
    dynamics, noise = SemiImplicitLLG(damping=DAMPING, time_step=TIME_STEP), Noise([0] * len(spin))
    state, found = SpinState(spin), []
    for step in range(steps[-1] + 1):
        if step in steps:
            if say is None:
                found.append(structure_factor(state.spin, lattice)[1].cpu().numpy())
            else:
                say(f"step {step} of {steps[-1]}")
                pair = [f(state.spin, lattice, PEAK).cpu().numpy() for f in (peak_order, peak_length)]
                found.append(np.stack(pair, -1))
        if step < steps[-1]:
            state, _ = dynamics.step(state, force, noise)
    return np.stack(found, 1), state.spin.cpu().numpy()


def _rise(time: np.ndarray, order: np.ndarray) -> tuple[float, float]:
    """Times between which the logarithm of the mean makes 20 % to 80 % of its way; at least 4 points."""
    share = np.log(np.maximum.accumulate(order.mean(0)))
    share = (share - share[0]) / (share[-1] - share[0])
    low, high = (int(np.searchsorted(share, part)) for part in (0.2, 0.8))
    low = max(1, min(low, len(time) - 4))
    return float(time[low]), float(time[max(high, low + 3)])


def _agreement(learned: np.ndarray, exact: np.ndarray) -> tuple[float, tuple[float, float]]:
    """rms over times and symmetry-summed momenta of difference / error of independent means; and the relative difference
    of the averaged maps with its error by leaving out starts."""

    def rings(maps: np.ndarray) -> np.ndarray:
        return np.sort(maps, -1)[..., ::-1][..., :12].cumsum(-1)[..., [0, 5, 11]]

    a, b = rings(learned), rings(exact)
    error = np.sqrt((a.var(0, ddof=1) + b.var(0, ddof=1)) / len(a))
    score = float(np.sqrt((((a.mean(0) - b.mean(0)) / error) ** 2).mean()))

    def distance(chosen: np.ndarray) -> float:
        one, other = learned[chosen].mean(0), exact[chosen].mean(0)
        return float(np.linalg.norm(one - other) / np.linalg.norm(other))

    everyone = np.arange(len(learned))
    left_out = np.array([distance(np.delete(everyone, i)) for i in everyone])
    spread = float(np.sqrt((len(everyone) - 1) * left_out.var()))
    return score, (distance(everyone), spread)


def _draw_maps(axes, lattice: Lattice, learned: np.ndarray, exact: np.ndarray, steps: list[int]) -> None:
    for column, index in enumerate(_columns(len(steps))):
        largest = float(exact[:, index].mean(0).max())
        time = TIME_STEP * steps[index]
        draw_structure(axes[0, column], lattice, learned[:, index].mean(0), f"learned S(q), t = {time:g}", largest)
        if column < SHOWN - 1:
            draw_structure(axes[1, column], lattice, exact[:, index].mean(0), f"exact S(q), t = {time:g}", largest)


def _columns(count: int) -> list[int]:
    """``SHOWN`` of the kept times, the last among them."""
    return [1, count // 2, count - 1] if count > SHOWN else list(range(count))


def _compared(score: float, agreement: tuple, growths: dict[str, Growth], order: np.ndarray) -> list[Compared]:
    rows = [
        Compared("learned against exact S(q, t), difference over error", "agree very well (001 fig. 5)", score, None,
                 "rms over times of the peak, six peaks, twelve peaks"),
        Compared("the same, relative difference of the averaged maps", "–", *agreement),
    ]  # fmt: skip
    for name, growth in growths.items():
        rows.extend(compared_growth(f"{name}(t) ∝ t^n in the middle stage, n", "1 (002 fig. 3.16)", growth))
    late, early = order[:, -1, 1], order[:, -4, 1]
    ratio = late / early
    rows.append(Compared("L at the end over L three points earlier", "1: arrested (002)", float(ratio.mean()),
                         float(ratio.std(ddof=1) / np.sqrt(len(ratio)))))  # fmt: skip
    return rows


FIGURE = Figure(
    "skyrmion-quench", "Quench towards the skyrmion crystal", "001 figs. 5, 6; 002 figs. 3.14-3.16",
    "S(q, t) averaged over starts, learned against exact on a small lattice; M(t), L(t) and the texture on a large one",
    make,
    (NETWORK, LARGE_NETWORK), "12 x 12 with 30 starts; 150 x 150 with 50 starts to t = 20 000",
)  # fmt: skip
