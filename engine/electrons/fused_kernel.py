"""The Chebyshev recursion of s-d electrons, forwards and backwards, in one sweep over the sites per step (numba).

The same arithmetic as :mod:`engine.electrons.recursion`, which is the reference. Four columns are taken through *all*
steps before the next four, so that their vectors (64 bytes a site in float32) stay in the second-level cache, and no
step makes a temporary:

    forwards   alpha_{m+1} = 2X alpha_m - alpha_{m-1} in the place of alpha_{m-1}, both scalar products on the way;
    backwards  alpha_{m-1} = 2X alpha_m - alpha_{m+1} recomputed in the place of alpha_{m+1}, and in the same pass over
               the neighbours lambda_m = source + 2X lambda_{m+1} - lambda_{m+2}, then the 2 x 2 product lambda alpha+.

Sites that follow one another and have the same neighbours, relative to themselves, form a *run*: offsets and amplitudes
are read once for several sites, on any lattice (a run may be one site).

Floors of one force, N sites, z neighbours, R complex columns, M moments (M/2 steps each way):

    multiply-adds  N R M/2 [(4z + 24) forwards + (8z + 60) backwards];     1 a vector operation of 16 in float32
    bytes moved    3 vectors forwards, 8 backwards (2 of them sums) of 4 N R numbers, times M/2, through the
                   second-level cache; main memory only sees the last two vectors of every column, 8 N R numbers.

48 x 48, z = 12, R = 128, M = 500, float32: 1.7e10 multiply-adds, 0.24 s at the 7e10/s measured on one core of a Xeon at
2.5 GHz; 1.3e10 bytes, 0.14 s at the 95 GB/s measured of its second-level cache (0.9 s from beyond it, at 15 GB/s).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from engine.electrons.lanes import (
    COLUMNS,
    LANES,
    add,
    cross,
    even_quarters,
    high_halves,
    load,
    low_halves,
    madd,
    multiply,
    odd_quarters,
    scaled,
    store,
    subtract,
    swap,
    total,
    turn,
    zero,
)

FLUSH = 64  # sites whose scalar products are summed before they go to double precision
SIGNS = np.repeat([[1, 1, -1, -1], [1, -1, -1, 1], [-1, 1, -1, 1], [1, 1, 1, -1]], COLUMNS, axis=1).astype(np.float64)


class Hopping(NamedTuple):
    """2X between sites, by runs: run r holds the sites starts[r] .. starts[r+1].

    Neighbours ends[r] .. ends[r+1] are offset[.] numbers away with a real amplitude; those of ``phase_`` have complex
    amplitudes (K twists, ., 2): bonds that cross a twisted boundary.
    """

    starts: np.ndarray
    ends: np.ndarray
    offset: np.ndarray
    amplitude: np.ndarray
    phase_ends: np.ndarray
    phase_offset: np.ndarray
    phase_amplitude: np.ndarray


@njit(nogil=True, cache=True, error_model="numpy")
def _local(vector, earlier, place, onsite, site, sign_z, sign_y):  # type: ignore[no-untyped-def]
    """(a + x sigma_x + y sigma_y + z sigma_z) vector - earlier at one site."""
    here = load(vector, place)
    sum_ = madd(onsite[site, 0], here, subtract(zero(vector), load(earlier, place)))
    sum_ = madd(scaled(onsite[site, 3], sign_z), here, sum_)
    sum_ = madd(onsite[site, 1], cross(here), sum_)
    return madd(scaled(onsite[site, 2], sign_y), turn(here), sum_)


@njit(nogil=True, cache=True, error_model="numpy")
def _hop(vector, place, hopping, run, twist, a, sign_i):  # type: ignore[no-untyped-def]
    """a + hopping of ``vector`` to one site."""
    for d in range(hopping.ends[run], hopping.ends[run + 1]):
        a = madd(hopping.amplitude[d], load(vector, place + hopping.offset[d]), a)
    for d in range(hopping.phase_ends[run], hopping.phase_ends[run + 1]):
        there = load(vector, place + hopping.phase_offset[d])
        a = madd(hopping.phase_amplitude[twist, d, 0], there, a)
        a = madd(scaled(hopping.phase_amplitude[twist, d, 1], sign_i), swap(there), a)
    return a


@njit(nogil=True, cache=True, error_model="numpy")
def _turned(vector, place, hopping, run, twist, a, b, c, d, sign_i):  # type: ignore[no-untyped-def]
    """The part that crosses a twisted boundary, to four sites in a row."""
    for k in range(hopping.phase_ends[run], hopping.phase_ends[run + 1]):
        i = place + hopping.phase_offset[k]
        real, turned = hopping.phase_amplitude[twist, k, 0], scaled(hopping.phase_amplitude[twist, k, 1], sign_i)
        p, q, r, s = load(vector, i), load(vector, i + LANES), load(vector, i + 2 * LANES), load(vector, i + 3 * LANES)
        a, b = madd(turned, swap(p), madd(real, p, a)), madd(turned, swap(q), madd(real, q, b))
        c, d = madd(turned, swap(r), madd(real, r, c)), madd(turned, swap(s), madd(real, s, d))
    return a, b, c, d


@njit(nogil=True, cache=True, error_model="numpy")
def _hop_four(vector, place, hopping, run, twist, a, b, c, d, sign_i):  # type: ignore[no-untyped-def]
    """(a, b, c, d) + hopping to four sites in a row: four sums that do not wait for each other."""
    for k in range(hopping.ends[run], hopping.ends[run + 1]):
        amplitude, i = hopping.amplitude[k], place + hopping.offset[k]
        a, b = madd(amplitude, load(vector, i), a), madd(amplitude, load(vector, i + LANES), b)
        c, d = madd(amplitude, load(vector, i + 2 * LANES), c), madd(amplitude, load(vector, i + 3 * LANES), d)
    if hopping.phase_ends[run] < hopping.phase_ends[run + 1]:
        a, b, c, d = _turned(vector, place, hopping, run, twist, a, b, c, d, sign_i)
    return a, b, c, d


@njit(nogil=True, cache=True, error_model="numpy")
def _forward_sweep(earlier, vector, onsite, hopping, twist, signs):  # type: ignore[no-untyped-def]
    """earlier <- 2X vector - earlier; returns <new|new> and <new|vector>."""
    sign_z, sign_y, sign_i = load(signs, 0), load(signs, LANES), load(signs, 2 * LANES)
    even = odd = 0.0
    here, there, count = zero(vector), zero(vector), 0
    for run in range(len(hopping.starts) - 1):
        site, end = hopping.starts[run], hopping.starts[run + 1]
        while site < end:
            p = site * LANES
            if site + 4 <= end:
                a = _local(vector, earlier, p, onsite, site, sign_z, sign_y)
                b = _local(vector, earlier, p + LANES, onsite, site + 1, sign_z, sign_y)
                c = _local(vector, earlier, p + 2 * LANES, onsite, site + 2, sign_z, sign_y)
                d = _local(vector, earlier, p + 3 * LANES, onsite, site + 3, sign_z, sign_y)
                a, b, c, d = _hop_four(vector, p, hopping, run, twist, a, b, c, d, sign_i)
                here = add(here, add(madd(a, a, multiply(b, b)), madd(c, c, multiply(d, d))))
                low = madd(a, load(vector, p), multiply(b, load(vector, p + LANES)))
                high = madd(c, load(vector, p + 2 * LANES), multiply(d, load(vector, p + 3 * LANES)))
                there = add(there, add(low, high))
                store(earlier, p, a)
                store(earlier, p + LANES, b)
                store(earlier, p + 2 * LANES, c)
                store(earlier, p + 3 * LANES, d)
                site += 4
                count += 4
            else:
                a = _local(vector, earlier, p, onsite, site, sign_z, sign_y)
                a = _hop(vector, p, hopping, run, twist, a, sign_i)
                here, there = madd(a, a, here), madd(a, load(vector, p), there)
                store(earlier, p, a)
                site += 1
                count += 1
            if count >= FLUSH:
                even, odd = even + total(here), odd + total(there)
                here, there, count = zero(vector), zero(vector), 0
    return even + total(here), odd + total(there)


@njit(nogil=True, cache=True, error_model="numpy")
def forward(vectors, first, last, order, onsite, replica, hopping, twist, signs, even, odd):  # type: ignore[no-untyped-def]
    """Units first .. last: vectors[u, 0] = R becomes alpha_order, vectors[u, 1] becomes alpha_{order-1}.

    even (U, order + 1) and odd (U, order) receive <alpha_m|alpha_m> and <alpha_{m+1}|alpha_m>.
    """
    for unit in range(first, last):
        start, other = vectors[unit, 0], vectors[unit, 1]
        sum_ = 0.0
        for k in range(len(start)):
            sum_ += start[k] * start[k]
            other[k] = 0
        even[unit, 0] = sum_
        later, current = other, start
        for m in range(1, order + 1):
            square, product = _forward_sweep(later, current, onsite[replica[unit]], hopping, twist[unit], signs)
            if m == 1:  # alpha_1 = X R, half of what the sweep gave
                square, product = square / 4, product / 2
                for k in range(len(later)):
                    later[k] /= 2
            even[unit, m], odd[unit, m - 1] = square, product
            later, current = current, later
        if order % 2:  # alpha_order lies in the second place
            for k in range(len(start)):
                start[k], other[k] = other[k], start[k]


@njit(nogil=True, cache=True, error_model="numpy")
def _outer(left, right, sums, place, sign_z, sign_y, sign_o):  # type: ignore[no-untyped-def]
    """Adds (up up, down down, sigma_x, sigma_y) of Re left right+ to ``sums``, four numbers each."""
    squares, crossed, turned = multiply(left, right), multiply(left, cross(right)), multiply(left, turn(right))
    mixed = madd(high_halves(crossed, turned), sign_z, low_halves(crossed, turned))
    parts = madd(odd_quarters(squares, mixed), sign_o, even_quarters(squares, mixed))
    store(sums, place, add(load(sums, place), parts))


@njit(nogil=True, cache=True, error_model="numpy")
def _source(mixing, new, current, earlier, place, sum_):  # type: ignore[no-untyped-def]
    """sum_ + mixing . (alpha_{m-1}, alpha_m, alpha_{m+1})."""
    sum_ = madd(mixing[1], load(current, place), madd(mixing[2], load(earlier, place), sum_))
    return madd(mixing[0], new, sum_)


@njit(nogil=True, cache=True, error_model="numpy")
def _backward_sweep(later, current, older, adjoint, sums, mixing, onsite, hopping, twist, signs):  # type: ignore[no-untyped-def]
    """later = alpha_{m+1} becomes alpha_{m-1}, older = lambda_{m+2} becomes lambda_m; sums += lambda_m alpha_{m-1}+."""
    sign_z, sign_y, sign_i = load(signs, 0), load(signs, LANES), load(signs, 2 * LANES)
    sign_o = load(signs, 3 * LANES)
    for run in range(len(hopping.starts) - 1):
        site, end = hopping.starts[run], hopping.starts[run + 1]
        while site < end:
            p = site * LANES
            if site + 4 <= end:
                q, r, t = p + LANES, p + 2 * LANES, p + 3 * LANES
                a = _local(current, later, p, onsite, site, sign_z, sign_y)
                b = _local(current, later, q, onsite, site + 1, sign_z, sign_y)
                c = _local(current, later, r, onsite, site + 2, sign_z, sign_y)
                d = _local(current, later, t, onsite, site + 3, sign_z, sign_y)
                e = _local(adjoint, older, p, onsite, site, sign_z, sign_y)
                f = _local(adjoint, older, q, onsite, site + 1, sign_z, sign_y)
                g = _local(adjoint, older, r, onsite, site + 2, sign_z, sign_y)
                h = _local(adjoint, older, t, onsite, site + 3, sign_z, sign_y)
                for k in range(hopping.ends[run], hopping.ends[run + 1]):  # offsets read once for eight sums
                    weight, i = hopping.amplitude[k], p + hopping.offset[k]
                    j, m, n = i + LANES, i + 2 * LANES, i + 3 * LANES
                    a, b = madd(weight, load(current, i), a), madd(weight, load(current, j), b)
                    c, d = madd(weight, load(current, m), c), madd(weight, load(current, n), d)
                    e, f = madd(weight, load(adjoint, i), e), madd(weight, load(adjoint, j), f)
                    g, h = madd(weight, load(adjoint, m), g), madd(weight, load(adjoint, n), h)
                if hopping.phase_ends[run] < hopping.phase_ends[run + 1]:
                    a, b, c, d = _turned(current, p, hopping, run, twist, a, b, c, d, sign_i)
                    e, f, g, h = _turned(adjoint, p, hopping, run, twist, e, f, g, h, sign_i)
                e, f = _source(mixing, a, current, later, p, e), _source(mixing, b, current, later, q, f)
                g, h = _source(mixing, c, current, later, r, g), _source(mixing, d, current, later, t, h)
                _outer(e, a, sums, p, sign_z, sign_y, sign_o)
                _outer(f, b, sums, q, sign_z, sign_y, sign_o)
                _outer(g, c, sums, r, sign_z, sign_y, sign_o)
                _outer(h, d, sums, t, sign_z, sign_y, sign_o)
                store(later, p, a)
                store(later, q, b)
                store(later, r, c)
                store(later, t, d)
                store(older, p, e)
                store(older, q, f)
                store(older, r, g)
                store(older, t, h)
                site += 4
            else:
                a = _hop(
                    current, p, hopping, run, twist, _local(current, later, p, onsite, site, sign_z, sign_y), sign_i
                )
                c = _hop(
                    adjoint, p, hopping, run, twist, _local(adjoint, older, p, onsite, site, sign_z, sign_y), sign_i
                )
                c = _source(mixing, a, current, later, p, c)
                _outer(c, a, sums, p, sign_z, sign_y, sign_o)
                store(later, p, a)
                store(older, p, c)
                site += 1


@njit(nogil=True, cache=True, error_model="numpy")
def _add_bonds(left, right, pairs, sums, signs):  # type: ignore[no-untyped-def]
    """sums (E, 2 vectors) += left_i right_j+ + right_i left_j+: real parts, then imaginary parts."""
    sign_i = load(signs, 2 * LANES)
    for bond in range(len(pairs)):
        i, j, place = pairs[bond, 0] * LANES, pairs[bond, 1] * LANES, bond * 2 * LANES
        u, v, x, y = load(left, i), load(right, j), load(right, i), load(left, j)
        straight = madd(u, v, multiply(x, y))
        crossed = madd(u, cross(v), multiply(x, cross(y)))
        swapped = multiply(sign_i, madd(u, swap(v), multiply(x, swap(y))))
        turned = multiply(sign_i, madd(u, turn(v), multiply(x, turn(y))))
        real = add(even_quarters(straight, crossed), odd_quarters(straight, crossed))
        imaginary = add(even_quarters(swapped, turned), odd_quarters(swapped, turned))
        store(sums, place, add(load(sums, place), real))
        store(sums, place + LANES, add(load(sums, place + LANES), imaginary))


@njit(nogil=True, cache=True, error_model="numpy")
def _quarter_sums(sums, out):  # type: ignore[no-untyped-def]
    """out (n,) = sums of COLUMNS numbers each."""
    for k in range(len(out)):
        sum_ = 0.0
        for column in range(COLUMNS):
            sum_ += sums[k * COLUMNS + column]
        out[k] = sum_


@njit(nogil=True, cache=True, error_model="numpy")
def backward(vectors, work, bond_work, first, last, mixing, onsite, replica, hopping, twist, signs, pairs, out, bonds):  # type: ignore[no-untyped-def]
    """Units first .. last: gradient from vectors[u] = (alpha_order, alpha_{order-1}), which is used up.

    mixing (U, order + 1, 3); work (3, 16 N), bond_work (32 E); out (U, 4 N), bonds (U, 8 E), E = len(pairs) may be 0.
    """
    for unit in range(first, last):
        later, current = vectors[unit, 0], vectors[unit, 1]
        older, adjoint, sums = work[0], work[1], work[2]
        sign_z, sign_y, sign_o = load(signs, 0), load(signs, LANES), load(signs, 3 * LANES)
        order = mixing.shape[1] - 1
        older[:], sums[:], bond_work[:] = 0, 0, 0
        for p in range(0, len(current), LANES):  # lambda_order has one source
            value = scaled(mixing[unit, order, 0], load(current, p))
            store(adjoint, p, value)
            _outer(value, load(current, p), sums, p, sign_z, sign_y, sign_o)
        if len(pairs):
            _add_bonds(adjoint, current, pairs, bond_work, signs)
        for m in range(order - 1, 0, -1):
            if m == 1:  # the last product counts once, all others twice
                for k in range(len(sums)):
                    sums[k] *= 2
                for k in range(len(bond_work)):
                    bond_work[k] *= 2
            _backward_sweep(
                later,
                current,
                older,
                adjoint,
                sums,
                mixing[unit, m],
                onsite[replica[unit]],
                hopping,
                twist[unit],
                signs,
            )
            later, current, older, adjoint = current, later, adjoint, older
            if len(pairs):
                _add_bonds(adjoint, current, pairs, bond_work, signs)
        _quarter_sums(sums, out[unit])
        _quarter_sums(bond_work, bonds[unit])
