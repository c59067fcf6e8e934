r"""Local moments of the electrons' Hamiltonian: what electrons at a site know of the spins around it.

H = -sum t_ij c+_i c_j - J sum S_i . (c+ sigma c)_i, scaled into [-1, 1] as H' = (H - centre) / half. The local Chebyshev
moments of site i are 2 x 2 blocks,

    <i| T_n(H') |i> = s_n(i) + p_n(i) . sigma,         n = 1 ... 2 K,

exact after K products with H' on the cluster of sites within K hops of i, by T_2n = 2 T_n T_n - 1 and
T_2n+1 = 2 T_n+1 T_n - T_1. A cluster that ends within fewer hops, ``reach``, has the moments of its own Hamiltonian:
paths that leave it are missing, and its cost grows as K, not as K^3.

A block between two sites is a + i b.sigma + c.sigma + i d with real a, d and vectors b, c, so that with (S.sigma)(v.sigma)
= S.v + i (S x v).sigma the recursion is real and all it meets is a scalar or a vector of spin space. s_n and S.p_n are
therefore invariant under rotations of all spins, and under S -> -S, which is time reversal.

The clusters are pieces of the infinite lattice with the spins of the torus repeated: an electron that goes around the
torus does not come back to where it was. This is the average over all twists of the boundary.
Sources: moments, R. Haydock, V. Heine, M. J. Kelly, J. Phys. C 5, 2845 (1972); products of two Chebyshev vectors,
A. Weisse, G. Wellein, A. Alvermann, H. Fehske, Rev. Mod. Phys. 78, 275 (2006), section II.D.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from engine.learning.kernels import orbits

FARTHEST = 4.0  # bonds of the hopping end within so many lattice constants
MARGIN = 1.01  # of the window around the spectrum
MOMENTA = 60  # along each axis, for the edges of the band
Bond = tuple[tuple[int, int], float]


class LocalMoments:
    """s_n and S.p_n, n = 1 ... 2 ``products``, of every site.

    ``hopping``: pairs (shell, t); ``coupling``: J; ``products``: K; ``reach``: hops from the middle of a cluster to its
    edge, 0 for K of them. Raises ValueError for a shell that is not there, for less than one product and for a reach that
    is negative or beyond K.
    """

    def __init__(
        self, kind: str, hopping: Sequence[Sequence[float]], coupling: float, products: int, reach: int = 0
    ) -> None:
        stars = orbits(kind, FARTHEST)
        known = hopping and all(1 <= shell < len(stars) for shell, _ in hopping)
        if products < 1 or not 0 <= reach <= products or not known:
            raise ValueError(
                f"local moments need products >= 1, a reach from 0 to that and hopping to shells from 1 to "
                f"{len(stars) - 1}, got {products}, {reach} and {[list(pair) for pair in hopping]}"
            )
        bonds = [((int(x), int(y)), float(t)) for shell, t in hopping for x, y in stars[int(shell)]]
        self.places, self.sizes = _cluster(bonds, reach or products)
        self.sizes += [self.sizes[-1]] * (products + 1 - len(self.sizes))
        low, high = _edges(bonds)
        self.centre, self.half = (low + high) / 2, MARGIN * ((high - low) / 2 + abs(coupling))
        self.coupling, self.products = coupling, products
        self.hops = _hops(self.places, bonds) / self.half
        self._tables: dict[Any, torch.Tensor] = {}

    @property
    def count(self) -> int:
        return 4 * self.products

    def __call__(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """spin (B, N, 3) -> (B, N, 4 products): s_1, S.p_1, s_2, S.p_2, ..."""
        blocks = self._blocks(spin, shape)
        first = _product(blocks[0], blocks[1], spin)
        found = [first]
        for number, block in enumerate(blocks[1:], 1):
            s, p = _product(block, block, spin)
            found.append((2 * s - 1, 2 * p))
            if number < self.products:
                s, p = _product(block, blocks[number + 1], spin)
                found.append((2 * s - first[0], 2 * p - first[1]))
        return torch.stack([value for pair in found for value in pair], -1)

    def _blocks(self, spin: torch.Tensor, shape: tuple[int, int]) -> list[torch.Tensor]:
        """T_n between every site and its cluster, n = 0 ... K: (8, B, sites of it within n hops, N) of a, b, c, d."""
        around = spin.mT[:, :, self.around(shape, spin.device)].movedim(1, 0)  # (3, B, C, N)
        turning, hops = -self.coupling / self.half * around, torch.from_numpy(self.hops).to(spin)
        blocks = [torch.cat((torch.ones_like(around[:1, :, :1]), around.new_zeros(7, *around[0, :, :1].shape)))]
        for now, then in zip(self.sizes, self.sizes[1:], strict=False):
            last = blocks[-1]
            here = _turned(turning[:, :, :now], last) - self.centre / self.half * last
            new = hops[:then, :now] @ last + _padded(here, then)
            blocks.append(new if len(blocks) == 1 else 2 * new - _padded(blocks[-2], then))
        return blocks

    def around(self, shape: tuple[int, int], device: torch.device) -> torch.Tensor:
        """The sites of every cluster that H acts on, (C, N)."""
        key = (tuple(shape), device)
        if key not in self._tables:
            grid = np.stack(np.meshgrid(*(np.arange(length) for length in shape), indexing="ij"), -1).reshape(-1, 2)
            sites = (grid + self.places[: self.sizes[-2], None]) % shape
            with torch.inference_mode(False):
                self._tables[key] = torch.from_numpy(sites[..., 0] * shape[1] + sites[..., 1]).to(device)
        return self._tables[key]


def _turned(spin: torch.Tensor, block: torch.Tensor) -> torch.Tensor:
    """(S.sigma) times a block, S (3, ...), block (8, ...)."""
    a, b, c, d = block[:1], block[1:4], block[4:7], block[7:]
    return torch.cat((_dot(spin, c)[None], _cross(spin, c) + d * spin, a * spin - _cross(spin, b), _dot(spin, b)[None]))


def _product(left: torch.Tensor, right: torch.Tensor, spin: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """s and S.p of sum_r left(r)+ right(r), (B, N) each; ``left`` reaches no farther than ``right``."""
    right = right[:, :, : left.shape[2]]
    a, b, c, d = left[:1], left[1:4], left[4:7], left[7:]
    e, f, g, h = right[:1], right[1:4], right[4:7], right[7:]
    p = a * g + e * c + d * f + h * b + _cross(b, g) + _cross(f, c)
    return (left * right).sum((0, 2)), _dot(p.sum(2), spin.movedim(-1, 0))


def _dot(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x * y).sum(0)


def _cross(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """x cross y along the first axis; torch.linalg.cross takes twice as long there."""
    return torch.stack((x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]))


def _padded(block: torch.Tensor, sites: int) -> torch.Tensor:
    """The block on a larger cluster, zero on the sites that are new."""
    return torch.nn.functional.pad(block, (0, 0, 0, sites - block.shape[2]))


def _cluster(bonds: Sequence[Bond], hops: int) -> tuple[np.ndarray, list[int]]:
    """Lattice vectors within ``hops`` hops of the origin, nearest first, and how many there are within 0, 1, ... hops."""
    found, edge, sizes = {(0, 0): None}, [(0, 0)], [1]
    for _ in range(hops):
        reached = [(x + dx, y + dy) for x, y in edge for (dx, dy), _ in bonds]
        edge = [place for place in dict.fromkeys(reached) if place not in found]
        found |= dict.fromkeys(edge)
        sizes.append(len(found))
    return np.array(list(found)), sizes


def _hops(places: np.ndarray, bonds: Sequence[Bond]) -> np.ndarray:
    """-t_ij between the sites of the cluster."""
    number = {(int(x), int(y)): n for n, (x, y) in enumerate(places)}
    matrix = np.zeros((len(number), len(number)))
    for (x, y), n in number.items():
        for (dx, dy), t in bonds:
            if (x + dx, y + dy) in number:
                matrix[n, number[x + dx, y + dy]] -= t
    return matrix


def _edges(bonds: Sequence[Bond]) -> tuple[float, float]:
    """Lowest and highest energy of the band -sum t cos(k.d)."""
    k = 2 * np.pi / MOMENTA * np.stack(np.meshgrid(*[np.arange(MOMENTA)] * 2, indexing="ij"), -1).reshape(-1, 2)
    energy = -sum(t * np.cos(k @ np.array(d)) for d, t in bonds)
    return float(energy.min()), float(energy.max())
