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

from engine.lanes import (
    COLUMNS,
    LANES,
    add,
    compiled,
    cross,
    inlined,
    load,
    madd,
    multiply,
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


@inlined
def _local(vector, earlier, place, onsite, site, sign_z, sign_y):  # type: ignore[no-untyped-def]
    """(a + x sigma_x + y sigma_y + z sigma_z) vector - earlier at one site."""
    here = load(vector, place)
    sum_ = madd(onsite[site, 0], here, subtract(zero(vector), load(earlier, place)))
    sum_ = madd(scaled(onsite[site, 3], sign_z), here, sum_)
    sum_ = madd(onsite[site, 1], cross(here), sum_)
    return madd(scaled(onsite[site, 2], sign_y), turn(here), sum_)


@inlined
def _hop(vector, place, hopping, run, twist, a, sign_i):  # type: ignore[no-untyped-def]
    """a + hopping of ``vector`` to one site."""
    first, end, b = hopping.ends[run], hopping.ends[run + 1], zero(vector)
    for d in range(first, end - 1, 2):  # two sums that do not wait for each other
        a = madd(hopping.amplitude[d], load(vector, place + hopping.offset[d]), a)
        b = madd(hopping.amplitude[d + 1], load(vector, place + hopping.offset[d + 1]), b)
    if (end - first) % 2:
        a = madd(hopping.amplitude[end - 1], load(vector, place + hopping.offset[end - 1]), a)
    a = add(a, b)
    for d in range(hopping.phase_ends[run], hopping.phase_ends[run + 1]):
        there = load(vector, place + hopping.phase_offset[d])
        a = madd(hopping.phase_amplitude[twist, d, 0], there, a)
        a = madd(scaled(hopping.phase_amplitude[twist, d, 1], sign_i), swap(there), a)
    return a


@inlined
def _turned(vector, place, hopping, run, twist, a, b, c, d, sign_i):  # type: ignore[no-untyped-def]
    """The part that crosses a twisted boundary, to four sites in a row."""
    for k in range(hopping.phase_ends[run], hopping.phase_ends[run + 1]):
        i = place + hopping.phase_offset[k]
        real, turned = hopping.phase_amplitude[twist, k, 0], scaled(hopping.phase_amplitude[twist, k, 1], sign_i)
        p, q, r, s = load(vector, i), load(vector, i + LANES), load(vector, i + 2 * LANES), load(vector, i + 3 * LANES)
        a, b = madd(turned, swap(p), madd(real, p, a)), madd(turned, swap(q), madd(real, q, b))
        c, d = madd(turned, swap(r), madd(real, r, c)), madd(turned, swap(s), madd(real, s, d))
    return a, b, c, d


@inlined
def _hop_four(vector, place, hopping, run, twist, a, b, c, d, sign_i):  # type: ignore[no-untyped-def]
    """(a, b, c, d) + hopping to four sites in a row: four sums that do not wait for each other."""
    for k in range(hopping.ends[run], hopping.ends[run + 1]):
        amplitude, i = hopping.amplitude[k], place + hopping.offset[k]
        a, b = madd(amplitude, load(vector, i), a), madd(amplitude, load(vector, i + LANES), b)
        c, d = madd(amplitude, load(vector, i + 2 * LANES), c), madd(amplitude, load(vector, i + 3 * LANES), d)
    if hopping.phase_ends[run] < hopping.phase_ends[run + 1]:
        a, b, c, d = _turned(vector, place, hopping, run, twist, a, b, c, d, sign_i)
    return a, b, c, d


@compiled
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


@compiled
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
