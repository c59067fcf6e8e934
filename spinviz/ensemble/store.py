"""The file of an ensemble (HDF5), written by one process only.

    done (P, R) bool, seed (P, R) uint64, step (F,), time (P, F), seconds (P, R)
    observables/NAME (P, R, F, ...), spin (P, R, N, 3) float32 of the last step
    attributes: format, settings (the plan as JSON), lattice (JSON)

A member's numbers are written and flushed before its mark in ``done``: a kill at any moment loses at most the block that
was being written. It can be read while it grows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from engine.files import Closing
from engine.io.hdf5 import open_for_appending, open_for_reading, removed_on_error
from engine.io.trajectory import installed_version
from engine.statistics import mean_and_error
from spinviz.ensemble.block import Moved
from spinviz.ensemble.plan import EnsemblePlan, check_same

FORMAT = "spinviz ensemble 1"


class EnsembleStore(Closing):
    """The writing end. Use as a context manager; ``create`` or ``reopen``."""

    def __init__(self, path: Path, plan: EnsemblePlan, file: h5py.File) -> None:
        self.path, self.plan, self._file = path, plan, file
        self.done: np.ndarray = np.asarray(file["done"][:])

    @staticmethod
    def create(path: Path, plan: EnsemblePlan, lattice: Mapping[str, Any], sites: int,
               shapes: Mapping[str, tuple[tuple[int, ...], np.dtype]]) -> EnsembleStore:  # fmt: skip
        """A new file; ``shapes``: of each observable of one member at one step. It appears complete or not at all."""
        points, replicas, frames = len(plan), plan.replicas, len(plan.kept_steps)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        with removed_on_error(temporary), h5py.File(temporary, "w", libver="latest") as file:
            file.attrs.update({
                "format": FORMAT, "spinviz_version": installed_version(), "settings": json.dumps(plan.description()),
                "lattice": json.dumps(dict(lattice)),
            })  # fmt: skip
            file["step"] = plan.kept_steps.astype(np.int64)
            seeds = [[plan.seed_of(p, r) for r in range(replicas)] for p in range(points)]
            file["seed"] = np.array(seeds, dtype=np.uint64)
            whole = (points, replicas)
            file.create_dataset("done", whole, bool, chunks=True, fillvalue=False)
            file.create_dataset("time", (points, frames), float, chunks=(1, frames), fillvalue=np.nan)
            file.create_dataset("seconds", whole, float, chunks=True, fillvalue=np.nan)
            group = file.create_group("observables")
            for name, (shape, kind) in shapes.items():
                chunk = (1, 1, frames, *shape)
                empty = np.nan if kind.kind == "f" else 0
                group.create_dataset(name, (*whole, frames, *shape), kind, chunks=chunk, fillvalue=empty)
            if plan.spins:
                file.create_dataset("spin", (*whole, sites, 3), np.float32, chunks=(1, 1, sites, 3), fillvalue=np.nan)
        os.replace(temporary, path)
        return EnsembleStore.reopen(path, plan)

    @staticmethod
    def reopen(path: Path, plan: EnsemblePlan) -> EnsembleStore:
        """An existing file of the same plan. Raises ValueError for another one, or a file that is no ensemble."""
        with read_ensemble(path) as found:
            check_same(plan, found.settings, path)
        return EnsembleStore(path, plan, open_for_appending(path))

    def missing(self) -> list[tuple[int, int]]:
        """Members that are not done, point by point."""
        return [(int(p), int(r)) for p, r in zip(*np.nonzero(~self.done), strict=True)]

    def write(self, moved: Moved) -> int:
        """Keep the members of a block that are not there yet; how many these were."""
        fresh = [(i, member) for i, member in enumerate(moved.members) if not self.done[member]]
        for i, member in fresh:
            for name, values in moved.observables.items():
                self._file["observables"][name][member] = values[i]
            self._file["time"][member[0]] = moved.time
            self._file["seconds"][member] = moved.seconds / len(moved.members)
            if moved.spin is not None:
                self._file["spin"][member] = moved.spin[i]
        self._file.flush()
        for _, member in fresh:
            self._file["done"][member] = True
            self.done[member] = True
        self._file.flush()
        return len(fresh)

    def close(self) -> None:
        self._file.close()


class EnsembleFile(Closing):
    """The reading end: ``plan``, ``settings``, ``steps`` (F,), ``done`` (P, R), ``interrupted``."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self._file = path, file
        if file.attrs.get("format") != FORMAT:
            raise ValueError(f"{path} is an HDF5 file, but not an ensemble of spinviz ({FORMAT})")
        self.settings: dict[str, Any] = json.loads(file.attrs["settings"])
        self.lattice: dict[str, Any] = json.loads(file.attrs["lattice"])
        self.plan = EnsemblePlan.from_description(self.settings)
        self.done = np.asarray(file["done"][:])
        self.steps = np.asarray(file["step"][:])
        self.observables = tuple(file["observables"])
        if self.done.shape != (len(self.plan), self.plan.replicas):
            raise ValueError(f"{path} is damaged: marks {self.done.shape} for {len(self.plan)} points")

    @property
    def time(self) -> np.ndarray:
        """(P, F) in hbar / t1; NaN for points of which nothing is done."""
        return np.asarray(self._file["time"][:])

    @property
    def seconds(self) -> float:
        """Wall seconds of all members together."""
        return float(np.nansum(self._file["seconds"][:]))

    def parameter(self, name: str) -> np.ndarray:
        """Value of a swept parameter at every point (P,)."""
        if name not in self.plan.sweep:
            raise ValueError(f"{self.path} sweeps {sorted(self.plan.sweep) or 'nothing'}, not {name!r}")
        return np.array([point[name] for point in self.plan.points])

    def observable(self, name: str, point: int) -> np.ndarray:
        """(replicas done, F, ...) of a point."""
        if name not in self.observables:
            raise ValueError(f"{self.path} holds the observables {sorted(self.observables)}, not {name!r}")
        return np.asarray(self._file["observables"][name][point])[self.done[point]]

    def mean(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard error over the replicas of every point, (P, F, ...) each.

        Raises ValueError for a point with fewer than 2 replicas done.
        """
        pairs = [mean_and_error(self.observable(name, point)) for point in range(len(self.plan))]
        return np.stack([mean for mean, _ in pairs]), np.stack([error for _, error in pairs])

    def spin(self, point: int) -> np.ndarray:
        """Last spins (replicas done, N, 3) of a point."""
        if "spin" not in self._file:
            raise ValueError(f"{self.path} was made without spins")
        return np.asarray(self._file["spin"][point])[self.done[point]]

    def close(self) -> None:
        self._file.close()


def read_ensemble(path: str | os.PathLike[str]) -> EnsembleFile:
    """Open an ensemble, finished or growing. Raises FileNotFoundError, or ValueError for a foreign or damaged file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no ensemble {path}")
    file, _ = open_for_reading(path)
    try:
        return EnsembleFile(path, file)
    except (KeyError, TypeError, OSError, json.JSONDecodeError) as error:
        file.close()
        raise ValueError(f"{path} is not a complete ensemble of spinviz: {error}") from error
    except ValueError:
        file.close()
        raise
