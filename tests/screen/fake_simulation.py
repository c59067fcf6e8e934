"""A simulation that is not one: spins that stay, a clock that ticks. For tests of what surrounds a simulation."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from engine import Frame, Lattice, square


@dataclass(frozen=True)
class FakeState:
    """Step and time of the fake."""

    step: int = 0
    time: tuple[float, ...] = (0.0,)
    spin: ClassVar[np.ndarray] = np.zeros((1, 16, 3), np.float32)


@dataclass(frozen=True)
class FakeSimulation:
    """``value`` is what tests change; ``fails_at`` is a step that raises; ``seconds`` is what a step takes."""

    lattice: Lattice
    state: FakeState = FakeState()
    value: float = 0.0
    fails_at: int = -1
    seconds: float = 0.001

    def advance(self, n: int = 1) -> FakeSimulation:
        step = self.state.step + n
        time.sleep(self.seconds)
        if step == self.fails_at:
            raise FloatingPointError(f"step {step} gave\nspins that are not finite")
        return replace(self, state=FakeState(step, (0.1 * step,)))

    def response(self) -> None:
        return None


def fake_build(settings: dict[str, Any]) -> FakeSimulation:
    """Settings: "size", "fails_at", "seconds". Refuses sizes below 3 as the engine does."""
    changes = {key: value for key, value in settings.items() if key in ("fails_at", "seconds", "value")}
    return FakeSimulation(square(settings.get("size", 4)), **changes)


def fake_snapshot(simulation: FakeSimulation, observables: tuple[str, ...] = ()) -> Frame:
    """All spins up; every observable is ``value``, magnetization a vector."""
    spin = np.zeros((1, simulation.lattice.sites, 3), np.float32)
    spin[..., 2] = 1
    values = {name: np.full((1, 3) if name == "magnetization" else (1,), simulation.value) for name in observables}
    return Frame(simulation.state.step, np.array(simulation.state.time), spin, simulation.lattice, values)
