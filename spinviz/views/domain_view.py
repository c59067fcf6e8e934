"""Domain size against time on log-log axes: a power law is a straight line."""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource
from panel.pane import Bokeh

from engine.frame import Frame
from spinviz.theme import LINES
from spinviz.views.view import View, plain_figure

SPACING = 1.03
POINTS = 1000
COLOURS = {"spin": LINES["light"][0], "chirality": LINES["light"][1]}
COLUMNS = ("time", *COLOURS)


class DomainView(View):
    """Size of chiral domains and of domains of spin order; one sample per 3 % of time."""

    legend = " ".join(f'<span style="color:{colour}">{name}</span>' for name, colour in COLOURS.items())

    def __init__(self) -> None:
        self._source = ColumnDataSource({name: np.empty(0) for name in COLUMNS})
        self._last = 0.0
        self._next = 0.0
        plot = plain_figure("", x_axis_type="log", y_axis_type="log", x_axis_label="time (ħ/t₁)")
        plot.yaxis.axis_label = "lattice constants"
        for name, colour in COLOURS.items():
            plot.line("time", name, source=self._source, line_color=colour, line_width=2)
        plot.html_attributes = {"role": "img", "aria-label": "Domain size against time, logarithmic axes"}
        self.panel = Bokeh(plot, sizing_mode="stretch_both")

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
