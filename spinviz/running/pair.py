"""Two runs from the same start, with other parameters or forces, locked in time.

Each run has its own session and worker; a lock lets the one that is behind step first, so they are never more than one
step apart. What is compared belongs to equal times:

    angle = mean over sites of arccos(S_A . S_B),    M_A and M_B,    Q_A and Q_B.

Two runs of a chaotic system part exponentially: the angle grows from 0 to 90 degrees (independent spins) however small
the difference, and the question is how soon.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from engine import snapshot, topological_charge
from spinviz.running.changes import quenched, restarted
from spinviz.running.rewinding import Build
from spinviz.running.tools import returned
from spinviz.serving.sharing import Share
from spinviz.session import Session

RUNS = 2


class Lockstep:
    """Keeps runs together in time: one may step when none of the others is behind it.

    Paused, all go on to the time of the foremost and rest there.
    """

    def __init__(self, runs: int) -> None:
        self._times = [0.0] * runs
        self._ends = [0.0] * runs  # times after the steps that were allowed
        self._target: float | None = 0.0
        self._lock = threading.Lock()

    @property
    def paused(self) -> bool:
        return self._target is not None

    def may_step(self, run: int, simulation: Any) -> bool:
        """Whether this run may step from where it is; called by its worker."""
        time, rounding = float(simulation.state.time[0]), 1e-6 * float(simulation.dynamics.time_step)
        with self._lock:
            self._times[run] = time
            wanted = self._target is None or time < self._target - rounding
            allowed = wanted and time <= min(self._times) + rounding
            self._ends[run] = time + float(simulation.dynamics.time_step) if allowed else time
        return allowed

    def pause(self) -> None:
        with self._lock:
            self._target = max(self._ends)

    def start(self) -> None:
        with self._lock:
            self._target = None

    def run_to(self, time: float) -> None:
        """Go on and rest at this time."""
        with self._lock:
            self._target = time

    def reset(self) -> None:
        """All clocks were put back; a pause lasts."""
        with self._lock:
            self._times = [0.0] * len(self._times)
            self._ends = [0.0] * len(self._ends)
            self._target = None if self._target is None else 0.0


@dataclass(frozen=True)
class Difference:
    """Of two runs at one ``time``: mean ``angle`` between their spins (degrees), magnetizations (3,), charges or None."""

    time: float
    angle: float
    magnetizations: tuple[np.ndarray, np.ndarray]
    charges: tuple[float, float] | None


def difference(one: Any, two: Any) -> Difference | None:
    """Compare two simulations (first replicas); None when they are not at the same time or not on the same sites."""
    first, second = snapshot(one), snapshot(two)
    same = abs(first.time[0] - second.time[0]) < 1e-6 * min(one.dynamics.time_step, two.dynamics.time_step)
    if not same or first.spin.shape != second.spin.shape:
        return None
    a, b = (frame.spin[0].astype(np.float64) for frame in (first, second))
    across = np.linalg.norm(np.cross(a, b), axis=1)
    angle = float(np.degrees(np.arctan2(across, (a * b).sum(1)).mean()))  # exact at small angles, unlike arccos
    charges = None
    if len(one.lattice.plaquettes):
        charges = tuple(float(topological_charge(s.state.spin, s.lattice)[0]) for s in (one, two))
    return Difference(float(first.time[0]), angle, (a.mean(0), b.mean(0)), charges)  # type: ignore[arg-type]


class Pair:
    """The ``sessions`` of two runs and their ``lock``; both begin paused.

    ``build``, ``settings``, ``prepare``, ``share``: see :class:`spinviz.session.Session`.
    """

    def __init__(
        self, build: Build, settings: Mapping[str, Any], prepare: Callable[[], None], share: Share | None = None
    ) -> None:
        self.lock = Lockstep(RUNS)
        self._quenches = 0
        self.sessions = [
            Session(
                build, settings, lambda simulation, names: snapshot(simulation, ()), running=False, prepare=prepare,
                take_up=returned, may_step=partial(self.lock.may_step, index), share=share,
            )
            for index in range(RUNS)
        ]  # fmt: skip

    @property
    def simulations(self) -> list[Any]:
        """What both workers have now; None before the first is built."""
        return [session.simulation for session in self.sessions]

    def start(self) -> None:
        """Run both."""
        self.lock.start()
        for session in self.sessions:
            session.start()

    def toggle(self) -> None:
        """Run both, or let them rest at one time."""
        if self.lock.paused:
            self.start()
        else:
            self.lock.pause()

    def step(self) -> None:
        """One step of both, the longer of the two, from the time of the foremost."""
        simulations = self.simulations
        if all(simulation is not None for simulation in simulations):
            foremost = max(float(simulation.state.time[0]) for simulation in simulations)
            self.lock.run_to(foremost + max(float(simulation.dynamics.time_step) for simulation in simulations))
            for session in self.sessions:
                session.start()

    def reset(self) -> None:
        """Both go back to their first spins."""
        self.lock.reset()
        for session in self.sessions:
            session.restart(partial(_back_to_first, session))

    def quench(self) -> None:
        """The same new random spins in both."""
        self._quenches += 1
        count = self._quenches
        self.lock.reset()
        for session in self.sessions:
            session.restart(lambda present: quenched(present, count))

    def meet(self) -> None:
        """B goes on from the present spins of A, at A's time."""
        one, two = self.sessions
        if one.simulation is not None:
            state = one.simulation.state
            two.restart(lambda present: _at_state(present, state))

    def rebuild(self, settings: Sequence[Mapping[str, Any]]) -> None:
        """Both start anew, each with its own settings."""
        for session, wanted in zip(self.sessions, settings, strict=True):
            self.lock.reset()
            session.rebuild(wanted)

    def difference(self) -> Difference | None:
        """:func:`difference` of the two at this moment."""
        one, two = self.simulations
        return None if one is None or two is None else difference(one, two)

    def stop(self) -> None:
        """Stop both workers."""
        for session in self.sessions:
            session.stop()


def _back_to_first(session: Session, present: Any) -> Any:
    return restarted(present, session.first)


def _at_state(present: Any, state: Any) -> Any:
    if state.sites != present.state.sites:
        raise ValueError("the two runs are not on the same lattice; choose the same size for both")
    return replace(present, state=state)
