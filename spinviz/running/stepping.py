"""One simulation in one worker thread: steps, newest frame, observables, curves, plan and recording.

The worker leaves the newest frame in a place for one, where the page looks when it has time: a slow page skips frames and
never queues them. A step that fails leaves the simulation as it was, and its message is kept for the page. The worker
touches nothing of the page, and the page no tensor.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from engine.frame import Frame
from spinviz.running.recording import Recording
from spinviz.running.schedules import Running
from spinviz.running.status import Status, scalars
from spinviz.running.timeline import Timeline, without_response
from spinviz.running.worker import Worker, sentence
from spinviz.serving.sharing import Share

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

EVERYWHERE = ("energy", "magnetization", "force")
ON_TRIANGLES = ("topological_charge", "scalar_chirality", "topological_charge_density", "structure_factor", "domain_length",
                "domain_length_spin", "correlation_length")  # fmt: skip

Snapshot = Callable[[Any, tuple[str, ...]], Frame]


class Stepping(Worker):
    """The thread's work. Its parameters: see :class:`spinviz.session.Session`."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        snapshot: Snapshot,
        running: bool,
        prepare: Callable[[], None],
        extra: tuple[str, ...],
        may_step: Callable[[Any], bool],
        share: Share,
    ) -> None:
        super().__init__("spinviz-worker")
        self._snapshot, self._prepare, self._extra = snapshot, prepare, extra
        self._may_step, self._share = may_step, share
        self._steps_wanted = 0
        self._step_interval = self._next_step = 0.0
        self._frame: Frame | None = None
        self._observed: Frame | None = None
        self._status = Status(running=running, settings=dict(settings))
        self._recording: Recording | None = None
        self._plan: Running | None = None
        self._looking: Any = None
        self._stale = False
        self._marks: deque[tuple[float, int]] = deque()
        self._done = 0
        self._due = {"frame": 0.0, "observed": 0.0, "kept": 0.0}
        self.history: deque[dict[str, float]] = deque(maxlen=HISTORY_LENGTH)
        self.timeline = Timeline()
        self.simulation: Any = None

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
            with self._share.turn:
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

    def _present(self) -> Any:
        if self.simulation is None:
            raise RuntimeError("there is no simulation to change yet; choose settings that can be built")
        return self.simulation

    def _paused(self) -> None:
        """Rest, and keep the state at rest."""
        self._set(running=False)
        if self.simulation is not None:
            self._keep(always=True)

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
            self._due["frame"] = now + FRAME_INTERVAL * self._share.pages
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
        self._due["observed"] = end + max(OBSERVATION_INTERVAL * self._share.pages, rest)
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
            recording.write(self._snapshot(self.simulation, recording.observables), self.simulation)
            self._set(recorded=recording.frames)
        except Exception:
            self._recording_set(None)
            raise
