"""Charge, magnetization and energy against time."""

from __future__ import annotations

import math

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, Span
from panel.pane import Bokeh
from panel_material_ui import Column, Row

from engine.frame import Frame
from spinviz.components.picture_tools import PictureTools
from spinviz.theme import LINES
from spinviz.views.download import csv_bytes
from spinviz.views.explanations import EXPLANATIONS
from spinviz.views.view import MUTED, View, plain_figure

POINTS = 2000
COLUMNS = {
    "time": "time (hbar/t1)", "charge": "topological charge", "magnetization": "|M|", "along_field": "Mz",
    "energy": "energy per site (t1)",
}  # fmt: skip


class TimeSeriesView(View):
    """Three small curves that share one time axis; they start anew when time runs back."""

    def __init__(self) -> None:
        self._source = ColumnDataSource({name: np.empty(0) for name in COLUMNS})
        self._last = math.inf
        colours = LINES["light"]
        charge = plain_figure("Charge Q", x_axis_label="time (ħ/t₁)")
        charge.step("time", "charge", source=self._source, line_color=colours[1], line_width=2, mode="after")
        magnet = plain_figure("|M| blue, Mz green", x_axis_label="time (ħ/t₁)", x_range=charge.x_range)
        curve = {"source": self._source, "line_width": 2}
        magnet.line("time", "magnetization", line_color=colours[0], **curve)
        magnet.line("time", "along_field", line_color=colours[2], **curve)
        energy = plain_figure("Energy / site (t₁)", x_axis_label="time (ħ/t₁)", x_range=charge.x_range)
        energy.line("time", "energy", line_color=colours[3], **curve)
        self._cursor = Span(dimension="height", location=None, line_color=MUTED, line_width=1.5, line_dash="dotted")
        for plot in (charge, magnet, energy):
            plot.add_layout(self._cursor)
            plot.xaxis.ticker = BasicTicker(desired_num_ticks=3)
            plot.y_range.min_interval = 0.02
            plot.yaxis.ticker = BasicTicker(desired_num_ticks=4)
        charge.y_range.min_interval = 2
        energy.y_range.min_interval = 1e-4
        self.charge = Bokeh(charge, sizing_mode="stretch_both")
        self.tools = PictureTools(
            self.file, title="time series", help=EXPLANATIONS["series"].html,
            figures=[plot.id for plot in (charge, magnet, energy)],
        )  # fmt: skip
        curves = Row(
            self.charge, Bokeh(magnet, sizing_mode="stretch_both"), Bokeh(energy, sizing_mode="stretch_both"),
            sizing_mode="stretch_both",
        )  # fmt: skip
        self.panel = Column(self.tools, curves, sizing_mode="stretch_both", margin=0)

    def show(self, frame: Frame) -> None:
        time = float(frame.time[0])
        if time < self._last:
            self._source.data = {name: np.empty(0) for name in COLUMNS}
        elif time == self._last:
            return
        self._last = time
        sample = numbers(frame)
        self._source.stream({name: np.array([value]) for name, value in sample.items()}, rollover=POINTS)

    def show_all(self, columns: dict[str, np.ndarray]) -> None:
        """Show whole curves at once: a recording. Columns as :func:`numbers` names them."""
        self._source.data = {name: np.asarray(columns[name], dtype=np.float64) for name in COLUMNS}
        self._last = math.inf

    def mark(self, time: float) -> None:
        """A line at this time."""
        self._cursor.location = time

    def file(self, kind: str) -> bytes:
        """The curves as CSV."""
        return csv_bytes({title: self._source.data[name] for name, title in COLUMNS.items()})


def numbers(frame: Frame) -> dict[str, float]:
    """One point of every curve; NaN for what the frame does not have."""
    values = frame.observables
    magnetization = values["magnetization"][0] if "magnetization" in values else frame.spin[0].mean(axis=0)
    return {
        "time": float(frame.time[0]),
        "charge": round(float(values["topological_charge"][0]), 3) if "topological_charge" in values else math.nan,
        "magnetization": float(np.linalg.norm(magnetization)),
        "along_field": float(magnetization[2]),
        "energy": float(values["energy"][0]) if "energy" in values else math.nan,
    }
