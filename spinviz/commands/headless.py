"""A run without a screen: advance, and hand Frames to a trajectory and a movie; stop well at any moment.

The state after the last complete stretch of steps is always known, so an interrupted run ends with readable files and
a checkpoint. Stretches last about a fifth of a second, and end where a frame is due. Ctrl-C is noted and obeyed between
stretches (:func:`asked_to_stop`): raised inside a callback of a C library the interruption would be lost.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from engine.checkpoint import save_checkpoint
from engine.frame import Frame
from engine.simulation import Simulation, StepFailed, snapshot

STRETCH_SECONDS = 0.2
CHECKPOINT_SECONDS = 60.0


class FrameWriter(Protocol):
    """What takes frames: TrajectoryWriter, MovieWriter."""

    def write(self, frame: Frame) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Recorded:
    """Outcome of :func:`record`: the last good ``simulation``, steps made, wall seconds, last frame, and why it ended
    early (None, "interrupted" or the message of a failed step)."""

    simulation: Simulation
    steps: int
    seconds: float
    last: Frame
    stopped: str | None


def record(
    simulation: Simulation,
    steps: int,
    every: int = 1,
    observables: Sequence[str] = (),
    writers: Sequence[FrameWriter] = (),
    checkpoint: Path | None = None,
    progress: Callable[[int, Frame], None] = lambda steps_more, frame: None,
    asked: Sequence[int] = (),
) -> Recorded:
    """Advance ``steps`` steps; a frame now, after every ``every`` steps, and at the end.

    Writers are closed when it ends, however it ends; ``checkpoint`` is saved each minute and at the end. Ctrl-C, an
    entry in ``asked`` (see :func:`asked_to_stop`), a failed step and a full disk end the run early, not with an
    exception. Raises ValueError for senseless numbers or observables.
    """
    if steps < 0 or every < 1:
        raise ValueError(f"recording needs steps >= 0 and every >= 1, got steps={steps}, every={every}")
    began, first, stopped = time.perf_counter(), simulation.state.step, None
    saved = began
    with ExitStack() as stack:
        for writer in writers:
            stack.callback(writer.close)
        frame = _written(simulation, observables, writers)
        try:
            stretch = 1
            while (done := simulation.state.step - first) < steps and not asked:
                count = min(stretch, every - done % every, steps - done)
                started = time.perf_counter()
                simulation = simulation.advance(count)
                stretch = _next_stretch(stretch, count, time.perf_counter() - started)
                if (done + count) % every == 0 or done + count == steps:
                    frame = _written(simulation, observables, writers)
                progress(count, frame)
                if checkpoint is not None and time.perf_counter() - saved > CHECKPOINT_SECONDS:
                    save_checkpoint(checkpoint, simulation)
                    saved = time.perf_counter()
            if asked and done < steps:
                stopped = "interrupted"
        except KeyboardInterrupt:
            stopped = "interrupted"
        except StepFailed as error:
            stopped, simulation = str(error), error.last_good
        except OSError as error:
            stopped = f"recording failed: {error}; free some space or write elsewhere"
        if checkpoint is not None:
            save_checkpoint(checkpoint, simulation)
    return Recorded(simulation, simulation.state.step - first, time.perf_counter() - began, frame, stopped)


def _written(simulation: Simulation, observables: Sequence[str], writers: Sequence[FrameWriter]) -> Frame:
    frame = snapshot(simulation, observables)
    for writer in writers:
        writer.write(frame)
    return frame


def _next_stretch(stretch: int, count: int, seconds: float) -> int:
    """Steps that fit into a stretch, growing at most twofold."""
    fitting = int(STRETCH_SECONDS * count / max(seconds, 1e-9))
    return max(1, min(2 * stretch, fitting))


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """Ctrl-C and a polite kill (SIGTERM) fill the list instead of tearing a step apart; a second one interrupts.

    Outside the main thread signals are not ours to handle, and the list stays empty.
    """
    asked: list[int] = []

    def note(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    try:
        previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        yield asked
        return
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def use_threads(threads: int | None) -> None:
    """So many threads of the CPU; None: as it is."""
    if threads:
        torch.set_num_threads(threads)
