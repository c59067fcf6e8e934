"""OVF 2.0 (OOMMF vector field), the exchange format of micromagnetics: text, binary 4 and binary 8 (little-endian).

* Square lattices are rectangular meshes: one cell of size 1 per site, x = n1 fastest; site (n1, n2) at its centre
  (n1, n2, 0).
* All others are irregular meshes: each line is x y z mx my mz, in the order of the sites.

A ``Desc: lattice {...}`` line in the header lets :func:`read_ovf` rebuild the lattice of our own files; without it a
rectangular file of one layer becomes a square lattice, and an irregular one needs the lattice from the caller.
Format: https://math.nist.gov/oommf/doc/userguide20a3/userguide/OVF_2.0_format.html
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.frame import Frame
from engine.lattice import Lattice, from_description, square

REPRESENTATIONS = {"text": "Text", "binary4": "Binary 4", "binary8": "Binary 8"}
CHECK_VALUES = {4: 1234567.0, 8: 123456789012345.0}
POINTS_LIMIT = 2048 * 2048
HEADER_LINES_LIMIT = 1000
LINE_BYTES_LIMIT = 4096
POSITION_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class VectorField:
    """Contents of an OVF file: ``vectors`` (N, 3) and ``positions`` (N, 3), float64, in file order.

    ``nodes`` (nx, ny, nz) of a rectangular mesh, None of an irregular one; ``header`` all keys in lower case;
    ``lattice`` where the file describes one.
    """

    vectors: np.ndarray
    positions: np.ndarray
    nodes: tuple[int, int, int] | None
    header: dict[str, str]
    lattice: Lattice | None


def write_ovf(
    path: str | os.PathLike[str], frame: Frame, replica: int = 0, representation: str = "binary8", title: str = "spin"
) -> None:
    """Write the spins of one replica. Raises ValueError for an unknown representation or replica."""
    if representation not in REPRESENTATIONS:
        raise ValueError(f"representation must be one of {sorted(REPRESENTATIONS)}, got {representation!r}")
    if not 0 <= replica < len(frame.spin):
        raise ValueError(f"the frame has replicas 0 to {len(frame.spin) - 1}, got {replica}")
    lattice, spin = frame.lattice, np.asarray(frame.spin[replica], dtype=np.float64)
    if lattice.kind == "square":
        rows = spin.reshape(*lattice.shape, 3).transpose(1, 0, 2).reshape(-1, 3)  # x fastest
        mesh = _rectangular_header(*lattice.shape)
    else:
        rows = np.concatenate([in_space(lattice.positions), spin], axis=1)
        mesh = _irregular_header(in_space(lattice.positions))
    kind = REPRESENTATIONS[representation]
    header = [
        "OOMMF OVF 2.0", "", "Segment count: 1", "", "Begin: Segment", "Begin: Header", "",
        f"Title: {' '.join(title.split())}",
        f"Desc: step {frame.step}", f"Desc: Total simulation time: {frame.time[replica]} hbar/t1",
        f"Desc: lattice {json.dumps(lattice.description())}", "meshunit: 1", *mesh,
        "valuedim: 3", "valuelabels: spin_x spin_y spin_z", "valueunits: 1 1 1", "", "End: Header", "",
        f"Begin: Data {kind}",
    ]  # fmt: skip
    with open(path, "wb") as file:
        file.write("".join(f"# {line}".rstrip() + "\n" for line in header).encode())
        _write_data(file, rows, representation)
        file.write(f"# End: Data {kind}\n# End: Segment\n".encode())


def read_ovf(path: str | os.PathLike[str], lattice: Lattice | None = None) -> Frame:
    """Spins of an OVF file as a Frame of one replica, normalized to length 1, in the site order of the lattice.

    ``lattice`` may be given; otherwise see the top of this file. Raises ValueError when the file is malformed, larger
    than 2048 x 2048 points, has empty points, or does not fit the lattice.
    """
    field = read_vector_field(path)
    lattice = lattice or field.lattice or _square_lattice(path, field)
    if lattice.sites != len(field.vectors):
        raise ValueError(
            f"{path} has {len(field.vectors)} points, the lattice {lattice.sites} sites; give the right one"
        )
    if field.nodes is not None and lattice.kind == "square" and field.nodes[:2] == lattice.shape:
        vectors = field.vectors.reshape(field.nodes[1], field.nodes[0], 3).transpose(1, 0, 2).reshape(-1, 3)
    else:
        vectors = field.vectors[_order_of_sites(path, field.positions, lattice)]
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.isfinite(lengths).all() or lengths.min() <= 1e-6 * lengths.max():
        raise ValueError(f"{path} has points without magnetization or not finite; every site needs a spin")
    spin = (vectors / lengths[:, None]).astype(np.float32)[None]
    return Frame(step=0, time=np.zeros(1), spin=spin, lattice=lattice)


def read_vector_field(path: str | os.PathLike[str]) -> VectorField:
    """Everything in an OVF 2.0 file of three-component vectors. Raises ValueError as :func:`read_ovf`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no OVF file {path}")
    with open(path, "rb") as file:
        header, kind = _read_header(path, file)
        nodes, points = _size(path, header)
        columns = 3 if nodes is not None else 6
        rows = _read_data(path, file, kind, points, columns)
    positions = rows[:, :3] if nodes is None else _node_positions(path, header, nodes)
    return VectorField(rows[:, -3:], positions, nodes, header, _described_lattice(path, header, points))


def in_space(positions: np.ndarray) -> np.ndarray:
    """Positions (N, d) in three dimensions, (N, 3), z = 0 where the lattice is plane."""
    return np.pad(positions, ((0, 0), (0, 3 - positions.shape[1])))


def _rectangular_header(nx: int, ny: int) -> list[str]:
    lines = ["meshtype: rectangular"]
    for axis, count in (("x", nx), ("y", ny), ("z", 1)):
        lines += [f"{axis}base: 0.0", f"{axis}nodes: {count}", f"{axis}stepsize: 1.0"]
        lines += [f"{axis}min: -0.5", f"{axis}max: {count - 0.5}"]
    return lines


def _irregular_header(positions: np.ndarray) -> list[str]:
    lines = ["meshtype: irregular", f"pointcount: {len(positions)}"]
    for axis, low, high in zip("xyz", positions.min(axis=0) - 0.5, positions.max(axis=0) + 0.5, strict=True):
        lines += [f"{axis}min: {low}", f"{axis}max: {high}"]
    return lines


def _write_data(file: BinaryIO, rows: np.ndarray, representation: str) -> None:
    if representation == "text":
        np.savetxt(file, rows, fmt="%.17g")
        return
    size = int(representation[-1])
    dtype = np.dtype(f"<f{size}")
    file.write(np.array(CHECK_VALUES[size], dtype).tobytes() + rows.astype(dtype).tobytes() + b"\n")


def _read_header(path: Path, file: BinaryIO) -> tuple[dict[str, str], str]:
    """Header keys in lower case (several Desc lines are joined by newlines), and the kind of the data block."""
    first = file.readline(LINE_BYTES_LIMIT).decode("utf-8", "replace")
    if not first.lower().replace(":", " ").split()[:4] == ["#", "oommf", "ovf", "2.0"]:
        raise ValueError(f"{path} is not an OVF 2.0 file (first line {first.strip()[:60]!r}); convert it to OVF 2.0")
    header: dict[str, str] = {}
    for _ in range(HEADER_LINES_LIMIT):
        line = file.readline(LINE_BYTES_LIMIT)
        if not line:
            break
        key, _, value = line.decode("utf-8", "replace").lstrip("# ").split("##")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if key == "begin" and value.lower().startswith("data"):
            return header, " ".join(value.lower().split()[1:])
        if key == "desc" and key in header:
            value = header[key] + "\n" + value
        header[key] = value
    raise ValueError(f"{path} ends, or goes on for {HEADER_LINES_LIMIT} lines, before its 'Begin: Data' line")


def _size(path: Path, header: dict[str, str]) -> tuple[tuple[int, int, int] | None, int]:
    """(nx, ny, nz) or None for an irregular mesh, and the number of points."""
    if _integer(path, header, "valuedim") != 3:
        raise ValueError(f"{path} has valuedim {header['valuedim']}, spins need 3")
    meshtype = header.get("meshtype", "").lower()
    if meshtype not in ("rectangular", "irregular"):
        raise ValueError(f"{path} has meshtype {meshtype!r}, expected rectangular or irregular")
    nodes = None
    if meshtype == "rectangular":
        nodes = (_integer(path, header, "xnodes"), _integer(path, header, "ynodes"), _integer(path, header, "znodes"))
        points = nodes[0] * nodes[1] * nodes[2]
    else:
        points = _integer(path, header, "pointcount")
    if points > POINTS_LIMIT:
        raise ValueError(f"{path} has {points} points, at most {POINTS_LIMIT} are read")
    return nodes, points


def _read_data(path: Path, file: BinaryIO, kind: str, points: int, columns: int) -> np.ndarray:
    """The data block, (points, columns) float64."""
    count = points * columns
    if kind in ("binary 4", "binary 8"):
        size = int(kind[-1])
        dtype = np.dtype(f"<f{size}")
        raw = file.read(size * (count + 1))
        if len(raw) < size * (count + 1):
            raise ValueError(
                f"{path} is truncated: {points} points promised, {max(len(raw) // size - 1, 0)} numbers came"
            )
        numbers = np.frombuffer(raw, dtype)
        if numbers[0] != CHECK_VALUES[size]:
            raise ValueError(f"{path} has check value {numbers[0]}, expected {CHECK_VALUES[size]}: wrong byte order?")
        return numbers[1:].astype(np.float64).reshape(points, columns)
    if kind != "text":
        raise ValueError(f"{path} has data {kind!r}, expected Text, Binary 4 or Binary 8")
    lines = file.read(64 * count + 2**20).split(b"\n")  # 64 characters a number are more than any writer uses
    words = b" ".join(line for line in lines if not line.lstrip().startswith(b"#")).split()
    if len(words) != count:
        raise ValueError(f"{path} promises {points} points of {columns} numbers, {len(words)} numbers came")
    try:
        return np.array(words, dtype=np.float64).reshape(points, columns)
    except ValueError as error:
        raise ValueError(f"{path} has something else than numbers in its data: {error}") from error


def _node_positions(path: Path, header: dict[str, str], nodes: tuple[int, int, int]) -> np.ndarray:
    axes = [
        _number(path, header, f"{axis}base") + _number(path, header, f"{axis}stepsize") * np.arange(count)
        for axis, count in zip("xyz", nodes, strict=True)
    ]
    z, y, x = np.meshgrid(*axes[::-1], indexing="ij")
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)


def _described_lattice(path: Path, header: dict[str, str], points: int) -> Lattice | None:
    """The lattice of a ``Desc: lattice {...}`` line, built only when it has as many sites as the file points."""
    for line in header.get("desc", "").split("\n"):
        if line.startswith("lattice {"):
            try:
                description: dict[str, Any] = json.loads(line.removeprefix("lattice "))
                promised = description.get("n") or description["L1"] * description["L2"]
                lattice = from_description(description) if promised == points else None
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path} has a lattice line that cannot be read: {line[:80]!r}") from error
            if lattice is None:
                raise ValueError(f"{path} describes a lattice of {promised} sites, but has {points} points")
            return lattice
    return None


def _square_lattice(path: str | os.PathLike[str], field: VectorField) -> Lattice:
    if field.nodes is None or field.nodes[2] != 1:
        what = "an irregular mesh" if field.nodes is None else f"{field.nodes[2]} layers"
        raise ValueError(
            f"{path} has {what}: its lattice is not known; give lattice=, or a rectangular file of one layer"
        )
    return square(*field.nodes[:2])


def _order_of_sites(path: str | os.PathLike[str], positions: np.ndarray, lattice: Lattice) -> np.ndarray:
    """For each site the point of the file that lies on it (up to a common shift and periods)."""
    sites = in_space(lattice.positions)
    offset = sites - positions  # the usual case: same order
    if np.abs(offset - offset[0]).max() < POSITION_TOLERANCE:
        return np.arange(len(sites))
    if not lattice.is_regular:
        raise ValueError(f"{path}: its points are not the sites of this lattice, in their order")
    shifted = positions[:, :2] - positions[np.lexsort(positions[:, :2].T)[0], :2]
    cells = shifted @ np.linalg.inv(lattice.primitive_vectors)
    worst = np.abs(cells - np.round(cells)).max()
    n1, n2 = (np.round(cells).astype(np.int64) % np.array(lattice.shape)).T
    site = n1 * lattice.shape[1] + n2
    if worst > POSITION_TOLERANCE or len(np.unique(site)) != len(sites):
        raise ValueError(f"{path}: its points do not lie on the sites of this {lattice.kind} lattice {lattice.shape}")
    return np.argsort(site)


def _number(path: Path, header: dict[str, str], key: str) -> float:
    try:
        value = float(header[key])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} needs a number for {key!r} in its header, got {header.get(key)!r}") from error
    if not np.isfinite(value):
        raise ValueError(f"{path} needs a finite {key}, got {value}")
    return value


def _integer(path: Path, header: dict[str, str], key: str) -> int:
    value = _number(path, header, key)
    if value != int(value) or value < 1:
        raise ValueError(f"{path} needs a positive integer for {key!r}, got {header[key]!r}")
    return int(value)
