r"""Magnetic descriptor: bonds and chiralities of a neighbourhood, taken apart into irreducible representations.

Zhang et al. (thesis, sec. 3.3.2, eqs. 3.12-3.18; review, eqs. 6-8). Around site i, with m, n places near it:

    b_im = S_i . S_m,     b_mn = S_m . S_n,     chi_imn = S_i . (S_m x S_n),

which rotations of the spins leave alone and the point group permutes (a mirror changes the sign of the ordered
triangle). Combinations xi^G_r of irreducible representation G, copy r, come from projection, orbit by orbit. Features:

    power       p_r = |xi_r|^2                    (A1 of the bonds: xi_r itself, already invariant),
    phase       beta_r = xi_r . ref / sqrt((|xi_r|^2 + e)(|ref|^2 + e)),      ref = mean over the copies of G,
    bispectrum  of three references,              sum_abc C_abc ref^G1_a ref^G2_b ref^G3_c.

Bonds have one set of references ("even"), chiralities another ("odd"): chiralities enter in even combinations only, so
the features do not change under time reversal S -> -S. e = 0.1 is ours: the published ratio (e = 0) jumps where an
amplitude vanishes, as in every ordered state, and its field would be unbounded. Variables are divided by their
standard deviation at random spins.

No list of triples of sites is walked: with E (M, 3) the neighbours of a site, E E^T holds all b_mn, E (E x S_i)^T all
chi_imn, and one fixed matrix each takes these (M, M) numbers to every xi at once. All that follows is also products
with fixed matrices, because slices and concatenations are slow in second derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement, permutations
from typing import Any

import numpy as np
import torch

from engine.lattice import PRIMITIVE_VECTORS, half_stencil, shell_distances
from engine.learning.irreps import adapted, point_group, representations, triple_invariant

SOFTNESS = 0.1
BOND_DEVIATION, CHIRALITY_DEVIATION = 3**-0.5, (2 / 9) ** 0.5  # of random unit vectors
Cells = Sequence[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Copy:
    """One irreducible combination: parity under time reversal, representation, coefficients (V, d) in a block."""

    parity: str
    name: str
    block: int
    coefficients: np.ndarray


class Descriptor(torch.nn.Module):
    """Spins (B, L1, L2, 3) -> invariant features (B, L1, L2, ``size``).

    ``bonds``: shells of the partners of S_i . S_m; ``pairs``: shells around i that hold both ends of S_m . S_n;
    ``chiralities``: shells around i of both partners, which are also no further from each other. 0: none.
    """

    def __init__(self, kind: str, bonds: int, pairs: int, chiralities: int) -> None:
        super().__init__()
        cells = neighbourhood(kind, max(bonds, pairs, chiralities))
        self.cells = [(int(a), int(b)) for a, b in cells]
        self.reach = [len(neighbourhood(kind, shells)) if shells else 0 for shells in (bonds, pairs, chiralities)]
        singles, doubles = combinations(range(self.reach[0]), 1), combinations(range(self.reach[1]), 2)
        triangles = _compact(kind, cells[: self.reach[2]], chiralities)
        copies = _copies(kind, cells, 0, list(singles), self.reach[0], 1)
        copies += _copies(kind, cells, 1, list(doubles), self.reach[1], 1)
        copies += _copies(kind, cells, 2, triangles, self.reach[2], -1)
        self.matrices = _matrices(kind, copies, [self.reach[0], self.reach[1] ** 2, self.reach[2] ** 2])
        self.size = sum(self.matrices[m].shape[-1] for m in ("linear", "segments", "segments", "sums"))
        self._tables: dict[tuple[torch.dtype, torch.device], dict[str, torch.Tensor]] = {}

    def forward(self, spin: torch.Tensor) -> torch.Tensor:
        table = self._table(spin)
        xi = self._combinations(spin, table)
        reference = xi @ table["mean"]
        power = xi.square() @ table["segments"]
        along = (xi * (reference @ table["spread"])) @ table["segments"]
        length = reference.square() @ table["reference_segments"]
        phase = along * ((power + SOFTNESS) * (length + SOFTNESS)).rsqrt()
        first, second, third = (reference @ factor for factor in table["terms"])
        return torch.cat([xi @ table["linear"], power, phase, (first * second * third) @ table["sums"]], -1)

    def _combinations(self, spin: torch.Tensor, table: dict[str, torch.Tensor]) -> torch.Tensor:
        """All xi (B, L1, L2, R), one after the other."""
        near, paired, chiral = self.reach
        environment = Neighbours.apply(spin, self.cells)
        centre = spin[..., None, :]
        xi = (environment[..., :near, :] @ centre.mT).squeeze(-1) @ table["block0"]
        if paired:
            ends = environment[..., :paired, :]
            xi = xi + (ends @ ends.mT).flatten(-2) @ table["block1"]
        if chiral:
            ends = environment[..., :chiral, :]
            turned = torch.linalg.cross(ends, centre.expand_as(ends))
            xi = xi + (ends @ turned.mT).flatten(-2) @ table["block2"]
        return xi

    def _table(self, like: torch.Tensor) -> dict[str, torch.Tensor]:
        """The matrices in the type and on the device of ``like``; not buffers, which keep what .float() rounded."""
        key = (like.dtype, like.device)
        if key not in self._tables:
            with torch.inference_mode(False):  # made once, perhaps by a simulation, and then used in training
                self._tables[key] = {name: torch.tensor(m).to(key[1], key[0]) for name, m in self.matrices.items()}
        return self._tables[key]


class Neighbours(torch.autograd.Function):
    """Values (B, L1, L2, 3) of the places ``cells`` around every site, (B, L1, L2, M, 3), periodic.

    Its derivative is :class:`FromNeighbours` and the other way round: without the zero-filled slices of autograd.
    """

    @staticmethod
    def forward(context: Any, values: torch.Tensor, cells: Cells) -> torch.Tensor:
        context.cells = cells
        return torch.stack([torch.roll(values, (-a, -b), (1, 2)) for a, b in cells], -2)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return FromNeighbours.apply(gradients[0], context.cells), None


class FromNeighbours(torch.autograd.Function):
    """The transpose: what every site is given by the sites around it, (B, L1, L2, M, 3) -> (B, L1, L2, 3)."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor, cells: Cells) -> torch.Tensor:
        context.cells = cells
        total = torch.zeros_like(values[..., 0, :])
        for m, cell in enumerate(cells):
            total += torch.roll(values[..., m, :], cell, (1, 2))
        return total

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return Neighbours.apply(gradients[0], context.cells), None


def neighbourhood(kind: str, shells: int) -> np.ndarray:
    """Cell displacements (M, 2) of all places in the first ``shells`` shells, by shell, then by angle."""
    stencil, shell = half_stencil(kind, shells)
    cells = np.concatenate([stencil, -stencil])
    x, y = (cells @ PRIMITIVE_VECTORS[kind]).T
    angle = np.round(np.arctan2(y, x) % (2 * np.pi), 6)
    return cells[np.lexsort([angle, np.concatenate([shell, shell])])]


def _compact(kind: str, cells: np.ndarray, shells: int) -> list[tuple[int, ...]]:
    """Pairs of places no further from each other than the outermost shell."""
    if not shells:
        return []
    sites = cells @ PRIMITIVE_VECTORS[kind]
    reach = shell_distances(kind, shells)[-1] + 1e-6
    return [(m, n) for m, n in combinations(range(len(cells)), 2) if np.linalg.norm(sites[m] - sites[n]) < reach]


def _orbits(
    kind: str, cells: np.ndarray, variables: list[tuple[int, ...]], parity: int
) -> list[tuple[list[int], np.ndarray, np.ndarray]]:
    """Members of every orbit of sets of places, and how the point group moves them: images, signs (|G|, K)."""
    vectors = PRIMITIVE_VECTORS[kind]
    moved = np.round(cells @ vectors @ point_group(kind).transpose(0, 2, 1) @ np.linalg.inv(vectors)).astype(int)
    place = {tuple(cell): m for m, cell in enumerate(cells.tolist())}
    turn = [[place[tuple(cell)] for cell in row] for row in moved.tolist()]  # (|G|, M)
    number = {variable: k for k, variable in enumerate(variables)}
    raw = [[tuple(row[m] for m in variable) for variable in variables] for row in turn]
    images = np.array([[number[tuple(sorted(v))] for v in row] for row in raw])
    signs = np.array([[1 if v == tuple(sorted(v)) else parity for v in row] for row in raw])
    found, left = [], set(range(len(variables)))
    while left:
        members = sorted(set(images[:, min(left)].tolist()))
        left -= set(members)
        found.append((members, np.searchsorted(members, images[:, members]), signs[:, members]))
    return found


def _copies(
    kind: str, cells: np.ndarray, block: int, variables: list[tuple[int, ...]], places: int, parity: int
) -> list[Copy]:
    """All irreducible combinations of sets of places; ``parity`` -1: variables odd in the order of the places."""
    if not variables:
        return []
    rank = len(variables[0])
    flat = np.array([np.ravel_multi_index(v, (places,) * rank) for v in variables])
    deviation = BOND_DEVIATION if parity > 0 else CHIRALITY_DEVIATION
    found = []
    for members, images, signs in _orbits(kind, cells, variables, parity):
        for name, part in adapted(kind, images, signs).items():
            for r in range(part.shape[1]):
                coefficients = np.zeros((places**rank, part.shape[2]))
                coefficients[flat[members]] = part[:, r] / deviation
                found.append(Copy("even" if parity > 0 else "odd", name, block, coefficients))
    return found


def _matrices(kind: str, copies: list[Copy], heights: list[int]) -> dict[str, np.ndarray]:
    """The fixed matrices of :class:`Descriptor`. R: components of all copies, D: of all references, C: copies."""
    ends = np.cumsum([copy.coefficients.shape[1] for copy in copies])
    size = {name: matrices.shape[1] for name, matrices in representations(kind).items()}
    groups = sorted({(copy.parity, copy.name) for copy in copies})
    start = dict(zip(groups, np.cumsum([0] + [size[name] for _, name in groups])[:-1].tolist(), strict=True))
    R, D = int(ends[-1]), sum(size[name] for _, name in groups)
    blocks = [np.zeros((height, R)) for height in heights]
    mean, linear, segments, reference_segments = np.zeros((R, D)), [], [], []
    for copy, end in zip(copies, ends, strict=True):
        group, d = (copy.parity, copy.name), copy.coefficients.shape[1]
        own, common = np.arange(end - d, end), start[group] + np.arange(d)
        blocks[copy.block][:, own] = copy.coefficients
        mean[own, common] = 1 / sum((other.parity, other.name) == group for other in copies)
        if group == ("even", "A1"):
            linear.append(np.eye(R)[own[0]])
        else:
            segments.append(np.eye(R)[own].sum(0))
            reference_segments.append(np.eye(D)[common].sum(0))
    terms, sums = _bispectrum(kind, groups, start, D)
    return {f"block{k}": block for k, block in enumerate(blocks)} | {
        "linear": np.array(linear).reshape(-1, R).T, "segments": np.array(segments).reshape(-1, R).T, "mean": mean,
        "spread": (mean > 0).T.astype(float), "reference_segments": np.array(reference_segments).reshape(-1, D).T,
        "terms": terms, "sums": sums,
    }  # fmt: skip


def _bispectrum(
    kind: str, groups: list[tuple[str, str]], start: dict[tuple[str, str], int], D: int
) -> tuple[np.ndarray, np.ndarray]:
    """Invariants of three references, even under time reversal, as sums of products of three components.

    Factors (3, D, terms) and sums (terms, invariants). Without A1 of the bonds, with which they only repeat powers.
    """
    factors, numbers, count = [], [], 0
    for triple in combinations_with_replacement([g for g in groups if g != ("even", "A1")], 3):
        tensor = triple_invariant(kind, tuple(name for _, name in triple))  # type: ignore[arg-type]
        if tensor is None or sum(parity == "odd" for parity, _ in triple) % 2:
            continue
        alike = [p for p in permutations(range(3)) if [triple[k] for k in p] == list(triple)]
        tensor = np.mean([tensor.transpose(p) for p in alike], axis=0)  # its rest is zero for equal references
        found = np.argwhere(np.abs(tensor) > 1e-8)
        for entry in found:
            factors.append([start[group] + int(k) for group, k in zip(triple, entry, strict=True)])
            numbers.append((count, tensor[tuple(entry)]))
        count += len(found) > 0
    terms = np.eye(D)[np.array(factors, dtype=int).reshape(-1, 3).T].transpose(0, 2, 1)
    sums = np.zeros((len(numbers), count))
    for term, (invariant, value) in enumerate(numbers):
        sums[term, invariant] = value
    return terms, sums
