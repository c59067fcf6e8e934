"""The live page: one session, its controls and its views. All arithmetic happens in the session's worker thread."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import torch
from bokeh.document import Document
from panel.util import edit_readonly

from spinviz.audit import Auditor
from spinviz.changes import (
    built,
    quenched,
    restarted,
    value_at,
    with_force,
    with_suggested_time_step,
    with_values,
)
from spinviz.committee import DISAGREEMENT, Committee, absence
from spinviz.controls import CONTROLS, Controls
from spinviz.panels import Header, Pictures, Sidebar
from spinviz.recording import Recording
from spinviz.session import Build, Session, Status
from spinviz.theme import PAGE

POLL_MILLISECONDS = 15
FURNISH_SECONDS = 3.0  # a page that draws nothing for so long (a hidden tab) gets its controls all the same
ALWAYS_MOVING: dict[str, Any] = {"step": 0, "time": 0.0, "steps_per_second": 0.0, "recorded": 0}
THREADS_VARIABLE = "SPINVIZ_THREADS"
THEME = {
    mode: {
        "palette": {
            "primary": {"main": colours["primary"]},
            "secondary": {"main": colours["accent"]},
            "background": {"default": colours["background"], "paper": colours["surface"]},
        }
    }
    for mode, colours in PAGE.items()
}


class LivePage:
    """Everything of one browser tab. ``page`` is the Panel object; ``close`` frees the worker and the files."""

    def __init__(self, build: Build = built, settings: Mapping[str, Any] | None = None) -> None:
        self.controls = Controls()
        self.session = Session(
            build, settings or self.controls.first_settings(), Committee().snapshot, running=False,
            prepare=limit_threads, extra=(DISAGREEMENT,),
        )  # fmt: skip
        self.auditor = Auditor()
        self.sidebar, self.header, self.pictures = Sidebar(self.controls), Header(), Pictures()
        self._folder = Path(tempfile.mkdtemp(prefix="spinviz-"))
        self._recordings = self._quenches = 0
        self._recording: Recording | None = None
        self._quiet = self._suggesting = False
        self._seen = Status()
        self._bare = [self.sidebar.furnish, self.pictures.furnish_side, self.pictures.furnish_curves]
        self._watched = 0.0
        self._shown_kind = self._told = ""
        self._connect()
        self.page = pmui.Page(
            title="spinviz", header=[self.header.panel], sidebar=[self.sidebar.panel], main=[self.pictures.panel],
            sidebar_width=300, sidebar_variant="persistent", theme_config=THEME, busy_indicator=None,
        )  # fmt: skip
        with edit_readonly(self.page):
            self.page.busy = False  # else every poll would toggle it and cost 20 ms

    def watch(self) -> None:
        """Run and look for new frames, from now on: while the page loads, the processors are its own."""
        send_at_once(pn.state.curdoc)
        self._watched = time.monotonic()
        self.session.start()
        pn.state.curdoc.add_periodic_callback(self.poll, POLL_MILLISECONDS)  # Panel's own costs 20 ms a call

    def close(self) -> None:
        """Stop worker and audit, and remove the recordings."""
        self.auditor.stop()
        self.session.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def poll(self) -> None:
        """Show what is new. Frames go out one by one, everything else in one message
        when there are new observables or something happened, not at every step."""
        frame = self.session.take_frame()
        if frame is not None:
            self.pictures.spin.show(frame)
        else:
            self.pictures.spin.panel.send_newest()
        if self._bare and (self.pictures.spin.panel.drawn or time.monotonic() - self._watched > FURNISH_SECONDS):
            self._furnish()
        self._check()
        observed, status = self.session.take_observed(), self.session.status
        if observed is None and replace(status, **ALWAYS_MOVING) == replace(self._seen, **ALWAYS_MOVING):
            return
        with pn.io.hold():
            if observed is not None:
                self.pictures.show(observed)
            self._follow(status, observed is not None)
            self.header.show(status, observed)

    def _furnish(self) -> None:
        """One more part of the page; frames go out between two parts."""
        with pn.io.hold():
            self._bare.pop(0)()

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

    def _connect(self) -> None:
        for name, control in CONTROLS.items():
            if name != "speed":
                self.controls.param.watch(self._live if control.live else self._remake, name)
        self.controls.param.watch(lambda event: self.session.limit_speed(event.new), "speed")
        session, buttons = self.session, self.sidebar
        actions: dict[Any, Callable[[], None]] = {
            self.pictures.play: self._play,
            self.pictures.step: session.step,
            self.pictures.reset: lambda: session.restart(lambda present: restarted(present, session.first)),
            self.pictures.quench: self._quench,
            buttons.suggest: self._suggest,
            buttons.record: self._record,
            buttons.audit: self._audit,
        }
        for button, action in actions.items():
            button.on_click(lambda event, action=action: action())

    def _play(self) -> None:
        if self.session.status.running:
            self.session.pause()
        else:
            self.session.start()

    def _quench(self) -> None:
        self._quenches += 1
        count = self._quenches
        self.session.restart(lambda present: quenched(present, count))
        self.session.start()

    def _suggest(self) -> None:
        self._suggesting = True
        self.session.post("dynamics.time_step", with_suggested_time_step)

    def _live(self, event: Any) -> None:
        self.sidebar.arrange()
        if self._quiet:
            return
        changes = self.controls.changes(event.name)
        key = " ".join(changes)
        self.session.post(key, lambda present: with_values(present, changes))

    def _remake(self, event: Any) -> None:
        if self._quiet:
            return
        if event.name == "preset":
            self._quiet = True
            self.controls.choose(event.new)
            self._quiet = False
            self.session.rebuild(self.controls.first_settings())
        elif event.name == "force":
            settings = self.controls.settings()
            self.session.exchange(lambda present: with_force(present, settings), {"force": event.new})
        else:
            self.session.rebuild(self.controls.settings())

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
            self._adopt(status, simulation, renewed or status.refused != seen.refused)
            if status.built != seen.built:
                self.pictures.audit.clear()
            if renewed:
                self.pictures.spin.mark([])
                self.pictures.disagreement.explain(absence(self.controls.preset, self.controls.force))
        if seen.recording and not status.recording and self._recording is not None:
            self.sidebar.offer(self._recording)
        self.sidebar.follow(status)
        self.pictures.follow(status)

    def _adopt(self, status: Status, simulation: Any, everything: bool) -> None:
        """Controls show what is running: after a build or a refusal all of them, else the suggested time step."""
        self._quiet = True
        try:
            if everything:
                self.controls.adopt(status.settings, lambda path: value_at(simulation, path))
            elif self._suggesting:
                self._suggesting = False
                self.controls.show("time_step", simulation.dynamics.time_step)
        finally:
            self._quiet = False
        if simulation.lattice.kind != self._shown_kind:
            self._shown_kind = simulation.lattice.kind
            self.pictures.arrange(simulation.lattice)
        self.pictures.name(self.controls.system)
        self.sidebar.arrange()


def send_at_once(document: Document) -> None:
    """Send small messages without delay (TCP_NODELAY).

    A frame is five small writes; with Nagle's algorithm the later ones wait up to 40 ms for the browser to acknowledge
    the first, and two frames arrive together.
    """
    for connection in document.session_context.session._subscribed_connections:
        connection._socket.set_nodelay(True)


def limit_threads() -> None:
    """Threads of one step: SPINVIZ_THREADS, or half of the cores, so that pages stay quick. Per thread of Python."""
    wanted = os.environ.get(THREADS_VARIABLE, "")
    if wanted and not (wanted.isdigit() and int(wanted) > 0):
        raise ValueError(f"{THREADS_VARIABLE} must be a whole number of threads >= 1, got {wanted!r}")
    threads = int(wanted) if wanted else max(1, (os.cpu_count() or 2) // 2)
    torch.set_num_threads(threads)


def live_page(build: Build = built, settings: Mapping[str, Any] | None = None) -> Any:
    """The page of one browser tab, with its own worker; freed when the tab is closed."""
    pn.extension(reconnect=True)
    return attached(LivePage(build, settings))


def attached(live: LivePage) -> Any:
    """Bind a live page to the browser tab that is being opened: start looking when it is loaded, free all when gone."""
    pn.state.onload(live.watch)
    pn.state.on_session_destroyed(lambda context: threading.Thread(target=live.close, daemon=True).start())
    return live.page
