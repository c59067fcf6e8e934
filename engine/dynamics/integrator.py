"""What every integrator is: a pure function from a state to the state one step later."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from engine.forces import ForceProvider, Response
from engine.noise import Noise
from engine.state import SpinState


class Integrator(ABC):
    """A frozen dataclass with a ``time_step`` (hbar/t1) and a ``step``. Nothing is remembered between steps."""

    time_step: float

    @abstractmethod
    def step(
        self, state: SpinState, force: ForceProvider, noise: Noise, response: Response | None = None
    ) -> tuple[SpinState, Response]:
        """The state one step later, and the response of the force at the *start* of the step.

        Pass ``response`` when the force at ``state`` is already known; it then is not evaluated again.
        """


def require_number(owner: str, name: str, value: float, positive: bool = False) -> None:
    """Raise ValueError unless ``value`` is a finite number >= 0 (> 0 if ``positive``)."""
    bound = "> 0" if positive else ">= 0"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{owner}: {name} must be a number {bound}, got {value!r}")
    if not math.isfinite(value) or value < 0 or (positive and value == 0):
        raise ValueError(f"{owner}: {name} must be finite and {bound}, got {value}; choose a number {bound}")
