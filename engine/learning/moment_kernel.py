r"""Local moments in compiled loops (numba), sixteen sites at once, and their derivatives by the spins.

The formulas are those of :mod:`engine.learning.local_moments`; a block a + i b.sigma + c.sigma + i d is eight vectors. All
blocks of sixteen sites and their clusters stay in the cache. Products are kept as R_1 = t_0+ t_1, R_2n = t_n+ t_n and
R_2n+1 = t_n+ t_n+1, of which m_1 = R_1, m_2n = 2 R_2n - 1 and m_2n+1 = 2 R_2n+1 - R_1 are made. Two
sweeps, the way back being in :mod:`engine.learning.moment_pullback`:

    forward    s_n and p_n = S.P_n
    tangent    their change when the spins change by v: the same recursion for the change of the blocks

Floor for a cluster of C_n sites within n hops, z bonds: (8 z + 24) sum C_n multiply-adds for the recursion and 64 sum C_n
for the products forwards; three times as many for the pullback.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.lanes import LANES, add, compiled, inlined, load, madd, multiply, scaled, store, subtract, zero

PARTS = 8
SIZE = PARTS * LANES  # of the block of one site of the cluster
VECTOR = 3 * LANES
PRODUCT = 4 * LANES  # s, then P


class Cluster(NamedTuple):
    """H' on a cluster: ``sizes`` (K + 1,), places of the ``offsets`` of t_n in an array of all blocks, and the bonds
    starts[r] .. starts[r + 1] from site r to ``others`` with ``amplitudes``. ``numbers``: 1, -1, 2, centre,
    spin, 0."""

    sizes: np.ndarray
    offsets: np.ndarray
    starts: np.ndarray
    others: np.ndarray
    amplitudes: np.ndarray
    numbers: np.ndarray


class Sites(NamedTuple):
    """``around`` (C, N): the cluster of every site. ``groups`` (G, LANES): sites that are taken together."""

    around: np.ndarray
    groups: np.ndarray


@inlined
def _dot(x0, x1, x2, y0, y1, y2):  # type: ignore[no-untyped-def]
    return madd(x0, y0, madd(x1, y1, multiply(x2, y2)))


@inlined
def minor(x, y, z, w):  # type: ignore[no-untyped-def]
    return subtract(multiply(x, y), multiply(z, w))


@inlined
def increase(array, place, value):  # type: ignore[no-untyped-def]
    store(array, place, add(load(array, place), value))


@inlined
def add_turned(spins, s, block, p, sums, q, side):  # type: ignore[no-untyped-def]
    """sums[q] += (S.sigma) block for side 1, block (S.sigma) for side -1; S at spins[s], the block at block[p]."""
    x, y, z = load(spins, s), load(spins, s + LANES), load(spins, s + 2 * LANES)
    a, d = load(block, p), load(block, p + 7 * LANES)
    b0, b1, b2 = load(block, p + LANES), load(block, p + 2 * LANES), load(block, p + 3 * LANES)
    c0, c1, c2 = load(block, p + 4 * LANES), load(block, p + 5 * LANES), load(block, p + 6 * LANES)
    increase(sums, q, _dot(x, y, z, c0, c1, c2))
    increase(sums, q + LANES, madd(d, x, scaled(side, minor(y, c2, z, c1))))
    increase(sums, q + 2 * LANES, madd(d, y, scaled(side, minor(z, c0, x, c2))))
    increase(sums, q + 3 * LANES, madd(d, z, scaled(side, minor(x, c1, y, c0))))
    increase(sums, q + 4 * LANES, madd(a, x, scaled(side, minor(z, b1, y, b2))))
    increase(sums, q + 5 * LANES, madd(a, y, scaled(side, minor(x, b2, z, b0))))
    increase(sums, q + 6 * LANES, madd(a, z, scaled(side, minor(y, b0, x, b1))))
    increase(sums, q + 7 * LANES, _dot(x, y, z, b0, b1, b2))


@inlined
def add_applied(block, base, known, place, cluster, sums, q, factor):  # type: ignore[no-untyped-def]
    """sums[q] += factor (H' block)(place), the block known on the first sites of the cluster; without S.sigma, which
    is added by add_turned."""
    for part in range(PARTS):
        value = zero(block)
        for bond in range(cluster.starts[place], cluster.starts[place + 1]):
            other = cluster.others[bond]
            if other < known:
                value = madd(cluster.amplitudes[bond], load(block, base + other * SIZE + part * LANES), value)
        if place < known:
            value = madd(-cluster.numbers[3], load(block, base + place * SIZE + part * LANES), value)
        store(sums, q + part * LANES, madd(factor, value, load(sums, q + part * LANES)))


@inlined
def clear(array, first, last):  # type: ignore[no-untyped-def]
    for place in range(first, last, LANES):
        store(array, place, zero(array))


@inlined
def add_scaled(sums, q, factor, block, p, vectors):  # type: ignore[no-untyped-def]
    for part in range(vectors):
        store(sums, q + part * LANES, madd(factor, load(block, p + part * LANES), load(sums, q + part * LANES)))


@inlined
def _add_next(blocks, spins, cluster, n, place):  # type: ignore[no-untyped-def]
    """To t_n+1 at a place, H' t_n is added; from n = 1 on all of it is doubled and t_n-1 taken away."""
    one, minus = cluster.numbers[0], cluster.numbers[1]
    last, q = cluster.offsets[n], cluster.offsets[n + 1] + place * SIZE
    add_applied(blocks, last, cluster.sizes[n], place, cluster, blocks, q, one)
    if place < cluster.sizes[n]:
        add_turned(spins, place * VECTOR, blocks, last + place * SIZE, blocks, q, one)
    if n > 0:
        add_scaled(blocks, q, one, blocks, q, PARTS)  # twice
        if place < cluster.sizes[n - 1]:
            add_scaled(blocks, q, minus, blocks, cluster.offsets[n - 1] + place * SIZE, PARTS)


@inlined
def _recursion(blocks, spins, cluster):  # type: ignore[no-untyped-def]
    """t_1 = H' t_0, t_n+1 = 2 H' t_n - t_n-1; t_0 is there."""
    for n in range(len(cluster.sizes) - 1):
        new, places = cluster.offsets[n + 1], cluster.sizes[n + 1]
        clear(blocks, new, new + places * SIZE)
        for place in range(places):
            _add_next(blocks, spins, cluster, n, place)


@inlined
def _changes(blocks, spins, moves, cluster, changes):  # type: ignore[no-untyped-def]
    """Change of all blocks when the spins, as H' has them, change by ``moves``."""
    clear(changes, 0, cluster.sizes[0] * SIZE)
    for n in range(len(cluster.sizes) - 1):
        last, new, places = cluster.offsets[n], cluster.offsets[n + 1], cluster.sizes[n + 1]
        clear(changes, new, new + places * SIZE)
        for place in range(places):
            if place < cluster.sizes[n]:
                there, q = last + place * SIZE, new + place * SIZE
                add_turned(moves, place * VECTOR, blocks, there, changes, q, cluster.numbers[0])
            _add_next(changes, spins, cluster, n, place)


@inlined
def add_paired(left, p, right, q, sums, at, factor, side):  # type: ignore[no-untyped-def]
    """sums[at] += factor (a c' + a' c + d b' + d' b + side (b x c' + b' x c)), the blocks (a, b, c, d) and primed."""
    a, d, e, h = load(left, p), load(left, p + 7 * LANES), load(right, q), load(right, q + 7 * LANES)
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        b, c = load(left, p + (1 + k) * LANES), load(left, p + (4 + k) * LANES)
        f, g = load(right, q + (1 + k) * LANES), load(right, q + (4 + k) * LANES)
        straight = madd(a, g, madd(e, c, madd(d, f, multiply(h, b))))
        b1, b2 = load(left, p + (1 + i) * LANES), load(left, p + (1 + j) * LANES)
        c1, c2 = load(left, p + (4 + i) * LANES), load(left, p + (4 + j) * LANES)
        f1, f2 = load(right, q + (1 + i) * LANES), load(right, q + (1 + j) * LANES)
        g1, g2 = load(right, q + (4 + i) * LANES), load(right, q + (4 + j) * LANES)
        crossed = add(minor(b1, g2, b2, g1), minor(f1, c2, f2, c1))
        increase(sums, at + k * LANES, scaled(factor, add(straight, scaled(side, crossed))))


@inlined
def _add_product(left, l, right, r, places, found, at, one):  # type: ignore[no-untyped-def]  # noqa: E741
    """found[at] += s and P of sum over places of left+ right."""
    for place in range(places):
        p, q = l + place * SIZE, r + place * SIZE
        s = zero(left)
        for part in range(PARTS):
            s = madd(load(left, p + part * LANES), load(right, q + part * LANES), s)
        increase(found, at, s)
        add_paired(left, p, right, q, found, at + LANES, one, one)


@inlined
def _add_products(left, right, cluster, found):  # type: ignore[no-untyped-def]
    """found += R_1 ... R_2K of these two sets of blocks."""
    offsets, sizes, one = cluster.offsets, cluster.sizes, cluster.numbers[0]
    _add_product(left, offsets[0], right, offsets[1], sizes[0], found, 0, one)
    for n in range(1, len(sizes)):
        _add_product(left, offsets[n], right, offsets[n], sizes[n], found, (2 * n - 1) * PRODUCT, one)
        if n + 1 < len(sizes):
            _add_product(left, offsets[n], right, offsets[n + 1], sizes[n], found, 2 * n * PRODUCT, one)


@inlined
def _finish(found, count, numbers, constant):  # type: ignore[no-untyped-def]
    """R_n becomes m_n; ``constant`` is -1, or 0 for changes."""
    for n in range(2, count + 1):
        at = (n - 1) * PRODUCT
        add_scaled(found, at, numbers[0], found, at, 4)  # twice
        if n % 2 == 1:
            add_scaled(found, at, numbers[1], found, 0, 4)
        else:
            for lane in range(LANES):
                found[at + lane] += constant


@inlined
def gather(spin, sites, group, factor, array, places):  # type: ignore[no-untyped-def]
    """Vectors of the clusters of a group, times ``factor``."""
    for place in range(places):
        for lane in range(LANES):
            site = sites.around[place, sites.groups[group, lane]]
            for k in range(3):
                array[place * VECTOR + k * LANES + lane] = factor * spin[site, k]


@inlined
def start(spin, sites, group, cluster, own, spins, blocks, found):  # type: ignore[no-untyped-def]
    """Spins, all blocks and all m_n of a group."""
    reach = cluster.sizes[len(cluster.sizes) - 2]
    gather(spin, sites, group, cluster.numbers[0], own, 1)
    gather(spin, sites, group, cluster.numbers[4], spins, reach)
    clear(blocks, 0, SIZE)
    for lane in range(LANES):
        blocks[lane] = cluster.numbers[0]
    _recursion(blocks, spins, cluster)
    count = 2 * (len(cluster.sizes) - 1)
    clear(found, 0, count * PRODUCT)
    _add_products(blocks, blocks, cluster, found)
    _finish(found, count, cluster.numbers, cluster.numbers[1])


@inlined
def _along(spins, found, at):  # type: ignore[no-untyped-def]
    """S.P_n."""
    p = at + LANES
    return _dot(
        load(spins, 0), load(spins, LANES), load(spins, 2 * LANES),
        load(found, p), load(found, p + LANES), load(found, p + 2 * LANES),
    )  # fmt: skip


@compiled
def forward(spin, sites, cluster, work, moments):  # type: ignore[no-untyped-def]
    """Moments (G, 4 K LANES) of the groups of one lattice: s_1, p_1, s_2, ... of sixteen sites each."""
    own, spins, blocks, found = work[0], work[1], work[2], work[3]
    for group in range(len(sites.groups)):
        start(spin, sites, group, cluster, own, spins, blocks, found)
        row = moments[group]
        for n in range(2 * (len(cluster.sizes) - 1)):
            store(row, 2 * n * LANES, load(found, n * PRODUCT))
            store(row, (2 * n + 1) * LANES, _along(own, found, n * PRODUCT))


@compiled
def tangent(spin, move, sites, cluster, work, changed):  # type: ignore[no-untyped-def]
    """Change of the moments when the spins change by ``move`` (N, 3)."""
    own, spins, blocks, found = work[0], work[1], work[2], work[3]
    aside, moves, changes, differences = work[4], work[5], work[6], work[7]
    reach, count = cluster.sizes[len(cluster.sizes) - 2], 2 * (len(cluster.sizes) - 1)
    for group in range(len(sites.groups)):
        start(spin, sites, group, cluster, own, spins, blocks, found)
        gather(move, sites, group, cluster.numbers[0], aside, 1)
        gather(move, sites, group, cluster.numbers[4], moves, reach)
        _changes(blocks, spins, moves, cluster, changes)
        clear(differences, 0, count * PRODUCT)
        _add_products(changes, blocks, cluster, differences)
        _add_products(blocks, changes, cluster, differences)
        _finish(differences, count, cluster.numbers, cluster.numbers[5])
        row = changed[group]
        for n in range(count):
            store(row, 2 * n * LANES, load(differences, n * PRODUCT))
            both = add(_along(own, differences, n * PRODUCT), _along(aside, found, n * PRODUCT))
            store(row, (2 * n + 1) * LANES, both)
