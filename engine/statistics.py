"""Errors of means, growth laws and scaling, from runs that were repeated.

Samples are arrays (R, ...) of R independent replicas. Every error is one standard deviation.

    mean:             s / sqrt(R)
    correlated data:  s^2/n 2 tau,  tau = 1/2 + sum_t rho(t), summed up to t = 6 tau (Madras and Sokal, J. Stat. Phys. 50,
                      109 (1988)); or the error of means of blocks, doubled until it stops growing (Flyvbjerg and
                      Petersen, J. Chem. Phys. 91, 461 (1989))
    any function:     bootstrap over replicas (Efron 1979), its variance times R / (R - 1), which it misses for few replicas
    growth laws:      L(t) = A t^n: slope of ln L against ln t, replicas resampled, and the window of times moved; half of
                      the bend, the difference between the slopes of the window's two halves, is a part of the error
    scaling:          S(k, t) = L^d G(k L): curves of all times lie on one; quality 1 means within errors (Houdayer and
                      Hartmann, Phys. Rev. B 70, 014418 (2004))

Nothing is drawn from a global generator: resampling takes a seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from engine.observables.domains import power_law_fit

RESAMPLES = 400
LEAST_REPLICAS = 4  # a standard deviation from three numbers is itself wrong by half
LEAST_DECADES = 0.3  # a factor of two in time: below that an exponent means nothing
LARGEST_EXPONENT_ERROR = 0.25
LEAST_GROWTH = 2.0  # L has to change by this factor for its growth to be called one
LARGEST_BEND = 0.25  # half of the bend, in units of the exponent: slopes that differ by a factor of 5/3 are two laws
SOKAL_WINDOW = 6.0


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error, from ``count`` independent samples. Arrays (...) are allowed for both."""

    value: float
    error: float
    count: int


@dataclass(frozen=True)
class Growth:
    """Exponent n of L = A t^n: ``exponent`` +- ``error``, which joins ``statistical`` (bootstrap over replicas) and the
    larger of ``window_spread`` (standard deviation over windows of times) and ``bend`` (half the difference of the slopes
    of the two ``halves``, as far as it is more than noise; 0 without halves). ``refused`` says why there is no exponent, or
    is None."""

    exponent: float
    error: float
    statistical: float
    window_spread: float
    bend: float
    halves: tuple[Estimate, ...]
    prefactor: float
    window: tuple[float, float]
    replicas: int
    refused: str | None


def mean_and_error(samples: np.ndarray, axis: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error over ``axis`` of independent samples. Raises ValueError for fewer than 2."""
    values = np.asarray(samples, dtype=np.float64)
    count = values.shape[axis] if values.ndim else 0
    if count < 2:
        raise ValueError(f"a standard error needs at least 2 independent samples, got {count}; add replicas")
    return values.mean(axis), values.std(axis, ddof=1) / math.sqrt(count)


def autocorrelation_time(series: np.ndarray) -> float:
    """Integrated autocorrelation time tau >= 1/2 of a stationary series (n,), in units of its spacing.

    Raises ValueError for a series of fewer than 16 numbers, and when it is shorter than 20 tau: tau is then unknown.
    """
    values = _series(series, 16)
    centred = values - values.mean()
    if not centred.any():
        return 0.5
    length = len(values)
    spectrum = np.abs(np.fft.rfft(centred, 2 * length)) ** 2
    covariance = np.fft.irfft(spectrum)[:length] / np.arange(length, 0, -1)
    tau = 0.5 + np.cumsum(covariance[1:] / covariance[0])
    inside = np.arange(1, length) >= SOKAL_WINDOW * tau
    found = float(tau[int(inside.argmax())]) if inside.any() else math.inf
    if found * 20 > length:
        raise ValueError(f"a series of {length} numbers is too short: it stays correlated over {found:.3g} of them")
    return max(0.5, found)


def correlated_error(series: np.ndarray) -> Estimate:
    """Mean of a stationary correlated series (n,) with its standard error; ``count`` is the effective number n / 2 tau."""
    values, tau = _series(series, 16), autocorrelation_time(series)
    error = values.std(ddof=1) * math.sqrt(2 * tau / len(values))
    return Estimate(float(values.mean()), float(error), max(1, int(len(values) / (2 * tau))))


def blocking_error(series: np.ndarray) -> Estimate:
    """The same by blocks: their length doubles until the error no longer grows by more than its own uncertainty."""
    values = _series(series, 32)
    mean, best = float(values.mean()), (0.0, len(values))
    while len(values) >= 8:
        count = len(values)
        error = float(values.std(ddof=1) / math.sqrt(count))
        grown = error > best[0] * (1 + 1 / math.sqrt(2 * (count - 1))) or best[0] == 0
        if not grown:
            break
        best = (error, count)
        values = values[: count // 2 * 2].reshape(-1, 2).mean(1)
    return Estimate(mean, best[0], best[1])


def bootstrap(
    samples: np.ndarray, statistic: Callable[[np.ndarray], float], resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """``statistic`` of samples (R, ...) and its standard error, by drawing R replicas with replacement.

    Raises ValueError for fewer than 2 replicas or a statistic that is not finite on the samples themselves.
    """
    values = np.asarray(samples)
    replicas = len(values)
    if replicas < 2:
        raise ValueError(f"a bootstrap needs at least 2 replicas, got {replicas}")
    centre = float(statistic(values))
    if not math.isfinite(centre):
        raise ValueError(f"the statistic of the samples must be finite, got {centre}")
    draw = np.random.default_rng(seed)
    found = np.array([statistic(values[draw.integers(0, replicas, replicas)]) for _ in range(resamples)])
    found = found[np.isfinite(found)]
    spread = found.std(ddof=1) if len(found) > 1 else math.inf
    return Estimate(centre, float(spread * math.sqrt(replicas / (replicas - 1))), replicas)


def growth_exponent(
    time: np.ndarray, length: np.ndarray, window: tuple[float, float], resamples: int = RESAMPLES, seed: int = 0
) -> Growth:
    """Exponent of L(t) = A t^n from lengths (R, T) at times (T,) within ``window``.

    The mean over replicas is fitted; the bootstrap over replicas keeps the correlation between times. The window is
    shortened by a quarter of its logarithm at either end; the spread of these fits, or half of the bend, is added.
    ``halves`` have slopes where each has 3 times at least (the middle one is in both), and where runs and times are
    enough for slopes.
    Raises ValueError when the shapes do not fit or fewer than 3 times lie in the window.
    """
    time, length = np.asarray(time, dtype=np.float64), np.asarray(length, dtype=np.float64)
    if length.ndim != 2 or time.shape != length.shape[1:] or len(length) < 2:
        raise ValueError(f"growth needs times (T,) and lengths (R >= 2, T), got {time.shape} and {length.shape}")

    slope = partial(_slope, time)
    whole = power_law_fit(time, length.mean(0), window)
    statistical = bootstrap(length, partial(slope, window=window), resamples, seed).error
    quarter = (window[1] / max(window[0], 1e-300)) ** 0.25
    windows = [(window[0] * quarter, window[1]), (window[0], window[1] / quarter)]
    usable = [w for w in windows if ((time >= w[0]) & (time <= w[1])).sum() >= 3]
    spread = float(np.std([whole.exponent, *(slope(length, w) for w in usable)]))
    bend, halves = _bend(time, length, window, resamples, seed)
    error = math.hypot(statistical, max(spread, bend))
    inside = length.mean(0)[(time >= window[0]) & (time <= window[1])]
    refused = _too_thin(len(length), window)
    if refused is not None:
        halves = ()
    elif bend > LARGEST_BEND * abs(whole.exponent):
        slopes = " to ".join(f"{half.value:.2f} ± {half.error:.2f}" for half in halves)
        refused = f"no power law, the slope goes from {slopes}"
    else:
        refused = _too_uncertain(error, float(inside.max() / inside.min()))
    return Growth(
        whole.exponent, error, statistical, spread, bend, halves, whole.prefactor, window, len(length), refused
    )


def _slope(time: np.ndarray, length: np.ndarray, window: tuple[float, float]) -> float:
    """Exponent of the mean of lengths (R, T) over replicas."""
    return power_law_fit(time, length.mean(0), window).exponent


def _bend(
    time: np.ndarray, length: np.ndarray, window: tuple[float, float], resamples: int, seed: int
) -> tuple[float, tuple[Estimate, ...]]:
    """Half the difference between the slopes of a window's halves, less its noise; and these slopes."""
    inside = np.nonzero((time >= window[0]) & (time <= window[1]))[0]
    if len(inside) < 5:
        return 0.0, ()
    middle = len(inside) // 2
    parts = [(time[some[0]], time[some[-1]]) for some in (inside[: middle + 1], inside[middle:])]
    early, late = parts
    slope = partial(_slope, time)
    halves = tuple(bootstrap(length, partial(slope, window=part), resamples, seed) for part in parts)
    difference = bootstrap(length, lambda some: slope(some, late) - slope(some, early), resamples, seed)
    return math.sqrt(max(0.0, difference.value**2 - difference.error**2)) / 2, halves


def collapse_quality(
    curves: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> float:
    """How well curves (x, y, error of y) lie on one: mean square distance in errors of each point from the line through
    its neighbours on every other curve. 1: within errors; much more: they do not collapse.

    Raises ValueError for fewer than 2 curves or curves that do not overlap.
    """
    if len(curves) < 2:
        raise ValueError(f"a collapse needs at least 2 curves, got {len(curves)}")
    ordered = [tuple(np.asarray(part, dtype=np.float64)[np.argsort(curve[0])] for part in curve) for curve in curves]
    total, count = 0.0, 0
    for number, (x, y, error) in enumerate(ordered):
        for other, (ox, oy, oe) in enumerate(ordered):
            if other == number:
                continue
            kept = (x >= ox[0]) & (x <= ox[-1])
            right = np.clip(np.searchsorted(ox, x[kept]), 1, len(ox) - 1)
            share = (x[kept] - ox[right - 1]) / (ox[right] - ox[right - 1])
            line = oy[right - 1] * (1 - share) + oy[right] * share
            variance = (oe[right - 1] * (1 - share)) ** 2 + (oe[right] * share) ** 2 + error[kept] ** 2
            total += float(((y[kept] - line) ** 2 / variance).sum())
            count += int(kept.sum())
    if count == 0:
        raise ValueError("the curves do not overlap anywhere; choose a wider range")
    return total / count


def rescaled(
    wave_number: np.ndarray, structure: np.ndarray, length: np.ndarray, dimension: int = 2
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Curves (k L, S / L^d, error) of S(k, t) (R, T, K) with L(t) (R, T): replica means at every time. See
    :func:`collapse_quality`."""
    mean, error = mean_and_error(structure)
    scale = np.asarray(length, dtype=np.float64).mean(0)
    return [
        (np.asarray(wave_number) * size, row / size**dimension, np.maximum(wrong, 1e-300) / size**dimension)
        for size, row, wrong in zip(scale, mean, error, strict=True)
    ]


def _series(series: np.ndarray, least: int) -> np.ndarray:
    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 1 or len(values) < least or not np.isfinite(values).all():
        raise ValueError(f"expected one series of at least {least} finite numbers, got shape {values.shape}")
    return values


def _too_thin(replicas: int, window: tuple[float, float]) -> str | None:
    """Why slopes should not be printed, or None."""
    if replicas < LEAST_REPLICAS:
        return f"statistics too thin: {replicas} replicas, at least {LEAST_REPLICAS} are needed"
    decades = math.log10(window[1] / window[0])
    if decades < LEAST_DECADES:
        return f"statistics too thin: times span {decades:.2f} decades, at least {LEAST_DECADES} are needed"
    return None


def _too_uncertain(error: float, growth: float) -> str | None:
    """Why an exponent should not be printed, or None."""
    if error > LARGEST_EXPONENT_ERROR:
        return f"its error would be {error:.2f}, at most {LARGEST_EXPONENT_ERROR} is allowed"
    if growth < LEAST_GROWTH:
        return f"the length changes by a factor of {growth:.2f} only, at least {LEAST_GROWTH} is needed"
    return None
