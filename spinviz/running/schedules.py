"""Schedules: parameters that follow a plan while the run goes on, as pure functions of the time since it began.

Ramp: a parameter goes linearly from one value to another, v(t) = v0 + (v1 - v0) t / duration; then it stays.
Hysteresis loop: the field along n goes +H -> -H -> +H at constant rate (``loops`` times), and M.n is recorded against it.
The worker sets the values before each step, at the time in the middle of that step.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spinviz.controls import BATH, FIELD
from spinviz.running.changes import value_at, with_values

MOST_POINTS = 2000
Values = dict[str, Any]


class Schedule(ABC):
    """A plan of ``duration`` (hbar/t1) with a ``title`` for the page."""

    duration: float
    title: str

    @abstractmethod
    def values(self, elapsed: float) -> Values:
        """Dotted path -> value at a time since the beginning; those of the end afterwards."""

    def applied(self, simulation: Any, elapsed: float) -> Any:
        """The simulation with the values of this time. Raises ValueError for values that it cannot take."""
        return with_values(simulation, self.values(elapsed))

    def progress(self, elapsed: float) -> float:
        """Share of the plan that is done, 0 to 1."""
        return min(1.0, max(0.0, elapsed / self.duration)) if self.duration > 0 else 1.0

    def measured(self, simulation: Any) -> tuple[float, float] | None:
        """A point to record after a step, or None."""
        return None


@dataclass(frozen=True)
class Ramp(Schedule):
    """Every path of ``ends`` from its first to its second value (numbers, or three of them) in ``duration``.

    Raises ValueError unless the values are finite, of one length, and the duration is finite and > 0.
    """

    ends: Mapping[str, tuple[Any, Any]]
    duration: float
    title: str = "Ramp"

    def __post_init__(self) -> None:
        _check_duration(self.title, self.duration)
        for path, (begin, end) in self.ends.items():
            first, last = np.asarray(begin, dtype=float), np.asarray(end, dtype=float)
            if first.shape != last.shape or not (np.isfinite(first).all() and np.isfinite(last).all()):
                raise ValueError(f"{self.title}: {path} needs two finite values of one kind, got {begin} and {end}")

    def values(self, elapsed: float) -> Values:
        share = self.progress(elapsed)
        found: Values = {}
        for path, (begin, end) in self.ends.items():
            value = (1 - share) * np.asarray(begin, dtype=float) + share * np.asarray(end, dtype=float)
            found[path] = tuple(value.tolist()) if value.ndim else float(value)
        return found


@dataclass(frozen=True)
class Hysteresis(Schedule):
    """Field along ``direction`` from +``largest`` to -``largest`` and back in ``duration``, ``loops`` times in all.

    Raises ValueError for a direction of length 0, largest <= 0, loops < 1 or a senseless duration.
    """

    largest: float
    duration: float
    direction: tuple[float, float, float] = (0.0, 0.0, 1.0)
    loops: int = 1
    title: str = "Hysteresis loop"

    def __post_init__(self) -> None:
        _check_duration(self.title, self.duration)
        if not (math.isfinite(self.largest) and self.largest > 0) or int(self.loops) != self.loops or self.loops < 1:
            raise ValueError(
                f"{self.title}: the largest field must be > 0 and loops >= 1, got {self.largest}, {self.loops}"
            )
        vector = np.asarray(self.direction, dtype=float)
        if vector.shape != (3,) or not np.isfinite(vector).all() or not np.linalg.norm(vector) > 0:
            raise ValueError(f"{self.title}: direction must be three numbers, not all zero, got {self.direction}")
        object.__setattr__(self, "direction", tuple((vector / np.linalg.norm(vector)).tolist()))

    def along(self, elapsed: float) -> float:
        """The field along the direction: a triangle wave that begins at its maximum."""
        phase = (self.progress(elapsed) * self.loops) % 1.0
        return self.largest * (4 * abs(phase - 0.5) - 1)

    def values(self, elapsed: float) -> Values:
        x, y, z = (self.along(elapsed) * part for part in self.direction)
        return {FIELD: (x, y, z)}

    def measured(self, simulation: Any) -> tuple[float, float]:
        """(H.n, M.n) of the first replica, M per site."""
        mean = simulation.state.spin[0].mean(0).tolist()
        return _along(value_at(simulation, FIELD), self.direction), _along(mean, self.direction)


@dataclass
class Running:
    """A schedule at work since ``began`` (time of the run); ``points`` is what it measured."""

    schedule: Schedule
    began: float
    points: list[tuple[float, float]]
    every: int = 1

    @classmethod
    def of(cls, schedule: Schedule, simulation: Any) -> Running:
        """Begin now."""
        steps = schedule.duration / _step_length(simulation)
        return cls(schedule, _time(simulation), [], max(1, math.ceil(steps / MOST_POINTS)))

    def before(self, simulation: Any) -> Any:
        """The simulation with the values for the step that comes."""
        elapsed = _time(simulation) - self.began
        return self.schedule.applied(simulation, elapsed + _step_length(simulation) / 2)

    def after(self, simulation: Any) -> None:
        """Measure what the schedule measures."""
        if simulation.state.step % self.every == 0 and (point := self.schedule.measured(simulation)) is not None:
            self.points.append(point)

    def progress(self, simulation: Any) -> float:
        """Share that is done, 0 to 1."""
        return self.schedule.progress(_time(simulation) - self.began)

    def done(self, simulation: Any) -> bool:
        """True at the end, within a rounding of the clock."""
        return _time(simulation) - self.began >= self.schedule.duration - 1e-6 * _step_length(simulation)


def temperature_ramp(begin: float, end: float, duration: float, electrons: str = "", floor: float = 0.0) -> Ramp:
    """The bath from ``begin`` to ``end``; ``electrons`` is the path of electrons that follow it, not below ``floor``."""
    ends: dict[str, tuple[Any, Any]] = {BATH: (begin, end)}
    if electrons:
        ends[electrons] = (max(begin, floor), max(end, floor))
    return Ramp(ends, duration, "Temperature ramp")


def field_ramp(begin: Sequence[float], end: Sequence[float], duration: float) -> Ramp:
    """The field vector from ``begin`` to ``end``."""
    return Ramp({FIELD: (tuple(begin), tuple(end))}, duration, "Field ramp")


def _check_duration(title: str, duration: float) -> None:
    if not (math.isfinite(duration) and duration > 0):
        raise ValueError(f"{title}: the duration must be a time > 0 (hbar/t1), got {duration}")


def _along(vector: Sequence[float], direction: Sequence[float]) -> float:
    return float(sum(a * b for a, b in zip(vector, direction, strict=True)))


def _time(simulation: Any) -> float:
    return float(simulation.state.time[0])


def _step_length(simulation: Any) -> float:
    return float(simulation.dynamics.time_step)
