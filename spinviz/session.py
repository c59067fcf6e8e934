"""Session: one simulation in one worker thread, for one page.

The page posts changes (functions Simulation -> Simulation) into an inbox; the worker applies them between two steps,
of several changes with one key only the latest. None of the methods waits for the worker, but stop(). What the worker
does is in :mod:`spinviz.running.stepping` and :mod:`spinviz.running.rewinding`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from engine.frame import Frame
from spinviz.running.recording import Recording
from spinviz.running.rewinding import Build, Change, Rewinding, TakeUp
from spinviz.running.schedules import Schedule
from spinviz.running.status import Status
from spinviz.running.stepping import Snapshot
from spinviz.serving.sharing import Share


class Session(Rewinding):
    """Simulation, worker thread, inbox, newest frames, history and time line of one page.

    Parameters
    ----------
    build : settings -> simulation, an object with state, lattice, advance(), response() (may take long or raise; runs
        in the worker).
    settings : the first settings. snapshot : (simulation, observable names) -> Frame. running : start at once.
    prepare : called once in the worker before all else (thread counts are set per thread). extra : names that the
        snapshot is asked for besides the observables of every page.
    take_up : (present, kept) -> simulation at the kept state with the present parameters. fallback : settings that are
        built when the first ones cannot be. may_step : asked before each step, to run in time with another session.
    share : turns with the other sessions of a server; default: none.
    """

    def __init__(
        self,
        build: Build,
        settings: Mapping[str, Any],
        snapshot: Snapshot,
        running: bool = True,
        prepare: Callable[[], None] = lambda: None,
        extra: tuple[str, ...] = (),
        take_up: TakeUp = lambda present, kept: kept,
        fallback: Mapping[str, Any] | None = None,
        may_step: Callable[[Any], bool] = lambda simulation: True,
        share: Share | None = None,
    ) -> None:
        super().__init__(
            build, take_up, fallback, settings, snapshot, running, prepare, extra, may_step, share or Share()
        )
        self._numbers = itertools.count()
        self._inbox["rebuild"] = lambda: self._rebuilt(dict(settings))
        self._begin()

    @property
    def status(self) -> Status:
        return self._status

    @property
    def curve(self) -> list[tuple[float, float]]:
        """What the schedule under way, or the last one, has measured so far."""
        return list(self._plan.points) if self._plan is not None else []

    def take_frame(self) -> Frame | None:
        """The newest frame (spins only), once."""
        frame, self._frame = self._frame, None
        return frame

    def take_observed(self) -> Frame | None:
        """The newest frame with observables, once."""
        frame, self._observed = self._observed, None
        return frame

    def post(self, key: str, change: Change) -> None:
        """Apply ``change`` before the next step; a newer one with the same key takes its place."""
        self._put(key, lambda: self._changed(change))

    def rebuild(self, settings: Mapping[str, Any]) -> None:
        """Make a new simulation; the present one stays if that fails."""
        wanted = dict(settings)
        self._put("rebuild", lambda: self._rebuilt(wanted))

    def exchange(self, change: Change, settings: Mapping[str, Any]) -> None:
        """Like :meth:`post`, for a change of something that ``settings`` name (the force): they are then the session's."""
        wanted = dict(settings)
        self._put("exchange", lambda: self._changed(change, settings=wanted))

    def restart(self, change: Change) -> None:
        """Like :meth:`post`, for changes that put the clock back: history and rate start anew. Can be undone."""
        self._put("restart", lambda: self._changed(change, forget=True))

    def act(self, change: Change, continues: bool = False) -> None:
        """Apply a tool, that can be undone; each one is done, in order. On a kept state that is looked at, it goes on
        from there. ``continues``: of one stroke with the one before, undone with it."""
        self._put(f"act {next(self._numbers)}", lambda: self._acted(change, continues))

    def undo(self) -> None:
        """Back to the state before the last tool, quench, branch or new system, its time included."""
        self._put(f"act {next(self._numbers)}", lambda: self._went_back(self._undo.undo))

    def redo(self) -> None:
        self._put(f"act {next(self._numbers)}", lambda: self._went_back(self._undo.redo))

    def look(self, step: int) -> None:
        """Pause and show the newest kept state not after ``step``; the present one stays as it is."""
        self._put("look", lambda: self._look(step))

    def look_back(self, frames: int = 1) -> None:
        """Pause and show the kept state so many before the one that is shown; negative: after."""
        self._put(f"act {next(self._numbers)}", lambda: self._look_by(-frames))

    def look_at_present(self) -> None:
        """Show the present state again."""
        self._put("look", lambda: self._look(None))

    def branch(self) -> None:
        """Go on from the kept state that is looked at, with the present parameters. Can be undone."""
        self._put(f"act {next(self._numbers)}", self._branched)

    def follow(self, schedule: Schedule) -> None:
        """Run, with parameters that follow ``schedule`` from now on."""
        self._put("schedule", lambda: self._schedule_set(schedule))

    def stop_schedule(self) -> None:
        """Leave the parameters where they are."""
        self._put("schedule", lambda: self._schedule_set(None))

    def start(self) -> None:
        self._put("run", lambda: self._run_set(True))

    def pause(self) -> None:
        self._put("run", self._paused)

    def toggle(self) -> None:
        """Run, or rest when it runs."""
        if self.status.running:
            self.pause()
        else:
            self.start()

    def step(self, count: int = 1) -> None:
        """Pause and take ``count`` steps."""

        def wanted() -> None:
            self._run_set(False)
            self._paused()
            self._steps_wanted += count

        self._put("run", wanted)

    def limit_speed(self, steps_per_second: float) -> None:
        """Take at most so many steps per second; 0 for no limit."""

        def wanted() -> None:
            self._step_interval = 1 / steps_per_second if steps_per_second > 0 else 0.0
            self._next_step = 0.0

        self._put("speed", wanted)

    def record(self, recording: Recording) -> None:
        """Write the coming frames into ``recording`` until :meth:`stop_recording`."""
        self._put("record", lambda: self._recording_set(recording))

    def stop_recording(self) -> None:
        self._put("record", lambda: self._recording_set(None))
