"""Data sets: HDF5 files of configurations with their exact forces and energies.

One group per lattice shape, "12x12" (of random sites: their number and seed, "100x3"), with growing arrays
    spin, force (n, N, 3) float32   force = -dE/dS of the electrons at zero field
    energy (n,) float64             of the N sites (Omega at fixed mu, F at fixed filling)
    chemical_potential (n,) float64
    kind, block (n,) integers       index into ``KINDS``; which block of the plan
    origin (n,) text                JSON: how the configuration came about
(where electrons vary, a group for each of their settings, "12x12 mu = -3.4, J = 0.5", with both as attributes) and in the
root the settings as JSON. A block is written as a whole, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from engine.forces import ForceProvider
from engine.learning.network import ElectronSetting
from engine.learning.sampling import KINDS, Block, Configuration, Shape, Source, configurations
from engine.state import SpinState

FORMAT = "spinviz dataset 1"
ROW = {"spin": "f4", "force": "f4", "energy": "f8", "chemical_potential": "f8", "kind": "i4", "block": "i8"}


@dataclass(frozen=True)
class Records:
    """Records of one shape and one setting of the electrons (None: that of the system) as tensors: spin, force (n, N, 3),
    energy (n,), kind (n,) and origin (n texts)."""

    shape: Shape
    spin: torch.Tensor
    force: torch.Tensor
    energy: torch.Tensor
    kind: torch.Tensor
    block: torch.Tensor
    origin: list[str]
    electrons: ElectronSetting | None = None

    def __len__(self) -> int:
        return len(self.spin)

    def where(self, chosen: torch.Tensor) -> Records:
        """Only the records where ``chosen`` (n,) is true, or in the order of these indices."""
        index = chosen.nonzero()[:, 0] if chosen.dtype == torch.bool else chosen
        origin = [self.origin[i] for i in index.tolist()]
        parts = (self.spin[index], self.force[index], self.energy[index], self.kind[index], self.block[index])
        return Records(self.shape, *parts, origin, self.electrons)


def label(source: Source, blocks: Iterator[Block], seed: int, path: Path, settings: Mapping[str, Any]) -> Iterator[int]:
    """Write every block that is not in the file yet; yields the number of records after each.

    Raises ValueError when the file was begun with other settings or is no data set.
    """
    exact: dict[tuple[Shape, ElectronSetting | None], ForceProvider] = {}
    new, count = not path.exists(), 0
    try:
        with opened(path, settings) as file:
            done, count = labelled(file)
            yield count
            for block in blocks:
                if block.number in done:
                    continue
                here, key = at(source, block.electrons), (block.shape, block.electrons)
                if key not in exact:
                    exact[key] = here.exact(here.lattice(block.shape))
                found = configurations(here, block, seed)
                count += append(file, block.shape, found, block.kind, block.number, exact[key], block.electrons)
                file.flush()
                yield count
    except (ValueError, MemoryError):
        if new and not count:  # nothing is lost, and the corrected command finds no file of other settings
            path.unlink(missing_ok=True)
        raise


def at(source: Source, electrons: ElectronSetting | None) -> Source:
    """The source with these electrons. Raises ValueError when it has only its own."""
    if electrons is None:
        return source
    if source.at is None:
        raise ValueError(f"the electrons of this system cannot be set to {electrons}")
    return source.at(electrons)


def append(
    file: h5py.File, shape: Shape, found: list[Configuration], kind: str, block: int, exact: ForceProvider,
    electrons: ElectronSetting | None = None,
) -> int:  # fmt: skip
    """Label these configurations and write them; returns how many."""
    rows: dict[str, list[Any]] = {name: [] for name in (*ROW, "origin")}
    for configuration in found:
        response = exact(SpinState(configuration.spin[None]))
        assert response.energy is not None and response.electrons is not None
        rows["spin"].append(configuration.spin.numpy())
        rows["force"].append(response.force[0].numpy())
        rows["energy"].append(float(response.energy[0]))
        rows["chemical_potential"].append(float(response.electrons.chemical_potential[0]))
        rows["kind"].append(KINDS.index(kind))
        rows["block"].append(block)
        rows["origin"].append(json.dumps(configuration.origin))
    group = _group(file, shape, found[0].spin.shape[0], electrons)
    start = len(group["block"])
    for name, values in rows.items():
        group[name].resize(start + len(found), 0)
        group[name][start:] = values
    return len(found)


def opened(path: Path, settings: Mapping[str, Any]) -> h5py.File:
    """The file, new or begun with the same settings."""
    new = not path.exists()
    file = _open(path, "a")
    if new:
        file.attrs.update(format=FORMAT, settings=json.dumps(dict(settings)))
    before = _settings(file, path)
    if before != json.loads(json.dumps(dict(settings))):
        file.close()
        changed = sorted(key for key in {*before, *settings} if before.get(key) != settings.get(key))
        raise ValueError(f"{path} was begun with other settings ({', '.join(changed)}); give another --out or the same")
    return file


def read(path: Path | str) -> tuple[list[Records], dict[str, Any]]:
    """All records by shape, and the settings. Raises ValueError naming the first record that is not finite or has
    spins that are not of length 1."""
    with _open(Path(path), "r") as file:
        settings = _settings(file, Path(path))
        groups = [_records(group, name, Path(path)) for name, group in file.items()]
    if not sum(map(len, groups)):
        raise ValueError(f"{path} has no records yet; run `spinviz dataset` first")
    return groups, settings


def _records(group: h5py.Group, name: str, path: Path) -> Records:
    length = min(len(group[key]) for key in (*ROW, "origin"))
    data = {key: torch.from_numpy(group[key][:length]) for key in ROW}
    checks: dict[str, Callable[[], torch.Tensor]] = {
        "has a number that is not finite": lambda: (
            torch.isfinite(data["spin"]) & torch.isfinite(data["force"])
        ).all(-1).all(-1) & torch.isfinite(data["energy"]),
        "has spins that are not of length 1": lambda: (
            (torch.linalg.vector_norm(data["spin"], dim=-1) - 1).abs().amax(-1) < 1e-3
        ),
    }  # fmt: skip
    for complaint, good in checks.items():
        bad = (~good()).nonzero()
        if len(bad):
            raise ValueError(f"record {int(bad[0, 0])} of group {name} in {path} {complaint}; label it again")
    first, second = (int(word) for word in name.partition(" ")[0].split("x"))
    electrons = ElectronSetting(*(float(group.attrs[key]) for key in ElectronSetting._fields)) if group.attrs else None
    origin = [text.decode() for text in group["origin"][:length]]
    parts = (data["spin"], data["force"], data["energy"], data["kind"], data["block"])
    return Records((first, second), *parts, origin, electrons)


def _group(file: h5py.File, shape: Shape, sites: int, electrons: ElectronSetting | None) -> h5py.Group:
    name = f"{shape[0]}x{shape[1]}" + ("" if electrons is None else f" {electrons}")
    if name not in file:
        group = file.create_group(name)
        group.attrs.update({} if electrons is None else electrons._asdict())
        for key, dtype in ROW.items():
            row = (sites, 3) if key in ("spin", "force") else ()
            group.create_dataset(key, (0, *row), dtype, maxshape=(None, *row), chunks=(1 if row else 256, *row))
        group.create_dataset("origin", (0,), h5py.string_dtype(), maxshape=(None,), chunks=(256,))
    return file[name]


def labelled(file: h5py.File) -> tuple[set[int], int]:
    """Numbers of the blocks in the file, and the number of records. A half-written row is cut off."""
    blocks: list[np.ndarray] = []
    for group in file.values():
        length = min(len(group[key]) for key in (*ROW, "origin"))
        for key in (*ROW, "origin"):
            group[key].resize(length, 0)
        blocks.append(group["block"][:])
    numbers = np.concatenate(blocks) if blocks else np.zeros(0, np.int64)
    return set(numbers.tolist()), len(numbers)


def _open(path: Path, mode: str) -> h5py.File:
    try:
        return h5py.File(path, mode)
    except OSError as error:
        raise ValueError(f"{path} is not a readable data set (HDF5): {error}") from error


def _settings(file: h5py.File, path: Path) -> dict[str, Any]:
    if file.attrs.get("format") != FORMAT:
        raise ValueError(f"{path} is not a data set of spinviz ({FORMAT}); write one with `spinviz dataset`")
    return json.loads(file.attrs["settings"])
