"""Simulation: state, force, dynamics and noise, put together. State in, state out: nothing here is ever modified.

    later = simulation.advance(100)
    hotter = updated(later, {"dynamics.temperature": 0.02})

A run is a pure function of these four: the same numbers come out bit for bit on a CPU (to rounding on a GPU, where
sums have no fixed order), whether it is made in one go, in pieces, or continued from a checkpoint.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from engine import observables as observables_room
from engine.changes import with_changes
from engine.dynamics.integrator import Integrator
from engine.dynamics.time_step import suggest_time_step
from engine.dynamics.vectors import in_step_order
from engine.forces import ForceProvider, Response
from engine.frame import Frame
from engine.lattice import Lattice
from engine.noise import Noise
from engine.state import SpinState


class StepFailed(RuntimeError):  # noqa: N818 - the name says what happened
    """A step gave NaN, or had no memory. ``last_good`` is the simulation before the call; it is intact."""

    def __init__(self, message: str, last_good: Simulation) -> None:
        super().__init__(message)
        self.last_good = last_good


@dataclass(frozen=True, eq=False)
class Simulation:
    """A running system.

    Parameters
    ----------
    state : spins (B, N, 3), time (B,), step.
    force : what acts on the spins.
    dynamics : how they move, for example HeunLLG.
    noise : one seed per replica.
    settings : JSON-ready description of the call that made this simulation; carried along, never interpreted.

    Raises ValueError when the parts do not fit each other.
    """

    state: SpinState
    force: ForceProvider
    dynamics: Integrator
    noise: Noise
    settings: dict[str, Any] = field(default_factory=dict)
    _response: Response | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        kinds = {"state": SpinState, "force": ForceProvider, "dynamics": Integrator, "noise": Noise, "settings": dict}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise ValueError(f"Simulation: {name} must be a {kind.__name__}, got {type(value).__name__}")
        if len(self.noise.seeds) != self.state.replicas:
            raise ValueError(
                f"Simulation: noise needs one seed per replica, got {len(self.noise.seeds)} seeds for "
                f"{self.state.replicas} replicas"
            )
        lattice = _find_lattice(self.force)
        if lattice is not None and lattice.sites != self.state.sites:
            raise ValueError(
                f"Simulation: the lattice of the force has {lattice.sites} sites, the state {self.state.sites}; "
                "build both on one lattice"
            )
        object.__setattr__(self, "state", in_step_order(self.state))

    @cached_property
    def lattice(self) -> Lattice:
        """The lattice of the force. Raises ValueError when the force has none."""
        lattice = _find_lattice(self.force)
        if lattice is None:
            raise ValueError("this force has no lattice (a uniform field alone); add a term with one, such as exchange")
        return lattice

    def response(self) -> Response:
        """Force, energy and electrons at the present state; computed once, and used by the next step."""
        if self._response is None:
            try:
                object.__setattr__(self, "_response", self.force(self.state))
            except (RuntimeError, MemoryError) as error:
                raise StepFailed(f"the force could not be computed: {error}", self) from error
        assert self._response is not None
        return self._response

    def advance(self, n: int = 1) -> Simulation:
        """The simulation ``n`` steps later.

        Raises StepFailed, with this simulation as ``last_good``, when a step fails or the spins are not finite
        afterwards (looked at once, at the end); ValueError for n < 0.
        """
        if isinstance(n, bool) or int(n) != n or n < 0:
            raise ValueError(f"advance needs a number of steps >= 0, got {n!r}")
        if n == 0:
            return self
        state, response = self.state, self._response
        try:
            for _ in range(int(n)):
                state, _used = self.dynamics.step(state, self.force, self.noise, response)
                response = None
        except (RuntimeError, MemoryError) as error:
            message = f"step {state.step} failed: {error}. The state at step {self.state.step} is intact"
            raise StepFailed(message, self) from error
        if not math.isfinite(float(state.spin.sum())):  # NaN and infinity survive a sum of unit vectors
            raise StepFailed(self._advice(state.step), self)
        return self._at(state)

    def frames(self, count: int, every: int = 1, observables: Sequence[str] = ()) -> Generator[Frame, None, Simulation]:
        """``count`` frames, ``every`` steps apart; the first is the present state.

        The generator returns the simulation at the last frame (``last = yield from simulation.frames(...)``).
        """
        if int(count) != count or count < 1 or int(every) != every or every < 1:
            raise ValueError(f"frames needs whole numbers count >= 1 and every >= 1, got count={count}, every={every}")
        simulation = self
        yield snapshot(simulation, observables)
        for _ in range(int(count) - 1):
            simulation = simulation.advance(every)
            yield snapshot(simulation, observables)
        return simulation

    def _at(self, state: SpinState) -> Simulation:
        """The same simulation at another state; not validated."""
        later = object.__new__(Simulation)
        for name in ("force", "dynamics", "noise", "settings"):
            object.__setattr__(later, name, getattr(self, name))
        object.__setattr__(later, "state", state)
        object.__setattr__(later, "_response", None)
        if "lattice" in self.__dict__:
            later.__dict__["lattice"] = self.lattice
        return later

    def _advice(self, step: int) -> str:
        """What to say when the spins are not finite."""
        half = self.dynamics.time_step / 2
        try:
            proposed = suggest_time_step(self.state, self.force)
        except RuntimeError:
            proposed = math.nan
        smaller = proposed if proposed < half else half
        return (
            f"spins are not finite after steps {self.state.step} to {step}; the state at step {self.state.step} is "
            f"intact. Try a smaller time step: {smaller:.3g} instead of {self.dynamics.time_step:.3g}; if that does "
            "not help, the force itself is not finite: check the model's parameters"
        )


def updated(simulation: Simulation, changes: Mapping[str, Any]) -> Simulation:
    """The simulation with other parameters: ``updated(sim, {"dynamics.damping": 0.2})``.

    Paths walk through fields, the named terms of a SumForce and tuple indices, for example
    "force.electrons.ensemble.temperature" or "force.zeeman.model.field". All or nothing: every object is rebuilt
    by its own constructor, and a path or value that does not fit raises ValueError that names it.
    """
    changed = with_changes(simulation, changes)
    if changed.force is simulation.force and changed.state is simulation.state:
        object.__setattr__(changed, "_response", simulation._response)
    return changed


def snapshot(simulation: Simulation, observables: Sequence[str] = ()) -> Frame:
    """A Frame of the present state: spins in float32, and the named observables.

    With observables, the force at this state is computed (and kept for the next step).
    """
    state = simulation.state
    values: dict[str, np.ndarray] = {}
    if observables:
        values = observables_room.observe(tuple(observables), state, simulation.lattice, simulation.response())
    spin = np.ascontiguousarray(state.spin.detach().to("cpu", torch.float32).numpy()).copy()
    time = state.time.detach().to("cpu", torch.float64).numpy().copy()
    return Frame(state.step, time, spin, simulation.lattice, values)


def _find_lattice(node: Any) -> Lattice | None:
    """The first lattice among the fields of nested dataclasses, dictionaries and tuples."""
    if isinstance(node, Lattice):
        return node
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        parts: Sequence[Any] = [getattr(node, item.name) for item in dataclasses.fields(node)]
    elif isinstance(node, dict):
        parts = list(node.values())
    elif isinstance(node, tuple | list):
        parts = node
    else:
        return None
    return next((found for part in parts if (found := _find_lattice(part)) is not None), None)
