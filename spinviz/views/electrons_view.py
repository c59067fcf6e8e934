"""Pictures of the electrons in a frozen texture: density of states, sigma_xy(mu), local density, bond currents, torques."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import BasicTicker, BasicTickFormatter, ColumnDataSource, Span
from panel.pane import Bokeh
from panel_material_ui import Column

from spinviz.components import LatticeMap
from spinviz.components.picture_tools import PictureTools
from spinviz.pages.electron_study import ElectronStudy
from spinviz.theme import LINES, colour_map
from spinviz.views.download import csv_bytes
from spinviz.views.explanations import EXPLANATIONS
from spinviz.views.lattice_picture import bar_key, cell_polygons, extent, lattice_picture
from spinviz.views.view import MUTED, map_message, plain_figure, size_text

DENSITY_MAP = colour_map(("#081d58", "#225ea8", "#41b6c4", "#c7e9b4", "#ffffd9"))
FLAT = 1e-4  # electrons per site: less variation than this is drawn as none
WEAKEST = 0.05  # of the largest current; weaker ones are left out
SMALLEST = 1e-5  # t1; currents and torques below are the rounding of single precision
MOST_ARROWS = 4000
BINS = 40


class ElectronsView:
    """Five pictures with one ``show(study)``; each has its own help and downloads. ``panels`` name -> what to place."""

    def __init__(self) -> None:
        self._study: ElectronStudy | None = None
        self._states, self._hall = _source("energy", "states"), _source("mu", "hall")
        self._bars = _source("left", "right", "count")
        self._arrows, self._heads = _source("x0", "y0", "x1", "y1", "width"), _source("x", "y", "angle", "size")
        self._mu = Span(
            dimension="height", location=None, line_color=LINES["light"][1], line_dash="dashed", line_width=2
        )
        self.density = LatticeMap(
            title="density", label="Local electron density", legend="max|min", palette=DENSITY_MAP.tobytes(),
            sizing_mode="stretch_both",
        )  # fmt: skip
        self.figures = {
            "density_of_states": self._states_figure(), "hall_conductivity": self._hall_figure(),
            "bond_current": self._current_figure(), "torque": self._torque_figure(),
        }  # fmt: skip
        self.panels = {name: self._panel(name, figure) for name, figure in self.figures.items()}
        self.panels["local_density"] = self._panel("local_density", None)

    def show(self, study: ElectronStudy) -> None:
        """Show this outcome in all pictures."""
        self._study = study
        self._states.data = {"energy": study.energies, "states": study.states}
        self._mu.location = study.chemical_potential
        empty = np.empty(0)
        known = study.hall is not None
        self._hall.data = {"mu": study.potentials if known else empty, "hall": study.hall if known else empty}
        self.figures["hall_conductivity"].title.text = hall_text(study) or "no σxy on random sites"
        self.figures[
            "density_of_states"
        ].title.text = f"μ = {study.chemical_potential:.3f} t₁, {2 * study.filling:.3f} electrons per site".replace(
            "-", "−"
        )
        counts, edges = np.histogram(study.torque, BINS, range=(0, max(float(study.torque.max()), SMALLEST)))
        self._bars.data = {"left": edges[:-1], "right": edges[1:], "count": counts.astype(np.float64)}
        rms = float(np.sqrt(np.mean(study.torque**2)))
        self.figures["torque"].title.text = f"rms {rms:.3g} t₁"
        self._show_density(study)
        self._show_currents(study)

    def file(self, name: str, kind: str) -> bytes:
        """One picture as "csv"; the density also as "png" and "svg"."""
        study = self._study
        if study is None:
            raise ValueError("there is nothing to download yet; press Compute")
        if name == "density_of_states":
            return csv_bytes({"E (t1)": study.energies, "states per site and t1": study.states})
        if name == "hall_conductivity":
            if study.hall is None:
                raise ValueError("there is no Hall conductivity on random sites")
            return csv_bytes({"mu (t1)": study.potentials, "sigma_xy (e^2/h)": study.hall})
        if name == "torque":
            return csv_bytes({"site": np.arange(len(study.torque)), "torque (t1)": study.torque})
        if name == "bond_current":
            bonds = study.lattice.bonds
            return csv_bytes({"from": bonds[:, 0], "to": bonds[:, 1], "current (t1/hbar)": study.current})
        if kind == "csv":
            return csv_bytes({"site": np.arange(len(study.density)), "electrons": study.density})
        values, low, high = _scaled(study.density)
        index = np.rint((values + 1) / 2 * (len(DENSITY_MAP) - 1)).astype(np.intp)
        key = bar_key(DENSITY_MAP, f"{low:.4f}", f"{high:.4f}", "electrons per site")
        return lattice_picture(kind, study.lattice, DENSITY_MAP[index], key)

    def _show_density(self, study: ElectronStudy) -> None:
        values, low, high = _scaled(study.density)
        message = map_message(study.lattice, "sites", values)
        self.density.push({**message, "high": f"{high:.4f}", "low": f"{low:.4f}"})
        self.density.label = f"Electrons per site on the {size_text(study.lattice)}: from {low:.4f} to {high:.4f}"

    def _show_currents(self, study: ElectronStudy) -> None:
        """Arrows along the bonds that carry more than WEAKEST of the largest current."""
        size = np.abs(study.current)
        largest = float(size.max(initial=0.0))
        strong = np.flatnonzero(size > max(WEAKEST * largest, SMALLEST))
        strong = strong[np.argsort(-size[strong])][:MOST_ARROWS]
        lattice, forward = study.lattice, np.sign(study.current[strong])
        start = (
            cell_polygons(lattice).mean(axis=1)[lattice.bonds[strong, 0]]
            if lattice.is_regular
            else lattice.positions[lattice.bonds[strong, 0], :2]
        )
        step = lattice.displacements[strong, :2]
        middle, half = start + step / 2, 0.4 * forward[:, None] * step
        tail, tip = middle - half, middle + half
        share = size[strong] / max(largest, 1e-30)
        self._arrows.data = {
            "x0": tail[:, 0], "y0": tail[:, 1], "x1": tip[:, 0], "y1": tip[:, 1], "width": 0.5 + 2 * share,
        }  # fmt: skip
        angle = np.arctan2(half[:, 1], half[:, 0]) - np.pi / 2
        self._heads.data = {"x": tip[:, 0], "y": tip[:, 1], "angle": angle, "size": 3 + 5 * share}
        figure = self.figures["bond_current"]
        figure.title.text = f"largest {largest:.2g} t₁/ħ" if len(strong) else "no currents"
        width, height = extent(lattice)
        figure.x_range.update(start=0, end=width)
        figure.y_range.update(start=0, end=height)

    def _panel(self, name: str, figure: Any) -> Any:
        explained = EXPLANATIONS[name]
        tools = PictureTools(
            lambda kind: self.file(name, kind), title=explained.title.lower(), help=explained.html,
            figures=[] if figure is None else [figure.id],
        )  # fmt: skip
        content = self.density if figure is None else Bokeh(figure, sizing_mode="stretch_both")
        return Column(tools, content, sizing_mode="stretch_both", margin=0)

    def _states_figure(self) -> Any:
        plot = plain_figure(" ", x_axis_label="E (t₁)", y_axis_label="states per site (1/t₁)")
        plot.varea("energy", 0, "states", source=self._states, fill_color=LINES["light"][0], fill_alpha=0.25)
        plot.line("energy", "states", source=self._states, line_color=LINES["light"][0], line_width=1.5)
        plot.add_layout(self._mu)
        return _named(plot, "Density of states against energy")

    def _hall_figure(self) -> Any:
        plot = plain_figure(" ", x_axis_label="μ (t₁)", y_axis_label="σxy (e²/h)")
        plot.line("mu", "hall", source=self._hall, line_color=LINES["light"][2], line_width=2)
        plot.add_layout(self._mu)
        plot.add_layout(Span(dimension="width", location=0, line_color=MUTED, line_width=1))
        plot.y_range.min_interval = 0.2
        return _named(plot, "Hall conductivity against chemical potential")

    def _current_figure(self) -> Any:
        colour = LINES["light"][1]
        plot = plain_figure(" ", match_aspect=True, x_axis_label="x (a)", y_axis_label="y (a)", x_range=(0, 1),
                            y_range=(0, 1))  # fmt: skip
        plot.grid.visible = False
        plot.segment("x0", "y0", "x1", "y1", source=self._arrows, line_color=colour, line_width="width")
        plot.scatter("x", "y", source=self._heads, marker="triangle", angle="angle", size="size", fill_color=colour,
                     line_color=None)  # fmt: skip
        return _named(plot, "Currents along the bonds")

    def _torque_figure(self) -> Any:
        plot = plain_figure(" ", x_axis_label="|S × h| (t₁)", y_axis_label="sites")
        plot.quad(left="left", right="right", top="count", bottom=0, source=self._bars, line_color=None,
                  fill_color=LINES["light"][3], fill_alpha=0.8)  # fmt: skip
        plot.y_range.start = 0
        plot.xaxis.ticker = BasicTicker(desired_num_ticks=4)
        plot.xaxis.formatter = BasicTickFormatter(precision=1, power_limit_low=-2)
        return _named(plot, "Histogram of the torque")


def _scaled(density: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Density in [-1, 1], and its range; a uniform density is drawn in the middle."""
    low, high = float(density.min()), float(density.max())
    middle, half = (low + high) / 2, max((high - low) / 2, FLAT)
    return np.clip((density - middle) / half, -1, 1), low, high


def _source(*names: str) -> ColumnDataSource:
    return ColumnDataSource({name: np.empty(0) for name in names})


def _named(plot: Any, label: str) -> Any:
    plot.html_attributes = {"role": "img", "aria-label": label}
    for axis in plot.axis:
        axis.ticker = BasicTicker(desired_num_ticks=5)
    return plot


def hall_text(study: ElectronStudy) -> str:
    """For example "σxy(μ) = +5.00 ± 0.12 e²/h"; "" where there is none."""
    if study.hall_at_mu is None:
        return ""
    value = (
        f"{study.hall_at_mu:+.3f}" if study.hall_error is None else f"{study.hall_at_mu:+.2f} ± {study.hall_error:.2f}"
    )
    return f"σxy(μ) = {value} e²/h".replace("-", "−")
