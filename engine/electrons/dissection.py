"""Nested dissection of a lattice: in which order to eliminate its sites, so that little work is left.

The lattice is cut again and again by slabs as wide as the hopping reaches, so that the two sides do not touch. Every
piece ("front") has its own sites s and the sites b of earlier cuts that it, or anything below it, touches ("border").
Operations of selected inversion (engine.electrons.resolvent): 8 (s^3 + 3 s^2 b + 3 s b^2) per front in complex numbers,
s and b counted in components, dominated by the few large fronts: proportional to L^3 on L x L sites (hopping t1, t3 of
the triangular lattice: 0.62, 6.0 and 54 Gflop at L = 24, 48, 96). Lattices without a grid are one front: 8 n^3.
George, SIAM J. Numer. Anal. 10, 345 (1973).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from engine.block_matrix import BlockMatrix
from engine.lattice import Lattice

LEAF = 16  # sites of a piece that is not cut any more


class Run(NamedTuple):
    """``length`` places that follow one another: from ``here`` on in a child's border, from ``there`` on among its parent's
    own sites (``part`` 0) or in the parent's border (1)."""

    here: int
    part: int
    there: int
    length: int


@dataclass(frozen=True, eq=False)
class Join:
    """Fronts of one group of the next level whose borders lie alike, in a few ``runs``, among the sites of their parents:
    front rows.start of that group is a child of front parents.start, and so on."""

    group: int
    rows: slice
    parents: slice
    runs: tuple[Run, ...]


@dataclass(frozen=True, eq=False)
class Group:
    """g fronts of one level and one shape: own sites (g, s), border (g, b), their children.

    Bonds that are assembled here: bond (e,), row of the front (e,), places of its two ends (e, 2).
    """

    own: np.ndarray
    border: np.ndarray
    children: tuple[Join, ...]
    bonds: np.ndarray
    rows: np.ndarray
    places: np.ndarray


@dataclass(frozen=True, eq=False)
class Tree:
    """All levels, root first; each is a tuple of groups."""

    levels: tuple[tuple[Group, ...], ...]

    def operations(self, components: int) -> float:
        """Real operations of one elimination and way back in complex numbers."""
        total = 0.0
        for group in (group for level in self.levels for group in level):
            s, b = components * group.own.shape[1], components * group.border.shape[1]
            total += len(group.own) * 8.0 * (s**3 + 3 * s**2 * b + 3 * s * b**2)
        return total

    def numbers(self, components: int) -> int:
        """Complex numbers held at once for one shift."""
        kept, largest = 0, 0
        for level in self.levels:
            here = 0
            for group in level:
                s, b = components * group.own.shape[1], components * group.border.shape[1]
                kept += len(group.own) * s * (s + 2 * b)
                here += len(group.own) * (s + b) ** 2
            largest = max(largest, here)
        return kept + 3 * largest


class _Child(NamedTuple):
    """A front: its group, its place among its parent's children, where its border lies there, rows of both."""

    group: int
    order: int
    runs: tuple[Run, ...]
    row: int
    parent: int


@dataclass
class _Node:
    sites: np.ndarray
    level: int
    parent: int
    border: np.ndarray


def dissect(matrix: BlockMatrix, all_bonds: bool = False) -> Tree:
    """The tree of cuts for the bonds with hopping, or for all of the lattice; found once for a lattice and reach."""
    return _tree(matrix.lattice, _reach(matrix, all_bonds))


def _reach(matrix: BlockMatrix, all_bonds: bool) -> tuple[int, ...]:
    """Largest steps of a bond along the two directions of the grid; empty without a grid."""
    lattice = matrix.lattice
    if not lattice.is_regular:
        return ()
    used = ((matrix.bond != 0) | all_bonds).cpu().numpy()
    mask = np.asarray(used.any((0, 2, 3)) if used.ndim == 4 else used)
    return tuple(int(n) for n in np.maximum(_steps(lattice)[mask].max(0, initial=0), 1))


def _steps(lattice: Lattice) -> np.ndarray:
    """Cells crossed by every bond along the two directions, (E, 2)."""
    return np.abs(np.round(lattice.displacements @ np.linalg.inv(lattice.primitive_vectors))).astype(int)


@lru_cache(maxsize=8)
def _tree(lattice: Lattice, reach: tuple[int, ...]) -> Tree:
    nodes = _nodes(lattice, reach)
    owner, rank = np.empty((2, lattice.sites), dtype=np.int64)
    for k, node in enumerate(nodes):
        owner[node.sites] = k
    rank[np.concatenate([node.sites for node in nodes])] = np.arange(lattice.sites)
    near = np.asarray((_steps(lattice) <= np.array(reach)).all(1) if reach else np.ones(len(lattice.bonds), bool))
    _find_borders(nodes, owner, rank, lattice.bonds[near])
    return _grouped(nodes, owner, rank, lattice.bonds, near)


def _nodes(lattice: Lattice, reach: tuple[int, ...]) -> list[_Node]:
    """Cuts, a parent before its children; sites of a slab are numbered along it, which keeps runs long."""
    nothing = np.empty(0, dtype=np.int64)
    if not reach or lattice.sites <= 2 * LEAF or any(n <= 3 * r for n, r in zip(lattice.shape, reach, strict=True)):
        return [_Node(np.arange(lattice.sites), 0, -1, nothing)]
    grid = np.arange(lattice.sites).reshape(lattice.shape)
    cross = np.concatenate([grid[: reach[0]].T.ravel(), grid[reach[0] :, : reach[1]].ravel()])  # opens the torus
    nodes = [_Node(cross, 0, -1, nothing)]
    queue = [(grid[reach[0] :, reach[1] :], 0)]
    while queue:
        box, parent = queue.pop()
        axis = int(np.argmax(np.array(box.shape) / np.array(reach)))
        length, width, level = box.shape[axis], reach[axis], nodes[parent].level + 1
        whole = box.size <= LEAF or length <= 2 * width
        start = (length - width) // 2
        first, middle, last = np.split(box, [0, length] if whole else [start, start + width], axis)
        nodes.append(_Node((middle.T if axis == 0 else middle).ravel(), level, parent, nothing))
        queue += [] if whole else [(first, len(nodes) - 1), (last, len(nodes) - 1)]
    return nodes


def _find_borders(nodes: list[_Node], owner: np.ndarray, rank: np.ndarray, bonds: np.ndarray) -> None:
    """Earlier sites that a front or anything below it touches."""
    level = np.array([node.level for node in nodes])
    pairs = np.concatenate([bonds, bonds[:, ::-1]])
    pairs = pairs[level[owner[pairs[:, 1]]] < level[owner[pairs[:, 0]]]]
    order = np.argsort(owner[pairs[:, 0]], kind="stable")
    cuts = np.searchsorted(owner[pairs[order, 0]], np.arange(1, len(nodes)))
    touched = [[ends] for ends in np.split(pairs[order, 1], cuts)]
    for k in range(len(nodes) - 1, 0, -1):
        border = np.setdiff1d(np.concatenate(touched[k]), nodes[k].sites)
        nodes[k].border = border[np.argsort(rank[border])]
        touched[nodes[k].parent].append(border)


def _grouped(nodes: list[_Node], owner: np.ndarray, rank: np.ndarray, bonds: np.ndarray, near: np.ndarray) -> Tree:
    """Fronts of one level and shape side by side."""
    shapes = [(node.level, len(node.sites), len(node.border)) for node in nodes]
    levels: list[list[list[int]]] = []
    seat: dict[int, tuple[int, int]] = {}
    for k in sorted(range(len(nodes)), key=lambda k: shapes[k]):
        if nodes[k].level == len(levels):
            levels.append([])
        groups = levels[nodes[k].level]
        if not groups or shapes[groups[-1][0]] != shapes[k]:
            groups.append([])
        groups[-1].append(k)
        seat[k] = (len(groups) - 1, len(groups[-1]) - 1)
    children: list[list[_Child]] = [[] for _ in nodes]
    for k, node in enumerate(nodes[1:], 1):
        parent = nodes[node.parent]
        runs = _runs(_places(parent, node.border, rank), len(parent.sites))
        (group, row), siblings = seat[k], children[node.parent]
        siblings.append(_Child(group, len(siblings), runs, row, seat[node.parent][1]))
    ends, level = owner[bonds], np.array([node.level for node in nodes])
    later = np.where(level[ends[:, 0]] >= level[ends[:, 1]], ends[:, 0], ends[:, 1])
    later[~near] = -1
    return Tree(tuple(tuple(_group(nodes, g, children, later, bonds, rank) for g in groups) for groups in levels))


def _group(
    nodes: list[_Node], members: list[int], children: list[list[_Child]], later: np.ndarray, bonds: np.ndarray,
    rank: np.ndarray,
) -> Group:  # fmt: skip
    found = [np.flatnonzero(later == k) for k in members]
    places = [
        np.stack([_places(nodes[k], bonds[mine, end], rank) for end in (0, 1)], 1)
        for k, mine in zip(members, found, strict=True)
    ]
    return Group(
        own=np.stack([nodes[k].sites for k in members]),
        border=np.stack([nodes[k].border for k in members]),
        children=_joins([child for k in members for child in children[k]]),
        bonds=np.concatenate(found),
        rows=np.repeat(np.arange(len(members)), [len(mine) for mine in found]),
        places=np.concatenate(places),
    )


def _places(node: _Node, sites: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Where ``sites`` stand in the front: own sites first, then the border, both ordered by rank."""
    own = np.searchsorted(rank[node.sites], rank[sites])
    is_own = node.sites[np.minimum(own, len(node.sites) - 1)] == sites
    return np.where(is_own, own, len(node.sites) + np.searchsorted(rank[node.border], rank[sites]))


def _runs(places: np.ndarray, own: int) -> tuple[Run, ...]:
    """Stretches in which places among ``own`` sites, then the border, follow one another."""
    cuts = np.flatnonzero((np.diff(places) != 1) | (places[1:] == own)) + 1
    starts, stops = [0, *cuts.tolist()], [*cuts.tolist(), len(places)]
    parts = [int(places[start] >= own) for start in starts]
    return tuple(
        Run(start, part, int(places[start]) - part * own, stop - start)
        for start, stop, part in zip(starts, stops, parts, strict=True)
    )


def _joins(children: list[_Child]) -> tuple[Join, ...]:
    """Children whose borders lie alike, side by side."""
    alike: dict[tuple[int, int, tuple[Run, ...]], list[tuple[int, int]]] = {}
    for child in children:
        alike.setdefault(child[:3], []).append((child.row, child.parent))
    joins = []
    for (group, _, runs), pairs in alike.items():
        for few in _even(np.array(sorted(pairs))):
            steps = few[1] - few[0] if len(few) > 1 else (1, 1)
            rows, parents = (slice(int(few[0, k]), int(few[-1, k]) + 1, int(steps[k])) for k in (0, 1))
            joins.append(Join(group, rows, parents, runs))
    return tuple(joins)


def _even(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Stretches of ``rows`` (n, 2) with equal, positive steps."""
    while len(rows):
        steps, count = np.diff(rows, axis=0), 1
        if len(steps) and (steps[0] > 0).all():
            equal = np.append((steps == steps[0]).all(1), False)
            count += int(np.argmin(equal))
        yield rows[:count]
        rows = rows[count:]
