"""The gradient of the Chebyshev recursion in compiled loops: the way back of :mod:`engine.electrons.fused_kernel`.

    lambda_m = source(alpha_{m-1}, alpha_m, alpha_{m+1}) + 2X lambda_{m+1} - lambda_{m+2},   rho += lambda_m alpha_{m-1}+

alpha_{m-1} = 2X alpha_m - alpha_{m+1} is recomputed in the same pass over the neighbours. (Vectors kept on the way there
would save that product: measured, their way through main memory costs as much.)
"""

from __future__ import annotations

from engine.electrons.fused_kernel import _hop, _local, _turned
from engine.lanes import (
    COLUMNS,
    LANES,
    add,
    compiled,
    cross,
    even_quarters,
    high_halves,
    inlined,
    load,
    low_halves,
    madd,
    multiply,
    odd_quarters,
    scaled,
    store,
    swap,
    turn,
)


@inlined
def _outer(left, right, sums, place, sign_z, sign_y, sign_o):  # type: ignore[no-untyped-def]
    """Adds (up up, down down, sigma_x, sigma_y) of Re left right+ to ``sums``, four numbers each."""
    squares, crossed, turned = multiply(left, right), multiply(left, cross(right)), multiply(left, turn(right))
    mixed = madd(high_halves(crossed, turned), sign_z, low_halves(crossed, turned))
    parts = madd(odd_quarters(squares, mixed), sign_o, even_quarters(squares, mixed))
    store(sums, place, add(load(sums, place), parts))


@inlined
def _source(mixing, new, current, earlier, place, sum_):  # type: ignore[no-untyped-def]
    """sum_ + mixing . (alpha_{m-1}, alpha_m, alpha_{m+1})."""
    sum_ = madd(mixing[1], load(current, place), madd(mixing[2], load(earlier, place), sum_))
    return madd(mixing[0], new, sum_)


@compiled
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


@compiled
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


@compiled
def _quarter_sums(sums, out):  # type: ignore[no-untyped-def]
    """out (n,) = sums of COLUMNS numbers each."""
    for k in range(len(out)):
        sum_ = 0.0
        for column in range(COLUMNS):
            sum_ += sums[k * COLUMNS + column]
        out[k] = sum_


@compiled
def _first_adjoint(before, weight, adjoint, sums, sign_z, sign_y, sign_o):  # type: ignore[no-untyped-def]
    """lambda_order, which has one source, and its product with alpha_{order-1}."""
    for p in range(0, len(before), LANES):
        value = scaled(weight, load(before, p))
        store(adjoint, p, value)
        _outer(value, load(before, p), sums, p, sign_z, sign_y, sign_o)


@compiled
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
        _first_adjoint(current, mixing[unit, order, 0], adjoint, sums, sign_z, sign_y, sign_o)
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
