"""Files from the reader of a page: trajectories (HDF5), OVF, checkpoints (safetensors), each checked before it is read.

Nothing is unpickled or evaluated, no object of a file is built but arrays, numbers and a lattice. The first bytes say what a
file is, not its name. Sizes are limited, and a lattice is built only after its description was found small: a few bytes
could otherwise ask for gigabytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from engine.frame import Frame
from engine.io.ovf import read_ovf
from engine.lattice import Lattice, from_description
from spinviz.pages.recorded_run import RecordedRun, run_of_frame, run_of_trajectory

LARGEST_UPLOAD = 16 * 2**20  # bytes; the server takes messages of at most 20 MB
LARGEST_LATTICE = 256 * 256
MOST_RANDOM_SITES = 1000
MOST_SHELLS = 6
MOST_VALUES = 3 * 10**8  # numbers in a dataset, however well it is packed
MOST_REPLICAS = 64
CHECKPOINT = "spinviz checkpoint 1"
EXPECTED = (
    "expected a trajectory of `spinviz run --out` (HDF5), an OVF 2.0 file or a checkpoint of spinviz (safetensors)"
)


def read_upload(name: str, content: bytes, folder: Path, largest: int = LARGEST_UPLOAD) -> RecordedRun:
    """The run in an uploaded file, kept in ``folder`` under a name of our own.

    Raises ValueError with a sentence for the reader: too large, foreign, damaged, or asking for too much.
    """
    shown = Path(name).name[:60] or "the file"
    if not content:
        raise ValueError(f"{shown} is empty; choose another file")
    if len(content) > largest:
        raise ValueError(f"{shown} has {len(content) / 2**20:.1f} MB, at most {largest / 2**20:.0f} MB are taken")
    path = folder / f"upload-{len(list(folder.iterdir()))}"
    path.write_bytes(content)
    try:
        if content.startswith(b"\x89HDF"):
            _check_trajectory(path)
            return run_of_trajectory(path, shown)
        if content[:7].lower() == b"# oommf":
            _check_ovf(content)
            return run_of_frame(read_ovf(path), shown, {"file": shown})
        if content[8:9] == b"{":
            return _checkpoint(path, shown)
    except (ValueError, KeyError, TypeError, OSError, RuntimeError, AttributeError, RecursionError) as error:
        path.unlink(missing_ok=True)
        text = " ".join(str(error).replace(str(path), shown).split())
        raise ValueError(text if text else f"{shown} cannot be read; {EXPECTED}") from error
    path.unlink()
    raise ValueError(f"{shown} is none of the files that can be shown: {EXPECTED}")


def check_description(description: Any) -> None:
    """Refuse the description of a lattice that is malformed or too large to be built for a page. Raises ValueError."""
    if not isinstance(description, dict):
        raise ValueError(f"a lattice is described by names and numbers, got {type(description).__name__}")
    numbers = {key: value for key, value in description.items() if key not in ("kind", "cutoff") or value is not None}
    kind = numbers.pop("kind", None)
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in numbers.values()):
        raise ValueError(f"the description of a lattice has something else than numbers: {str(description)[:100]}")
    if kind == "random_sites":
        few = 2 <= numbers.get("n", 0) <= MOST_RANDOM_SITES
        if not few:
            raise ValueError(f"the file has {numbers.get('n')} random sites, from 2 to {MOST_RANDOM_SITES} are shown")
        return
    sites = numbers.get("L1", 0) * numbers.get("L2", 0)
    if not 9 <= sites <= LARGEST_LATTICE:
        raise ValueError(f"the file has a lattice of {sites} sites, from 9 to {LARGEST_LATTICE} are shown")
    if not 1 <= numbers.get("shells", 3) <= MOST_SHELLS:
        raise ValueError(f"the lattice has {numbers['shells']} shells of bonds, at most {MOST_SHELLS} are taken")


def _check_trajectory(path: Path) -> None:
    """Sizes of everything that will be read, before a lattice is built."""
    with h5py.File(path, "r") as file:
        description = json.loads(str(file.attrs.get("lattice", "null")))
        if file.attrs.get("format") != "spinviz-trajectory":
            raise ValueError(f"{path} is an HDF5 file, but not a trajectory of spinviz")
        check_description(description)
        names = ["spin", "time", "step", *(f"observables/{name}" for name in file["observables"])]
        for name in names:
            if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
                raise ValueError(f"{path} refers to data elsewhere in {name}; such trajectories are refused")
            if file[name].size > MOST_VALUES:
                raise ValueError(f"{path} holds {file[name].size} numbers in {name}, at most {MOST_VALUES} are read")
        if file["spin"].ndim == 4 and file["spin"].shape[1] > MOST_REPLICAS:
            raise ValueError(f"{path} has {file['spin'].shape[1]} replicas, at most {MOST_REPLICAS} are taken")


def _check_ovf(content: bytes) -> None:
    """The header's number of points, and its lattice line."""
    counts: dict[str, float] = {}
    for line in content[: 2**20].split(b"\n"):
        key, _, value = line.decode("utf-8", "replace").lstrip("# ").partition(":")
        key, value = key.strip().lower(), value.strip()
        if key == "begin" and value.lower().startswith("data"):
            break
        if key == "desc" and value.startswith("lattice "):
            check_description(json.loads(value.removeprefix("lattice ")))
        if key in ("xnodes", "ynodes", "znodes", "pointcount"):
            counts[key] = float(value)
    points = counts.get("pointcount") or math.prod(counts.values() or [0.0])
    if not 0 < points <= LARGEST_LATTICE:
        raise ValueError(f"the file has {points:g} points, from 1 to {LARGEST_LATTICE} are shown")


def _checkpoint(path: Path, name: str) -> RecordedRun:
    """Spins, lattice and settings of a checkpoint; its forces are not built."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != CHECKPOINT:
                raise ValueError(f"{name} is a safetensors file, but not a checkpoint of spinviz")
            simulation = json.loads(metadata["simulation"])
            fields = simulation["fields"]["state"]["fields"]
            spin, time = (np.asarray(file.get_tensor(fields[key]["tensor"])) for key in ("spin", "time"))
    except SafetensorError as error:
        raise ValueError(f"{name} is not a complete safetensors file: {error}") from error
    lattice = _lattice(simulation, name)
    if spin.ndim != 3 or spin.shape[1:] != (lattice.sites, 3) or time.shape != spin.shape[:1] or spin.dtype.kind != "f":
        raise ValueError(f"{name} holds spins of shape {spin.shape}, its lattice has {lattice.sites} sites")
    lengths = np.linalg.norm(spin.astype(np.float64), axis=-1)
    if not (np.isfinite(lengths).all() and np.abs(lengths - 1).max(initial=0) < 1e-3):
        raise ValueError(f"{name} holds spins that are not of length 1")
    step = fields["step"]
    if not isinstance(step, int) or not np.isfinite(time).all():
        raise ValueError(f"{name} has no step or no time that is a number")
    frame = Frame(step, time[:1].astype(np.float64), spin[:1].astype(np.float32), lattice)
    settings = plain(simulation["fields"].get("settings", {}))
    return run_of_frame(frame, name, settings if isinstance(settings, dict) else {})


def _lattice(simulation: Any, name: str) -> Lattice:
    descriptions = list(_described(simulation))
    if not descriptions:
        raise ValueError(f"{name} has no lattice; a uniform field alone cannot be shown")
    check_description(descriptions[0])
    return from_description(descriptions[0])


def _described(value: Any) -> Iterator[Any]:
    """Descriptions of lattices anywhere in the JSON of a checkpoint."""
    if isinstance(value, dict):
        if "lattice" in value and isinstance(value["lattice"], dict) and "mapping" in value["lattice"]:
            yield plain(value["lattice"])
        for item in value.values():
            yield from _described(item)
    elif isinstance(value, list):
        for item in value:
            yield from _described(item)


def plain(value: Any) -> Any:
    """Numbers, texts, lists and dicts of what a checkpoint encodes; anything else is left as its JSON."""
    if isinstance(value, dict) and "mapping" in value:
        return {str(key): plain(item) for key, item in value["mapping"]}
    if isinstance(value, dict) and "tuple" in value:
        return [plain(item) for item in value["tuple"]]
    return [plain(item) for item in value] if isinstance(value, list) else value
