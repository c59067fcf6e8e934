"""HDF5 files that grow by frames: their datasets, and how to open them so that a crash costs nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

CHUNK_BYTES = 8 * 2**20
FRAME_BYTES_LIMIT = 4 * 2**30
TEXT = np.dtype("S64")  # of parameters: longer text is cut
LARGEST_PARAMETER = 16  # numbers


def open_for_reading(path: Path) -> tuple[h5py.File, bool]:
    """The file and whether its writer has not closed it. The plain way checks for truncation, so it is tried first."""
    try:
        return h5py.File(path, "r"), False
    except OSError as error:
        reason = str(error)
    if "already open for" not in reason:
        what = "is truncated" if "truncated" in reason else "is not a trajectory of spinviz (HDF5)"
        raise ValueError(f"{path} {what}; copy it again or choose a file that `spinviz run --out` wrote")
    try:
        return h5py.File(path, "r", libver="latest", swmr=True), True
    except OSError as error:
        raise ValueError(f"{path} was left unreadable by its writer: {error}") from error


def open_for_appending(path: Path) -> h5py.File:
    """Open directly in single-writer mode: the file is never marked as open in a way that readers cannot share."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    mode = h5py.h5f.ACC_RDWR | h5py.h5f.ACC_SWMR_WRITE
    return h5py.File(h5py.h5f.open(os.fsencode(path), mode, fapl=access))


def lay_out(
    file: h5py.File,
    attributes: Mapping[str, Any],
    shape: tuple[int, ...],
    arrays: Mapping[str, np.ndarray],
    parameters: np.dtype[Any] | None,
) -> None:
    """Empty growing datasets for spins of one frame ``shape`` (B, N, 3), observables, and rows of parameters if any."""
    file.attrs.update(attributes)
    _growing(file, "spin", shape, np.dtype(np.float32))
    _growing(file, "time", shape[:1], np.dtype(np.float64))
    _growing(file, "step", (), np.dtype(np.int64))
    group = file.create_group("observables")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise ValueError(f"observable {name!r} must be real numbers, got {array.dtype}; leave it out")
        _growing(group, name, array.shape, array.dtype)
    if parameters is not None:
        _growing(file, "parameters", (), parameters)


def _growing(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
    rows = max(1, min(shape[0], CHUNK_BYTES // max(row_bytes, 1))) if shape else 0
    if row_bytes * rows < 4096:  # small rows: several frames share a chunk
        chunk = (max(1, 4096 // max(row_bytes * max(rows, 1), dtype.itemsize)), *shape)
    else:
        chunk = (1, rows, *shape[1:])
    chunk = tuple(max(1, length) for length in chunk)
    group.create_dataset(
        name, (0, *shape), maxshape=(None, *(length or None for length in shape)), chunks=chunk, dtype=dtype
    )


def check_arrays(path: Path, arrays: list[h5py.Dataset]) -> None:
    """Refuse arrays that point into other files, ask for absurd memory, or do not fit together."""
    replicas = arrays[0].shape[1:2]
    for array in arrays:
        if array.external or array.is_virtual or array.file.filename != arrays[0].file.filename:
            raise ValueError(f"{path} refers to data in other files; such trajectories are refused")
        bytes_per_frame = int(np.prod(array.shape[1:], dtype=float)) * array.dtype.itemsize
        if array.dtype.kind not in "fiub" or bytes_per_frame > FRAME_BYTES_LIMIT:
            raise ValueError(f"{path}: {array.name} is {array.dtype} {array.shape}: not numbers, or 4 GiB per frame")
    spin, time, step = arrays[:3]
    if spin.ndim != 4 or spin.shape[3] != 3 or time.shape[1:] != replicas or step.ndim != 1:
        raise ValueError(f"{path}: spin {spin.shape}, time {time.shape}, step {step.shape} do not fit together")


def check_parameters(path: Path, file: h5py.File) -> tuple[h5py.Dataset, ...]:
    """The parameters of the frames, one row each, or () in a file without; refuses what is not a few numbers and texts."""
    if "parameters" not in file:
        return ()
    rows = file["parameters"]
    if not isinstance(rows, h5py.Dataset) or rows.ndim != 1 or rows.dtype.names is None:
        raise ValueError(f"{path}: parameters must be one row per frame, got {rows!r}")
    if rows.external or rows.is_virtual or rows.file.filename != file.filename:
        raise ValueError(f"{path}: its parameters are in other files; such trajectories are refused")
    _check_row(path, rows.dtype)
    return (rows,)


def row_type(path: Path, parameters: Mapping[str, np.ndarray | str]) -> np.dtype[Any]:
    """One row of parameters: names with float64 () or (n,), or TEXT. Raises ValueError when they are not small."""
    fields = [(name, TEXT) if isinstance(value, str) else (name, np.float64, np.shape(value))
              for name, value in parameters.items()]  # fmt: skip
    kind = np.dtype(fields)
    _check_row(path, kind)
    return kind


def stored(parameters: Mapping[str, np.ndarray | str], kind: np.dtype[Any]) -> np.ndarray:
    """A row as it is written; what a frame leaves out is NaN, or no text."""
    row = np.zeros((), dtype=kind)
    for name in kind.names or ():
        value = parameters.get(name, "" if kind[name] == TEXT else np.full(kind[name].shape, np.nan))
        if isinstance(value, str) != (kind[name] == TEXT) or np.shape(value) != kind[name].shape:
            raise ValueError(f"the parameter {name} must be {kind[name]} as in the first frame, got {value!r}")
        row[name] = value.encode() if isinstance(value, str) else value
    return row


def restored(row: np.void) -> dict[str, np.ndarray | str]:
    """A row as it was noted."""
    kind, found = row.dtype, {}
    for name in kind.names or ():
        found[name] = row[name].decode(errors="ignore") if kind[name] == TEXT else np.array(row[name])
    return found


def _check_row(path: Path, kind: np.dtype[Any]) -> None:
    for name in kind.names or ():
        base, shape = kind[name].base, kind[name].shape
        if base not in (np.float64, TEXT) or len(shape) > 1 or np.prod(shape, dtype=float) > LARGEST_PARAMETER:
            raise ValueError(
                f"{path}: the parameter {name} is {base} {shape}, expected at most {LARGEST_PARAMETER} numbers, or text"
            )


@contextmanager
def removed_on_error(path: Path) -> Iterator[None]:
    """Delete a half-made file when the block raises."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise
