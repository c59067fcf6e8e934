"""Experiment: a simulation that is being measured. State in, state out, like the simulation itself.

It has what a session asks of a simulation (state, lattice, advance, response), takes a sample every few steps, and
has an ``outcome`` once the run is long enough: the same numbers on the page and without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine import Lattice, Response, Simulation, SpinState, snapshot, updated
from engine.frame import Frame
from spinviz.lessons.checks import MEASUREMENTS, Outcome, Record
from spinviz.lessons.lesson import KNOBS, Check, Step
from spinviz.running.changes import built


@dataclass(frozen=True, eq=False)
class Experiment:
    """``check`` is what is being measured (None: nothing), ``begin`` the step at which that began.

    Each experiment has a copy of the simulation, so that one that is kept holds no electrons.
    """

    simulation: Simulation
    check: Check | None = None
    begin: int = 0
    times: tuple[float, ...] = ()
    samples: tuple[np.ndarray, ...] = ()
    outcome: Outcome | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "simulation", replace(self.simulation))

    @property
    def state(self) -> SpinState:
        return self.simulation.state

    @property
    def lattice(self) -> Lattice:
        return self.simulation.lattice

    @property
    def settings(self) -> dict[str, Any]:
        return self.simulation.settings

    @property
    def progress(self) -> float:
        """How much of the measurement is done, from 0 to 1."""
        return 0.0 if self.check is None else min(1.0, (self.state.step - self.begin) / self.check.steps)

    def response(self) -> Response:
        return self.simulation.response()

    def measuring(self, check: Check, start: SpinState | None = None) -> Experiment:
        """The same simulation at the beginning of a measurement, from its own state or from ``start``."""
        simulation = self.simulation if start is None else replace(self.simulation, state=start)
        return Experiment(simulation, check, simulation.state.step)._sampled()

    def advance(self, n: int = 1) -> Experiment:
        """``n`` steps later; samples are taken on the way, and the outcome when the check has had its steps."""
        experiment = self
        for _ in range(n):
            experiment = replace(experiment, simulation=experiment.simulation.advance(1))._sampled()
        return experiment

    def _sampled(self) -> Experiment:
        if self.check is None or self.outcome is not None:
            return self
        done = self.state.step - self.begin
        measurement = MEASUREMENTS[self.check.measure]
        now = self
        if done % self.check.every == 0 or done >= self.check.steps:
            sample = np.asarray(measurement.sample(self.simulation), dtype=np.float64)
            now = replace(self, times=(*self.times, float(self.state.time[0])), samples=(*self.samples, sample))
        if done < self.check.steps:
            return now
        record = Record(np.array(now.times), np.stack(now.samples), self.simulation)
        return replace(now, outcome=measurement.conclude(record, **self.check.options))


def prepared(settings: Mapping[str, Any]) -> Experiment:
    """The experiment of a set-up, at rest: what a session builds."""
    return Experiment(built(settings))


def turned(present: Experiment, knob: str, value: float) -> Experiment:
    """The experiment after a knob was turned; the field knob turns its z component."""
    wanted = (0.0, 0.0, value) if knob == "field" else value
    return replace(present, simulation=updated(present.simulation, {KNOBS[knob]: wanted}))


def look(present: Experiment, observables: tuple[str, ...] = ()) -> Frame:
    """The frame of the simulation in it."""
    return snapshot(present.simulation, observables)


def measured(step: Step, changes: Mapping[str, Any] | None = None, knobs: Mapping[str, float] | None = None) -> Outcome:
    """Run a step's check without a page, on its set-up with ``changes``, ``knobs`` turned to these values."""
    assert step.check is not None, "this step has nothing to measure"
    experiment = prepared({**step.setup, **(changes or {})})
    for knob, value in (knobs or {}).items():
        experiment = turned(experiment, knob, value)
    outcome = experiment.measuring(step.check).advance(step.check.steps).outcome
    assert outcome is not None
    return outcome
