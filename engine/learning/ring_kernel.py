"""The local part of a ring in one sweep over the sites, compiled by numba: every number is read and written once.

The same arithmetic as in :mod:`engine.learning.rings`, which is the reference and serves where numba is not installed
and on other devices. Floor: 18 numbers read and 12 written per site of a bond, about 100 multiplications.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
def ring_sweep(
    spin: np.ndarray, wide: np.ndarray, row: int, column: int, field: np.ndarray, x: float, y: float,
    to_here: np.ndarray, to_there: np.ndarray,
) -> float:  # fmt: skip
    """Energy of a bond; its gradients are added to ``to_here`` and ``to_there`` and take the place of ``field``.

    spin, to_here (3, L1, L2); wide, to_there (3, ..) continued, the bond's far ends begin at (row, column); field
    (3, L1, L2, 2), real and imaginary part of m.
    """
    rows, columns = spin.shape[1], spin.shape[2]
    end = column + columns
    energy = 0.0
    for i in range(rows):
        s0, s1, s2 = spin[0, i], spin[1, i], spin[2, i]
        k0, k1, k2 = wide[0, row + i, column:end], wide[1, row + i, column:end], wide[2, row + i, column:end]
        a0, a1, a2 = field[0, i, :, 0], field[1, i, :, 0], field[2, i, :, 0]
        b0, b1, b2 = field[0, i, :, 1], field[1, i, :, 1], field[2, i, :, 1]
        h0, h1, h2 = to_here[0, i], to_here[1, i], to_here[2, i]
        t = to_there[:, row + i, column:end]
        t0, t1, t2 = t[0], t[1], t[2]
        part = x * 0
        for j in range(columns):
            ah = x * (a0[j] * s0[j] + a1[j] * s1[j] + a2[j] * s2[j])
            bh = x * (b0[j] * s0[j] + b1[j] * s1[j] + b2[j] * s2[j])
            at = x * (a0[j] * k0[j] + a1[j] * k1[j] + a2[j] * k2[j])
            bt = x * (b0[j] * k0[j] + b1[j] * k1[j] + b2[j] * k2[j])
            sk = 2 * y * (s0[j] * k0[j] + s1[j] * k1[j] + s2[j] * k2[j])
            square = y * (a0[j] * a0[j] + a1[j] * a1[j] + a2[j] * a2[j] - b0[j] * b0[j] - b1[j] * b1[j] - b2[j] * b2[j])
            g0 = a0[j] * at - b0[j] * bt + square * k0[j]
            g1 = a1[j] * at - b1[j] * bt + square * k1[j]
            g2 = a2[j] * at - b2[j] * bt + square * k2[j]
            part += g0 * s0[j] + g1 * s1[j] + g2 * s2[j]
            h0[j] += g0
            h1[j] += g1
            h2[j] += g2
            t0[j] += a0[j] * ah - b0[j] * bh + square * s0[j]
            t1[j] += a1[j] * ah - b1[j] * bh + square * s1[j]
            t2[j] += a2[j] * ah - b2[j] * bh + square * s2[j]
            a0[j] = s0[j] * at + k0[j] * ah + sk * a0[j]
            a1[j] = s1[j] * at + k1[j] * ah + sk * a1[j]
            a2[j] = s2[j] * at + k2[j] * ah + sk * a2[j]
            b0[j] = -(s0[j] * bt + k0[j] * bh + sk * b0[j])
            b1[j] = -(s1[j] * bt + k1[j] * bh + sk * b1[j])
            b2[j] = -(s2[j] * bt + k2[j] * bh + sk * b2[j])
        energy += part
    return energy
