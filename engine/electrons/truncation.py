r"""Error of a Chebyshev series cut after M moments, and the moments that an error needs.

The Fermi function has its nearest poles at mu +- i pi T. With z = (mu + i pi T - centre) / half_width, its coefficients
fall like exp(-k m), k = ln |z + sqrt(z^2 - 1)|: k = pi T / half_width for mu in the middle of the window, faster
towards its edges. Near the pole, c_m = (2/m pi) (k m / sinh k m) sin(m theta), so what is cut off has the norm

    tail(M) = (sum_{m >= M} c_m^2)^{1/2} = (sqrt 2 / pi) [k (coth k M - 1)]^{1/2},

(sqrt 2 / pi) M^{-1/2} for k M << 1 and ~ exp(-k M) for k M >> 1. The transverse force divided by its own rms feels

    error(M) = AMPLIFICATION tail(M),

AMPLIFICATION being measured: random spins on 12 x 12 sites, exact trace, against exact diagonalization at the same
temperature; error / tail over T = 0.003, 0.01, 0.03, 0.1 and M = 64 ... 2048, errors from 35 % down to 1e-11:

    electrons                             error at T = 0.01, M = 64   256     1024        error / tail
    triangular, t3 = -0.85, J = 0.5, mu = -3.5 (skyrmions)   25 %     4.3 %   0.012 %     4.4 .. 7.0
    triangular, t3 = -0.85, J = 1, mu = -3.5                 16 %     2.6 %   0.03 %      2.6 .. 4.9
    triangular, J = 3, mu = -3.305                           25 %     8.3 %   0.3 %       3.8 .. 5.9
    square, J = 3.5, mu = -3.6                               5.6 %    1.9 %   0.05 %      0.7 .. 1.5
    square, J = 6, mu = -6.2                                 5.8 %    1.5 %   0.07 %      0.5 .. 1.4

so 8 is honest for the worst of them and up to ten times too careful for the others (M = 16 reaches 9.3; smaller
lattices, with few levels near mu, may too). Noise of probes, and smearing by T against T = 0, come on top.
"""

from __future__ import annotations

import cmath
import math

AMPLIFICATION = 8.0
HOPELESS = 1.0  # an error as large as the force
DEFAULT_MOMENTS = 512


def decay(temperature: float, distance: float, half_width: float) -> float:
    """k > 0 for a chemical potential ``distance`` from the middle of the window; 0 at T = 0."""
    z = complex(distance, math.pi * temperature) / half_width
    root = cmath.sqrt(z * z - 1)
    return abs(math.log(max(abs(z + root), abs(z - root))))


def truncation_error(moments: int, temperature: float, distance: float, half_width: float) -> float:
    """Estimated relative error of the transverse force after ``moments``."""
    k = decay(temperature, distance, half_width)
    if k * moments < 1e-9:
        return AMPLIFICATION * math.sqrt(2 / moments) / math.pi
    return AMPLIFICATION * math.sqrt(2 * k * 2 / math.expm1(min(2 * k * moments, 700.0))) / math.pi


def moments_needed(tolerance: float, temperature: float, distance: float, half_width: float) -> int:
    """The smallest M with truncation_error(M) <= tolerance."""
    k = decay(temperature, distance, half_width)
    share = 2 * (AMPLIFICATION / (math.pi * tolerance)) ** 2
    needed = share if k < 1e-12 else math.log1p(2 * k * share) / (2 * k)
    return max(4, math.ceil(needed * (1 - 1e-12)))


def moments_for(tolerance: float | None, moments: int | None, temperature: float, distance: float,
                half_width: float) -> int:  # fmt: skip
    """The moments that a solver takes: those given, those that ``tolerance`` needs, or DEFAULT_MOMENTS.

    Raises ValueError, with the number needed, for moments that miss the tolerance or leave an error as large as the
    force, and for a tolerance at T = 0, where the series of a step converges like M^(-1/2).
    """
    if tolerance is not None and temperature == 0:
        raise ValueError(
            "tolerance needs a temperature > 0: at T = 0 the Fermi function is a step; give moments instead"
        )
    if moments is None:
        if tolerance is None:
            return DEFAULT_MOMENTS
        return moments_needed(tolerance, temperature, distance, half_width)
    limit = HOPELESS if tolerance is None else tolerance
    error = truncation_error(moments, temperature, distance, half_width)
    if temperature > 0 and error > limit:
        enough = moments_needed(limit, temperature, distance, half_width)
        raise ValueError(
            f"{moments} moments are too few for temperature {temperature:g} and a window of half width {half_width:.4g}: "
            f"the estimated error of the force is {error:.0%}, the limit {limit:.0%} needs {enough} moments"
        )
    return moments
