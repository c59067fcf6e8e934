"""Session: one simulation in one worker thread, for one page.

The page posts changes (functions Simulation -> Simulation) into an inbox; the worker applies them between two steps,
of several changes with one key only the latest. It leaves the newest frame in a place for one, where the page looks
when it has time: a slow page skips frames and never queues them. A change or a step that fails leaves the simulation
as it was, and its message is kept for the page. The worker touches nothing of the page, and the page no tensor.

States are kept on a time line: the page can look at one and go on from there. What a tool, a quench, a new system or
going on from an earlier state replaces is remembered and can be taken back: no run is lost by a click.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine.frame import Frame
from spinviz.recording import Recording
from spinviz.schedules import Running, Schedule
from spinviz.timeline import Entry, Timeline, Undo, without_response
from spinviz.worker import Worker, sentence

FRAME_INTERVAL = 0.02
BREATH = 0.001  # seconds between two steps in which the page's thread gets the interpreter: pictures stay fluent
OBSERVATION_INTERVAL = 0.7
OBSERVATION_SHARE = 0.1
LONGEST_REST = 2.0
KEEP_INTERVAL = 0.05  # seconds between kept states of a run; single steps are all kept
HELD_BACK = 0.002
RATE_WINDOW = 2.0
HISTORY_LENGTH = 20_000
IDLE_SECONDS = 0.5

EVERYWHERE = ("energy", "magnetization")
ON_TRIANGLES = ("topological_charge", "scalar_chirality", "structure_factor", "domain_length", "domain_length_spin")


Build = Callable[[dict[str, Any]], Any]
Change = Callable[[Any], Any]
Snapshot = Callable[[Any, tuple[str, ...]], Frame]
TakeUp = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Status:
    """What the page always shows. ``message`` is the last error as one sentence, "" when all is well.

    ``built``, ``changed``, ``refused`` count new simulations, changes made, and changes, builds or steps that failed.
    ``looking``: step of the kept state that is shown instead of the present one, or None. ``undoable``, ``redoable``:
    how often. ``schedule`` and ``progress`` (0 to 1): the plan that is under way, "" for none.
    """

    running: bool = False
    building: bool = True
    step: int = 0
    time: float = 0.0
    steps_per_second: float = 0.0
    message: str = ""
    built: int = 0
    changed: int = 0
    refused: int = 0
    recorded: int = 0
    recording: bool = False
    looking: int | None = None
    undoable: int = 0
    redoable: int = 0
    schedule: str = ""
    progress: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)


class Session(Worker):
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
    ) -> None:
        super().__init__("spinviz-worker")
        self._build, self._snapshot, self._prepare, self._extra = build, snapshot, prepare, extra
        self._take_up, self._fallback, self._may_step = take_up, fallback, may_step
        self._numbers = itertools.count()
        self._steps_wanted = 0
        self._step_interval = self._next_step = 0.0
        self._frame: Frame | None = None
        self._observed: Frame | None = None
        self._status = Status(running=running, settings=dict(settings))
        self._recording: Recording | None = None
        self._plan: Running | None = None
        self._undo = Undo()
        self._looking: Any = None
        self._stale = False
        self._marks: deque[tuple[float, int]] = deque()
        self._done = self._epoch = 0
        self._due = {"frame": 0.0, "observed": 0.0, "kept": 0.0}
        self.history: deque[dict[str, float]] = deque(maxlen=HISTORY_LENGTH)
        self.timeline = Timeline()
        self.simulation: Any = None
        self.first: Any = None
        self._inbox["rebuild"] = lambda: self._rebuilt(dict(settings))
        self._begin()

    # What the page calls: none of these waits for the worker, but stop().

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

    # What the worker does.

    def _prepared(self) -> None:
        self._prepare()

    def _work(self) -> float:
        active = self.simulation is not None and (self._status.running or self._steps_wanted > 0)
        if active:
            rest = self._next_step - time.perf_counter()
            if rest > 0:
                return rest
            if not self._may_step(self.simulation):
                return HELD_BACK
            self._next_step = time.perf_counter() + self._step_interval
            self._guarded(self._advance)
            time.sleep(BREATH)
            return 0.0
        if self._stale and not self._inbox:
            self._guarded(self._observe)
        return IDLE_SECONDS

    def _ended(self) -> None:
        self._recording_set(None)

    def _failed(self, error: Exception, pausing: bool) -> None:
        self._steps_wanted = 0
        self._stale = False
        if pausing:
            self._end_plan()
        running = self._status.running and not pausing
        refused = self._status.refused + 1
        self._set(message=sentence(error), running=running, building=False, refused=refused)

    def _set(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)

    def _advance(self) -> None:
        present = self.simulation if self._plan is None else self._planned(self.simulation)
        candidate = present.advance(1)
        self.simulation = candidate
        self._steps_wanted = max(0, self._steps_wanted - 1)
        self._done += 1
        if self._plan is not None and self._status.schedule:
            self._follow_plan(self._plan)
        self._keep(always=not self._status.running)
        self._mark_rate()
        self._publish(always=not self._status.running and self._steps_wanted == 0)
        if self._recording is not None and self._recording.wants(candidate.state.step):
            self._guarded(self._record, pausing=False)

    def _keep(self, always: bool) -> None:
        now = time.perf_counter()
        if always or now >= self._due["kept"]:
            self._due["kept"] = now + KEEP_INTERVAL
            self.timeline.keep(self.simulation)

    def _changed(self, change: Change, forget: bool = False, settings: Mapping[str, Any] | None = None) -> None:
        present = self._present()
        candidate = change(present)
        if forget:
            self._remember()
            self._end_plan()
            self._back_to(candidate.state.step - 1)
        self.simulation = candidate
        if forget:
            self._keep(always=True)
        known = {**self._status.settings, **(settings or {})}
        self._set(changed=self._status.changed + 1, message="", settings=known)
        self._publish(always=True)

    def _acted(self, change: Change, continues: bool) -> None:
        present = self._present()
        base = present if self._looking is None else self._take_up(present, self._looking)
        candidate = change(base)
        if not continues or self._looking is not None:
            self._remember()
        if self._looking is not None:
            self._end_plan()
            self._back_to(base.state.step)
        self.simulation = candidate
        if candidate is not base:
            self.timeline.keep(candidate)
        self._set(changed=self._status.changed + 1, message="")
        self._show(candidate)

    def _branched(self) -> None:
        if self._looking is None:
            raise ValueError("you are at the present state already; go back on the time line first")
        self._acted(lambda kept: kept, continues=False)

    def _went_back(self, way: Callable[[Entry], Entry]) -> None:
        present = self._present()
        entry = way(self._entry())
        try:
            whole = entry.epoch != self._status.built
            candidate = entry.simulation if whole else self._take_up(present, entry.simulation)
        finally:
            undoable, redoable = self._undo.counts
            self._set(undoable=undoable, redoable=redoable)
        self._end_plan()
        if whole:
            self._recording_set(None)
            self.first = entry.first
            self._set(built=entry.epoch, settings=entry.settings)
        self._back_to(-1 if whole else candidate.state.step - 1, entry.line)
        self.simulation = candidate
        self.timeline.keep(candidate)
        self._set(changed=self._status.changed + 1, message="")
        self._publish(always=True)

    def _present(self) -> Any:
        if self.simulation is None:
            raise RuntimeError("there is no simulation to change yet; choose settings that can be built")
        return self.simulation

    def _entry(self) -> Entry:
        status = self._status
        return Entry(self.simulation, status.built, status.settings, self.first, self.timeline.line)

    def _remember(self) -> None:
        """The present state can be returned to by undo."""
        self._undo.remember(self._entry())
        undoable, redoable = self._undo.counts
        self._set(undoable=undoable, redoable=redoable)

    def _back_to(self, step: int, line: int | None = None) -> None:
        """Nothing that comes after ``step``, or was made on later lines, has happened; the present is looked at."""
        self._looking = None
        self._set(looking=None)
        self._marks.clear()
        self.timeline.jump(step, line)
        kept = [
            sample for sample in self.history if sample["step"] <= step and (line is None or sample["line"] <= line)
        ]
        self.history.clear()
        self.history.extend(kept)

    def _look(self, step: int | None) -> None:
        kept = None if step is None else self.timeline.at(step)
        if kept is not None and kept.state.step >= self.simulation.state.step:
            kept = None
        self._looking = kept
        self._steps_wanted = 0
        running = self._status.running and step is None
        self._set(running=running, looking=None if kept is None else kept.state.step, message="")
        self._show(self.simulation if kept is None else kept)

    def _look_by(self, frames: int) -> None:
        shown = self._present().state.step if self._looking is None else self._looking.state.step
        steps = [stamp.step for stamp in self.timeline.stamps]
        before, after = [s for s in steps if s < shown], [s for s in steps if s > shown]
        if frames < 0:
            if not before:
                raise ValueError("this is the oldest state that is kept")
            self._look(before[max(-len(before), frames)])
        elif self._looking is not None:
            self._look(after[frames - 1] if len(after) >= frames else None)

    def _run_set(self, running: bool) -> None:
        if self._looking is not None:
            self._look(None)
        fresh = self._done == 0 and self._status.changed == 0  # what the first build had to say is still to be read
        self._set(running=running, message=self._status.message if fresh else "")

    def _paused(self) -> None:
        """Rest, and keep the state at rest."""
        self._set(running=False)
        if self.simulation is not None:
            self._keep(always=True)

    def _schedule_set(self, schedule: Schedule | None) -> None:
        self._end_plan()
        if schedule is None:
            self._set(changed=self._status.changed + 1)
            return
        present = self._present()
        schedule.applied(present, 0.0)  # refuses values that this simulation cannot have, before anything is changed
        if self._looking is not None:
            self._look(None)
        self._plan = Running.of(schedule, present)
        self._set(schedule=schedule.title, progress=0.0, running=True, message="")

    def _planned(self, present: Any) -> Any:
        return self._plan.before(present) if self._plan is not None and self._status.schedule else present

    def _follow_plan(self, plan: Running) -> None:
        """Measure, and end at the end with exactly the last values."""
        plan.after(self.simulation)
        self._set(progress=plan.progress(self.simulation))
        if plan.done(self.simulation):
            self.simulation = plan.schedule.applied(self.simulation, plan.schedule.duration)
            self._end_plan()
            self._set(changed=self._status.changed + 1)

    def _end_plan(self) -> None:
        """The plan is over; what it measured stays."""
        self._set(schedule="", progress=0.0)

    def _rebuilt(self, settings: dict[str, Any]) -> None:
        self._set(building=True)
        try:
            candidate = self._build(settings)
        except Exception as error:
            if self.simulation is not None or self._fallback is None:
                raise
            fallback, self._fallback = dict(self._fallback), None
            self._failed(error, pausing=False)
            self._set(building=True)
            candidate, settings = self._build(fallback), fallback
            self._adopt(candidate, settings, self._status.message)
            return
        self._adopt(candidate, settings, "")

    def _adopt(self, candidate: Any, settings: dict[str, Any], message: str) -> None:
        if self.simulation is not None:
            self._remember()
        self._recording_set(None)
        self._end_plan()
        self._back_to(-1)
        self.simulation = self.first = candidate
        self._epoch += 1
        self._keep(always=True)
        self._set(building=False, settings=settings, built=self._epoch, message=message)
        self._publish(always=True)

    def _mark_rate(self) -> None:
        now = time.perf_counter()
        self._marks.append((now, self._done))
        while len(self._marks) > 2 and now - self._marks[0][0] > RATE_WINDOW:
            self._marks.popleft()
        elapsed = now - self._marks[0][0]
        rate = (self._done - self._marks[0][1]) / elapsed if elapsed > 0 else 0.0
        state = self.simulation.state
        self._set(step=state.step, time=float(state.time[0]), steps_per_second=rate)

    def _show(self, simulation: Any) -> None:
        """Leave the frame of a state that is not the next of the run; observables follow when there is time."""
        self._frame = self._snapshot(simulation, ())
        self._set(step=simulation.state.step, time=float(simulation.state.time[0]))
        self._stale = True
        self._due["observed"] = 0.0

    def _publish(self, always: bool) -> None:
        """Leave the newest frame; measure observables as often as they cost no more than a tenth of the time."""
        if self._looking is not None:
            return
        now = time.perf_counter()
        if always or now >= self._due["frame"]:
            self._frame = self._snapshot(self.simulation, ())
            self._due["frame"] = now + FRAME_INTERVAL
        state = self.simulation.state
        self._set(step=state.step, time=float(state.time[0]))
        if always or now >= self._due["observed"]:
            self._observe()

    def _observe(self) -> None:
        self._stale = False
        simulation = self.simulation if self._looking is None else without_response(self._looking)
        simulation.response()  # the next step needs it anyway, so it is no cost of looking
        begin = time.perf_counter()
        names = EVERYWHERE + ON_TRIANGLES if len(simulation.lattice.plaquettes) else EVERYWHERE
        observed = self._snapshot(simulation, names + self._extra)
        end = time.perf_counter()
        rest = min((end - begin) / OBSERVATION_SHARE, LONGEST_REST)  # a first one may take long for once
        self._due["observed"] = end + max(OBSERVATION_INTERVAL, rest)
        if self._looking is None:
            self.history.append({**scalars(observed), "line": self.timeline.line})
        self._observed = observed

    def _recording_set(self, recording: Recording | None) -> None:
        finished, self._recording = self._recording, recording
        self._set(recording=recording is not None)
        if finished is not None:
            finished.close()
        if recording is not None:
            recording.begin(self.simulation, self._status.steps_per_second)
            self._record()

    def _record(self) -> None:
        """Write the present state; a recording that cannot be written ends, the run does not."""
        recording = self._recording
        if recording is None:
            return
        try:
            recording.write(self._snapshot(self.simulation, recording.observables))
            self._set(recorded=recording.frames)
        except Exception:
            self._recording_set(None)
            raise


def scalars(frame: Frame) -> dict[str, float]:
    """Step, time and every observable that is one number for the first replica."""
    values = {"step": float(frame.step), "time": float(frame.time[0])}
    for name, value in frame.observables.items():
        if value.ndim == 1:
            values[name] = float(value[0])
    if "magnetization" in frame.observables:
        values["magnetization"] = float(np.linalg.norm(frame.observables["magnetization"][0]))
    return values
