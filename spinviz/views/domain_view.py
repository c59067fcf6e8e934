"""Domain size and correlation length against time on log-log axes: a power law L = a t^n is a straight line.

The exponent n is fitted over the last factor of ten in time (engine.observables.power_law_fit: unweighted least squares
of ln L, the error from the scatter about the line). Guide lines have the slopes of known growth laws: 1, 1/2, 1/3.
L of spin and chirality are inverse widths of peaks (engine.observables.domains), xi is where the spins' correlations
have fallen to 1/e (engine.observables.correlation).
"""

from __future__ import annotations

import math

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, Label, LogTicker, Node
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
COLOURS = {"spin": LINES["light"][0], "chirality": LINES["light"][1], "ξ": LINES["light"][2]}
OBSERVABLES = {"spin": "domain_length_spin", "chirality": "domain_length", "ξ": "correlation_length"}
WORDS = {"spin": ("L spin", 2), "chirality": ("L χ", 40), "ξ": ("ξ", 62)}  # in the picture; pixels from the start
TITLES = {"spin": "L spin (a)", "chirality": "L chirality (a)", "ξ": "correlation length xi (a)"}  # of CSV
COLUMNS = ("time", *COLOURS)
SLOPES = {"1": 1.0, "½": 0.5, "⅓": 1 / 3}
WINDOW = 10.0
LABEL = "Domain size and correlation length against time, logarithmic axes"
NOTHING = " "  # keeps the room of a line
FEWEST = 12  # points of a fit; fewer say nothing about a slope


class DomainView(View):
    """Size of chiral domains and of domains of spin order, and their correlation length; one sample per 3 % of time."""

    def __init__(self) -> None:
        self._source = ColumnDataSource({name: np.empty(0) for name in COLUMNS})
        self._starts = ColumnDataSource({name: np.empty(0) for name in COLUMNS})
        self._guides = ColumnDataSource({"x": [], "y": []})
        self._names = ColumnDataSource({"x": [], "y": [], "name": []})
        self._last = 0.0
        self._next = 0.0
        self.fits: dict[str, PowerLaw] = {}
        plot = plain_figure("", x_axis_type="log", y_axis_type="log", x_axis_label="time (ħ/t₁)")
        plot.yaxis.axis_label = "L, ξ (a)"
        for axis in plot.axis:
            axis.ticker = LogTicker(desired_num_ticks=3, mantissas=[1, 2, 5])
        for name, colour in COLOURS.items():
            words, offset = WORDS[name]
            plot.line("time", name, source=self._source, line_color=colour, line_width=2)
            plot.text("time", name, text=value(words), source=self._starts, x_offset=offset, y_offset=-1,
                      text_color=colour, text_font_size="11px", text_font_style="bold")  # fmt: skip
        # neither a title nor a legend: the page's theme would write them too large
        self._exponents = Label(
            x=Node(target="canvas", symbol="left", offset=4), y=1, y_units="screen", text=NOTHING, text_color=MUTED,
            text_font_size="11px",
        )  # fmt: skip
        plot.add_layout(self._exponents, "above")
        guide = {"line_color": MUTED, "line_dash": [4, 4], "line_width": 1}
        plot.multi_line("x", "y", source=self._guides, **guide)
        plot.text("x", "y", "name", source=self._names, x_offset=2, text_baseline="middle", text_font_size="11px",
                  text_color=MUTED)  # fmt: skip
        plot.html_attributes = {"role": "img", "aria-label": LABEL}
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
        seen = frame.observables
        sample = {name: float(seen[source][0]) if source in seen else math.nan for name, source in OBSERVABLES.items()}
        self._source.stream({name: np.array([number]) for name, number in {"time": time, **sample}.items()},
                            rollover=POINTS)  # fmt: skip
        self._fit()

    def show_all(self, columns: dict[str, np.ndarray]) -> None:
        """Show whole curves at once: a recording. Columns "time" and those of OBSERVABLES; times of 0 are left out."""
        keep = np.asarray(columns["time"]) > 0
        self._source.data = {name: np.asarray(columns[name], dtype=np.float64)[keep] for name in COLUMNS}
        self._fit()

    def file(self, kind: str) -> bytes:
        """All curves as CSV."""
        data = self._source.data
        return csv_bytes({"time (hbar/t1)": data["time"], **{title: data[name] for name, title in TITLES.items()}})

    def _fit(self) -> None:
        """Exponents over the last factor of ten in time."""
        time = np.asarray(self._source.data["time"])
        starts = {name: np.asarray(values)[:1] for name, values in self._source.data.items()}
        if starts["time"].tolist() != self._starts.data["time"].tolist():
            self._starts.data = starts
        self.fits = {}
        if len(time):
            inside = time >= time[-1] / WINDOW
            for name in COLOURS:
                values = np.asarray(self._source.data[name])[inside]
                if inside.sum() >= FEWEST and np.isfinite(values).all() and (values > 0).all():
                    self.fits[name] = power_law_fit(time[inside], values)
        self._draw_fits()

    def _draw_fits(self) -> None:
        """Exponents beside the names, and guide lines through the middle of the fitted window."""
        fitted = [f"{WORDS[name][0]} {with_error(fit.exponent, fit.uncertainty)}" for name, fit in self.fits.items()]
        self._exponents.text = f"n: {', '.join(fitted)}" if fitted else NOTHING
        x, y, ends = [], [], []
        if self.tools.switched and self.fits:
            last = float(self._source.data["time"][-1])
            span = np.array([last / WINDOW, last])
            first = next(iter(self.fits.values()))
            start = 0.75 * first.prefactor * span[0] ** first.exponent
            for slope in SLOPES.values():
                line = start * (span / span[0]) ** slope
                x.append(span)
                y.append(line)
                ends.append(float(line[-1]))
        self._guides.data = {"x": x, "y": y}
        self._names.data = {"x": [last] * len(x) if x else [], "y": ends, "name": list(SLOPES) if x else []}


def with_error(number: float, error: float) -> str:
    """0.34 ± 0.02 as "0.34(2)": the error in units of the last digit, of which there are 2 to 4 after the point."""
    digits = 2 if not error > 0 else min(4, max(2, math.ceil(-math.log10(error))))
    return f"{number:.{digits}f}({max(1, math.ceil(error * 10**digits - 0.5)):d})".replace("-", "−")
