"""Session: one simulation in one worker thread, for one page.

The page posts changes (functions Simulation -> Simulation) into an inbox; the worker applies them between two steps,
of several changes with one key only the latest. It leaves the newest frame in a place for one, where the page looks
when it has time: a slow page skips frames and never queues them. A change or a step that fails leaves the simulation
as it was, and its message is kept for the page. The worker touches nothing of the page, and the page no tensor.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine.frame import Frame
from spinviz.recording import Recording

FRAME_INTERVAL = 0.02
BREATH = 0.001  # seconds between two steps in which the page's thread gets the interpreter: pictures stay fluent
OBSERVATION_INTERVAL = 0.3
OBSERVATION_SHARE = 0.1
LONGEST_REST = 2.0
RATE_WINDOW = 2.0
HISTORY_LENGTH = 20_000
STOP_TIMEOUT = 30.0
IDLE_SECONDS = 0.5

EVERYWHERE = ("energy", "magnetization")
ON_TRIANGLES = ("topological_charge", "scalar_chirality", "structure_factor", "domain_length", "domain_length_spin")


Build = Callable[[dict[str, Any]], Any]
Change = Callable[[Any], Any]
Snapshot = Callable[[Any, tuple[str, ...]], Frame]


@dataclass(frozen=True)
class Status:
    """What the page always shows. ``message`` is the last error as one sentence, "" when all is well.

    ``built``, ``changed``, ``refused`` count new simulations, changes made, and changes, builds or steps that failed.
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
    settings: Mapping[str, Any] = field(default_factory=dict)


class Session:
    """Simulation, worker thread, inbox, newest frames and history of one page.

    Parameters
    ----------
    build : settings -> simulation, an object with state, lattice, advance(), response() (may take long or raise; runs
        in the worker).
    settings : the first settings. snapshot : (simulation, observable names) -> Frame. running : start at once.
    prepare : called once in the worker before all else (thread counts are set per thread). extra : names that the
        snapshot is asked for besides the observables of every page.
    """

    def __init__(
        self,
        build: Build,
        settings: Mapping[str, Any],
        snapshot: Snapshot,
        running: bool = True,
        prepare: Callable[[], None] = lambda: None,
        extra: tuple[str, ...] = (),
    ) -> None:
        self._build, self._snapshot, self._prepare, self._extra = build, snapshot, prepare, extra
        self._wake = threading.Condition()
        self._inbox: dict[str, Callable[[], None]] = {}
        self._stopping = False
        self._steps_wanted = 0
        self._step_interval = self._next_step = 0.0
        self._frame: Frame | None = None
        self._observed: Frame | None = None
        self._status = Status(running=running, settings=dict(settings))
        self._recording: Recording | None = None
        self._marks: deque[tuple[float, int]] = deque()
        self._done = 0
        self._due = {"frame": 0.0, "observed": 0.0}
        self.history: deque[dict[str, float]] = deque(maxlen=HISTORY_LENGTH)
        self.simulation: Any = None
        self.first: Any = None
        self._inbox["rebuild"] = lambda: self._rebuilt(dict(settings))
        self._thread = threading.Thread(target=self._work, name="spinviz-worker", daemon=True)
        self._thread.start()

    # What the page calls: none of these waits for the worker, but stop().

    @property
    def status(self) -> Status:
        return self._status

    @property
    def alive(self) -> bool:
        """True while the worker thread lives."""
        return self._thread.is_alive()

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
        """Like :meth:`post`, for changes that put the clock back: history and rate start anew."""
        self._put("restart", lambda: self._changed(change, forget=True))

    def start(self) -> None:
        self._put("run", lambda: self._set(running=True, message=""))

    def pause(self) -> None:
        self._put("run", lambda: self._set(running=False))

    def step(self, count: int = 1) -> None:
        """Pause and take ``count`` steps."""

        def wanted() -> None:
            self._set(running=False, message="")
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

    def stop(self) -> None:
        """End the worker and wait for it; the last step is finished first."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(STOP_TIMEOUT)

    # What the worker does.

    def _put(self, key: str, action: Callable[[], None]) -> None:
        with self._wake:
            self._inbox.pop(key, None)  # the newer one also takes the later turn
            self._inbox[key] = action
            self._wake.notify()

    def _work(self) -> None:
        self._guarded(self._prepare)
        while not self._stopping:
            self._drain()
            active = self.simulation is not None and (self._status.running or self._steps_wanted > 0)
            rest = max(0.0, self._next_step - time.perf_counter()) if active else IDLE_SECONDS
            if active and rest == 0:
                self._next_step = time.perf_counter() + self._step_interval
                self._guarded(self._advance)
                time.sleep(BREATH)
                continue
            with self._wake:
                if not self._inbox and not self._stopping:
                    self._wake.wait(rest)
        self._guarded(lambda: self._recording_set(None))

    def _drain(self) -> None:
        while True:
            with self._wake:
                if not self._inbox or self._stopping:
                    return
                action = self._inbox.pop(next(iter(self._inbox)))
            self._guarded(action, pausing=False)

    def _guarded(self, action: Callable[[], None], pausing: bool = True) -> None:
        try:
            action()
        except Exception as error:  # every failure is shown to the reader of the page
            self._steps_wanted = 0
            running = self._status.running and not pausing
            refused = self._status.refused + 1
            self._set(message=sentence(error), running=running, building=False, refused=refused)

    def _set(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)

    def _advance(self) -> None:
        candidate = self.simulation.advance(1)
        self.simulation = candidate
        self._steps_wanted = max(0, self._steps_wanted - 1)
        self._done += 1
        self._mark_rate()
        self._publish(always=not self._status.running and self._steps_wanted == 0)
        if self._recording is not None and self._recording.wants(candidate.state.step):
            self._guarded(self._record, pausing=False)

    def _changed(self, change: Change, forget: bool = False, settings: Mapping[str, Any] | None = None) -> None:
        if self.simulation is None:
            raise RuntimeError("there is no simulation to change yet; choose settings that can be built")
        candidate = change(self.simulation)
        self.simulation = candidate
        if forget:
            self.history.clear()
            self._marks.clear()
        known = {**self._status.settings, **(settings or {})}
        self._set(changed=self._status.changed + 1, message="", settings=known)
        self._publish(always=True)

    def _rebuilt(self, settings: dict[str, Any]) -> None:
        self._set(building=True)
        candidate = self._build(settings)
        self._recording_set(None)
        self.simulation = self.first = candidate
        self.history.clear()
        self._marks.clear()
        self._set(building=False, settings=settings, built=self._status.built + 1, message="")
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

    def _publish(self, always: bool) -> None:
        """Leave the newest frame; measure observables as often as they cost no more than a tenth of the time."""
        now = time.perf_counter()
        if always or now >= self._due["frame"]:
            self._frame = self._snapshot(self.simulation, ())
            self._due["frame"] = now + FRAME_INTERVAL
        state = self.simulation.state
        self._set(step=state.step, time=float(state.time[0]))
        if always or now >= self._due["observed"]:
            self._observe()

    def _observe(self) -> None:
        self.simulation.response()  # the next step needs it anyway, so it is no cost of looking
        begin = time.perf_counter()
        names = EVERYWHERE + ON_TRIANGLES if len(self.simulation.lattice.plaquettes) else EVERYWHERE
        observed = self._snapshot(self.simulation, names + self._extra)
        end = time.perf_counter()
        rest = min((end - begin) / OBSERVATION_SHARE, LONGEST_REST)  # a first one may take long for once
        self._due["observed"] = end + max(OBSERVATION_INTERVAL, rest)
        self.history.append(scalars(observed))
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


def sentence(error: Exception) -> str:
    """The message of an error in one line; its type only where there is no text."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for this; choose a smaller size"
    return " ".join(str(error).split()) or type(error).__name__
