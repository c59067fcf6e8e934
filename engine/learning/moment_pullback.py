r"""The way back of :mod:`engine.learning.moment_kernel`: derivatives of local moments by the spins.

sum_n (ws_n ds_n / dS + wp_n dp_n / dS), by the recursion backwards: with lambda_n the derivative by the block t_n,

    lambda_n-1 += 2 H' lambda_n,    lambda_n-2 -= lambda_n,    slope(S_r) += 2 d(lambda_n . (S_r.sigma) t_n-1) / dS_r,

in the real inner product of blocks, where hopping and both products with a real vector of Pauli matrices are symmetric.
"""

from __future__ import annotations

from engine.lanes import LANES, compiled, inlined, load, madd, multiply, scaled, store
from engine.learning.moment_kernel import (
    PARTS,
    PRODUCT,
    SIZE,
    VECTOR,
    add_applied,
    add_paired,
    add_scaled,
    add_turned,
    clear,
    start,
)


@inlined
def _weights_of_products(row, own, count, cluster, weights):  # type: ignore[no-untyped-def]
    """Weights of R_n, a number and a vector each, from those of s_n and p_n."""
    for n in range(count):
        s, p = load(row, 2 * n * LANES), load(row, (2 * n + 1) * LANES)
        factor = cluster.numbers[0] if n == 0 else cluster.numbers[2]
        store(weights, n * PRODUCT, scaled(factor, s))
        for k in range(3):
            store(weights, n * PRODUCT + (1 + k) * LANES, scaled(factor, multiply(p, load(own, k * LANES))))
        if n > 0 and n % 2 == 0:  # m_3, m_5, ... have R_1 in them
            half = cluster.numbers[1] / cluster.numbers[2]
            add_scaled(weights, 0, half, weights, n * PRODUCT, 4)


@inlined
def _add_adjoint(weights, at, block, p, adjoint, q, places, cluster):  # type: ignore[no-untyped-def]
    """adjoint += block times (number + vector.sigma)."""
    number = load(weights, at)
    for place in range(places):
        for part in range(PARTS):
            here = q + place * SIZE + part * LANES
            store(adjoint, here, madd(number, load(block, p + place * SIZE + part * LANES), load(adjoint, here)))
        add_turned(weights, at + LANES, block, p + place * SIZE, adjoint, q + place * SIZE, cluster.numbers[1])


@inlined
def _adjoints_of_products(blocks, weights, cluster, adjoint):  # type: ignore[no-untyped-def]
    offsets, sizes = cluster.offsets, cluster.sizes
    clear(adjoint, 0, offsets[len(sizes) - 1] + sizes[len(sizes) - 1] * SIZE)
    _add_adjoint(weights, 0, blocks, offsets[0], adjoint, offsets[1], sizes[0], cluster)
    for n in range(1, len(sizes)):
        at = (2 * n - 1) * PRODUCT
        for _ in range(2):
            _add_adjoint(weights, at, blocks, offsets[n], adjoint, offsets[n], sizes[n], cluster)
        if n + 1 < len(sizes):
            at = 2 * n * PRODUCT
            _add_adjoint(weights, at, blocks, offsets[n + 1], adjoint, offsets[n], sizes[n], cluster)
            _add_adjoint(weights, at, blocks, offsets[n], adjoint, offsets[n + 1], sizes[n], cluster)


@inlined
def _backwards(blocks, spins, cluster, adjoint, slope):  # type: ignore[no-untyped-def]
    """slope (places, 3, LANES) += derivative by the spins as H' has them."""
    offsets, sizes, numbers = cluster.offsets, cluster.sizes, cluster.numbers
    for step in range(len(sizes) - 1):
        m = len(sizes) - 1 - step
        factor = numbers[0] if m == 1 else numbers[2]
        here, before = offsets[m], offsets[m - 1]
        for place in range(sizes[m - 1]):
            p, q = here + place * SIZE, before + place * SIZE
            # d(lambda.(S.sigma) t) / dS
            add_paired(adjoint, p, blocks, q, slope, place * VECTOR, factor, numbers[1])
            if m > 1:
                add_applied(adjoint, here, sizes[m], place, cluster, adjoint, q, factor)
                for _ in range(2):
                    add_turned(spins, place * VECTOR, adjoint, p, adjoint, q, numbers[0])
            if m > 2 and place < sizes[m - 2]:
                add_scaled(adjoint, offsets[m - 2] + place * SIZE, numbers[1], adjoint, p, PARTS)


@compiled
def pullback(spin, weight, sites, cluster, work, gradient):  # type: ignore[no-untyped-def]
    """gradient (N, 3) += derivative by the spins of sum weight (G, 4 K LANES) x moments."""
    own, spins, blocks, found = work[0], work[1], work[2], work[3]
    weights, slope, adjoint = work[7], work[5], work[6]
    reach, count = cluster.sizes[len(cluster.sizes) - 2], 2 * (len(cluster.sizes) - 1)
    for group in range(len(sites.groups)):
        start(spin, sites, group, cluster, own, spins, blocks, found)
        row = weight[group]
        _weights_of_products(row, own, count, cluster, weights)
        _adjoints_of_products(blocks, weights, cluster, adjoint)
        clear(slope, 0, reach * VECTOR)
        _backwards(blocks, spins, cluster, adjoint, slope)
        for place in range(reach * VECTOR):
            slope[place] *= cluster.numbers[4]
        for n in range(count):  # the spin in p_n = S.P_n
            p = load(row, (2 * n + 1) * LANES)
            for k in range(3):
                here = load(found, n * PRODUCT + (1 + k) * LANES)
                store(slope, k * LANES, madd(p, here, load(slope, k * LANES)))
        for place in range(reach):
            for lane in range(LANES):
                site = sites.around[place, sites.groups[group, lane]]
                for k in range(3):
                    gradient[site, k] += slope[place * VECTOR + k * LANES + lane]
