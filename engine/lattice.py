"""Lattices: where the sites are, which pairs are bonded, which triangles tile the plane.

Conventions
-----------
* Lattice constant 1. Triangular a1 = (1, 0), a2 = (1/2, sqrt(3)/2); square a1 = (1, 0), a2 = (0, 1).
* Site ``i = n1 * L2 + n2`` sits at ``n1 a1 + n2 a2``; the lattice is periodic with periods L1 a1, L2 a2.
* A *shell* is a set of equal distances, numbered from 1 by increasing distance: triangular 1, sqrt(3), 2, sqrt(7), 3;
  square 1, sqrt(2), 2, sqrt(5), sqrt(8).
* Every bond stands once. ``displacements`` points from bonds[:, 0] to bonds[:, 1] along the bond itself, so that
  ``positions[j] = positions[i] + displacement - wraps @ periods``. On small lattices two sites can share several
  bonds (through different images), and a site can be bonded to its own image: all of them are kept.
* Plaquettes are counter-clockwise triangles that tile the torus exactly once (a square cell is cut along a1 + a2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

PRIMITIVE_VECTORS = {
    "square": np.array([[1.0, 0.0], [0.0, 1.0]]),
    "triangular": np.array([[1.0, 0.0], [0.5, np.sqrt(3.0) / 2.0]]),
}
DISTANCE_TOLERANCE = 1e-9
LARGEST_LATTICE = 2**24  # sites; about 10 GiB of bonds


@dataclass(frozen=True)
class BrillouinZone:
    """First Brillouin zone: ``vertices`` (n, 2) counter-clockwise, ``points`` name -> q (2,), ``reciprocal`` rows b1, b2.

    ``equivalents`` lists, for every name, all symmetry-equivalent points on the zone (for example the six K corners).
    """

    reciprocal: np.ndarray
    vertices: np.ndarray
    points: dict[str, np.ndarray]
    equivalents: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Lattice:
    """Sites, bonds and triangles of a periodic system (geometry only; NumPy, float64).

    Parameters
    ----------
    kind : "square", "triangular" or "random_sites".
    shape : (L1, L2) cells, or (N,) for random sites.
    positions : (N, d). bonds : (E, 2) int. displacements : (E, d). shells : (E,) int, 0 for random sites.
    wraps : (E, d) int, periodic images crossed from bonds[:, 0] to bonds[:, 1].
    plaquettes : (P, 3) int. periods : (d, d), rows are the periods. options : what rebuilds this lattice.
    """

    kind: str
    shape: tuple[int, ...]
    positions: np.ndarray
    bonds: np.ndarray
    displacements: np.ndarray
    shells: np.ndarray
    wraps: np.ndarray
    plaquettes: np.ndarray
    periods: np.ndarray
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def sites(self) -> int:
        """Number of sites N."""
        return len(self.positions)

    @property
    def dimension(self) -> int:
        return int(self.positions.shape[1])

    @property
    def is_regular(self) -> bool:
        """True for Bravais lattices (translation invariant)."""
        return self.kind in PRIMITIVE_VECTORS

    @cached_property
    def distances(self) -> np.ndarray:
        """Bond lengths (E,)."""
        return np.linalg.norm(self.displacements, axis=1)

    def tensor(self, name: str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> torch.Tensor:
        """A geometry array as a new tensor on a device."""
        return torch.tensor(getattr(self, name), device=device, dtype=dtype)

    @cached_property
    def cells(self) -> np.ndarray:
        """Integer cell coordinates (n1, n2) of every site, shape (N, 2)."""
        self._require_regular("cells")
        return np.stack(np.meshgrid(*map(np.arange, self.shape), indexing="ij"), -1).reshape(-1, 2)

    @property
    def primitive_vectors(self) -> np.ndarray:
        """Rows a1, a2."""
        self._require_regular("primitive vectors")
        return PRIMITIVE_VECTORS[self.kind]

    def per_bond(self, values: Mapping[int, float], name: str) -> np.ndarray:
        """Spread {shell: value} over the bonds, (E,), zero elsewhere. Raises ValueError for an unknown shell."""
        known = sorted(set(self.shells.tolist()))
        unknown = [shell for shell in values if shell not in known]
        if unknown:
            raise ValueError(f"{name} names shell {unknown}, the lattice has {known}; build it with more shells=")
        spread = np.zeros(len(self.bonds))
        for shell, value in values.items():
            spread[self.shells == shell] = value
        return spread

    def momenta(self) -> np.ndarray:
        """All N momenta compatible with the periods, (N, 2), in FFT order of (n1, n2), not folded into the zone."""
        self._require_regular("momenta")
        reciprocal = self.brillouin_zone().reciprocal
        fractions = [np.arange(length) / length for length in self.shape]
        return np.stack(np.meshgrid(*fractions, indexing="ij"), -1).reshape(-1, 2) @ reciprocal

    def brillouin_zone(self) -> BrillouinZone:
        """First Brillouin zone with its high-symmetry points. Raises ValueError for random sites."""
        self._require_regular("a Brillouin zone")
        return _brillouin_zone(self.kind)

    def point_group(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Point-group operations about site 0 that map this periodic lattice onto itself.

        Returns a list of (matrix (2, 2), permutation (N,)): site i moves to site permutation[i], so a scalar field
        f transforms as f_new[permutation] = f. Twelve operations for a triangular L x L lattice (D6), eight for a
        square one (D4), fewer when L1 != L2. Random sites have only the identity.
        """
        if not self.is_regular:
            return [(np.eye(self.dimension), np.arange(self.sites))]
        operations = []
        for cell_matrix in _cell_operations(self.kind):
            scaled = cell_matrix * np.array(self.shape)[None, :] / np.array(self.shape)[:, None]
            if not np.allclose(scaled, np.round(scaled)):
                continue  # this operation does not map the periods onto periods
            image = (self.cells @ cell_matrix.T) % np.array(self.shape)
            permutation = image[:, 0] * self.shape[1] + image[:, 1]
            vectors = self.primitive_vectors.T
            operations.append((vectors @ cell_matrix @ np.linalg.inv(vectors), permutation))
        return operations

    def description(self) -> dict[str, Any]:
        """JSON-ready description; :func:`from_description` rebuilds the same lattice."""
        return {"kind": self.kind, **self.options}

    def _require_regular(self, what: str) -> None:
        if not self.is_regular:
            raise ValueError(f"{what} needs a square or triangular lattice, got kind={self.kind!r}")


def square(L1: int, L2: int | None = None, shells: int = 3) -> Lattice:
    """Periodic square lattice with bonds of the first ``shells`` distances (1, sqrt 2, 2, ...). L2 defaults to L1."""
    return _bravais("square", L1, L1 if L2 is None else L2, shells)


def triangular(L1: int, L2: int | None = None, shells: int = 3) -> Lattice:
    """Periodic triangular lattice with bonds of the first ``shells`` distances (1, sqrt 3, 2, ...). L2 defaults to L1."""
    return _bravais("triangular", L1, L1 if L2 is None else L2, shells)


def random_sites(
    n: int, box: float | None = None, minimum_distance: float = 0.5, cutoff: float | None = None, seed: int = 0
) -> Lattice:
    """``n`` random sites in a cubic 3-D periodic box, no two closer than ``minimum_distance``.

    Every pair is bonded once, through its nearest image, when closer than ``cutoff`` (default: all pairs).
    ``box`` defaults to 5 (n / 100)^(1/3), the density of the amorphous spin glass (N = 100 in a box of 5).
    Raises ValueError when the sites do not fit.
    """
    if n < 2:
        raise ValueError(f"random_sites needs at least 2 sites, got n={n}")
    box = float(box) if box is not None else 5.0 * (n / 100.0) ** (1.0 / 3.0)
    for name, value in (("box", box), ("minimum_distance", minimum_distance)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive length, got {value}")
    positions = _place_sites(n, box, minimum_distance, np.random.Generator(np.random.Philox(seed)))
    first, second = np.triu_indices(n, 1)
    raw = positions[second] - positions[first]
    wraps = -np.round(raw / box).astype(np.int64)  # images crossed: j is met in image -round
    displacements = raw + wraps * box
    keep = np.linalg.norm(displacements, axis=1) <= (np.inf if cutoff is None else cutoff)
    options = {"n": n, "box": box, "minimum_distance": minimum_distance, "cutoff": cutoff, "seed": seed}
    return Lattice(
        kind="random_sites", shape=(n,), positions=positions,
        bonds=np.stack([first, second], 1)[keep], displacements=displacements[keep],
        shells=np.zeros(int(keep.sum()), dtype=np.int64), wraps=wraps[keep],
        plaquettes=np.zeros((0, 3), dtype=np.int64), periods=np.eye(3) * box, options=options,
    )  # fmt: skip


def from_description(description: dict[str, Any]) -> Lattice:
    """Rebuild a lattice from :meth:`Lattice.description`. Raises ValueError for an unknown kind."""
    options = dict(description)
    kind = options.pop("kind", None)
    builders: dict[str, Callable[..., Lattice]] = {
        "square": square,
        "triangular": triangular,
        "random_sites": random_sites,
    }
    if kind not in builders:
        raise ValueError(f"lattice kind must be one of {sorted(builders)}, got {kind!r}")
    return builders[kind](**options)


def shell_distances(kind: str, shells: int) -> np.ndarray:
    """The first ``shells`` distinct non-zero distances of an infinite lattice, (shells,)."""
    reach = shells + 2
    cells = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    distances = np.sort(np.linalg.norm(cells @ PRIMITIVE_VECTORS[kind], axis=1))
    distinct = distances[np.concatenate([[True], np.diff(distances) > DISTANCE_TOLERANCE])]
    return distinct[1 : shells + 1]


def half_stencil(kind: str, shells: int) -> tuple[np.ndarray, np.ndarray]:
    """Cell displacements (K, 2), one of each +-pair, of the first ``shells`` shells, with their shell numbers (K,)."""
    radii = shell_distances(kind, shells)
    reach = int(np.ceil(radii[-1] * 2 / np.sqrt(3))) + 1
    cells = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    cells = cells[(cells[:, 0] > 0) | ((cells[:, 0] == 0) & (cells[:, 1] > 0))]
    gap = np.abs(np.linalg.norm(cells @ PRIMITIVE_VECTORS[kind], axis=1)[:, None] - radii[None, :])
    keep = gap.min(axis=1) < DISTANCE_TOLERANCE
    shell = gap.argmin(axis=1) + 1
    order = np.argsort(shell[keep], kind="stable")
    return cells[keep][order], shell[keep][order]


def _bravais(kind: str, L1: int, L2: int, shells: int) -> Lattice:
    for name, length in (("L1", L1), ("L2", L2)):
        if int(length) != length or length < 3:
            raise ValueError(f"{kind} lattice needs integer {name} >= 3, got {name}={length}; use 3 or more cells")
    if int(shells) != shells or not 1 <= shells <= 20:
        raise ValueError(f"shells must be an integer from 1 to 20, got {shells}")
    L1, L2, shells = int(L1), int(L2), int(shells)
    if L1 * L2 > LARGEST_LATTICE:
        raise MemoryError(
            f"{kind} lattice of {L1} x {L2} = {L1 * L2} sites would not fit in memory with its bonds; "
            f"use at most {LARGEST_LATTICE} sites (4096 x 4096)"
        )
    shape, vectors = np.array([L1, L2]), PRIMITIVE_VECTORS[kind]
    cells = np.stack(np.meshgrid(np.arange(L1), np.arange(L2), indexing="ij"), -1).reshape(-1, 2)
    stencil, stencil_shells = half_stencil(kind, shells)
    targets = (cells[None] + stencil[:, None]).reshape(-1, 2)  # displacement-major: bond = k * N + i
    wraps = np.floor_divide(targets, shape)
    ends = targets - wraps * shape
    starts = np.tile(np.arange(L1 * L2), len(stencil))
    right, up = (cells + [1, 0]) % shape, (cells + [0, 1]) % shape
    corner = (cells + [1, 1]) % shape
    site = [np.arange(L1 * L2)] + [c[:, 0] * L2 + c[:, 1] for c in (right, up, corner)]
    if kind == "triangular":  # the two triangles of a rhombus share the short diagonal a1 - a2
        triangles = [np.stack([site[0], site[1], site[2]], 1), np.stack([site[1], site[3], site[2]], 1)]
    else:
        triangles = [np.stack([site[0], site[1], site[3]], 1), np.stack([site[0], site[3], site[2]], 1)]
    return Lattice(
        kind=kind, shape=(L1, L2), positions=cells @ vectors,
        bonds=np.stack([starts, ends[:, 0] * L2 + ends[:, 1]], 1),
        displacements=np.repeat(stencil @ vectors, L1 * L2, axis=0), shells=np.repeat(stencil_shells, L1 * L2),
        wraps=wraps, plaquettes=np.stack(triangles, 1).reshape(-1, 3), periods=vectors * shape[:, None],
        options={"L1": L1, "L2": L2, "shells": shells},
    )  # fmt: skip


def _place_sites(n: int, box: float, minimum_distance: float, generator: np.random.Generator) -> np.ndarray:
    """Random sequential addition with nearest-image distances."""
    placed = np.empty((0, 3))
    for _ in range(200 * n):
        trial = generator.random(3) * box
        offset = placed - trial
        offset -= box * np.round(offset / box)
        if len(placed) == 0 or np.min(np.einsum("ij,ij->i", offset, offset)) >= minimum_distance**2:
            placed = np.concatenate([placed, trial[None]])
            if len(placed) == n:
                return placed
    raise ValueError(
        f"could not place {n} sites at least {minimum_distance} apart in a box of {box}: "
        f"{len(placed)} fitted; use a larger box or a smaller minimum_distance"
    )


def _cell_operations(kind: str) -> list[np.ndarray]:
    """Point-group matrices in cell coordinates (columns = images of a1, a2)."""
    rotation = np.array([[0, -1], [1, 1]]) if kind == "triangular" else np.array([[0, -1], [1, 0]])
    mirror = np.array([[0, 1], [1, 0]])  # exchanges a1 and a2: an isometry of both lattices
    order = 6 if kind == "triangular" else 4
    rotations = [np.linalg.matrix_power(rotation, k) for k in range(order)]
    return rotations + [r @ mirror for r in rotations]


def _brillouin_zone(kind: str) -> BrillouinZone:
    vectors = PRIMITIVE_VECTORS[kind]
    reciprocal = 2 * np.pi * np.linalg.inv(vectors).T
    gamma = np.zeros(2)
    if kind == "triangular":
        radius, angles = 4 * np.pi / 3, np.arange(6) * np.pi / 3
        vertices = radius * np.stack([np.cos(angles), np.sin(angles)], 1)
        edges = (vertices + np.roll(vertices, -1, axis=0)) / 2
        points = {"Γ": gamma, "K": vertices[0], "M": edges[0]}
        return BrillouinZone(reciprocal, vertices, points, {"Γ": gamma[None], "K": vertices, "M": edges})
    vertices = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.pi
    edges = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]) * np.pi
    points = {"Γ": gamma, "X": edges[0], "M": vertices[2]}
    return BrillouinZone(reciprocal, vertices, points, {"Γ": gamma[None], "X": edges, "M": vertices})
