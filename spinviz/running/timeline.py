"""What is kept of a run: a time line to go back on, and the states before each tool to take it back.

Kept are simulations (frozen, so keeping costs the memory of their spins, float32, and no copy): step and time are in
the state, the noise is a function of seed and step, and a run that goes on from a kept state repeats itself bit for bit.
The time line is thinned so that the distance of its frames grows in proportion to their age: the last steps are all
there, the beginning too, and in between about as many per decade of age.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

MOST_FRAMES = 300
MOST_BYTES = 48 * 2**20
FEWEST = 3
MOST_UNDO = 30


@dataclass(frozen=True)
class Stamp:
    """Step and time of a kept frame, and the number of the ``line`` (one more after each jump) that it was made on."""

    step: int
    time: float
    line: int = 0


class Timeline:
    """Frames of one run, oldest first, within limits of number and memory. Used by the worker; the page reads ``stamps``.

    Parameters
    ----------
    most_frames, most_bytes : limits; at least 3 frames are kept all the same.
    """

    def __init__(self, most_frames: int = MOST_FRAMES, most_bytes: int = MOST_BYTES) -> None:
        if most_frames < FEWEST or most_bytes <= 0:
            raise ValueError(
                f"a time line needs room for {FEWEST} frames and some bytes, got {most_frames}, {most_bytes}"
            )
        self._most_frames, self._most_bytes = most_frames, most_bytes
        self._kept: list[tuple[Stamp, Any]] = []
        self.line = 0
        self.stamps: tuple[Stamp, ...] = ()

    @property
    def bytes(self) -> int:
        """Memory of the kept spins."""
        return sum(spin_bytes(kept) for _, kept in self._kept)

    def keep(self, simulation: Any) -> None:
        """Keep this state as the newest; one of the same step is replaced, later ones are forgotten.

        The very same spins stay on the line on which they were made: that a branch begins there does not change it.
        """
        state, line = simulation.state, self.line
        self._cut(state.step)
        if self._kept and self._kept[-1][0].step == state.step and self._kept[-1][1].state.spin is state.spin:
            line = self._kept[-1][0].line
        self._cut(state.step - 1)
        self._kept.append((Stamp(state.step, float(state.time[0]), line), without_response(simulation)))
        while len(self._kept) > FEWEST and (len(self._kept) > self._most_frames or self.bytes > self._most_bytes):
            del self._kept[self._least_missed()]
        self.stamps = tuple(stamp for stamp, _ in self._kept)

    def jump(self, step: int, line: int | None = None) -> None:
        """The run goes on from ``step``: forget what came later and, back on ``line``, what was made on later lines."""
        self._cut(step)
        if line is not None:
            self._kept = [pair for pair in self._kept if pair[0].line <= line]
        self.line += 1
        self.stamps = tuple(stamp for stamp, _ in self._kept)

    def at(self, step: int) -> Any:
        """The newest kept simulation not after ``step``, or the oldest. Raises ValueError when nothing is kept."""
        if not self._kept:
            raise ValueError("nothing is kept of this run yet; let it make a step first")
        steps = [stamp.step for stamp, _ in self._kept]
        return self._kept[max(0, bisect_right(steps, step) - 1)][1]

    def _cut(self, step: int) -> None:
        while self._kept and self._kept[-1][0].step > step:
            self._kept.pop()

    def _least_missed(self) -> int:
        """Index of the frame that leaves the smallest gap in proportion to its age; never the first or the last."""
        steps = np.array([stamp.step for stamp, _ in self._kept], dtype=float)
        return 1 + int(((steps[2:] - steps[:-2]) / (steps[-1] - steps[1:-1] + 1)).argmin())


@dataclass(frozen=True)
class Entry:
    """A simulation to return to: ``epoch`` numbers the system it is of, which ``settings`` made and that began as
    ``first``; ``line`` is that of the time line."""

    simulation: Any
    epoch: int
    settings: Any
    first: Any
    line: int


class Undo:
    """Two stacks of :class:`Entry`, bounded in number and memory: the oldest go first."""

    def __init__(self, most: int = MOST_UNDO, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._past: list[Entry] = []
        self._future: list[Entry] = []

    @property
    def counts(self) -> tuple[int, int]:
        """How often can be undone and redone."""
        return len(self._past), len(self._future)

    def remember(self, entry: Entry) -> None:
        """Something new is going to be done from here: what was undone is forgotten."""
        self._future.clear()
        self._push(self._past, entry)

    def undo(self, present: Entry) -> Entry:
        """The state before the last tool; ``present`` can be redone. Raises ValueError when there is none."""
        return self._moved(self._past, self._future, present, "undo")

    def redo(self, present: Entry) -> Entry:
        """The state that the last undo left. Raises ValueError when there is none."""
        return self._moved(self._future, self._past, present, "redo")

    def _moved(self, source: list[Entry], target: list[Entry], present: Entry, name: str) -> Entry:
        if not source:
            raise ValueError(f"there is nothing to {name}")
        found = source.pop()
        self._push(target, present)
        return found

    def _push(self, stack: list[Entry], entry: Entry) -> None:
        stack.append(replace(entry, simulation=without_response(entry.simulation)))
        while len(stack) > self._most or (
            len(stack) > 1 and sum(spin_bytes(e.simulation) for e in stack) > self._most_bytes
        ):
            del stack[0]


def spin_bytes(simulation: Any) -> int:
    """Memory of its spins."""
    return int(simulation.state.spin.nbytes)


without_response: Callable[[Any], Any] = replace  # a copy computes its response anew and does not hold the electrons
