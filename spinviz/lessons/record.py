"""What a measurement is: samples of a running simulation, and a number with its standard error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import Simulation


@dataclass(frozen=True)
class Outcome:
    """``value`` and its standard error (0 where nothing fluctuates)."""

    value: float
    error: float = 0.0


@dataclass(frozen=True, eq=False)
class Record:
    """``samples`` (n, ...) taken at ``times`` (n,), and the simulation at the end."""

    times: np.ndarray
    samples: np.ndarray
    last: Simulation

    @property
    def elapsed(self) -> np.ndarray:
        """Time since the measurement began (n,)."""
        return self.times - self.times[0]


def nothing(simulation: Simulation) -> float:
    """The sample of measurements that only look at the end."""
    return 0.0


@dataclass(frozen=True)
class Measurement:
    """``sample`` looks at the simulation every few steps; ``conclude`` makes the outcome of all samples and the check's
    options. ``name`` and ``unit`` are shown."""

    name: str
    unit: str
    conclude: Callable[..., Outcome]
    sample: Callable[[Simulation], Any] = nothing
