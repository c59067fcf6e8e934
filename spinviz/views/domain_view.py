"""Domain size and correlation length against time on log-log axes: a power law L = a t^n is a straight line.

The exponent n is fitted over the last factor of ten in time (engine.observables.power_law_fit: unweighted least squares
of ln L, the error from the scatter about the line). Guide lines have the slopes of known growth laws: 1, 1/2, 1/3.
"""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource, LogTicker
from panel.pane import Bokeh
from panel_material_ui import Column

from engine.frame import Frame
from engine.observables import PowerLaw, power_law_fit
from spinviz.components.picture_tools import PictureTools
from spinviz.theme import LINES
from spinviz.views.download import csv_bytes
from spinviz.views.explanations import EXPLANATIONS
from spinviz.views.view import MUTED, View, plain_figure

SPACING = 1.03
POINTS = 1000
COLOURS = {"spin": LINES["light"][0], "chirality": LINES["light"][1]}
COLUMNS = ("time", *COLOURS)
SLOPES = {"1": 1.0, "½": 0.5, "⅓": 1 / 3}
WINDOW = 10.0
FEWEST = 12  # points of a fit; fewer say nothing about a slope


class DomainView(View):
    """Size of chiral domains and of domains of spin order; one sample per 3 % of time."""

    def __init__(self) -> None:
        self._source = ColumnDataSource({name: np.empty(0) for name in COLUMNS})
        self._guides = ColumnDataSource({"x": [], "y": []})
        self._names = ColumnDataSource({"x": [], "y": [], "name": []})
        self._last = 0.0
        self._next = 0.0
        self.fits: dict[str, PowerLaw] = {}
        plot = plain_figure("", x_axis_type="log", y_axis_type="log", x_axis_label="time (ħ/t₁)")
        plot.yaxis.axis_label = "L (a)"
        for axis in plot.axis:
            axis.ticker = LogTicker(desired_num_ticks=3, mantissas=[1, 2, 5])
        for name, colour in COLOURS.items():
            plot.line("time", name, source=self._source, line_color=colour, line_width=2)
        guide = {"line_color": MUTED, "line_dash": [4, 4], "line_width": 1}
        plot.multi_line("x", "y", source=self._guides, **guide)
        plot.text("x", "y", "name", source=self._names, x_offset=2, text_baseline="middle", text_font_size="11px",
                  text_color=MUTED)  # fmt: skip
        plot.title.text_font_size = "11px"
        plot.html_attributes = {"role": "img", "aria-label": "Domain size against time, logarithmic axes"}
        self._plot = plot
        self.tools = PictureTools(
            self.file, title="domain size", help=EXPLANATIONS["domains"].html, figures=[plot.id], switch="slopes",
            switched=True,
        )  # fmt: skip
        self.tools.follow("switched", self._draw_fits)
        figure = Bokeh(plot, sizing_mode="stretch_both")
        self.panel = Column(self.tools, figure, sizing_mode="stretch_both", margin=0)

    def show(self, frame: Frame) -> None:
        time = float(frame.time[0])
        if time < self._last:
            self._source.data = {name: np.empty(0) for name in COLUMNS}
            self._next = 0.0
        self._last = time
        if time <= 0 or time < self._next or "domain_length" not in frame.observables:
            return
        self._next = SPACING * time
        sample = {
            "time": time,
            "chirality": float(frame.observables["domain_length"][0]),
            "spin": float(frame.observables["domain_length_spin"][0]),
        }
        self._source.stream({name: np.array([value]) for name, value in sample.items()}, rollover=POINTS)
        self._fit()

    @staticmethod
    def legend(theme: str) -> str:
        """Names of the curves in their colours, as HTML."""
        return " ".join(f'<b style="color:{c}">{name}</b>' for name, c in zip(COLOURS, LINES[theme], strict=False))

    def show_all(self, columns: dict[str, np.ndarray]) -> None:
        """Show whole curves at once: a recording. Columns "time", "spin", "chirality"; times of 0 are left out."""
        keep = np.asarray(columns["time"]) > 0
        self._source.data = {name: np.asarray(columns[name], dtype=np.float64)[keep] for name in COLUMNS}
        self._fit()

    def file(self, kind: str) -> bytes:
        """Both curves as CSV."""
        data = self._source.data
        return csv_bytes({"time (hbar/t1)": data["time"], **{f"L {name} (a)": data[name] for name in COLOURS}})

    def _fit(self) -> None:
        """Exponents over the last factor of ten in time."""
        time = np.asarray(self._source.data["time"])
        self.fits = {}
        if len(time):
            inside = time >= time[-1] / WINDOW
            for name in COLOURS:
                values = np.asarray(self._source.data[name])[inside]
                if inside.sum() >= FEWEST and np.isfinite(values).all() and (values > 0).all():
                    self.fits[name] = power_law_fit(time[inside], values)
        self._draw_fits()

    def _draw_fits(self) -> None:
        """Exponents as the title, and guide lines through the middle of the fitted window."""
        said = [
            f"{name} {fit.exponent:.2f} ± {fit.uncertainty:.2f}".replace("-", "−") for name, fit in self.fits.items()
        ]
        self._plot.title.text = "L ∝ tⁿ, n = " + ", ".join(said) if said else ""
        x, y, ends = [], [], []
        if self.tools.switched and self.fits:
            last = float(self._source.data["time"][-1])
            span = np.array([last / WINDOW, last])
            fit = next(iter(self.fits.values()))
            start = 0.75 * fit.prefactor * span[0] ** fit.exponent
            for slope in SLOPES.values():
                line = start * (span / span[0]) ** slope
                x.append(span)
                y.append(line)
                ends.append(float(line[-1]))
        self._guides.data = {"x": x, "y": y}
        self._names.data = {"x": [last] * len(x) if x else [], "y": ends, "name": list(SLOPES) if x else []}
