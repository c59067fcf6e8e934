"""Cuts through the structure factor: along high-symmetry lines, averaged over rings of |q|, and the rings' history.

S(|q|) = mean of S(q') over the momenta q' of the finite lattice, folded into the first zone, in rings as wide as the
spacing of the momenta (2 pi over the longest period), Γ alone in the first: as engine.observables.ring_average.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import BasicTicker, ColorBar, ColumnDataSource, FixedTicker, LinearColorMapper

from engine.lattice import Lattice
from engine.observables import fold_to_zone, zone_path
from spinviz.theme import LINES
from spinviz.views.view import MUTED

FLOOR = 1e-6  # smallest S that a logarithm shows; the mean over N momenta is 1/N
PATHS = {"triangular": ("Γ", "K", "M", "Γ"), "square": ("Γ", "X", "M", "Γ")}
PATH_SAMPLES = 800
ROWS = 512
TIME_PIXELS = 256
LOG_LABEL = "log₁₀ S"


class Rings:
    """Mean of S over rings of |q| of one lattice: ``radius`` (R,) and ``average(S (N,))`` (R,)."""

    def __init__(self, lattice: Lattice) -> None:
        step = 2 * np.pi / np.linalg.norm(lattice.periods, axis=1).max()
        radius = np.linalg.norm(fold_to_zone(lattice.momenta(), lattice), axis=1)
        _, ring, counts = np.unique(np.ceil(radius / step - 0.5), return_inverse=True, return_counts=True)
        self._ring, self._counts = ring.reshape(-1), counts
        self.radius = np.bincount(self._ring, weights=radius) / counts

    def average(self, structure: np.ndarray) -> np.ndarray:
        return np.bincount(self._ring, weights=structure) / self._counts


class History:
    """Ring averages against time, at most ROWS of them: when full, every second one is dropped and the pace halved.

    ``times`` (T,) and ``rows`` (T, R) float32; starts anew when time runs back.
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self.rows: list[np.ndarray] = []
        self._every, self._seen = 1, 0

    def add(self, time: float, row: np.ndarray) -> None:
        if self.times and (time < self.times[-1] or len(row) != len(self.rows[-1])):
            self.times, self.rows, self._every, self._seen = [], [], 1, 0
        if self.times and time == self.times[-1]:
            return
        if self._seen % self._every == 0:
            self.times.append(time)
            self.rows.append(np.asarray(row, dtype=np.float32))
        self._seen += 1
        if len(self.times) > ROWS:
            self.times, self.rows, self._every = self.times[::2], self.rows[::2], 2 * self._every


class PathCurve:
    """S(q) at the allowed momenta nearest to the lines between the high-symmetry points, in a figure that others share."""

    def __init__(self, plot: Any) -> None:
        self.plot = plot
        self._lattice: Lattice | None = None
        self._source = ColumnDataSource({"length": np.empty(0), "value": np.empty(0)})
        self.renderers = _curve(plot, "length", self._source)
        self._table: dict[str, np.ndarray] = {}

    def arrange(self) -> None:
        """Axes of this picture."""
        self._lattice = None  # so that its ticks are set again

    def show(self, lattice: Lattice, structure: np.ndarray, logarithmic: bool) -> None:
        if self._lattice is None or self._lattice.description() != lattice.description():
            self._lay_out(lattice)
        values = structure[self._index]
        q = self._momenta
        self._table = {"path length (1/a)": self._length, "qx (1/a)": q[:, 0], "qy (1/a)": q[:, 1], "S(q)": values}
        self._source.data = {"length": self._length, "value": _scaled(values, logarithmic)}
        self.plot.yaxis.axis_label = LOG_LABEL if logarithmic else "S(q)"

    def table(self) -> dict[str, np.ndarray]:
        return self._table

    def _lay_out(self, lattice: Lattice) -> None:
        self._lattice = lattice
        path = zone_path(lattice, PATHS[lattice.kind], PATH_SAMPLES)
        nearest = nearest_momentum(path.q, lattice)
        begins = np.flatnonzero(np.diff(nearest, prepend=-1))  # one point where the path enters a momentum's cell
        ends = np.append(begins[1:], len(nearest)) - 1
        length = (path.length[begins] + path.length[ends]) / 2
        length[0], length[-1] = path.length[0], path.length[-1]  # Γ is met half a cell early and late
        self._length = length
        self._index = nearest[begins]
        self._momenta = fold_to_zone(lattice.momenta()[self._index], lattice)
        self.plot.xaxis.ticker = FixedTicker(ticks=path.corners.tolist())
        self.plot.xaxis.major_label_overrides = dict(zip(path.corners.tolist(), path.names, strict=True))
        self.plot.xaxis.axis_label = "–".join(path.names) + " (1/a)"


class RingCurve:
    """S(|q|) now, in a figure that others share."""

    def __init__(self, plot: Any) -> None:
        self.plot = plot
        self._source = ColumnDataSource({"radius": np.empty(0), "value": np.empty(0)})
        self.renderers = _curve(plot, "radius", self._source)
        self._table: dict[str, np.ndarray] = {}

    def arrange(self) -> None:
        """Axes of this picture."""
        self.plot.xaxis.axis_label, self.plot.xaxis.ticker = "|q| (1/a)", BasicTicker(desired_num_ticks=4)

    def show(self, radius: np.ndarray, values: np.ndarray, logarithmic: bool) -> None:
        self._table = {"|q| (1/a)": radius, "S(|q|)": values}
        self._source.data = {"radius": radius, "value": _scaled(values, logarithmic)}
        self.plot.yaxis.axis_label = LOG_LABEL if logarithmic else "S(|q|)"

    def table(self) -> dict[str, np.ndarray]:
        return self._table


class Kymograph:
    """S(|q|, t) as a picture: time to the right, |q| upwards, log10 S (or sqrt S) in colour; shares a figure and its
    colours."""

    def __init__(self, plot: Any, colours: LinearColorMapper) -> None:
        self.plot, self._colours = plot, colours
        self._source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self.renderers = [plot.image("image", "x", "y", "dw", "dh", source=self._source, color_mapper=colours)]
        self._table: dict[str, np.ndarray] = {}

    def arrange(self) -> None:
        """Axes of this picture."""
        self.plot.xaxis.axis_label, self.plot.yaxis.axis_label = "time (ħ/t₁)", "|q| (1/a)"
        self.plot.xaxis.ticker = BasicTicker(desired_num_ticks=4)

    def show(self, radius: np.ndarray, history: History, logarithmic: bool) -> None:
        times, rows = np.array(history.times), np.array(history.rows)
        if len(times) < 2 or times[-1] <= times[0]:
            return
        grid = np.linspace(times[0], times[-1], min(TIME_PIXELS, 4 * len(times)))
        at = np.clip(np.searchsorted(times, grid, side="right") - 1, 0, len(times) - 1)
        levels = np.linspace(0, radius[-1], len(radius))
        ring = np.abs(levels[:, None] - radius).argmin(axis=1)
        shown = _scaled(rows, True) if logarithmic else np.sqrt(rows)
        self._source.data = {
            "image": [np.ascontiguousarray(shown[at][:, ring].T, dtype=np.float32)], "x": [times[0]], "y": [0.0],
            "dw": [times[-1] - times[0]], "dh": [radius[-1]],
        }  # fmt: skip
        low = float(np.floor(shown.min())) if logarithmic else 0.0
        self._colours.update(low=low, high=max(float(shown.max()), low + 1e-3))
        self._table = {
            "time (hbar/t1)": np.repeat(times, len(radius)), "|q| (1/a)": np.tile(radius, len(times)),
            "S(|q|)": rows.ravel(),
        }  # fmt: skip

    def table(self) -> dict[str, np.ndarray]:
        return self._table


def nearest_momentum(momenta: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Index into ``lattice.momenta()`` of the nearest allowed momentum, for (..., 2), any reciprocal cell."""
    shape = np.array(lattice.shape)
    fractions = momenta @ lattice.primitive_vectors.T / (2 * np.pi) * shape
    reciprocal = lattice.brillouin_zone().reciprocal / shape[:, None]
    floor = np.floor(fractions)
    best = np.full(momenta.shape[:-1], np.inf)
    index = np.zeros(momenta.shape[:-1], dtype=np.int64)
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        cell = floor + corner
        distance = np.sum((cell @ reciprocal - momenta) ** 2, -1)
        wrapped = (cell % shape).astype(np.int64)
        index = np.where(distance < best, wrapped[..., 0] * shape[1] + wrapped[..., 1], index)
        best = np.minimum(best, distance)
    return index


def colour_bar(colours: Any) -> ColorBar:
    """The colour bar of a small picture."""
    return ColorBar(
        color_mapper=colours, width=8, padding=2, label_standoff=4, ticker=BasicTicker(desired_num_ticks=3),
        background_fill_color=None, major_label_text_font_size="10px", major_label_text_color=MUTED,
    )  # fmt: skip


def logarithm(structure: np.ndarray) -> np.ndarray:
    """log10 S, not below FLOOR."""
    return np.log10(np.maximum(structure, FLOOR))


def _scaled(values: np.ndarray, logarithmic: bool) -> np.ndarray:
    return logarithm(values) if logarithmic else values


def _curve(plot: Any, x: str, source: ColumnDataSource) -> list[Any]:
    """Points and the lines that guide the eye."""
    colour = LINES["light"][0]
    line = plot.line(x, "value", source=source, line_color=colour, line_width=1.5, line_alpha=0.6)
    return [line, plot.scatter(x, "value", source=source, size=4, fill_color=colour, line_color=None)]
