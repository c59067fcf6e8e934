"""One step of the Chebyshev recursion of s-d electrons, forwards or backwards, as one GPU kernel each (Triton).

The same arithmetic as :mod:`engine.electrons.recursion`, which is the reference. A program owns a few sites and all or some
columns of one group: it reads its neighbours' vectors, writes its own, and adds what it owns of the sums; no two programs
write to one place, so that the answer does not depend on their order.

    forwards   earlier <- scale 2X vector - earlier, and partial sums of <new|new>, <new|vector>;
    backwards  later <- 2X current - later (that is alpha_{m-1}), older <- source + 2X adjoint - older (lambda_m), and
               rho_ii += weight lambda_m alpha_{m-1}+.

Vectors (G, N, 4, S): Re up, Im up, Re down, Im down of S columns. Bytes of a step, N sites, R = G S columns in all, float32:
48 N R forwards, 128 N R backwards, plus neighbours from the cache: 48 x 48, R = 64, 500 steps there and back: 13 GB, of a
second-level cache if the four vectors (9 MB) fit there.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _parts(place, COLUMNS: tl.constexpr, mask):
    """Re up, Im up, Re down, Im down at a place."""
    p, q = tl.load(place, mask=mask, other=0.0), tl.load(place + COLUMNS, mask=mask, other=0.0)
    r, s = tl.load(place + 2 * COLUMNS, mask=mask, other=0.0), tl.load(place + 3 * COLUMNS, mask=mask, other=0.0)
    return p, q, r, s


@triton.jit
def _keep(place, COLUMNS: tl.constexpr, mask, a, b, c, d):
    """The inverse of _parts."""
    tl.store(place, a, mask=mask)
    tl.store(place + COLUMNS, b, mask=mask)
    tl.store(place + 2 * COLUMNS, c, mask=mask)
    tl.store(place + 3 * COLUMNS, d, mask=mask)


@triton.jit
def _own(replica, twist, sites, DEGREE: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr):
    """Sites (inside or not) and columns of this program, and where its group, numbers, hopping and fields begin."""
    group = tl.program_id(2)
    site = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside = site < sites
    mask = inside[:, None] & (column < COLUMNS)[None, :]
    site = tl.minimum(site, sites - 1)
    start = group * sites * 4 * COLUMNS
    place = start + site[:, None] * (4 * COLUMNS) + column[None, :]
    table = tl.load(twist + group) * sites * DEGREE
    field = (tl.load(replica + group) * sites + site) * 4
    return group, site, column, inside, mask, start, place, table, field


@triton.jit
def _hopped(vector, neighbour, hop, hop_turned, site, column, start, table, mask, DEGREE: tl.constexpr,
            TWISTED: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr):  # fmt: skip
    """Sum over neighbours of (hop + i hop_turned) vector: Re up, Im up, Re down, Im down, each (BLOCK, WIDTH)."""
    a = tl.zeros((BLOCK, WIDTH), dtype=vector.dtype.element_ty)
    b, c, d = a, a, a
    for k in range(DEGREE):
        entry = site * DEGREE + k
        other = tl.load(neighbour + entry)
        amplitude = tl.load(hop + table + entry)[:, None]
        there = start + other[:, None] * (4 * COLUMNS) + column[None, :]
        p, q, r, s = _parts(vector + there, COLUMNS, mask)
        a += amplitude * p
        b += amplitude * q
        c += amplitude * r
        d += amplitude * s
        if TWISTED:
            turned = tl.load(hop_turned + table + entry)[:, None]
            a -= turned * q
            b += turned * p
            c -= turned * s
            d += turned * r
    return a, b, c, d


@triton.jit
def _local(onsite, field, p, q, r, s, a, b, c, d):
    """(a, b, c, d) + (mean + x sigma_x + y sigma_y + z sigma_z) applied to (p, q, r, s) at the program's sites."""
    mean, x = tl.load(onsite + field)[:, None], tl.load(onsite + field + 1)[:, None]
    y, z = tl.load(onsite + field + 2)[:, None], tl.load(onsite + field + 3)[:, None]
    a += (mean + z) * p + x * r + y * s
    b += (mean + z) * q + x * s - y * r
    c += (mean - z) * r + x * p - y * q
    d += (mean - z) * s + x * q + y * p
    return a, b, c, d


@triton.jit
def forward_step(vector, earlier, neighbour, hop, hop_turned, onsite, replica, twist, squares, products, scale, sites,
                 DEGREE: tl.constexpr, TWISTED: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
                 WIDTH: tl.constexpr):  # fmt: skip
    """Grid (site blocks, column blocks, groups); squares, products: one number per program."""
    group, site, column, _inside, mask, start, place, table, field = _own(replica, twist, sites, DEGREE, COLUMNS, BLOCK,
                                                                         WIDTH)  # fmt: skip
    a, b, c, d = _hopped(vector, neighbour, hop, hop_turned, site, column, start, table, mask, DEGREE, TWISTED,
                         COLUMNS, BLOCK, WIDTH)  # fmt: skip
    p, q, r, s = _parts(vector + place, COLUMNS, mask)
    a, b, c, d = _local(onsite, field, p, q, r, s, a, b, c, d)
    e, f, g, h = _parts(earlier + place, COLUMNS, mask)
    a, b, c, d = scale * a - e, scale * b - f, scale * c - g, scale * d - h
    _keep(earlier + place, COLUMNS, mask, a, b, c, d)
    number = (group * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + tl.program_id(0)
    tl.store(squares + number, tl.sum(tl.where(mask, a * a + b * b + c * c + d * d, 0.0)))
    tl.store(products + number, tl.sum(tl.where(mask, a * p + b * q + c * r + d * s, 0.0)))


@triton.jit
def backward_step(later, current, older, adjoint, neighbour, hop, hop_turned, onsite, replica, twist, mixing, sums, weight,
                  order, m, sites, DEGREE: tl.constexpr, TWISTED: tl.constexpr, COLUMNS: tl.constexpr,
                  BLOCK: tl.constexpr, WIDTH: tl.constexpr):  # fmt: skip
    """Grid as forwards. mixing (G, order + 1, 3); sums (G, column blocks, N, 4): up up, down down, Re and Im of up down."""
    group, site, column, inside, mask, start, place, table, field = _own(replica, twist, sites, DEGREE, COLUMNS, BLOCK,
                                                                         WIDTH)  # fmt: skip
    source = mixing + (group * (order + 1) + m) * 3
    w0, w1, w2 = tl.load(source), tl.load(source + 1), tl.load(source + 2)
    # alpha_{m-1}, in the place of alpha_{m+1}
    a, b, c, d = _hopped(current, neighbour, hop, hop_turned, site, column, start, table, mask, DEGREE, TWISTED,
                         COLUMNS, BLOCK, WIDTH)  # fmt: skip
    p, q, r, s = _parts(current + place, COLUMNS, mask)
    a, b, c, d = _local(onsite, field, p, q, r, s, a, b, c, d)
    e, f, g, h = _parts(later + place, COLUMNS, mask)
    a, b, c, d = a - e, b - f, c - g, d - h
    _keep(later + place, COLUMNS, mask, a, b, c, d)
    # lambda_m, in the place of lambda_{m+2}
    i, j, k, n = _hopped(adjoint, neighbour, hop, hop_turned, site, column, start, table, mask, DEGREE, TWISTED,
                         COLUMNS, BLOCK, WIDTH)  # fmt: skip
    i += w0 * a + w1 * p + w2 * e
    j += w0 * b + w1 * q + w2 * f
    k += w0 * c + w1 * r + w2 * g
    n += w0 * d + w1 * s + w2 * h
    p, q, r, s = _parts(adjoint + place, COLUMNS, mask)
    i, j, k, n = _local(onsite, field, p, q, r, s, i, j, k, n)
    u, v, w, x = _parts(older + place, COLUMNS, mask)
    i, j, k, n = i - u, j - v, k - w, n - x
    _keep(older + place, COLUMNS, mask, i, j, k, n)
    # hermitian part of lambda alpha+
    total = sums + ((group * tl.num_programs(1) + tl.program_id(1)) * sites + site) * 4
    _accumulate(total, weight * (i * a + j * b), inside, mask)
    _accumulate(total + 1, weight * (k * c + n * d), inside, mask)
    _accumulate(total + 2, weight * 0.5 * (i * c + j * d + k * a + n * b), inside, mask)
    _accumulate(total + 3, weight * 0.5 * (j * c - i * d - n * a + k * b), inside, mask)


@triton.jit
def _accumulate(place, values, inside, mask):
    """sums += values over the program's columns."""
    part = tl.sum(tl.where(mask, values, 0.0), axis=1)
    tl.store(place, tl.load(place, mask=inside, other=0.0) + part, mask=inside)
