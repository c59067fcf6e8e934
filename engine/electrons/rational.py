"""The Fermi function as a sum of few poles.

With x = (e - mu) / T and poles zeta_p in the upper half plane,

    f(x) = 1 / (1 + exp(x))   ~   c + sum_p 2 Re[ w_p / (zeta_p - x) ],
    -ln(1 + exp(-x))          ~   C + c x - sum_p 2 Re[ w_p ln(zeta_p - x) ]          (its primitive, exactly)

on the whole window of the spectrum. The poles are those of the nearly best rational function found by the AAA algorithm
(Nakatsukasa, Sete, Trefethen, SIAM J. Sci. Comput. 40, A1494 (2018)); weights and constants are then fitted, so that the
largest error is known. Their number grows like ln(bandwidth / T) ln(1 / tolerance): 10 for 1e-5 and 13 for 1e-7 at a
bandwidth of 4000 T, where the Matsubara sum needs thousands. The first ones lie at odd multiples of i pi.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

MOST_POLES = 60
SAMPLES = 60  # per e-fold of |x|
STEPS_OF_REACH = 4  # windows are widened to the next of so many steps per octave, so that poles are found seldom
SMALLEST_TOLERANCE = 1e-11
REAL = 1e-6  # a pole this close to the real axis is a flaw of the fit, not of the Fermi function


@dataclass(frozen=True, eq=False)
class FermiPoles:
    """poles zeta (P,), weights w (P,), constant c, energy_constant C; ``error``: largest error of f on the window.

    ``slope`` (P,) and ``slope_constant``: the same poles fitted to -df/dx, for derivatives by mu.
    """

    poles: np.ndarray
    weights: np.ndarray
    constant: float
    energy_constant: float
    slope: np.ndarray
    slope_constant: float
    error: float

    def occupation(self, x: np.ndarray) -> np.ndarray:
        """The approximate f(x)."""
        return self.constant + 2 * (self.weights / (self.poles - x[:, None])).real.sum(1)

    def grand_potential(self, x: np.ndarray) -> np.ndarray:
        """The approximate -ln(1 + exp(-x)), the primitive of :meth:`occupation`."""
        logarithms = np.log(self.poles - x[:, None])
        return self.energy_constant + self.constant * x - 2 * (self.weights * logarithms).real.sum(1)


def fermi_poles(low: float, high: float, tolerance: float) -> FermiPoles:
    """Poles for low <= x <= high with an error of at most about ``tolerance``.

    Raises ValueError for a tolerance outside [1e-11, 0.1], or when it cannot be reached.
    """
    if not SMALLEST_TOLERANCE <= tolerance <= 0.1:
        raise ValueError(f"tolerance must lie between {SMALLEST_TOLERANCE} and 0.1, got {tolerance}")
    return _poles(_reach(-low), _reach(high), tolerance)


def _reach(x: float) -> float:
    return 2.0 ** (math.ceil(STEPS_OF_REACH * math.log2(max(x, 8.0))) / STEPS_OF_REACH)


@lru_cache(maxsize=64)
def _poles(below: float, above: float, tolerance: float) -> FermiPoles:
    x = np.unique(np.concatenate([-_side(below, SAMPLES), _side(above, SAMPLES)]))
    f = _fermi(x)
    poles = _aaa_poles(x, f, tolerance)
    dense = np.unique(np.concatenate([-_side(below, 3 * SAMPLES), _side(above, 3 * SAMPLES)]))
    weights, constant, error = _fit(dense, _fermi(dense), poles)
    if not error < 3 * tolerance:
        raise ValueError(f"poles reach {error:.1e} instead of the tolerance {tolerance:.1e}; ask for a larger one")
    slope, slope_constant, _ = _fit(dense, _fermi(dense) * _fermi(-dense), poles)
    found = FermiPoles(poles, weights, constant, 0.0, slope, slope_constant, error)
    difference = -np.logaddexp(0, -dense) - found.grand_potential(dense)
    middle = float(difference.max() + difference.min()) / 2
    return FermiPoles(poles, weights, constant, middle, slope, slope_constant, error)


def _side(reach: float, density: int) -> np.ndarray:
    """Points from 0 to reach, even near 0 and geometric far away."""
    count = int(density * math.log1p(reach)) + 20
    return np.sinh(np.linspace(0, math.asinh(reach), count))


def _fermi(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 - np.tanh(x / 2))


def _aaa_poles(x: np.ndarray, f: np.ndarray, tolerance: float) -> np.ndarray:
    """Poles in the upper half plane of the first AAA approximant of even order that is good enough."""
    from scipy.linalg import eigvals

    free = np.ones(len(x), dtype=bool)
    chosen: list[int] = []
    approximate = np.full(len(x), f.mean())
    for count in range(1, MOST_POLES + 1):
        chosen.append(int(np.argmax(np.abs(f - approximate) * free)))
        free[chosen[-1]] = False
        cauchy = 1 / (x[free][:, None] - x[chosen])
        weights = np.linalg.svd((f[free][:, None] - f[chosen]) * cauchy, full_matrices=False)[2][-1]
        approximate = f.copy()
        approximate[free] = (cauchy @ (weights * f[chosen])) / (cauchy @ weights)
        if count % 2 == 0 or np.abs(f - approximate).max() > tolerance:
            continue  # with an odd number of points all poles come in pairs
        arrow, unit = np.diag(np.concatenate([[0.0], x[chosen]])), np.eye(count + 1)
        arrow[0, 1:], arrow[1:, 0], unit[0, 0] = weights, 1, 0
        poles = eigvals(arrow, unit)
        poles = poles[np.isfinite(poles)]
        if np.abs(poles.imag).min() > REAL:
            return poles[poles.imag > 0]
    raise ValueError(f"no {MOST_POLES} poles reach the tolerance {tolerance:.1e}; ask for a larger one")


def _fit(x: np.ndarray, values: np.ndarray, poles: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Weights (P,) and constant of the least-squares fit, and its largest error."""
    cauchy = 1 / (poles - x[:, None])
    design = np.concatenate([2 * cauchy.real, -2 * cauchy.imag, np.ones((len(x), 1))], 1)
    scale = np.linalg.norm(design, axis=0)
    solution = np.linalg.lstsq(design / scale, values, rcond=None)[0] / scale
    count = len(poles)
    weights = solution[:count] + 1j * solution[count:-1]
    return weights, float(solution[-1]), float(np.abs(design @ solution - values).max())
