"""Panels that several figures share: spins as colours, maps of S(q) over the first Brillouin zone, growth curves."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.path
import numpy as np

from engine.lattice import Lattice
from engine.observables import fold_to_zone
from engine.statistics import Growth, mean_and_error
from spinviz.reproduce.figure import Compared, with_error
from spinviz.theme import spin_colours

DOTS = 3000  # more momenta than that are drawn as an image
PIXELS = 300


def draw_sites(axes: Any, lattice: Lattice, colours: np.ndarray, title: str, **options: Any) -> Any:
    """One marker per site, of colours (N, 3 or 4) or values (N,), in a panel without axes."""
    length = float(np.sqrt(abs(np.linalg.det(lattice.periods))))
    marker = "h" if lattice.kind == "triangular" else "s"
    size = (170 / length) ** 2 * 1.15
    shown = axes.scatter(*lattice.positions.T, c=colours, s=size, marker=marker, lw=0, rasterized=True, **options)
    axes.set(title=title, aspect="equal")
    axes.set_axis_off()
    return shown


def draw_spins(axes: Any, lattice: Lattice, spin: np.ndarray, title: str) -> None:
    """Spins (N, 3): hue = in-plane angle, white up, black down."""
    draw_sites(axes, lattice, spin_colours(spin) / 255.0, title)


def draw_structure(axes: Any, lattice: Lattice, structure: np.ndarray, title: str, largest: float) -> None:
    """S(q) (N,) on the grid momenta in the first zone, with the zone's edge; colours up to ``largest`` (square root)."""
    vertices = lattice.brillouin_zone().vertices
    around = np.argsort(np.arctan2(*vertices.T))
    edge = np.vstack([vertices[around], vertices[around[:1]]])
    options: dict[str, Any] = {"cmap": "magma", "vmin": 0, "vmax": 1, "rasterized": True}
    (outline,) = axes.plot(*edge.T, color="#b5367a", lw=0.8, ls="--")
    if lattice.sites > DOTS:
        low, high = vertices.min(0), vertices.max(0)
        pixels, extent = _pixels(lattice, structure, low, high), (low[0], high[0], low[1], high[1])
        shown = axes.imshow(
            np.sqrt(pixels / largest), extent=extent, origin="lower", interpolation="nearest", **options
        )
        shown.set_clip_path(matplotlib.path.Path(edge), axes.transData)
    else:
        momenta, order = fold_to_zone(lattice.momenta(), lattice), np.argsort(structure)
        size = min(320.0, 26_000 / lattice.sites)
        axes.scatter(*momenta[order].T, c=np.sqrt(structure[order] / largest), s=size, marker="h", lw=0, **options)
    outline.set_zorder(3)
    axes.set(title=title, aspect="equal")
    axes.set_axis_off()


def _pixels(lattice: Lattice, structure: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """S at the grid momentum that is nearest to each of PIXELS x PIXELS points between two corners."""
    x, y = (np.linspace(a, b, PIXELS) for a, b in zip(low, high, strict=True))
    points = np.stack(np.meshgrid(x, y), -1) @ (lattice.periods / (2 * np.pi)).T  # q . L_j / 2 pi
    first, second = (np.rint(points[..., axis]).astype(int) % lattice.shape[axis] for axis in (0, 1))
    return structure[first * lattice.shape[1] + second]


def draw_growth(axes: Any, time: np.ndarray, values: np.ndarray, colour: str, label: str) -> None:
    """Mean and standard error over replicas (R, T), on logarithmic axes; t = 0 is left out."""
    mean, error = mean_and_error(values)
    kept = (time > 0) & (mean > 0)
    axes.errorbar(time[kept], mean[kept], error[kept], color=colour, marker=".", capsize=1.5, label=label)
    axes.set(xscale="log", yscale="log", xlabel="time (ħ/t₁)")
    low, high = axes.get_ylim()
    if high < 10 * low:  # within a decade plain numbers are read more easily than powers of ten
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")


def draw_fit(axes: Any, growth: Growth, colour: str) -> None:
    """The fitted power law, or the sentence that says why there is none."""
    if growth.refused is not None:
        axes.text(
            0.03,
            0.8,
            "\n".join(["no exponent:", *textwrap.wrap(f"{growth.refused} (t from {t_range(growth)})", 42)]),
            transform=axes.transAxes,
            fontsize=7.5,
            va="top",
        )
        return
    t = np.array(growth.window)
    label = f"t^n, n = {with_error(growth.exponent, growth.error)}"
    axes.plot(t, 1.25 * growth.prefactor * t**growth.exponent, color=colour, ls="--", label=label)


def t_range(growth: Growth) -> str:
    """The window in words: "65 to 200"."""
    return f"{growth.window[0]:g} to {growth.window[1]:g}"


def compared_growth(quantity: str, paper: str, growth: Growth) -> list[Compared]:
    """The exponent beside the paper's, or why there is none; and the slopes of the window's halves."""
    when = f"t from {t_range(growth)}, {growth.replicas} runs"
    if growth.refused is not None:
        first = Compared(quantity, paper, None, None, f"{growth.refused} ({when})")
    else:
        bend = f"half of the bend: {growth.bend:.2f}" if growth.halves else "too few times to see a bend"
        first = Compared(quantity, paper, growth.exponent, growth.error, f"{when}; {bend}")
    names = ("early", "late")
    return [first, *(Compared(f"{quantity}: slope in the {name} half of that window", paper, half.value, half.error)
                     for name, half in zip(names, growth.halves, strict=False))]  # fmt: skip


def kept_steps(last: int, count: int) -> list[int]:
    """About ``count`` steps from 0 to ``last``, evenly spaced in ln t."""
    return sorted({0, *np.unique(np.geomspace(1, last, count).astype(int)).tolist()})


def thinned(values: Sequence[float], count: int) -> list[int]:
    """Indices of ``count`` of the values, first and last among them."""
    return sorted(set(np.linspace(0, len(values) - 1, count).astype(int).tolist()))
