"""Phase separation of the double-exchange model after a quench (paper 004, figs. 4 and 5).

Small lattice: C(r) = <S_i . S_j> at several times, learned and exact from the same random spins and the same noise (paper:
30 x 30; the small version 12 x 12). Large lattice: local spin correlation b_i = mean over the four bonds of S_i . S_j, and
the mean size of ferromagnetic clusters (bonds with S_i . S_j > 0.5), l = <s>^(1/2). Paper: l ~ t^(1/3) early, as of
conserved holes (Lifshitz, Slyozov, Wagner), then arrested. At first the clusters of random spins dissolve; growth is
counted from the time of the smallest ones on. Temperature 0.022 is our choice (the text has lost it).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from engine.dynamics import SemiImplicitLLG
from engine.lattice import Lattice, square
from engine.learning.force import load_force
from engine.observables import ferromagnetic_clusters, mean_cluster_size, spin_correlation
from engine.presets import preset
from engine.statistics import growth_exponent, mean_and_error
from engine.textures import texture
from spinviz.reproduce.figure import COLOURS, Compared, Figure, Made, panels
from spinviz.reproduce.pictures import compared_growth, draw_fit, draw_growth, draw_sites, kept_steps
from spinviz.reproduce.runs import Runs
from spinviz.reproduce.settings import Settings
from spinviz.reproduce.work import Work

SMALL: Settings = {
    "size": 12,
    "starts": 6,
    "steps": 80,
    "large": 32,
    "large_starts": 4,
    "large_steps": 1500,
    "batch": 2,
}
FULL: Settings = {
    "size": 30,
    "starts": 20,
    "steps": 1000,
    "large": 100,
    "large_starts": 30,
    "large_steps": 5000,
    "batch": 5,
}
GROWTH, FEWEST = 10.0, 5  # length of the early window as a factor in time; times that a window needs
NETWORK, TEMPERATURE, DAMPING = "double_exchange/best", 0.022, 0.1
TIME_STEP = 0.5
LARGE_TIME_STEP = 2.0  # 0.5, 1 and 2 give the same energies and C(1) on 16 x 16 until t = 80; 4 does not


def make(settings: Settings, work: Work) -> Made:
    small = square(settings["size"], settings["size"], shells=3)
    exact = preset("double_exchange", settings["size"], force="ed", electron_temperature=TEMPERATURE).force
    steps = [0, settings["steps"] // 8, settings["steps"] // 2, settings["steps"]]
    curves = {}
    for name, force in (("exact", exact), ("learned", load_force(NETWORK, small))):
        runs = Runs(name, small, force, _dynamics(TIME_STEP), steps, partial(_correlations, small), seed=51)
        start = texture("random", small, replicas=settings["starts"], seed=51)
        curves[name] = runs.made(start, settings["batch"], work)["correlation"]
    radii = spin_correlation(start, small)[0].numpy()
    large = square(settings["large"], settings["large"], shells=3)
    large_steps = kept_steps(settings["large_steps"], 28)
    force, dynamics = load_force(NETWORK, large), _dynamics(LARGE_TIME_STEP)
    runs = Runs("large", large, force, dynamics, large_steps, partial(_cluster_length, large), seed=51)
    found = runs.made(texture("random", large, replicas=settings["large_starts"], seed=51), settings["batch"], work)
    size, time = found["length"], LARGE_TIME_STEP * np.array(large_steps)
    windows = growth_windows(time, size.mean(0))
    early = growth_exponent(time, size, windows["early"])
    sheet, axes = panels(1, 3)
    _draw_correlations(axes[0, 0], radii, curves, steps)
    last = torch.from_numpy(found["last"])[None]
    draw_sites(axes[0, 1], large, _local_correlation(last, large)[0], f"b_i, t = {time[-1]:g}", cmap="RdBu_r",
               vmin=-1, vmax=1)  # fmt: skip
    draw_growth(axes[0, 2], time, size, COLOURS[0], "learned")
    draw_fit(axes[0, 2], early, COLOURS[1])
    axes[0, 2].set(title="Size of ferromagnetic clusters ⟨s⟩^½")
    axes[0, 2].legend()
    numbers = {"distance": radii, "steps": steps, **{name: mean_and_error(c) for name, c in curves.items()}, "time": time,
               "cluster_length": mean_and_error(size), "cluster_length_of_runs": size}  # fmt: skip
    return Made(
        sheet,
        numbers,
        [
            *_compared(curves),
            *compared_growth("clusters, early growth: l ∝ t^n, n", "1/3", early),
            _arrested(time, size, windows.get("late")),
        ],
        {
            **settings,
            "network": NETWORK,
            "temperature": TEMPERATURE,
            "damping": DAMPING,
            "time_step": TIME_STEP,
            "large_time_step": LARGE_TIME_STEP,
        },
        [f"J = 6, filling 0.485, T = {TEMPERATURE}; {settings['starts']} and {settings['large_starts']} starts"],
    )


def _dynamics(time_step: float) -> SemiImplicitLLG:
    return SemiImplicitLLG(damping=DAMPING, temperature=TEMPERATURE, time_step=time_step)


def _correlations(lattice: Lattice, spin: torch.Tensor) -> dict[str, np.ndarray]:
    return {"correlation": spin_correlation(spin, lattice)[1].numpy()}


def _cluster_length(lattice: Lattice, spin: torch.Tensor) -> dict[str, np.ndarray]:
    return {"length": np.sqrt(mean_cluster_size(ferromagnetic_clusters(spin, lattice)))}


def _local_correlation(spin: torch.Tensor, lattice: Lattice) -> np.ndarray:
    """Mean of S_i . S_j over the nearest neighbours of every site, (B, N)."""
    bonds = torch.as_tensor(lattice.bonds[lattice.shells == 1])
    product = (spin[:, bonds[:, 0]] * spin[:, bonds[:, 1]]).sum(-1)
    total = torch.zeros(spin.shape[:2], dtype=spin.dtype)
    for end in (0, 1):
        total.index_add_(1, bonds[:, end], product)
    return (total / 4).numpy()


def _draw_correlations(axes, radii: np.ndarray, curves: dict[str, np.ndarray], steps: list[int]) -> None:
    for number, step in enumerate(steps[1:]):
        for name, style in (("exact", {"marker": "o", "ls": "", "mfc": "none"}), ("learned", {"ls": "-"})):
            mean, error = mean_and_error(curves[name][:, number + 1])
            axes.errorbar(radii[1:], mean[1:], error[1:], color=COLOURS[number], label=f"{name}, t = {TIME_STEP * step:g}",
                          **style)  # fmt: skip
    axes.set(title="Spin correlation C(r)", xlabel="distance r")
    axes.legend()


def growth_windows(time: np.ndarray, size: np.ndarray) -> dict[str, tuple[float, float]]:
    """ "early": from the time after the smallest size on, over a factor of GROWTH in time; "late": what follows, left out
    where it has fewer than FEWEST times, which are then early ones too."""
    first = min(int(size[1:].argmin()) + 2, len(time) - FEWEST)
    last = int(np.searchsorted(time, GROWTH * time[first], "right"))
    if len(time) - last < FEWEST:
        return {"early": (time[first], time[-1])}
    return {"early": (time[first], time[last - 1]), "late": (time[last], time[-1])}


def _compared(curves: dict[str, np.ndarray]) -> list[Compared]:
    learned, exact = (curves[name][:, 1:, 1:] for name in ("learned", "exact"))
    error = np.sqrt((learned.var(0, ddof=1) + exact.var(0, ddof=1)) / len(exact))
    score = float(np.sqrt((((learned.mean(0) - exact.mean(0)) / error) ** 2).mean()))
    near = learned[:, -1, 0] - exact[:, -1, 0]
    return [
        Compared(
            "C(r) learned - exact over error, rms", "agree closely (004 fig. 4c)", score, None, "all r, all times"
        ),
        Compared(
            "C(1) at the end, learned - exact", "0", float(near.mean()), float(near.std(ddof=1) / np.sqrt(len(near)))
        ),
    ]


def _arrested(time: np.ndarray, size: np.ndarray, window: tuple[float, float] | None) -> Compared:
    """Mean slope of ln l against ln t at late times, of every run; no power law is claimed."""
    quantity, paper = "clusters, late: mean slope d ln l / d ln t", "arrested"
    if window is None:
        return Compared(quantity, paper, None, None, f"not reached at t = {time[-1]:g}")
    inside = (time >= window[0]) & (time <= window[1])
    slopes = np.polyfit(np.log(time[inside]), np.log(size[:, inside]).T, 1)[0]
    mean, error = mean_and_error(slopes)
    remark = f"t from {window[0]:g} to {window[1]:g}, {len(size)} runs"
    return Compared(quantity, paper, float(mean), float(error), remark)


FIGURE = Figure(
    "phase-separation", "Phase separation of the double-exchange model", "004 figs. 4, 5",
    "spin correlations learned against exact; size of ferromagnetic clusters with its early exponent and late arrest",
    make, SMALL, FULL,
    (NETWORK,), "30 x 30 exact, 100 x 100 learned",
)  # fmt: skip
