"""What a session tells its page, in numbers and one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.frame import Frame


@dataclass(frozen=True)
class Status:
    """What the page always shows. ``message`` is the last error as one sentence, "" when all is well.

    ``built``, ``changed``, ``refused`` count new simulations, changes made, and changes, builds or steps that failed.
    ``looking``: step of the kept state that is shown instead of the present one, or None. ``undoable``, ``redoable``:
    how often. ``schedule`` and ``progress`` (0 to 1): the plan that is under way, "" for none.
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
    looking: int | None = None
    undoable: int = 0
    redoable: int = 0
    schedule: str = ""
    progress: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)


def scalars(frame: Frame) -> dict[str, float]:
    """Step, time and every observable that is one number for the first replica."""
    values = {"step": float(frame.step), "time": float(frame.time[0])}
    for name, value in frame.observables.items():
        if value.ndim == 1:
            values[name] = float(value[0])
    if "magnetization" in frame.observables:
        values["magnetization"] = float(np.linalg.norm(frame.observables["magnetization"][0]))
    return values
