"""Probe vectors for stochastic traces: blocks R with R R+ = 1 exactly (identity) or on average.

* Identity: all basis vectors; the trace is exact for any number of moments.
* RandomPhase: every column is spread over all sites with phases 1, i, -1, -i. Error of the trace ~ 1/sqrt(columns).
* Coloured: sites are coloured so that equal colours are far apart; a column lives on one colour and one spin
  component, so that only the density matrix between distant sites of one colour contaminates the estimate
  (Wang, Barros, Chern, Maslov, Batista, J. Chem. Phys. 148, 094107 (2018)).

A draw is a pure function of (seed, step, twist, draw); independent draws give the error estimate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from engine.lattice import PRIMITIVE_VECTORS, Lattice
from engine.noise import Noise

PROBE_STREAM = 1
PHASES = np.array([1, 1j, -1, -1j])


class Probes(ABC):
    """A family of probe blocks; frozen dataclasses."""

    draws: int

    @abstractmethod
    def columns(self, lattice: Lattice, components: int) -> int:
        """Columns of one draw, S."""

    @abstractmethod
    def block(self, lattice: Lattice, components: int, step: int, twist: int, draw: int, span: slice) -> np.ndarray:
        """Columns ``span`` of one draw: complex (N, o, s)."""


@dataclass(frozen=True)
class Identity(Probes):
    """All N o basis vectors: deterministic."""

    draws = 1

    def columns(self, lattice: Lattice, components: int) -> int:
        return lattice.sites * components

    def block(self, lattice: Lattice, components: int, step: int, twist: int, draw: int, span: slice) -> np.ndarray:
        size = lattice.sites * components
        chosen = np.arange(size)[span]
        out = np.zeros((size, len(chosen)), dtype=np.complex64)
        out[chosen, np.arange(len(chosen))] = 1
        return out.reshape(lattice.sites, components, -1)


@dataclass(frozen=True)
class RandomPhase(Probes):
    """``count`` columns of random phases over the whole lattice, in ``draws`` independent groups (default: up to 4)."""

    count: int
    seed: int = 0
    draws: int = 0

    def __post_init__(self) -> None:
        if self.draws == 0:
            object.__setattr__(self, "draws", next(d for d in (4, 3, 2, 1) if self.count % d == 0))
        _check(self.count, self.draws, self.seed)

    def columns(self, lattice: Lattice, components: int) -> int:
        return self.count // self.draws

    def block(self, lattice: Lattice, components: int, step: int, twist: int, draw: int, span: slice) -> np.ndarray:
        shape = (lattice.sites, components, self.count // self.draws)
        phases = _phases(self.seed, step, twist, draw, shape)
        return (phases / np.sqrt(shape[-1]))[..., span].astype(np.complex64)


@dataclass(frozen=True)
class Coloured(Probes):
    """``count`` columns = colours x spin components x draws, coloured by distance.

    covariant : the same phases for every spin component. R then commutes with a rotation of all electron spins, so the
        estimated force turns with the spins, exactly, and the largest part of the noise, that of the electrons without
        spins, which differs between the components otherwise, is gone at no cost.

    Transverse error of one estimate, skyrmion electrons (J = 0.5, mu = -3.5), random spins, T = 0.01, against the
    exact trace (48 x 48: M = 500 against 1000; 24 x 24: M = 400):

        columns (colour distance)         32 (4)    72 (6)    128 (8)   288 (12)   512 (16)   1152 (24)
        48 x 48, independent phases                           53 %      21 %       12 %       5.4 %
        48 x 48, covariant                                    35 %      19 %       11 %       5.1 %
        24 x 24, independent phases       173 %               56 %
        24 x 24, covariant                92 %      55 %      33 %      17 %       12 %

    Tried at 48 x 48 and not kept: conjugate phases for the two components (41, 22 % at 128, 288 columns), one real sign for
    both (45, 24 %). At 24 x 24 (assets/error_cost.png has the costs):

        antithetic    R and -R give one and the same estimate, which is quadratic in R. The mean of two independent draws of
                      128 columns, 24 %, is worse than one of 288, 17 %: columns are best spent on a finer colouring.
        control       the same probes and an exactly known answer subtracted, 128 columns: RKKY (second order in coupling)
                      22 %, half the coupling 14 %, T = 0.03 in place of 0.01 3.5 %. RKKY alone is known for nothing, and
                      twice the columns do as well. The gradient of a network has no estimate to be subtracted.
        deflation     levels near mu exactly, the Fermi function at T' from 128 columns: 33, 25, 9 % for T' = 0.03, 0.1,
                      0.3, the last with all levels within 1.2. The noise belongs to the smooth part. Fewer moments would
                      pay if levels cost nothing; diagonalization costs four times what PoleExpansion does.
        locality      a site's own recursion, cut off at radius r, costs as much as colours 2 r apart. r = 4, 6, 8, 10
                      (six sites):

                      error at T = 0.01                115, 47, 85, 48 %      colours 8, 12, 16 apart: 34, 18, 12 %
                                    0.1                92, 34, 35, 21 %                                25, 12,  8 %
                                    0.3                31, 11, 4.4, 1.9 %                              10, 2.8, 2.0 %

    Colouring averages the far elements of the density matrix away, cutting off makes them wrong. So none of these is here;
    what is quiet at low temperature is PoleExpansion. Not built: the smooth part with more columns, level by level, which
    by the noise measured of each level should halve the error at equal cost.
    """

    count: int
    seed: int = 0
    draws: int = 1
    covariant: bool = False

    def __post_init__(self) -> None:
        _check(self.count, self.draws, self.seed)

    @classmethod
    def at_distance(cls, lattice: Lattice, distance: float, components: int = 2, **options: Any) -> Coloured:
        """The fewest columns with equal colours at least ``distance`` apart on a regular lattice.

        Raises ValueError for a lattice without a colouring by translations or a distance that is not positive.
        """
        if not lattice.is_regular or not distance > 0:
            raise ValueError(
                f"expected a square or triangular lattice and a distance > 0, got {lattice.kind}, {distance}"
            )
        for colours in range(1, lattice.sites):
            found = _best_sublattice(lattice.kind, lattice.shape, colours)
            if found is not None and found[0] >= distance - 1e-9:
                return cls(colours * components * options.get("draws", 1), **options)
        return cls(lattice.sites * components * options.get("draws", 1), **options)

    def columns(self, lattice: Lattice, components: int) -> int:
        colours, rest = divmod(self.count // self.draws, components)
        if rest or colours < 1:
            raise ValueError(
                f"coloured probes need a multiple of {components} columns in each of {self.draws} draws "
                f"(one per colour and spin), got {self.count}; use for example {2 * components * self.draws * 8}"
            )
        return self.count // self.draws

    def block(self, lattice: Lattice, components: int, step: int, twist: int, draw: int, span: slice) -> np.ndarray:
        columns = self.columns(lattice, components)
        colours = colouring(lattice, columns // components)
        phases = _phases(self.seed, step, twist, draw, (lattice.sites, 1 if self.covariant else components))
        phases = np.broadcast_to(phases, (lattice.sites, components))
        out = np.zeros((lattice.sites, components, columns), dtype=np.complex64)
        for component in range(components):
            out[np.arange(lattice.sites), component, colours * components + component] = phases[:, component]
        return out[..., span]


def as_probes(probes: Probes | int | str) -> Probes:
    """Probes from a short form: "identity", or a number of coloured columns. Raises ValueError otherwise."""
    if isinstance(probes, Probes):
        return probes
    if probes == "identity":
        return Identity()
    if isinstance(probes, int) and not isinstance(probes, bool):
        return Coloured(probes)
    raise ValueError(f'probes must be "identity", a number of coloured columns, or a Probes object, got {probes!r}')


def colouring(lattice: Lattice, colours: int) -> np.ndarray:
    """A colour 0..colours-1 for every site (N,), equal colours as far apart as possible.

    Regular lattices: the sublattice of index ``colours`` with the largest minimum distance among those that fit the
    periods. Otherwise: greedy, farthest colour first.
    """
    if colours >= lattice.sites:
        return np.arange(lattice.sites)
    best = _best_sublattice(lattice.kind, lattice.shape, colours)
    if best is None:
        return _greedy_colouring(lattice, colours)
    _, a, shift, b = best
    n1, n2 = lattice.cells.T
    return (n1 % a) * b + (n2 - shift * (n1 // a)) % b


@lru_cache(maxsize=4096)
def _best_sublattice(kind: str, shape: tuple[int, ...], index: int) -> tuple[float, int, int, int] | None:
    """Minimum distance and Hermite normal form (a, shift, b) of the best sublattice, or None if none fits."""
    best = None
    if kind in PRIMITIVE_VECTORS:
        for a, shift, b in _sublattices(index, shape):
            distance = _minimum_distance(np.array([[a, shift], [0, b]]) @ PRIMITIVE_VECTORS[kind])
            if best is None or distance > best[0] + 1e-9:
                best = (distance, a, shift, b)
    return best


def _sublattices(index: int, shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Hermite normal forms (a, shift, b): vectors (a, shift) and (0, b), a b = index, that contain both periods."""
    forms = []
    for a in (a for a in range(1, index + 1) if index % a == 0):
        b = index // a
        for shift in range(b):
            if shape[0] % a == 0 and (shift * (shape[0] // a)) % b == 0 and shape[1] % b == 0:
                forms.append((a, shift, b))
    return forms


def _minimum_distance(vectors: np.ndarray) -> float:
    reach = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 2, indexing="ij"), -1).reshape(-1, 2)
    lengths = np.linalg.norm(reach[np.any(reach != 0, axis=1)] @ vectors, axis=1)
    return float(lengths.min())


def _greedy_colouring(lattice: Lattice, colours: int) -> np.ndarray:
    """Visit the sites in order; take the colour whose nearest member is farthest away."""
    inverse = np.linalg.inv(lattice.periods)
    nearest = np.full((colours, lattice.sites), np.inf)
    colour = np.zeros(lattice.sites, dtype=np.int64)
    for site in range(lattice.sites):
        colour[site] = int(np.argmax(nearest[:, site]))
        offset = (lattice.positions - lattice.positions[site]) @ inverse
        distance = np.linalg.norm((offset - np.round(offset)) @ lattice.periods, axis=1)
        nearest[colour[site]] = np.minimum(nearest[colour[site]], distance)
    return colour


def _phases(seed: int, step: int, twist: int, draw: int, shape: tuple[int, ...]) -> np.ndarray:
    stream = PROBE_STREAM + (twist << 16) + (draw << 40)
    return PHASES[Noise(seed).generator(0, step, stream).integers(0, 4, size=shape)]


def _check(count: int, draws: int, seed: int) -> None:
    if count < 1 or draws < 1 or count % draws:
        raise ValueError(f"probe columns must be a positive multiple of draws, got {count} columns in {draws} draws")
    if seed < 0:
        raise ValueError(f"seed must be >= 0, got {seed}")
