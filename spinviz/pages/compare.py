"""A/B: two runs side by side from the same start, locked in time, with the mean angle between their spins.

What the two do, and what the angle is: :mod:`spinviz.running.pair`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, DataRange1d
from panel.util import edit_readonly

from engine import snapshot
from spinviz.controls import Controls
from spinviz.layout import POLL_MILLISECONDS
from spinviz.pages.index import links
from spinviz.running.changes import built, value_at, with_force, with_values
from spinviz.running.pair import Difference, Pair
from spinviz.running.status import Status
from spinviz.running.threads import limit_threads
from spinviz.serving.sharing import SERVER
from spinviz.serving.tabs import attached, send_at_once
from spinviz.session import Session
from spinviz.theme import LINES, MATERIAL
from spinviz.views import SpinView
from spinviz.views.view import plain_figure
from spinviz.widgets.control import widget
from spinviz.widgets.message import Message
from spinviz.widgets.narrow import GROWN, PHONE, WRAPPED, below, fitted
from spinviz.widgets.panels import CARD

NAMES = ("A", "B")
COMMON = ("preset", "size", "texture", "seed")
OWN = ("force", "field_z", "temperature", "damping", "chemical_potential", "filling", "coupling")
POINTS = 2000
EVERY_POLLS = 15  # read-outs come some four times a second
LARGEST = 128  # linear size: two runs share the processors


class Run:
    """One of the two: controls, session and picture."""

    def __init__(self, name: str, session: Session) -> None:
        self.name, self.session, self.controls, self.view = name, session, Controls(), SpinView()
        self.view.panel.title = f"spin {self.name}"
        self.seen = Status()
        self.quiet = False
        self._shown = -1
        self.widgets = {name: widget(self.controls, name) for name in (*COMMON, *OWN)}

    def show(self, resting: bool) -> None:
        """Show the newest frame. Not every step leaves one: ``resting``, the last step is shown all the same."""
        frame, simulation = self.session.take_frame(), self.session.simulation
        if frame is None and resting and simulation is not None and simulation.state.step != self._shown:
            frame = snapshot(simulation, ())
        if frame is None:
            self.view.panel.send_newest()
        else:
            self._shown = frame.step
            self.view.show(frame)

    def adopt(self, status: Status) -> None:
        """Controls show what runs, after a build or a refusal."""
        seen, self.seen = self.seen, status
        simulation = self.session.simulation
        if simulation is None or (seen.built, seen.refused, seen.settings) == (
            status.built, status.refused, status.settings
        ):  # fmt: skip
            return
        self.quiet = True
        try:
            self.controls.adopt(status.settings, lambda path: value_at(simulation, path))
        finally:
            self.quiet = False
        settable = self.controls.settable
        self.widgets["chemical_potential"].visible = settable and not self.controls.fixed_filling
        self.widgets["filling"].visible = settable and self.controls.fixed_filling
        self.widgets["coupling"].visible = settable


class ComparePage:
    """Everything of one browser tab. ``page`` is the Panel object; ``close`` frees both workers."""

    def __init__(self, build: Callable = built, settings: Mapping[str, Any] | None = None) -> None:
        first = dict(
            settings or {"preset": "heisenberg", "size": 48, "force": "classical", "texture": "random", "seed": 0}
        )
        self.pair = Pair(build, first, limit_threads, SERVER)
        self.runs = [Run(name, session) for name, session in zip(NAMES, self.pair.sessions, strict=True)]
        self._polls = 0
        self._due = False
        self._source = ColumnDataSource({"time": np.empty(0), "angle": np.empty(0)})
        small: dict[str, Any] = {"size": "small", "margin": (0, 4)}
        self.play = pmui.Button(label="Start", icon="play_arrow", variant="contained", width=104, **small)
        self.step = pmui.Button(label="Step", icon="skip_next", variant="outlined", **small)
        self.reset = pmui.Button(label="Reset", icon="replay", variant="outlined", **small)
        self.quench = pmui.Button(label="Quench", icon="bolt", variant="outlined", color="secondary", **small)
        self.meet = pmui.Button(label="B takes A's spins", icon="content_copy", variant="outlined", **small)
        self.message = Message()
        self.read_out = pn.pane.HTML("", sizing_mode="stretch_width", margin=(2, 8))
        self._connect()
        self.page = pmui.Page(
            title="spinviz · compare", header=[links("compare", running=True)], sidebar=[self._sidebar()],
            main=[self._main()], sidebar_width=300,
            sidebar_variant="persistent", theme_config=MATERIAL, busy_indicator=None,
        )  # fmt: skip
        self.page.param.watch(lambda event: pn.state.execute(self._dress, schedule=True), "dark_theme")
        with edit_readonly(self.page):
            self.page.busy = False

    def watch(self) -> None:
        """Run and look, from now on."""
        send_at_once(pn.state.curdoc)
        self.pair.start()
        pn.state.curdoc.add_periodic_callback(self.poll, POLL_MILLISECONDS)

    def close(self) -> None:
        """Stop both workers."""
        self.pair.stop()

    def poll(self) -> None:
        """Show what is new."""
        self._polls += 1
        for run in self.runs:
            run.show(self.pair.lock.paused)
        if self._polls % EVERY_POLLS == 0:
            with pn.io.hold():
                self._follow()
        elif self._polls % EVERY_POLLS > 1 and self._due:
            self._compare()

    def _follow(self) -> None:
        """Controls, buttons and messages; the next polls look for a moment when both are at one time."""
        statuses = [run.session.status for run in self.runs]
        for run, status in zip(self.runs, statuses, strict=True):
            run.adopt(status)
        self.play.label, self.play.icon = ("Start", "play_arrow") if self.pair.lock.paused else ("Pause", "pause")
        words = [
            f"{run.name}: {status.message}" for run, status in zip(self.runs, statuses, strict=True) if status.message
        ]
        self.message.say(" ".join(words))
        self._due = True

    def _compare(self) -> None:
        found = self.pair.difference()
        if found is None:
            return
        self._due = False
        times = self._source.data["time"]
        if len(times) and found.time <= times[-1]:
            if found.time == times[-1]:
                return
            self._source.data = {"time": np.empty(0), "angle": np.empty(0)}
        self._source.stream({"time": [found.time], "angle": [found.angle]}, rollover=POINTS)
        self.read_out.object = read_out(found)

    def _connect(self) -> None:
        for button, action in {
            self.play: self.pair.toggle, self.step: self.pair.step, self.reset: self.pair.reset,
            self.quench: self.pair.quench, self.meet: self.pair.meet,
        }.items():  # fmt: skip
            button.on_click(lambda event, action=action: action())
        for run in self.runs:
            for name in OWN:
                run.controls.param.watch(lambda event, run=run: self._own(run, event), name)
        self.runs[0].controls.param.watch(self._remake, list(COMMON))

    def _dress(self) -> None:
        """Maps and curve follow the theme of the page."""
        theme = "dark" if self.page.dark_theme else "light"
        for run in self.runs:
            run.view.panel.theme = theme
        self._line.glyph.line_color = LINES[theme][0]

    def _own(self, run: Run, event: Any) -> None:
        if run.quiet:
            return
        if event.name == "force":
            settings = run.controls.settings()
            run.session.exchange(lambda present: with_force(present, settings), {"force": event.new})
        else:
            changes = run.controls.changes(event.name)
            run.session.post(" ".join(changes), lambda present: with_values(present, changes))

    def _remake(self, *events: Any) -> None:
        """Both start anew, from the same spins, each with its own parameters where the system is the same."""
        if self.runs[0].quiet:
            return
        changed = {event.name: event.new for event in events}
        settings = []
        for run in self.runs:
            run.quiet = True
            try:
                if "preset" in changed:
                    run.controls.choose(changed["preset"])
                run.controls.param.update(**{name: getattr(self.runs[0].controls, name) for name in COMMON[1:]})
                run.controls.size = min(run.controls.size, LARGEST)
            finally:
                run.quiet = False
            settings.append(run.controls.first_settings() if "preset" in changed else run.controls.settings())
        self.pair.rebuild(settings)

    def _sidebar(self) -> Any:
        parts: list[Any] = [self.runs[0].widgets[name] for name in COMMON]
        for run in self.runs:
            parts.append(pmui.Typography(f"Run {run.name}", variant="overline", margin=(6, 12, 0, 12)))
            for name in OWN:
                run.widgets[name].label = f"{run.name}: {run.widgets[name].label}"
                parts.append(run.widgets[name])
        return pmui.Column(*parts, sizing_mode="stretch_width", margin=(8, 0, 0, 0))

    def _main(self) -> Any:
        plot = plain_figure(
            "", x_axis_label="time (ħ/t₁)", y_axis_label="angle A to B (°)",
            y_range=DataRange1d(start=0, min_interval=0.1),
        )  # fmt: skip
        self._line = plot.line("time", "angle", source=self._source, line_width=2, line_color=LINES["light"][0])
        plot.html_attributes = {"role": "img", "aria-label": "Mean angle between the two textures against time"}
        pictures = [
            pmui.Paper(pn.pane.HTML(f"<b>{run.name}</b>", margin=(0, 4), height=18), run.view.panel, **CARD)
            for run in self.runs
        ]
        curve = pmui.Paper(
            pn.pane.Bokeh(plot, sizing_mode="stretch_both"), **{**CARD, "sizing_mode": "stretch_width", "height": 180}
        )
        buttons = pmui.Row(self.play, self.step, self.reset, self.quench, self.meet, margin=(4, 0, 2, 0), sx=WRAPPED)
        both = pn.Row(
            *pictures, sizing_mode="stretch_both", margin=0,
            stylesheets=[below(PHONE, "flex-direction: column", "height: 900px", "flex: none")],
        )  # fmt: skip
        return pn.Column(
            buttons, self.message, both, self.read_out, curve, sizing_mode="stretch_both", margin=0,
            styles={"height": "calc(100vh - 84px)"}, min_height=560, stylesheets=[GROWN],
        )  # fmt: skip


def read_out(found: Difference) -> str:
    """The numbers of a difference in one line."""
    one, two = found.magnetizations
    cells = {
        "time": (f"{found.time:,.1f}", "time, ħ/t₁"),
        "angle": (f"{found.angle:.3g}°", "mean angle"),
        "magnetizations": (f"{np.linalg.norm(one):.3f}, {np.linalg.norm(two):.3f}", "|M| of A, B"),
        "difference": (f"{np.linalg.norm(two - one):.2e}", "|M(B) − M(A)|"),
    }
    if found.charges is not None:
        cells["charges"] = (", ".join(f"{round(q):d}" for q in found.charges).replace("-", "−"), "Q of A, B")
    return (
        '<div style="display:flex;gap:26px;flex-wrap:wrap">'
        + "".join(
            f'<span><b class="value-{name}" style="font-size:16px;font-variant-numeric:tabular-nums">{value}</b> '
            f'<span style="font-size:11px;opacity:.75">{label}</span></span>'
            for name, (value, label) in cells.items()
        )
        + "</div>"
    )


def compare_page(settings: Mapping[str, Any] | None = None) -> Any:
    """The page of one browser tab, with its two workers; freed when the tab is closed."""
    pn.extension(reconnect=True)
    return fitted(attached(ComparePage(settings=settings)))
