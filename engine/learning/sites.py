"""Networks on sites anywhere in space: what all of them share.

Where a network of a regular lattice is told (L1, L2), these are told (number of sites, seed): the realization
``random_sites(n, seed=seed)``. Sites of another density or minimum distance are remembered under (n, -1), (n, -2) ...
Everything that follows from the positions alone is computed once for each realization.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch

from engine.lattice import Lattice, random_sites
from engine.learning.network import Network

TABLES = 32  # realizations kept


class SiteNetwork(Network):
    """A network for ``random_sites`` lattices; ``tables`` of a realization come from :meth:`table`."""

    lattices = ("random_sites",)

    def __init__(self, kind: str, **configuration: Any) -> None:
        super().__init__(kind, **configuration)
        self._places: dict[tuple[int, int], Lattice] = {}
        self._tables: dict[Any, Any] = {}

    @abstractmethod
    def table(self, lattice: Lattice) -> dict[str, torch.Tensor]:
        """Everything about a realization that does not depend on the spins."""

    def lattice(self, shape: tuple[int, int], shells: int = 3) -> Lattice:
        if shape in self._places:
            return self._places[shape]
        if shape[1] < 0:
            raise ValueError(f"sites {shape} are not known here; load the force with the lattice they belong to")
        return random_sites(shape[0], seed=shape[1])

    def place(self, lattice: Lattice) -> tuple[int, int]:
        usual = (lattice.sites, int(lattice.options.get("seed", 0)))
        if np.array_equal(random_sites(lattice.sites, seed=usual[1]).positions, lattice.positions):
            return usual
        for shape, known in self._places.items():
            if np.array_equal(known.positions, lattice.positions) and np.array_equal(known.periods, lattice.periods):
                return shape
        shape = (lattice.sites, -1 - len(self._places))
        self._places[shape] = lattice
        return shape

    def permutations(self, shape: tuple[int, int]) -> torch.Tensor:
        """Disordered sites have no symmetry but the identity, (1, N)."""
        return torch.arange(shape[0])[None]

    def tables(self, shape: tuple[int, int], like: torch.Tensor) -> dict[str, torch.Tensor]:
        """The table of a realization on the device of ``like``, real and complex numbers in its precision."""
        key = (tuple(shape), like.device, like.dtype)
        if key not in self._tables:
            if len(self._tables) >= TABLES:
                self._tables.pop(next(iter(self._tables)))
            with torch.inference_mode(False):
                table = self.table(self.lattice(shape))
                self._tables[key] = {name: _converted(array, like) for name, array in table.items()}
        return self._tables[key]


def distances(lattice: Lattice) -> np.ndarray:
    """Distances of all pairs through their nearest images, (N, N)."""
    return np.linalg.norm(separations(lattice), axis=-1)


def separations(lattice: Lattice) -> np.ndarray:
    """r_j - r_i through the nearest image in a box with orthogonal periods, (N, N, d)."""
    box = np.diag(lattice.periods)
    raw = lattice.positions[None] - lattice.positions[:, None]
    return raw - np.round(raw / box) * box


def _converted(array: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if array.is_complex():
        return array.to(like.device, torch.complex128 if like.dtype == torch.float64 else torch.complex64)
    return array.to(like.device, like.dtype if array.is_floating_point() else array.dtype)
