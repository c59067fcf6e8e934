"""The local part of rings, and the products around their Fourier transforms, compiled by numba (CPU).

The same arithmetic as in :mod:`engine.learning.rings`, which is the reference and serves where numba is not installed
and on other devices. A vector holds sixteen sites. Per site of a bond the sweep reads 12 numbers, writes 12 and makes
about 100 multiplications; the products with the response of a bond make 12 multiplications on each side.
"""

from __future__ import annotations

from engine.lanes import (
    LANES,
    add,
    compiled,
    evens,
    first_pairs,
    inlined,
    last_pairs,
    load,
    madd,
    multiply,
    odds,
    scaled,
    store,
    subtract,
    total,
)


@inlined
def _dot(a0, a1, a2, b0, b1, b2):  # type: ignore[no-untyped-def]
    return madd(a0, b0, madd(a1, b1, multiply(a2, b2)))


@inlined
def _pulled(a, b, at, bt, square, s):  # type: ignore[no-untyped-def]
    """a at - b bt + square s."""
    return subtract(madd(a, at, multiply(square, s)), multiply(b, bt))


@inlined
def _to_field(s, at, k, ah, sk, a):  # type: ignore[no-untyped-def]
    """s at + k ah + sk a."""
    return madd(s, at, madd(k, ah, multiply(sk, a)))


@inlined
def _sites(spin, other, field, here, there, p, n, x, y, minus):  # type: ignore[no-untyped-def]
    """Sixteen sites p ..: energies (a vector); ``field`` is overwritten by what acts on it, here and there are added to.

    Arrays are flat, component after component, n numbers each (``field``: pairs of real and imaginary part).
    """
    s0, s1, s2 = load(spin, p), load(spin, n + p), load(spin, 2 * n + p)
    k0, k1, k2 = load(other, p), load(other, n + p), load(other, 2 * n + p)
    q, r, t = 2 * p, 2 * (n + p), 2 * (2 * n + p)
    a0, b0 = evens(load(field, q), load(field, q + LANES)), odds(load(field, q), load(field, q + LANES))
    a1, b1 = evens(load(field, r), load(field, r + LANES)), odds(load(field, r), load(field, r + LANES))
    a2, b2 = evens(load(field, t), load(field, t + LANES)), odds(load(field, t), load(field, t + LANES))
    ah, bh = scaled(x, _dot(a0, a1, a2, s0, s1, s2)), scaled(x, _dot(b0, b1, b2, s0, s1, s2))
    at, bt = scaled(x, _dot(a0, a1, a2, k0, k1, k2)), scaled(x, _dot(b0, b1, b2, k0, k1, k2))
    sk = scaled(y + y, _dot(s0, s1, s2, k0, k1, k2))
    square = scaled(y, subtract(_dot(a0, a1, a2, a0, a1, a2), _dot(b0, b1, b2, b0, b1, b2)))
    g0, g1, g2 = (
        _pulled(a0, b0, at, bt, square, k0),
        _pulled(a1, b1, at, bt, square, k1),
        _pulled(a2, b2, at, bt, square, k2),
    )
    store(here, p, add(load(here, p), g0))
    store(here, n + p, add(load(here, n + p), g1))
    store(here, 2 * n + p, add(load(here, 2 * n + p), g2))
    store(there, p, _pulled(a0, b0, ah, bh, square, s0))
    store(there, n + p, _pulled(a1, b1, ah, bh, square, s1))
    store(there, 2 * n + p, _pulled(a2, b2, ah, bh, square, s2))
    a0, b0 = _to_field(s0, at, k0, ah, sk, a0), scaled(minus, _to_field(s0, bt, k0, bh, sk, b0))
    a1, b1 = _to_field(s1, at, k1, ah, sk, a1), scaled(minus, _to_field(s1, bt, k1, bh, sk, b1))
    a2, b2 = _to_field(s2, at, k2, ah, sk, a2), scaled(minus, _to_field(s2, bt, k2, bh, sk, b2))
    store(field, q, first_pairs(a0, b0))
    store(field, q + LANES, last_pairs(a0, b0))
    store(field, r, first_pairs(a1, b1))
    store(field, r + LANES, last_pairs(a1, b1))
    store(field, t, first_pairs(a2, b2))
    store(field, t + LANES, last_pairs(a2, b2))
    return _dot(g0, g1, g2, s0, s1, s2)


@inlined
def _bond(spin, other, field, here, there, n, x, y, minus, spare):  # type: ignore[no-untyped-def]
    """All sites of one bond; those left over by whole vectors go through ``spare`` (5, 6 vectors). Returns the energy."""
    energy, whole = 0.0, n - n % LANES
    for p in range(0, whole, LANES):
        energy += total(_sites(spin, other, field, here, there, p, n, x, y, minus))
    left = n - whole
    if left:
        spare[:] = 0
        for c in range(3):
            for k in range(left):
                spare[0, c * LANES + k], spare[1, c * LANES + k] = spin[c * n + whole + k], other[c * n + whole + k]
            for k in range(2 * left):
                spare[2, 2 * c * LANES + k] = field[2 * (c * n + whole) + k]
        energy += total(_sites(spare[0], spare[1], spare[2], spare[3], spare[4], 0, LANES, x, y, minus))
        for c in range(3):
            for k in range(left):
                here[c * n + whole + k] += spare[3, c * LANES + k]
                there[c * n + whole + k] = spare[4, c * LANES + k]
            for k in range(2 * left):
                field[2 * (c * n + whole) + k] = spare[2, 2 * c * LANES + k]
    return energy


@compiled
def sweep_bonds(spin, wide, fields, bonds, weights, reach, here, to_wide, work, spare, minus, energy):  # type: ignore[no-untyped-def]
    """Energies (B,) of some bonds are added to ``energy``, what acts on the spins to ``here`` and ``to_wide``.

    spin, here (B, 3 N); wide, to_wide (B, 3, L1 + 2 reach, L2 + 2 reach), the spins continued; fields (B, bonds, 6 N), m in
    pairs of real and imaginary part, overwritten by what acts on them; weights (2, bonds); work (2, 3 N); minus = -1 in
    the arrays' precision.
    """
    rows, columns = wide.shape[2] - 2 * reach, wide.shape[3] - 2 * reach
    n = rows * columns
    other, there = work[0], work[1]
    for replica in range(len(spin)):
        for bond in range(len(bonds)):
            row, column = reach + bonds[bond, 0], reach + bonds[bond, 1]
            for c in range(3):
                for i in range(rows):
                    first = c * n + i * columns
                    far, near = wide[replica, c, row + i, column : column + columns], other[first : first + columns]
                    for j in range(columns):
                        near[j] = far[j]
            energy[replica] += _bond(
                spin[replica], other, fields[replica, bond], here[replica], there, n, weights[0, bond], weights[1, bond],
                minus, spare,
            )  # fmt: skip
            for c in range(3):
                for i in range(rows):
                    first = c * n + i * columns
                    far, near = to_wide[replica, c, row + i, column : column + columns], there[first : first + columns]
                    for j in range(columns):
                        far[j] += near[j]


@compiled
def spread(waves, response, out):  # type: ignore[no-untyped-def]
    """out (B, bonds, 3, P) = response (bonds, P) waves (B, 3, P), complex."""
    for replica in range(len(waves)):
        for bond in range(len(response)):
            for c in range(3):
                for p in range(response.shape[1]):
                    out[replica, bond, c, p] = response[bond, p] * waves[replica, c, p]


@compiled
def gather(moved, response, out):  # type: ignore[no-untyped-def]
    """out (B, 3, P) += sum over bonds of conj(response) (bonds, P) moved (B, bonds, 3, P)."""
    for replica in range(len(out)):
        for bond in range(len(response)):
            for c in range(3):
                for p in range(response.shape[1]):
                    out[replica, c, p] += response[bond, p].conjugate() * moved[replica, bond, c, p]
