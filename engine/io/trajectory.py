"""Trajectories on disk (HDF5): every frame of a run, readable while it grows and after a crash.

Layout
------
attributes   format = "spinviz-trajectory", format_version, spinviz_version, settings (JSON), lattice (JSON)
/spin        (frames, B, N, 3) float32, one chunk per frame (several when a frame is larger than 8 MiB)
/time        (frames, B) float64, in hbar/t1
/observables/NAME   (frames, B, ...) as the first frame has it
/parameters  (frames,) rows of what held at each frame: names with float64 () or (3,) (NaN: there was none), or text of 64
             bytes; absent where the frames do not say, as in old files
/step        (frames,) int64, written last: a frame counts when its step is there

The file is written in HDF5's single-writer mode (SWMR) and flushed after every frame, so that a killed writer leaves
all its flushed frames behind, and another process can read along. The header is prepared under another name and
moved into place, so there is no instant at which ``path`` is not readable.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from engine.files import Closing
from engine.frame import Frame
from engine.io.hdf5 import (
    check_arrays,
    check_parameters,
    lay_out,
    open_for_appending,
    open_for_reading,
    removed_on_error,
    restored,
    row_type,
    stored,
)  # fmt: skip
from engine.lattice import Lattice, from_description

FORMAT = "spinviz-trajectory"
FORMAT_VERSION = 1


class TrajectoryWriter(Closing):
    """Writes frames to ``path``; nothing is touched before the first :meth:`write`.

    ``settings`` is what made the run (JSON-ready). ``observables`` names what is kept of each frame (default: all
    that the first frame has); each must keep its shape. Parameters are those of the first frame, a later one may leave
    some out. With ``append=True`` an existing file is continued: frames at or after the step of the first new one are
    dropped (a resumed run repeats them), the settings of the file stay.
    Raises ValueError when frames and file do not belong together. Use as a context manager.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: Mapping[str, Any] | None = None,
        observables: tuple[str, ...] | list[str] | None = None,
        append: bool = False,
    ) -> None:
        self.path = Path(path)
        self._settings = _json("settings", dict(settings or {}))
        self._names = None if observables is None else tuple(observables)
        if not self.path.parent.is_dir():
            raise ValueError(f"the folder {self.path.parent} of the trajectory does not exist; make it first")
        if self.path.is_dir():
            raise ValueError(f"the trajectory needs a file name, got the folder {self.path}")
        self._append = append and self.path.exists()
        if self._append:
            with read_trajectory(self.path):
                pass  # refuses a foreign file now, not at the first frame
        self._file: h5py.File | None = None
        self._frames = 0
        self._closed = False

    def __len__(self) -> int:
        """Frames in the file so far."""
        return self._frames

    def write(self, frame: Frame) -> None:
        """Append one frame and flush it to the file."""
        if self._closed:
            raise ValueError(f"the trajectory {self.path} is closed; make a TrajectoryWriter with append=True to go on")
        if self._file is None:
            self._file = self._continued(frame) if self._append else self._created(frame)
        data: dict[str, Any] = {"spin": frame.spin, "time": frame.time}
        data |= {f"observables/{name}": frame.observables.get(name) for name in self._file["observables"]}
        if "parameters" in self._file:
            data["parameters"] = stored(frame.parameters, self._file["parameters"].dtype)
        data["step"] = np.int64(frame.step)
        for name, value in data.items():  # all checked before anything is written
            expected = self._file[name].shape[1:]
            if value is None or np.shape(value) != expected:
                came = "nothing" if value is None else f"shape {np.shape(value)}"
                raise ValueError(f"{name} of each frame must have shape {expected} as in the first one, got {came}")
        for name, value in data.items():
            dataset = self._file[name]
            dataset.resize(self._frames + 1, axis=0)
            dataset[self._frames] = value
            dataset.flush()
        self._frames += 1

    def close(self) -> None:
        """Finish the file. May be called twice."""
        if self._file is not None:
            self._file.close()
        self._file, self._closed = None, True

    def _created(self, frame: Frame) -> h5py.File:
        names = tuple(frame.observables) if self._names is None else self._names
        missing = [name for name in names if name not in frame.observables]
        if missing:
            raise ValueError(f"the first frame lacks the observables {missing}; it has {sorted(frame.observables)}")
        arrays = {name: np.asarray(frame.observables[name]) for name in names}
        parameters = row_type(self.path, frame.parameters) if frame.parameters else None
        attributes = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "spinviz_version": installed_version(),
            "settings": self._settings,
            "lattice": _json("lattice", frame.lattice.description()),
        }
        temporary = _temporary(self.path)
        with removed_on_error(temporary), h5py.File(temporary, "w", libver="latest") as file:
            lay_out(file, attributes, np.shape(frame.spin), arrays, parameters)
        os.replace(temporary, self.path)
        return open_for_appending(self.path)

    def _continued(self, frame: Frame) -> h5py.File:
        with read_trajectory(self.path) as old:
            if (old.lattice.description(), old.replicas) != (frame.lattice.description(), len(frame.spin)):
                raise ValueError(
                    f"{self.path} holds {old.replicas} replicas on {old.lattice.description()}, the run to append has "
                    f"{len(frame.spin)} on {frame.lattice.description()}; write to another file"
                )
            if self._names is not None and set(self._names) != set(old.observables):
                raise ValueError(
                    f"{self.path} holds the observables {sorted(old.observables)}, the run to append has "
                    f"{sorted(self._names)}; ask for the same ones or write to another file"
                )
            self._frames = int(np.searchsorted(old.steps, frame.step))
            rewrite = old.interrupted or self._frames < len(old) - 1  # a repeated last frame is overwritten in place
            if rewrite:
                _copy_frames(old, _temporary(self.path), self._frames)
        if rewrite:
            os.replace(_temporary(self.path), self.path)
        return open_for_appending(self.path)


class Trajectory(Closing):
    """Frames of a file, read one by one: ``len``, ``[i]`` -> Frame, iteration; made by :func:`read_trajectory`.

    ``settings`` dict, ``lattice``, ``version`` of the writer, ``steps`` (F,), ``times`` (F, B), names of ``observables``
    and of ``parameters`` (none in old files), ``interrupted`` True when the writer did not close the file (or still
    writes).
    """

    def __init__(self, path: Path, file: h5py.File, interrupted: bool) -> None:
        self.path, self.interrupted, self._file = path, interrupted, file
        if file.attrs.get("format") != FORMAT:
            raise ValueError(f"{path} is an HDF5 file, but not a trajectory of spinviz")
        if file.attrs["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"{path} has trajectory format {file.attrs['format_version']}, this version reads {FORMAT_VERSION}; "
                f"it was written by spinviz {file.attrs['spinviz_version']}: use that version"
            )
        self.version = str(file.attrs["spinviz_version"])
        self.settings: dict[str, Any] = json.loads(file.attrs["settings"])
        self.observables = tuple(file["observables"])
        arrays = [file["spin"], file["time"], file["step"], *(file["observables"][name] for name in self.observables)]
        check_arrays(path, arrays)
        self._rows = check_parameters(path, file)
        self.parameters = tuple(name for rows in self._rows for name in rows.dtype.names)
        self._length = min(len(array) for array in [*arrays, *self._rows])
        self.lattice = _lattice(path, json.loads(file.attrs["lattice"]), sites=file["spin"].shape[2])

    @property
    def replicas(self) -> int:
        return int(self._file["spin"].shape[1])

    @property
    def steps(self) -> np.ndarray:
        return np.asarray(self._file["step"][: self._length])

    @property
    def times(self) -> np.ndarray:
        return np.asarray(self._file["time"][: self._length])

    def observable(self, name: str) -> np.ndarray:
        """One observable of all frames, (F, B, ...)."""
        if name not in self.observables:
            raise ValueError(f"{self.path} holds the observables {sorted(self.observables)}, not {name!r}")
        return np.asarray(self._file["observables"][name][: self._length])

    def parameter(self, name: str) -> np.ndarray:
        """One parameter of all frames, (F,) or (F, n) numbers, or texts (F,)."""
        if name not in self.parameters:
            raise ValueError(f"{self.path} holds the parameters {sorted(self.parameters)}, not {name!r}")
        values = np.asarray(self._rows[0][name][: self._length])
        return np.char.decode(values, errors="ignore") if values.dtype.kind == "S" else values

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Frame:
        if not -self._length <= index < self._length:
            raise IndexError(f"{self.path} has frames 0 to {self._length - 1} (negative: from the end), got {index}")
        i = index % self._length
        try:
            return Frame(
                step=int(self._file["step"][i]),
                time=self._file["time"][i],
                spin=self._file["spin"][i],
                lattice=self.lattice,
                observables={name: np.asarray(self._file["observables"][name][i]) for name in self.observables},
                parameters=restored(self._rows[0][i]) if self._rows else {},
            )
        except OSError as error:
            raise ValueError(f"frame {i} of {self.path} cannot be read, the file is damaged: {error}") from error

    def __iter__(self) -> Iterator[Frame]:
        return (self[i] for i in range(self._length))

    def close(self) -> None:
        self._file.close()


def read_trajectory(path: str | os.PathLike[str]) -> Trajectory:
    """Open a trajectory for reading, finished, growing or interrupted.

    Raises FileNotFoundError, or ValueError when the file is foreign, truncated or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no trajectory {path}")
    file, interrupted = open_for_reading(path)
    try:
        return Trajectory(path, file, interrupted)
    except KeyError as error:
        file.close()
        raise ValueError(f"{path} is not a complete trajectory of spinviz: {error.args[0]}") from error
    except (ValueError, OSError, TypeError, AttributeError, RuntimeError) as error:
        file.close()
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(f"{path} is damaged or was not written by spinviz: {error}") from error


def installed_version() -> str:
    """Version of the installed package, "unknown" when run from a bare folder."""
    try:
        return metadata.version("spinviz")
    except metadata.PackageNotFoundError:
        return "unknown"


def _copy_frames(old: Trajectory, target: Path, count: int) -> None:
    """The first ``count`` frames in a clean new file."""
    with removed_on_error(target), h5py.File(target, "w", libver="latest") as new:
        source = old._file
        arrays = {name: np.empty(source["observables"][name].shape[1:], source["observables"][name].dtype)
                  for name in old.observables}  # fmt: skip
        rows = ["parameters"] if old.parameters else []
        lay_out(new, dict(source.attrs), source["spin"].shape[1:], arrays, source["parameters"].dtype if rows else None)
        for name in ("spin", "time", "step", *(f"observables/{name}" for name in old.observables), *rows):
            new[name].resize(count, axis=0)
            for i in range(count):
                new[name][i] = source[name][i]


def _lattice(path: Path, description: dict[str, Any], sites: int) -> Lattice:
    """Rebuild the lattice, but only when its description promises the sites that the file has."""
    promised = description.get("n") or description.get("L1", 0) * description.get("L2", 0)
    if promised != sites:
        raise ValueError(f"{path} describes a lattice of {promised} sites, but holds {sites} spins")
    return from_description(description)


def _json(what: str, value: Mapping[str, Any]) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be plain numbers, strings, lists and dicts to be recorded: {error}") from error


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")
