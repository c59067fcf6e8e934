"""What a figure computes with: it says how far it is and keeps finished pieces, so that what is interrupted goes on.

Pieces (batches of starts, points of a sweep) are arrays in ``NAME-DIGEST.pieces/`` beside the figure; the digest is of the
settings, the version and the networks' files: nothing of another run is taken over. They go when the figure is written.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from engine.files import write_whole

Thing = TypeVar("Thing")
Pieces = dict[str, np.ndarray]
SECONDS = "seconds"  # the name under which a piece keeps what it cost
AT_ONCE = 1.0  # seconds: what takes less was kept from before and says nothing about the time left


class Work:
    """Progress and kept pieces. Without ``folder`` nothing is kept."""

    def __init__(self, say: Callable[[str], None] = lambda text: None, folder: Path | None = None) -> None:
        self.say, self.folder = say, folder
        self.before = np.zeros(2)  # wall and processor seconds that kept pieces took
        if folder is not None and folder.is_dir():
            say(f"goes on with the {len(list(folder.glob('*.npz')))} pieces in {folder}")

    def kept(self, name: str, compute: Callable[[], Mapping[str, Any]]) -> Pieces:
        """The arrays that ``compute`` returns; those of an earlier run with the same settings if they are there."""
        path = None if self.folder is None else self.folder / f"{re.sub('[^A-Za-z0-9.+-]+', '_', name)}.npz"
        if path is not None and path.is_file():
            try:
                with np.load(path, allow_pickle=False) as stored:
                    found = dict(stored)
                self.before += found.pop(SECONDS)
                return found
            except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile):
                self.say(f"{path.name} cannot be read and is made again")
        began = clocks()
        found = {key: np.asarray(value) for key, value in compute().items()}
        if path is not None:
            buffer = io.BytesIO()
            np.savez(buffer, **found, **{SECONDS: clocks() - began})  # type: ignore[arg-type]
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, buffer.getvalue())
        return found

    def each(self, what: str, things: Sequence[Thing]) -> Iterator[Thing]:
        """The things in turn; before each, which one it is and about how long all that are left will take."""
        spent: list[float] = []
        for number, thing in enumerate(things):
            left = f", about {in_words(float(np.mean(spent)) * (len(things) - number))} left" if spent else ""
            self.say(f"{what}, {number + 1} of {len(things)}{left}")
            started = time.perf_counter()
            yield thing
            if (seconds := time.perf_counter() - started) > AT_ONCE:
                spent.append(seconds)

    def finished(self) -> None:
        """Remove the pieces."""
        if self.folder is not None and self.folder.is_dir():
            shutil.rmtree(self.folder)


def clocks() -> np.ndarray:
    """Wall and processor seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def pieces_folder(folder: Path, name: str, settings: Mapping[str, Any], version: str, files: Sequence[Path]) -> Path:
    """Where pieces of this figure with these settings, this version and these files of networks are kept."""
    digest = hashlib.sha256(json.dumps([version, settings], sort_keys=True, default=list).encode())
    for path in files:
        digest.update(path.read_bytes())
    return folder / f"{name}-{digest.hexdigest()[:10]}.pieces"


def in_words(seconds: float) -> str:
    """ "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def batches(count: int, size: int) -> list[range]:
    """0 to count - 1 in pieces of at most ``size``."""
    return [range(first, min(first + size, count)) for first in range(0, count, size)]
