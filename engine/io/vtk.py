"""VTK files of one frame for ParaView and pyvista: legacy format 3.0, unstructured grid, ASCII or binary (big-endian).

Points are the sites, with the spins as point vectors; cells are the lattice's triangles that do not cross its periods
(single points where there are none). Observables with one number per site become point data, those with one number
per triangle cell data; the others are left out.
Format: https://docs.vtk.org/en/latest/vtk_file_formats/vtk_legacy_file_format.html
"""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np

from engine.frame import Frame
from engine.io.ovf import in_space
from engine.lattice import Lattice

VTK_VERTEX, VTK_TRIANGLE = 1, 5
TITLE_LIMIT = 255


def write_vtk(
    path: str | os.PathLike[str], frame: Frame, replica: int = 0, binary: bool = True, title: str = "spinviz"
) -> None:
    """Write one replica. Raises ValueError for an unknown replica."""
    if not 0 <= replica < len(frame.spin):
        raise ValueError(f"the frame has replicas 0 to {len(frame.spin) - 1}, got {replica}")
    lattice = frame.lattice
    kept = inner_plaquettes(lattice)
    cells = lattice.plaquettes[kept] if kept.any() else np.arange(lattice.sites)[:, None]
    scalars = {name: np.asarray(value[replica]) for name, value in frame.observables.items()}
    with open(path, "wb") as file:
        kind = "BINARY" if binary else "ASCII"
        _line(file, f"# vtk DataFile Version 3.0\n{' '.join(title.split())[:TITLE_LIMIT]}\n{kind}\n")
        _line(file, f"DATASET UNSTRUCTURED_GRID\nPOINTS {lattice.sites} double\n")
        _numbers(file, in_space(lattice.positions), ">f8", binary)
        _line(file, f"CELLS {len(cells)} {cells.size + len(cells)}\n")
        _numbers(file, np.insert(cells, 0, cells.shape[1], axis=1), ">i4", binary)
        _line(file, f"CELL_TYPES {len(cells)}\n")
        _numbers(file, np.full((len(cells), 1), VTK_TRIANGLE if kept.any() else VTK_VERTEX), ">i4", binary)
        _line(file, f"POINT_DATA {lattice.sites}\nVECTORS spin float\n")
        _numbers(file, frame.spin[replica], ">f4", binary)
        for name, value in scalars.items():
            if value.shape == (lattice.sites,) and name != "structure_factor":  # that one lives on momenta
                _scalars(file, name, value, binary)
        triangles = {name: value for name, value in scalars.items() if value.shape == kept.shape and kept.any()}
        if triangles:
            _line(file, f"CELL_DATA {len(cells)}\n")
            for name, value in triangles.items():
                _scalars(file, name, value[kept], binary)


def inner_plaquettes(lattice: Lattice) -> np.ndarray:
    """Which triangles do not cross the periods, (P,) bool: those whose corners span at most half a period."""
    if not len(lattice.plaquettes):
        return np.zeros(0, dtype=bool)
    corners = (lattice.positions @ np.linalg.inv(lattice.periods))[lattice.plaquettes]
    return np.asarray((np.ptp(corners, axis=1) < 0.5).all(axis=1))


def _scalars(file: BinaryIO, name: str, value: np.ndarray, binary: bool) -> None:
    _line(file, f"SCALARS {'_'.join(name.split())} double 1\nLOOKUP_TABLE default\n")
    _numbers(file, value[:, None], ">f8", binary)


def _numbers(file: BinaryIO, rows: np.ndarray, dtype: str, binary: bool) -> None:
    if binary:
        file.write(np.ascontiguousarray(rows, dtype=dtype).tobytes() + b"\n")
    else:
        np.savetxt(file, rows, fmt="%d" if dtype == ">i4" else "%.9g")


def _line(file: BinaryIO, text: str) -> None:
    file.write(text.encode("ascii", "replace"))
