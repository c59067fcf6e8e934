"""The live page: one session, its controls and its views. All arithmetic happens in the session's worker thread."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
from panel.util import edit_readonly

from engine.frame import Frame
from spinviz.controls import Controls
from spinviz.pages.index import links
from spinviz.running.audit import Auditor
from spinviz.running.changes import built, quenched, restarted
from spinviz.running.committee import DISAGREEMENT, Committee, absence
from spinviz.running.recording import Recording
from spinviz.running.rewinding import Build
from spinviz.running.status import Status
from spinviz.running.threads import limit_threads
from spinviz.running.tools import returned
from spinviz.serving import address
from spinviz.serving.sharing import SERVER
from spinviz.serving.tabs import attached, send_at_once
from spinviz.session import Session
from spinviz.theme import MATERIAL
from spinviz.widgets.doing import Doing
from spinviz.widgets.header import Header
from spinviz.widgets.narrow import put_away
from spinviz.widgets.panels import Pictures, Sidebar
from spinviz.widgets.steering import Steering

POLL_MILLISECONDS = 15
CROWDED_SECONDS = 0.025  # between two looks for a frame, times the pages that are open
FURNISH_SECONDS = 3.0  # a page that draws nothing for so long (a hidden tab) gets its controls all the same
ALWAYS_MOVING: dict[str, Any] = {"step": 0, "time": 0.0, "steps_per_second": 0.0, "recorded": 0, "progress": 0.0}


class LivePage:
    """Everything of one browser tab. ``page`` is the Panel object; ``close`` frees the worker and the files."""

    def __init__(
        self, build: Build = built, settings: Mapping[str, Any] | None = None, notes: Sequence[str] = ()
    ) -> None:
        self.controls = Controls()
        given = dict(settings or self.controls.first_settings())
        self.session = Session(
            build, address.of_simulation(given), Committee().snapshot, running=False, prepare=limit_threads,
            extra=(DISAGREEMENT,), take_up=returned, fallback={"preset": given["preset"]},
            share=SERVER,
        )  # fmt: skip
        self.auditor = Auditor()
        self.sidebar, self.header, self.pictures = Sidebar(self.controls), Header(), Pictures()
        self._folder = Path(tempfile.mkdtemp(prefix="spinviz-"))
        self._recordings = self._quenches = 0
        self._recording: Recording | None = None
        self.steering = Steering(self.controls, self.session, self.sidebar.arrange, self.pictures.note)
        self._seen = Status()
        self.doing = Doing(self.session, self.controls, self.pictures, self._keys(), self.pictures.note, self._set_up)
        self.sidebar.doing = [self.doing.sections]
        self._bare = [
            self.sidebar.furnish, self.pictures.furnish_side, self.pictures.furnish_curves, self._furnish_doing
        ]  # fmt: skip
        self._watched = self._next = 0.0
        self._waiting: list[Frame] = []
        self._shown_kind = self._told = ""
        self._connect()
        self.page = pmui.Page(
            title="spinviz", header=[links("live", running=True, least=1180), self.header.panel],
            sidebar=[self.sidebar.panel], main=[self.pictures.panel], sidebar_width=300,
            sidebar_variant="persistent", theme_config=MATERIAL, busy_indicator=None,
        )  # fmt: skip
        with edit_readonly(self.page):
            self.page.busy = False  # else every poll would toggle it and cost 20 ms
        self._begin(given, notes)

    def watch(self) -> None:
        """Run and look for new frames, from now on: while the page loads, the processors are its own."""
        send_at_once(pn.state.curdoc)
        self._watched = time.monotonic()
        self.session.start()
        pn.state.curdoc.add_periodic_callback(self.poll, POLL_MILLISECONDS)  # Panel's own costs 20 ms a call

    def close(self) -> None:
        """Stop worker, audit and scenes, and remove the recordings."""
        self.auditor.stop()
        self.doing.close()
        self.sidebar.close()
        self.session.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def poll(self) -> None:
        """Show what is new. Frames go out one by one, everything else in one message
        when there are new observables or something happened, not at every step."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (0.0 if SERVER.pages == 1 else SERVER.pages * CROWDED_SECONDS)
        frame = self.session.take_frame()
        if frame is not None:
            self.pictures.spin.show(frame)
        else:
            self.pictures.spin.panel.send_newest()
        if self._bare and (self.pictures.spin.panel.drawn or time.monotonic() - self._watched > FURNISH_SECONDS):
            self._furnish()
        self._check()
        observed, status = self._observed(), self.session.status
        if observed is None and replace(status, **ALWAYS_MOVING) == replace(self._seen, **ALWAYS_MOVING):
            return
        with pn.io.hold():
            if observed is not None:
                self.pictures.show(observed, history=status.looking is None)
            self._follow(status, observed is not None)
            self.header.show(status, observed)

    def _observed(self) -> Frame | None:
        """The newest frame with observables, once all views are there: until then frames wait for the curves."""
        observed = self.session.take_observed()
        if not self.doing.bridge.place:
            self._waiting += [observed] if observed is not None else []
            return None
        while self._waiting:
            self.pictures.show_history(self._waiting.pop(0))
        return observed

    def _furnish(self) -> None:
        """One more part of the page; frames go out between two parts."""
        with pn.io.hold():
            self._bare.pop(0)()

    def _furnish_doing(self) -> None:
        """Time line, keys and address bar."""
        self.pictures.past.objects = [self.doing.timebar.panel, self.doing.overlay]
        put_away(self.page, self.doing.bridge)
        self.doing.show_address()

    def _begin(self, given: Mapping[str, Any], notes: Sequence[str]) -> None:
        """What of the first settings is not the simulation's: speed, view, theme; and what to say about them."""
        self.controls.speed = given.get("speed", 0)
        self.pictures.look_at(given.get("view", self.pictures.view))
        self.page.param.watch(lambda event: pn.state.execute(self._dress, schedule=True), "dark_theme")
        if "theme" in given:
            self.page.dark_theme = given["theme"] == "dark"
        self._dress()
        self.pictures.note(" ".join(notes))

    def _dress(self) -> None:
        """Pictures follow the theme of the page."""
        theme = "dark" if self.page.dark_theme else "light"
        self.pictures.dress(theme)
        self.doing.dress(theme)
        if not self._bare:
            self.doing.show_address()

    def _set_up(self) -> dict[str, Any]:
        """What a link to this page says."""
        theme = "dark" if self.page.dark_theme else "light"
        return {**self.controls.settings(), "speed": self.controls.speed, "view": self.pictures.view, "theme": theme}

    def _check(self) -> None:
        """Show an audit that is done, and begin one that is due."""
        simulation, audit = self.session.simulation, self.auditor.take()
        if audit is not None:
            with pn.io.hold():
                self.pictures.show_audit(audit)
        if self.auditor.message != self._told:
            self._told = self.auditor.message
            if self._told:
                self.pictures.audit.explain(self._told)
        if simulation is not None:
            self.auditor.post_every(self.sidebar.audit_every.value or 0, simulation)

    def _audit(self) -> None:
        self._told = ""
        self.pictures.look_at_audit("Computing the exact force in the background …")
        if self.session.simulation is not None:
            self.auditor.post(self.session.simulation)

    def _keys(self) -> dict[str, Callable[[], None]]:
        """What the keys of the transport buttons do."""
        return {" ": self.session.toggle, "ArrowRight": self.session.step, "r": self._reset, "q": self._quench}

    def _connect(self) -> None:
        session, buttons = self.session, self.sidebar
        actions: dict[Any, Callable[[], None]] = {
            self.pictures.play: self.session.toggle,
            self.pictures.step: session.step,
            self.pictures.reset: self._reset,
            self.pictures.quench: self._quench,
            buttons.suggest: self.steering.suggest,
            buttons.record: self._record,
            buttons.audit: self._audit,
        }
        for button, action in actions.items():
            button.on_click(lambda event, action=action: action())

    def _reset(self) -> None:
        self.session.restart(lambda present: restarted(present, self.session.first))

    def _quench(self) -> None:
        self._quenches += 1
        count = self._quenches
        self.session.restart(lambda present: quenched(present, count))
        self.session.start()

    def _record(self) -> None:
        if self.session.status.recording:
            self.session.stop_recording()
            return
        self._recordings += 1
        folder = self._folder / f"recording-{self._recordings}"
        folder.mkdir()
        self._recording = Recording(folder)
        self.sidebar.offer(None)
        self.session.record(self._recording)

    def _follow(self, status: Status, fresh: bool) -> None:
        """Bring controls and buttons in line with what the worker did."""
        seen, self._seen = self._seen, status
        simulation = self.session.simulation
        answered = (status.built, status.refused, status.changed) != (seen.built, seen.refused, seen.changed)
        if answered and simulation is not None and status.settings:
            renewed = (status.built, status.settings) != (seen.built, seen.settings)
            self.steering.adopt(status, simulation, renewed or status.refused != seen.refused)
            self._show_system(simulation)
            if status.built != seen.built:
                self.pictures.audit.clear()
            if not self._bare:
                self.doing.show_address()
            self.doing.ring_pins(simulation)
            if renewed:
                self.pictures.spin.mark([])
                self.pictures.disagreement.explain(absence(self.controls.preset, self.controls.force))
        if seen.recording and not status.recording and self._recording is not None:
            self.sidebar.offer(self._recording)
        if simulation is not None and (status.schedule or seen.schedule):
            self.steering.show_planned(simulation)
        self.sidebar.follow(status)
        self.pictures.follow(status)
        self.doing.follow(status, simulation)

    def _show_system(self, simulation: Any) -> None:
        """Title, pictures and controls fit the system that runs."""
        if simulation.lattice.kind != self._shown_kind:
            self._shown_kind = simulation.lattice.kind
            self.pictures.arrange(simulation.lattice)
        self.pictures.name(self.controls.system)
        self.sidebar.arrange()


def live_page(build: Build = built, settings: Mapping[str, Any] | None = None) -> Any:
    """The page of one browser tab, with its own worker; freed when the tab is closed."""
    pn.extension(reconnect=True)
    return attached(addressed(build, settings))


def addressed(build: Build = built, settings: Mapping[str, Any] | None = None) -> LivePage:
    """What the address bar of the tab that is being opened asks for; where it is empty, ``settings``."""
    asked = pn.state.session_args or {}
    if not asked:
        return LivePage(build, settings)
    read, notes = address.parse_query(asked)
    usual = Controls()
    usual.choose(read["preset"])
    return LivePage(build, {**usual.first_settings(), **read}, notes)
