"""Time of a force against the number of sites (paper 000, fig. S1; paper 004, section II).

Exact diagonalization of one periodic lattice costs N^3, the kernel polynomial method and networks of finite range cost N.
Timed is one force on random spins, in processor seconds of one thread (wall seconds on a GPU); the exponent is that of a
power law through the larger half of the sizes, its error from repetitions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from engine.forces import ForceProvider
from engine.lattice import triangular
from engine.learning.force import LearnedForce
from engine.learning.network import Network
from engine.observables.domains import power_law_fit
from engine.presets import preset
from engine.state import SpinState
from engine.statistics import bootstrap
from engine.textures import texture
from engine.threads import one_thread
from spinviz.reproduce.figure import COLOURS, Compared, Figure, Made, panels
from spinviz.reproduce.networks import networks_of
from spinviz.reproduce.settings import Settings
from spinviz.reproduce.work import Work

PRESET = "skyrmion"
SMALL: Settings = {"exact": (8, 12, 16, 20, 24), "kpm": (12, 24, 36), "learned": (12, 24, 48, 96), "repeats": 4}
FULL: Settings = {
    "exact": (16, 24, 32, 48),
    "kpm": (24, 48, 96, 192),
    "learned": (24, 48, 96, 192, 384, 576),
    "repeats": 6,
}
MOMENTS, COLUMNS = 256, 72
LARGEST_OF_BEST = 192  # its time grows as L^3
PAPER = {"ED": 3.0, "KPM": 1.0}


def make(settings: Settings, work: Work) -> Made:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with one_thread():
        times = _all_times(settings, device, work)
    sheet, axes = panels(1, 2)
    compared, numbers = [], {}
    for number, (name, (sites, seconds)) in enumerate(times.items()):
        style = {"color": COLOURS[number % len(COLOURS)], "label": name, "marker": "os^vDPX*"[number % 8]}
        axes[0, 0].loglog(sites, np.median(seconds, 0), **style)
        exponent, error, _ = _exponent(sites, seconds)
        numbers[name] = {"sites": sites, "seconds": np.median(seconds, 0), "exponent": exponent, "error": error}
        axes[0, 1].errorbar([number], [exponent], [error], fmt=style["marker"], color=style["color"], capsize=3)
        if name in ("ED", "KPM", "best", "fast", "cnn"):
            paper = f"{PAPER.get(name, 1.0):g}"
            compared.append(Compared(f"{name}: exponent of time against N", paper, exponent, error,
                                     f"{sites[-1]} sites: {np.median(seconds[:, -1]):.3g} s"))  # fmt: skip
    axes[0, 0].set(title="One force", xlabel="sites N", ylabel="processor seconds")
    axes[0, 0].legend(ncols=2)
    axes[0, 1].set_xticks(range(len(times)), list(times), rotation=30)
    for exponent in (1, 3):
        axes[0, 1].axhline(exponent, color="#d9dde8", zorder=0)
    axes[0, 1].set(title="Exponent over the larger half of the sizes", ylabel="d ln t / d ln N", ylim=(0, 3.6))
    for name in ("best", "fast"):
        compared.append(Compared(f"ED over {name}, at 576 sites", "700 to 1000 (at 128 x 128)", *_ratio(times, name),
                                 "processor time; ED on one periodic lattice"))  # fmt: skip
    remark = f"ED: one periodic lattice, no twists; KPM: M = {MOMENTS}, {COLUMNS} columns; {device.type}, one thread"
    return Made(
        sheet, numbers, compared, {"preset": PRESET, "moments": MOMENTS, "columns": COLUMNS, **settings}, [remark]
    )


def _all_times(settings: dict, device: torch.device, work: Work) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    def measured(force_at: Callable[[int], ForceProvider], lengths: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        columns = [_seconds(force_at(length), length, settings["repeats"], device) for length in lengths]
        return np.array([length * length for length in lengths]), np.stack(columns, 1)

    def exact(length: int) -> ForceProvider:
        return preset(PRESET, length, force="ed").force

    def kpm(length: int) -> ForceProvider:
        return preset(PRESET, length, force="kpm", moments=MOMENTS, probes=COLUMNS).force

    work.say("exact diagonalization")
    times = {"ED": measured(exact, settings["exact"])}
    work.say("kernel polynomial method")
    times["KPM"] = measured(kpm, settings["kpm"])
    for name, network in networks_of(PRESET).items():
        work.say(f"network {name}")
        lengths = [n for n in settings["learned"] if name != "best" or n <= LARGEST_OF_BEST]
        times[name] = measured(partial(_learned, network), lengths)
    return times


def _learned(network: Network, length: int) -> ForceProvider:
    return LearnedForce(network, {}, (length, length))


def _seconds(force: ForceProvider, length: int, repeats: int, device: torch.device) -> np.ndarray:
    """Seconds of single forces (repeats,), after one that warms up."""
    spin = texture("random", triangular(length, length, shells=3), seed=length).to(device)
    found = []
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    for number in range(repeats + 1):
        began = clock()
        float(force(SpinState(spin)).force[0, 0, 0])  # waits for a GPU
        if number:
            found.append(clock() - began)
    return np.array(found)


def _exponent(sites: np.ndarray, seconds: np.ndarray) -> tuple[float, float, int]:
    """Slope over the larger half of the sizes (3 at least), from medians; its error by bootstrap over repetitions."""
    chosen = slice(min(len(sites) - 3, len(sites) // 2), None)

    def slope(some: np.ndarray) -> float:
        return power_law_fit(sites[chosen].astype(float), np.median(some[:, chosen], 0)).exponent

    found = bootstrap(seconds, slope)
    line = power_law_fit(sites[chosen].astype(float), np.median(seconds[:, chosen], 0))
    return found.value, float(np.hypot(found.error, line.uncertainty)), found.count


def _ratio(times: dict[str, tuple[np.ndarray, np.ndarray]], network: str) -> tuple[float, float]:
    """Time of ED over that of a network at 24 x 24."""
    pair = []
    for name in ("ED", network):
        sites, seconds = times[name]
        pair.append(seconds[:, list(sites).index(576)])
    ratio = float(np.median(pair[0]) / np.median(pair[1]))
    spread = np.hypot(*(one.std(ddof=1) / one.mean() / np.sqrt(len(one)) for one in pair))
    return ratio, float(ratio * spread)


FIGURE = Figure(
    "scaling", "Time of a force against size", "000 fig. S1; 004 section II",
    "time per force against N: exact diagonalization, kernel polynomial method, every network", make, SMALL, FULL,
    ("skyrmion/best", "skyrmion/fast"), "up to 576 x 576, on a GPU if there is one",
)  # fmt: skip
