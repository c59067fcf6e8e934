"""Quench of random spins towards the skyrmion crystal (paper 001, figs. 5 and 6; paper 002, figs. 3.14 to 3.16).

Small lattice: S(q, t), averaged over starts, by the best network and by exact diagonalization from the same random spins.
Large lattice: the fast network alone; M(t) is the mean of S within 0.1 of a peak, L(t) = 2 pi / width of the peaks. Paper
002 sees three stages: slow, M and L proportional to t, arrested. Its damping there is 0.2, which is ours; its unit of time
is 1/(gamma J S), which is hbar/t1 for its J = t1. Each is fitted between the times at which ln M, or ln L, has made 20 %
and 80 % of its way.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from engine.dynamics import SemiImplicitLLG
from engine.forces import ForceProvider
from engine.lattice import Lattice, triangular
from engine.learning.force import load_force
from engine.observables import peak_length, peak_order, structure_factor
from engine.statistics import Growth, growth_exponent
from engine.textures import texture
from spinviz.reproduce.figure import COLOURS, Compared, Figure, Made, panels
from spinviz.reproduce.networks import exact_force
from spinviz.reproduce.pictures import (
    compared_growth,
    draw_fit,
    draw_growth,
    draw_spins,
    draw_structure,
    kept_steps,
)
from spinviz.reproduce.runs import Runs, in_field
from spinviz.reproduce.settings import Settings
from spinviz.reproduce.work import Work

SMALL: Settings = {
    "size": 12, "starts": 6, "steps": 45, "twists": 4, "large": 96, "large_starts": 4, "large_steps": 1000, "batch": 4,
}  # fmt: skip
FULL: Settings = {
    "size": 12, "starts": 30, "steps": 45, "twists": 8, "large": 150, "large_starts": 50, "large_steps": 1000, "batch": 5,
}  # fmt: skip
NETWORK, LARGE_NETWORK, FIELD, DAMPING = "skyrmion/best", "skyrmion/fast", 0.005, 0.2
TIME_STEP = 10.0  # 2.5, 5 and 10 give M and L within 0.3 % of one another on 48 x 48 until t = 2000; 20 gives 1 %
PEAK = (np.pi / 3, 0.0)
SHOWN = 3  # times whose maps are drawn
KEPT = 32  # times of the large lattice


def make(settings: Settings, work: Work) -> Made:
    length = settings["size"]
    exact, lattice = exact_force("skyrmion", length, settings["twists"])
    start = texture("random", lattice, replicas=settings["starts"], seed=21)
    steps = sorted({0, *np.linspace(settings["steps"] // 4, settings["steps"], SHOWN + 1).astype(int).tolist()})
    learned_maps, exact_maps = (
        _runs(name, force, start, lattice, steps, settings["batch"], work)["structure"]
        for name, force in (("learned", load_force(NETWORK, lattice)), ("exact", exact))
    )
    large = triangular(settings["large"], settings["large"], shells=3)
    starts = torch.cat([texture("random", large, seed=22_000 + run) for run in range(settings["large_starts"])])
    large_steps = kept_steps(settings["large_steps"], KEPT)
    force = load_force(LARGE_NETWORK, large)
    found = _runs("large", force, starts, large, large_steps, settings["batch"], work)
    order = np.stack([found["M"], found["L"]], -1)
    time = TIME_STEP * np.array(large_steps)
    growths = {}
    for i, name in enumerate(("M", "L")):
        values = order[..., i]
        growths[name] = growth_exponent(time, values, _rise(time, values))
    score, agreement = _agreement(learned_maps[:, 1:], exact_maps[:, 1:])
    sheet, axes = panels(3, 4)
    _draw_maps(axes, lattice, learned_maps, exact_maps, steps)
    _draw_large(axes[2], large, found, time)
    for i, (name, growth) in enumerate(growths.items()):
        draw_growth(axes[i, 3], time, order[..., i], COLOURS[i], "learned")
        draw_fit(axes[i, 3], growth, COLOURS[2])
        axes[i, 3].set(title=f"{name}(t), {settings['large']} x {settings['large']}")
        axes[i, 3].legend(loc="upper left")
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


def _runs(
    name: str, electrons: ForceProvider, start: torch.Tensor, lattice: Lattice, steps: list[int], batch: int, work: Work
) -> dict[str, np.ndarray]:
    """S(q) (R, T, N), M and L (R, T) at these steps of quenches at T = 0, and the last spins (N, 3) of the first."""
    dynamics = SemiImplicitLLG(damping=DAMPING, time_step=TIME_STEP)
    runs = Runs(name, lattice, in_field(electrons, FIELD), dynamics, steps, partial(_measured, lattice))
    return runs.made(start, batch, work)


def _measured(lattice: Lattice, spin: torch.Tensor) -> dict[str, np.ndarray]:
    structure = structure_factor(spin, lattice)[1].float().numpy()
    order, length = (measure(spin, lattice, PEAK).numpy() for measure in (peak_order, peak_length))
    return {"structure": structure, "M": order, "L": length}


def _rise(time: np.ndarray, order: np.ndarray) -> tuple[float, float]:
    """Times between which the logarithm of the mean makes 20 % to 80 % of its way; at least 4 points."""
    share = np.log(np.maximum.accumulate(order.mean(0)))
    share = (share - share[0]) / max(share[-1] - share[0], 1e-9)  # a curve may not rise at all
    low, high = (int(np.searchsorted(share, part)) for part in (0.2, 0.8))
    low = max(1, min(low, len(time) - 4))
    return float(time[low]), float(time[min(max(high, low + 3), len(time) - 1)])


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
        draw_structure(axes[1, column], lattice, exact[:, index].mean(0), f"exact S(q), t = {time:g}", largest)


def _draw_large(axes, lattice: Lattice, found: dict[str, np.ndarray], time: np.ndarray) -> None:
    """Averaged S(q) of the large lattice at ``SHOWN`` times, colours up to its largest value beside q = 0; one texture."""
    for column, index in enumerate((len(time) // 2, 3 * len(time) // 4, len(time) - 1)):
        structure = found["structure"][:, index].mean(0)
        draw_structure(
            axes[column], lattice, structure, f"learned S(q), large, t = {time[index]:g}", float(structure[1:].max())
        )
    draw_spins(axes[SHOWN], lattice, found["last"], f"one run at t = {time[-1]:g}")


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
    make, SMALL, FULL,
    (NETWORK, LARGE_NETWORK), "12 x 12 with 30 starts; 150 x 150 with 50 starts to t = 10 000",
)  # fmt: skip
