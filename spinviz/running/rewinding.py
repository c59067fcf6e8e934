"""Changes of a running simulation that can be taken back: parameters, tools, new systems, the time line and undo.

States are kept on a time line: the page can look at one and go on from there. What a tool, a quench, a new system or
going on from an earlier state replaces is remembered and can be taken back: no run is lost by a click.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spinviz.running.schedules import Running, Schedule
from spinviz.running.stepping import Stepping
from spinviz.running.timeline import Entry, Undo
from spinviz.running.tools import Edit

Build = Callable[[dict[str, Any]], Any]
Change = Callable[[Any], Any]
TakeUp = Callable[[Any, Any], Any]


class Rewinding(Stepping):
    """What the worker does with the page's wishes. ``build``, ``take_up``, ``fallback``: see
    :class:`spinviz.session.Session`; the others are those of :class:`Stepping`."""

    def __init__(self, build: Build, take_up: TakeUp, fallback: Mapping[str, Any] | None, *others: Any) -> None:
        super().__init__(*others)
        self._build, self._take_up, self._fallback = build, take_up, fallback
        self._undo = Undo()
        self._epoch = 0
        self.first: Any = None

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
        if isinstance(change, Edit) and self._recording is not None:
            self._recording.note(change.word)
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
