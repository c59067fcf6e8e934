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
from typing import Any

import numpy as np
import torch

from engine.files import write_whole
from spinviz.ensemble.workers import spread

Pieces = dict[str, np.ndarray]
Compute = Callable[[], Mapping[str, Any]]
SECONDS = "seconds"  # the name under which a piece keeps what it cost


class Work:
    """Progress and kept pieces. Without ``folder`` nothing is kept; ``client``: of Dask workers that compute pieces."""

    def __init__(
        self, say: Callable[[str], None] = lambda text: None, folder: Path | None = None, client: Any = None
    ) -> None:
        self.say, self.folder, self.client = say, folder, client
        self.before = np.zeros(2)  # wall and processor seconds that others took, before or elsewhere
        if folder is not None and folder.is_dir():
            say(f"goes on with the {len(list(folder.glob('*.npz')))} pieces in {folder}")

    def all(self, what: str, computes: Mapping[str, Compute]) -> dict[str, Pieces]:
        """The arrays of all of them by name, computed by the workers if there are any. Says how many are ready, and how
        long the others will take, about.

        Raises RuntimeError when a worker gives a piece up; what is ready is kept.
        """
        found = {name: kept for name in computes if (kept := self._read(name)) is not None}
        missing = [(name, compute) for name, compute in computes.items() if name not in found]
        began, before = time.perf_counter(), len(found)
        if missing:
            self.say(f"{what}: {before} of {len(computes)} ready")
        for name, arrays in self._computed(missing):
            self._write(name, arrays)
            found[name] = {key: values for key, values in arrays.items() if key != SECONDS}
            more = (time.perf_counter() - began) / (len(found) - before) * (len(computes) - len(found))
            left = f", about {in_words(more)} left" if more else ""
            self.say(f"{what}: {len(found)} of {len(computes)} ready{left}")
        return {name: found[name] for name in computes}

    def _computed(self, missing: Sequence[tuple[str, Compute]]) -> Iterator[tuple[str, Pieces]]:
        """The missing pieces as they are ready."""
        if self.client is None:
            for name, compute in missing:
                yield name, timed(compute)
            return
        for (name, _), result in spread(self.client, computed, missing):
            if isinstance(result, str):
                raise RuntimeError(f"piece {name!r} of the figure could not be computed: {result}")
            self.before[1] += result[SECONDS][1]
            yield name, result

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{re.sub('[^A-Za-z0-9.+-]+', '_', name)}.npz"

    def _read(self, name: str) -> Pieces | None:
        path = self._path(name)
        if path is None or not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                found = dict(stored)
            self.before += found.pop(SECONDS)
            return found
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile):
            self.say(f"{path.name} cannot be read and is made again")
            return None

    def _write(self, name: str, arrays: Pieces) -> None:
        path = self._path(name)
        if path is not None:
            buffer = io.BytesIO()
            np.savez(buffer, **arrays)  # type: ignore[arg-type]
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, buffer.getvalue())

    def finished(self) -> None:
        """Remove the pieces."""
        if self.folder is not None and self.folder.is_dir():
            shutil.rmtree(self.folder)


def clocks() -> np.ndarray:
    """Wall and processor seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def timed(compute: Compute) -> Pieces:
    """What it computes, as arrays, with the seconds that it took."""
    began = clocks()
    found = {key: np.asarray(value) for key, value in compute().items()}
    return {**found, SECONDS: clocks() - began}


def computed(piece: tuple[str, Compute]) -> Pieces | str:
    """A named piece, by a worker with one thread; a lack of memory is answered as text."""
    torch.set_num_threads(1)
    try:
        return timed(piece[1])
    except MemoryError as error:
        return " ".join(str(error).split()) or "not enough memory"


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
