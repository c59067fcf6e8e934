"""Ramps and loops on the page: a plan is chosen, started, watched and stopped; M against H is drawn and taken away."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource

from engine.presets import Preset
from spinviz.controls import ELECTRONS, Controls
from spinviz.running.schedules import Hysteresis, Schedule, field_ramp, temperature_ramp
from spinviz.running.status import Status
from spinviz.theme import LINES
from spinviz.views.view import plain_figure

PLANS = {"Temperature ramp": "temperature", "Field ramp along z": "field", "Hysteresis loop M(H)": "hysteresis"}
USUAL_STEPS = 2000
SLIM: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (2, 6)}


class Planner:
    """Choice of a plan and its numbers; ``panel`` is what goes on the page. ``on_start`` and ``on_stop`` do it,
    ``measured`` gives the curve as it is when it is taken away."""

    def __init__(
        self,
        system: Preset,
        on_start: Callable[[], None],
        on_stop: Callable[[], None],
        measured: Callable[[], Sequence[tuple[float, float]]],
    ) -> None:
        self._shown, self._system, self._measured = 0, system, measured
        self.kind = pmui.Select(label="Plan", options=PLANS, value="temperature", size="small", **SLIM)
        self.target = pmui.FloatInput(label="To (t₁)", value=0.0, size="small", **SLIM)
        self.duration = pmui.FloatInput(label="Duration of the plan (ħ/t₁)", value=1.0, size="small", **SLIM)
        self.go = pmui.Button(label="Start the plan", icon="trending_up", variant="outlined", size="small", **SLIM)
        self.progress = pmui.Progress(value=0, visible=False, **SLIM)
        self._source = ColumnDataSource({"field": np.empty(0), "magnetization": np.empty(0)})
        self.download = pmui.FileDownload(
            label="Download M(H) as CSV", filename="hysteresis.csv", callback=self._csv, auto=True, size="small",
            visible=False, **SLIM,
        )  # fmt: skip
        self.running = False
        self.go.on_click(lambda event: on_stop() if self.running else on_start())
        self.kind.param.watch(lambda event: self.adjust(self._system), "value")
        self.panel = pmui.Column(
            self.kind, self.target, self.duration, self.go, self.progress, self.download,
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self.adjust(system)

    def adjust(self, system: Preset) -> None:
        """Numbers at the scale of this system."""
        self._system = system
        hysteresis, field = self.kind.value == "hysteresis", self.kind.value == "field"
        self.target.label = "Largest field (t₁)" if hysteresis else "To (t₁)"
        self.target.value = system.field_scale if hysteresis or field else system.temperature_scale
        self.duration.value = USUAL_STEPS * system.time_step

    def schedule(self, controls: Controls) -> Schedule:
        """The plan from the present values of the controls on. Raises ValueError for senseless numbers."""
        target, duration = self.target.value, self.duration.value
        if target is None or duration is None:
            raise ValueError("a plan needs a value to go to and a duration; fill in both numbers")
        if self.kind.value == "hysteresis":
            return Hysteresis(target, duration)
        if self.kind.value == "field":
            present = (controls.field_x, controls.field_y, controls.field_z)
            return field_ramp(present, (controls.field_x, controls.field_y, target), duration)
        follow = ELECTRONS if controls.electronic and controls.linked and not controls.learned else ""
        return temperature_ramp(controls.temperature, target, duration, follow, controls.system.electron_temperature)

    def follow(self, status: Status, curve: Sequence[tuple[float, float]]) -> None:
        """Progress, and the curve as far as it is measured."""
        running = bool(status.schedule)
        if running != self.running:
            self.running = running
            self.go.param.update(
                label="Stop the plan" if running else "Start the plan", icon="stop" if running else "trending_up"
            )
            self.progress.visible = running
        if running:
            self.progress.value = round(100 * status.progress)
        if len(curve) != self._shown:
            self._shown = len(curve)
            field, magnetization = np.array(curve, dtype=float).reshape(-1, 2).T
            self._source.data = {"field": field.copy(), "magnetization": magnetization.copy()}
            if len(curve) and not self.download.visible:
                self.panel.insert(len(self.panel) - 1, self._plot())
                self.download.visible = True

    def _plot(self) -> Any:
        plot = plain_figure("M against H along the field", x_axis_label="H (t₁)", y_axis_label="M per site")
        plot.line("field", "magnetization", source=self._source, line_color=LINES["light"][0], line_width=2)
        return pn.pane.Bokeh(plot, height=180, sizing_mode="stretch_width", margin=(4, 6))

    def _csv(self) -> io.StringIO:
        rows = "".join(f"{h:.9g},{m:.9g}\n" for h, m in self._measured())
        return io.StringIO("field_t1,magnetization_per_site\n" + rows)
