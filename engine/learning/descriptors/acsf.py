r"""Magnetic atom-centred symmetry functions of spins at any positions (thesis of S. Zhang, sec. 4.3.2, eqs. 4.8-4.16).

Around site i, with f_c(R) = (1 + cos(pi R / R_c)) / 2 for R <= R_c and F2(R; d, w) = exp(-(R - d)^2 / w^2) f_c(R),

    G2m(d)              = sum_j   F2(R_ij; d, w) S_i.S_j
    G3m(d, d', lambda)  = sum_j<k F3_ijk S_j.S_k
    G3chi(d, d', lambda)= sum_jk  F3_ijk S_i.(S_j x S_k),       R_ij < R_ik
    F3_ijk              = 2^(1 - zeta) (1 + lambda cos theta_ijk)^zeta F2(R_ij; d, w) F2(R_ik; d, w) F2(R_jk; d', w')

with R_c = 2.5, w = 0.05, 50 radii d from 0.5 to 2.46, zeta = 1, lambda = +-1, w' = 1, d' = 1 and 2, in units of the
decay length of the hopping: 50 + 200 + 200 = 450 features.

Two things are ours. Printed, the sums of G3m and G3chi go over both orders of (j, k). For G3m that is a factor of two.
For G3chi it is zero, always: F3 is symmetric in j and k, the triple product antisymmetric. Every pair must be taken
once, in an order that the positions give; we take the nearer site first, which no rotation or mirror of space changes.
And the equation calls ``theta_ijk`` the angle at i, which is what is used here.

All weights follow from the positions, which never move. The features are therefore two fixed sparse matrices, one on
the S_j.S_k of all pairs within R_c, one on the S_i.(S_j x S_k) of the triples that fit into one shell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine.lattice import Lattice
from engine.learning.sites import separations

NEGLIGIBLE = 1e-4  # sites whose Gaussians are below this are left out


@dataclass(frozen=True)
class SymmetryFunctions:
    """The parameters of the paper. ``size``: number of features."""

    radii: int = 50
    first: float = 0.5
    last: float = 2.46
    width: float = 0.05
    cutoff: float = 2.5
    pair_radii: tuple[float, ...] = (1.0, 2.0)
    pair_width: float = 1.0
    chiral: bool = True

    @property
    def angular(self) -> int:
        """Number of G3m, and of G3chi."""
        return 2 * self.radii * len(self.pair_radii)

    @property
    def size(self) -> int:
        return self.radii + self.angular * (2 if self.chiral else 1)

    def table(self, lattice: Lattice) -> dict[str, torch.Tensor]:
        """Pairs (2, P), triples (3, T), and the sparse matrices (as indices and weights) that make features of them.

        Rows of "even" are site * (radii + angular) + feature, columns pairs; rows of "odd" site * angular + feature,
        columns triples.
        """
        apart = separations(lattice)
        distance = np.linalg.norm(apart, axis=-1)
        first, second = np.nonzero(np.triu(distance <= self.cutoff, 1))
        column = np.full(distance.shape, -1)
        column[first, second] = column[second, first] = np.arange(len(first))
        centres = np.linspace(self.first, self.last, self.radii)
        rows, columns, values = [], [], []
        for one, other in ((first, second), (second, first)):
            weight = self._shell(distance[one, other][:, None], centres, self.width)
            pair, feature = np.nonzero(_gaussian(distance[one, other][:, None], centres, self.width) > NEGLIGIBLE)
            rows.append(one[pair] * (self.radii + self.angular) + feature)
            columns.append(column[one, other][pair])
            values.append(weight[pair, feature])
        i, j, k = self._triples(distance)
        triple, feature, weight = self._angular(apart, distance, i, j, k, centres)
        rows.append(i[triple] * (self.radii + self.angular) + self.radii + feature)
        columns.append(column[j, k][triple])
        values.append(weight)
        found = {
            "pairs": np.stack([first, second]),
            "even": np.stack([np.concatenate(rows), np.concatenate(columns)]), "even_weight": np.concatenate(values),
        }  # fmt: skip
        if self.chiral:
            found |= {"triples": np.stack([i, j, k]), "odd": np.stack([i[triple] * self.angular + feature, triple]),
                      "odd_weight": weight}  # fmt: skip
        return {name: torch.from_numpy(array) for name, array in found.items()}

    def __call__(self, spin: torch.Tensor, table: dict[str, torch.Tensor]) -> torch.Tensor:
        """Features (B, N, size) of spins (B, N, 3)."""
        replicas, sites = spin.shape[:2]
        one, other = spin[:, table["pairs"]].unbind(1)
        even = SparseProduct.apply((one * other).sum(-1).T, table["even"], table["even_weight"],
                                   sites * (self.radii + self.angular))  # fmt: skip
        parts = [even.T.reshape(replicas, sites, -1)]
        if self.chiral:
            i, j, k = spin[:, table["triples"]].unbind(1)
            chirality = (i * torch.linalg.cross(j, k)).sum(-1)
            odd = SparseProduct.apply(chirality.T, table["odd"], table["odd_weight"], sites * self.angular)
            parts.append(odd.T.reshape(replicas, sites, -1))
        return torch.cat(parts, -1)

    def _shell(self, distance: np.ndarray, centre: np.ndarray | float, width: float) -> np.ndarray:
        """F2(R; d, w)."""
        soft = np.where(distance <= self.cutoff, 0.5 * (1 + np.cos(np.pi * distance / self.cutoff)), 0.0)
        return _gaussian(distance, centre, width) * soft

    def _triples(self, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """i, j, k with R_ij < R_ik, all three distances within the cutoff and R_ik - R_ij small enough to matter."""
        reach = self.width * np.sqrt(-2 * np.log(NEGLIGIBLE))  # F2 F2 at the best d between both radii
        found = []
        for site, row in enumerate(distance):
            near = np.flatnonzero(row <= self.cutoff)
            near = near[near != site]
            gap = row[near][None] - row[near][:, None]
            j, k = np.nonzero((gap > 0) & (gap < reach))
            j, k = near[j], near[k]
            close = distance[j, k] <= self.cutoff
            found.append(np.stack([np.full(close.sum(), site), j[close], k[close]]))
        i, j, k = np.concatenate(found, 1)
        return i, j, k

    def _angular(
        self, apart: np.ndarray, distance: np.ndarray, i: np.ndarray, j: np.ndarray, k: np.ndarray, centres: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Triples, features (d, d', lambda) and weights F3 that are not negligible."""
        one, other = distance[i, j], distance[i, k]
        cosine = (apart[i, j] * apart[i, k]).sum(-1) / (one * other)
        shell = self._shell(one[:, None], centres, self.width) * self._shell(other[:, None], centres, self.width)
        inside = _gaussian(one[:, None], centres, self.width) * _gaussian(other[:, None], centres, self.width)
        triple, radius = np.nonzero(inside > NEGLIGIBLE)
        found = []
        for p, pair_radius in enumerate(self.pair_radii):
            between = self._shell(distance[j, k], pair_radius, self.pair_width)
            for sign in (0, 1):
                weight = shell[triple, radius] * between[triple] * (1 + (1 - 2 * sign) * cosine[triple])
                found.append((triple, (radius * len(self.pair_radii) + p) * 2 + sign, weight))
        triples, features, weights = (np.concatenate(part) for part in zip(*found, strict=True))
        return triples, features, weights


def _gaussian(distance: np.ndarray, centre: np.ndarray | float, width: float) -> np.ndarray:
    return np.exp(-(((distance - centre) / width) ** 2))


class SparseProduct(torch.autograd.Function):
    """Fixed sparse matrix (indices (2, K), weights (K,), ``rows``) times columns (C, B) -> (rows, B), in compressed
    rows. Its derivative is the same with the transposed matrix, as often as one likes."""

    @staticmethod
    def forward(
        context: Any, columns: torch.Tensor, indices: torch.Tensor, weights: torch.Tensor, rows: int
    ) -> torch.Tensor:
        context.parts = (indices, weights, len(columns))
        matrix = torch.sparse_coo_tensor(indices, weights, (rows, len(columns)), check_invariants=False)
        return torch.sparse.mm(matrix, columns)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        indices, weights, columns = context.parts
        return SparseProduct.apply(gradients[0].contiguous(), indices.flip(0), weights, columns), None, None, None
