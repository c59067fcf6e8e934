"""Domain sizes and growth laws.

1. A scalar field whose domains are uniform (chirality, S_z): the inverse width of its structure factor's peak at Γ,

       Delta k = sum_k |k| S(k) / sum_k S(k),      L = 2 pi / Delta k,      k folded into the first Brillouin zone,

   for which a plane wave has L = its wave length. (S. Zhang, Univ. of Virginia thesis (2024), ch. 2: L^-1 ~ Delta k.)
2. Spins ordering at a finite momentum k_p (skyrmion crystal), with k measured from the nearest of the peaks that
   symmetry makes equivalent (thesis, sec. 3.4, which prints the width as L(t) but describes the length, its inverse):

       M(t) = < S(k) >_{|k - k_p| <= 0.1},      Delta k = sum_k |k - k_p| S(k) / sum_k S(k),      L = 2 pi / Delta k.

Lengths above sqrt(area) of the sample mean one domain, and are returned as sqrt(area).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from engine.lattice import Lattice
from engine.observables.spin import checked_spin
from engine.observables.structure_factor import field_structure_factor, fold_to_zone

PEAK_RADIUS = 0.1  # radius of the average in M(t), inverse lattice constants (thesis, sec. 3.4)
ROUNDING = 1e-9

Momentum = tuple[float, float]


class PowerLaw(NamedTuple):
    """y = prefactor * x**exponent; ``uncertainty`` and ``prefactor_uncertainty`` are standard errors (one sigma)."""

    exponent: float
    uncertainty: float
    prefactor: float
    prefactor_uncertainty: float
    points: int


def domain_length(field: torch.Tensor | np.ndarray, lattice: Lattice, subtract_mean: bool = False) -> torch.Tensor:
    """Domain length L (B,), float64, of a real field (B, N) on the sites or (B, 2N) on the triangles.

    Triangles are averaged over the two of each cell. ``subtract_mean`` leaves out k = 0: use it for conserved fields,
    such as densities; without it a sample filled by one domain answers sqrt(area). A zero field answers sqrt(area).
    """
    values = torch.as_tensor(field)
    lattice.momenta()  # refuses lattices without a zone
    if values.ndim != 2 or values.shape[1] not in (lattice.sites, 2 * lattice.sites):
        raise ValueError(
            f"field must have shape (B, {lattice.sites}) or (B, {2 * lattice.sites}), got {tuple(values.shape)}"
        )
    per_site = values.double().reshape(len(values), lattice.sites, -1).mean(2)
    if subtract_mean:
        per_site = per_site - per_site.mean(1, keepdim=True)
    structure = field_structure_factor(per_site[..., None], lattice)
    return _inverse_width(structure, lattice, _peak_distances(structure, lattice, (0.0, 0.0)))


def peak_length(spin: torch.Tensor | np.ndarray, lattice: Lattice, peak: Momentum | None = None) -> torch.Tensor:
    """L(t) (B,) of definition 2: the correlation length of a crystal that orders at ``peak`` and equivalent momenta.

    ``peak`` (qx, qy) defaults to the highest momentum other than Γ of each replica's S(q).
    """
    structure = field_structure_factor(checked_spin(spin, lattice), lattice)
    return _inverse_width(structure, lattice, _peak_distances(structure, lattice, peak))


def peak_order(spin: torch.Tensor | np.ndarray, lattice: Lattice, peak: Momentum | None = None) -> torch.Tensor:
    """M(t) (B,) of definition 2: mean of S(q) over the grid momenta within 0.1 of ``peak`` or an equivalent.

    On small lattices (few momenta within 0.1) it is S at the peak itself. ``peak`` as in :func:`peak_length`.
    """
    structure = field_structure_factor(checked_spin(spin, lattice), lattice)
    distance = _peak_distances(structure, lattice, peak)
    near = distance <= distance.amin(1, keepdim=True).clamp(min=PEAK_RADIUS) + ROUNDING
    return (structure * near).sum(1) / near.sum(1)


def clusters(
    members: np.ndarray | torch.Tensor, lattice: Lattice, linked: np.ndarray | torch.Tensor | None = None
) -> np.ndarray:
    """Connected clusters of member sites over nearest-neighbour bonds: labels (B, N), -1 for sites that are no members.

    ``members`` (B, N) bool; ``linked`` (B, E1) bool switches bonds of shell 1 (in the lattice's order) on and off,
    default all on. A cluster's label is the smallest site index in it.
    """
    inside = np.asarray(torch.as_tensor(members).cpu())
    bonds = _nearest_bonds(lattice)
    if inside.ndim != 2 or inside.shape[1] != lattice.sites or inside.dtype != np.bool_:
        raise ValueError(f"members must be booleans (B, {lattice.sites}), got {inside.dtype} {inside.shape}")
    active = inside[:, bonds[:, 0]] & inside[:, bonds[:, 1]]
    if linked is not None:
        switches = np.asarray(torch.as_tensor(linked).cpu())
        if switches.shape != active.shape or switches.dtype != np.bool_:
            raise ValueError(f"linked must be booleans {active.shape}, got {switches.dtype} {switches.shape}")
        active &= switches
    replica, bond = np.nonzero(active)
    first, second = (replica * lattice.sites + bonds[bond, end] for end in (0, 1))
    labels = _connected(inside.size, first, second).reshape(inside.shape)
    labels -= np.arange(len(inside))[:, None] * lattice.sites
    return np.where(inside, labels, -1)


def cluster_sizes(labels: np.ndarray) -> list[np.ndarray]:
    """Sizes of the clusters of every replica, largest first, from the labels (B, N) of :func:`clusters`."""
    return [np.sort(np.unique(row[row >= 0], return_counts=True)[1])[::-1] for row in labels]


def mean_cluster_size(labels: np.ndarray) -> np.ndarray:
    """<s> (B,): mean number of sites per cluster (every cluster counts once), 0 without clusters. l = <s>^(1/2)."""
    return np.array([sizes.mean() if len(sizes) else 0.0 for sizes in cluster_sizes(labels)])


def ferromagnetic_clusters(spin: torch.Tensor | np.ndarray, lattice: Lattice, threshold: float = 0.5) -> np.ndarray:
    """Labels (B, N) of ferromagnetic clusters: sites joined by nearest-neighbour bonds with S_i . S_j > threshold.

    Sites without such a bond belong to no cluster (-1). Puddles of the double-exchange model; the threshold is ours.
    """
    values = checked_spin(spin, lattice)
    bonds = _nearest_bonds(lattice)
    ends = torch.as_tensor(bonds, device=values.device)
    linked = ((values[:, ends[:, 0]] * values[:, ends[:, 1]]).sum(-1) > threshold).cpu().numpy()
    members = np.zeros(values.shape[:2], dtype=bool)
    replica, bond = np.nonzero(linked)
    members[replica, bonds[bond, 0]] = True
    members[replica, bonds[bond, 1]] = True
    return clusters(members, lattice, linked)


def power_law_fit(
    x: np.ndarray, y: np.ndarray, window: tuple[float, float] | None = None, errors: np.ndarray | None = None
) -> PowerLaw:
    """Weighted least squares of ln y = ln prefactor + exponent ln x over the points with window[0] <= x <= window[1].

    ``errors``: standard errors of y (each point then weighs (y / error)^2, and the uncertainty follows from them);
    without them all points weigh the same and the uncertainty follows from the scatter about the line. Points are
    taken as independent: average over runs, and thin out a time series that is sampled faster than it decorrelates.
    Raises ValueError for fewer than 3 points in the window (2 with errors) or numbers that are not positive.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    sigma = None if errors is None else np.asarray(errors, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or (sigma is not None and sigma.shape != y.shape):
        raise ValueError(f"x, y and errors must be one-dimensional and equally long, got {x.shape} and {y.shape}")
    keep = np.ones(len(x), dtype=bool) if window is None else (x >= window[0]) & (x <= window[1])
    needed = 3 if sigma is None else 2
    if keep.sum() < needed:
        raise ValueError(
            f"a power law needs at least {needed} points in the window {window}, got {keep.sum()}; widen it"
        )
    x, y = x[keep], y[keep]
    relative = np.ones(len(x)) if sigma is None else sigma[keep] / y
    for name, values in (("x", x), ("y", y), ("errors / y", relative)):
        if not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(f"a power law needs positive, finite {name} inside the window, got {values.min()}")
    design = np.stack([np.log(x), np.ones_like(x)], 1) / relative[:, None]
    target = np.log(y) / relative
    inverse = np.linalg.inv(design.T @ design)
    exponent, offset = inverse @ design.T @ target
    if sigma is None:
        residual = target - design @ np.array([exponent, offset])
        inverse = inverse * (residual @ residual) / (len(x) - 2)
    errors_of_fit = np.sqrt(np.diag(inverse))
    prefactor = math.exp(offset)
    return PowerLaw(float(exponent), float(errors_of_fit[0]), prefactor, float(prefactor * errors_of_fit[1]), len(x))


def _inverse_width(structure: torch.Tensor, lattice: Lattice, distance: torch.Tensor) -> torch.Tensor:
    """2 pi over the mean of ``distance`` (B, N) weighted with ``structure`` (B, N), at most sqrt(area)."""
    largest = math.sqrt(abs(np.linalg.det(lattice.periods)))
    total = structure.sum(1)
    width = (structure * distance).sum(1) / torch.where(total > 0, total, 1.0)
    return 2 * math.pi / torch.clamp(width, min=2 * math.pi / largest)


@lru_cache(maxsize=8)
def _zone_momenta(lattice: Lattice) -> np.ndarray:
    """The grid momenta folded into the first zone, (N, 2)."""
    return fold_to_zone(lattice.momenta(), lattice)


def _peak_distances(structure: torch.Tensor, lattice: Lattice, peak: Momentum | None) -> torch.Tensor:
    """Distance (B, N) of every grid momentum from ``peak`` or an equivalent; None: from each replica's own peak."""
    if peak is None:
        found = lattice.momenta()[1 + structure[:, 1:].argmax(1).cpu().numpy()]
        waves = [(float(q[0]), float(q[1])) for q in found]
    else:
        given = np.asarray(peak, dtype=np.float64)
        if given.shape != (2,) or not np.isfinite(given).all():
            raise ValueError(f"peak must be one momentum (qx, qy), got {peak}")
        waves = [(float(given[0]), float(given[1]))] * len(structure)
    distance = {wave: torch.as_tensor(distance_to_peaks(lattice, wave), device=structure.device) for wave in set(waves)}
    return torch.stack([distance[wave] for wave in waves])


@lru_cache(maxsize=64)
def distance_to_peaks(lattice: Lattice, peak: Momentum) -> np.ndarray:
    """Distance (N,) of every grid momentum from the nearest peak equivalent to ``peak`` by the lattice's symmetry; it
    is kept, do not change it."""
    zone = lattice.brillouin_zone()
    order = len(zone.vertices)  # the infinite lattice has D6 or D4, whatever the sample's shape
    turns = np.exp(2j * np.pi * np.arange(order) / order)
    star = np.concatenate([turns * complex(*peak), turns * complex(peak[0], -peak[1])])
    folded = fold_to_zone(np.stack([star.real, star.imag], 1), lattice)
    steps = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], indexing="ij"), -1).reshape(-1, 2) @ zone.reciprocal
    images = np.unique(np.round(folded[:, None] + steps, 9).reshape(-1, 2), axis=0)
    reach = 2 * np.linalg.norm(zone.vertices[0])  # no image further out is nearest to a momentum of the zone
    kx, ky = _zone_momenta(lattice).T
    squared = np.full(lattice.sites, np.inf)
    for qx, qy in images[np.linalg.norm(images, axis=1) <= reach + ROUNDING]:
        np.minimum(squared, (kx - qx) ** 2 + (ky - qy) ** 2, out=squared)
    return np.sqrt(squared)


def _nearest_bonds(lattice: Lattice) -> np.ndarray:
    if not lattice.is_regular:
        raise ValueError(f"clusters need the nearest-neighbour bonds of a regular lattice, got {lattice.kind!r}")
    return lattice.bonds[lattice.shells == 1]


def _connected(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Smallest index in the component of every node: hooking to the smaller root and pointer jumping."""
    root = np.arange(count)
    while True:
        low, high = np.minimum(root[first], root[second]), np.maximum(root[first], root[second])
        open_bonds = low != high
        if not open_bonds.any():
            return root
        first, second = first[open_bonds], second[open_bonds]
        np.minimum.at(root, high[open_bonds], low[open_bonds])
        while not np.array_equal(jumped := root[root], root):
            root = jumped
