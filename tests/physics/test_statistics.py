"""Statistics judged on synthetic data of known answer: deviations in standard errors, and coverage of the errors."""

import math

import numpy as np
import pytest

from engine.statistics import (
    autocorrelation_time,
    blocking_error,
    bootstrap,
    collapse_quality,
    correlated_error,
    growth_exponent,
    mean_and_error,
    rescaled,
)
from tests.tolerances import COVERAGE_68, SIGMAS

TIME = np.geomspace(1, 100, 20)


def autoregressive(draw: np.random.Generator, memory: float, length: int) -> np.ndarray:
    """x' = memory x + noise: tau = 1/2 (1 + memory) / (1 - memory), variance 1."""
    values = np.empty(length)
    values[0] = draw.normal()
    kicks = draw.normal(size=length) * math.sqrt(1 - memory**2)
    for i in range(1, length):
        values[i] = memory * values[i - 1] + kicks[i]
    return values


def lengths(draw: np.random.Generator, exponent: float, replicas: int = 12, scatter: float = 0.1) -> np.ndarray:
    """2 t^exponent with a factor per replica and independent scatter at every time."""
    whole = 1 + scatter * draw.normal(size=(replicas, 1))
    return 2 * TIME**exponent * whole * (1 + 0.3 * scatter * draw.normal(size=(replicas, len(TIME))))


def covered(deviations: list[float]) -> float:
    """Share of deviations (in standard errors) below one."""
    return float((np.abs(deviations) < 1).mean())


def test_error_of_a_mean_covers_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(1)
    found = [mean_and_error(draw.normal(3, 2, size=(10, 1))) for _ in range(1000)]
    assert covered([float((m[0] - 3) / e[0]) for m, e in found]) == pytest.approx(
        0.657, abs=COVERAGE_68 / 2
    )  # t, 9 d.o.f.


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_autocorrelation_time_of_an_autoregressive_series(memory):
    draw = np.random.default_rng(2)
    expected = 0.5 * (1 + memory) / (1 - memory)
    found = np.array([autocorrelation_time(autoregressive(draw, memory, 4000)) for _ in range(20)])
    mean, error = mean_and_error(found)
    assert abs(mean - expected) < SIGMAS * error + 0.05 * expected  # the window leaves out exp(-6) and biases by tau/n


@pytest.mark.parametrize("estimate", [correlated_error, blocking_error])
def test_errors_of_correlated_series_cover_the_truth(estimate):
    draw = np.random.default_rng(3)
    found = [estimate(autoregressive(draw, 0.8, 2048)) for _ in range(150)]
    assert covered([e.value / e.error for e in found]) == pytest.approx(0.683, abs=COVERAGE_68)


def test_a_series_shorter_than_its_memory_is_refused():
    with pytest.raises(ValueError, match="too short"):
        autocorrelation_time(np.cumsum(np.random.default_rng(4).normal(size=200)))
    with pytest.raises(ValueError, match="finite"):
        correlated_error(np.full(100, np.nan))


def test_bootstrap_of_a_mean_is_the_standard_error():
    samples = np.random.default_rng(5).normal(size=(8, 3))
    exact = float(mean_and_error(samples.mean(1))[1])
    found = bootstrap(samples, lambda some: float(some.mean()), resamples=4000)
    assert found.error == pytest.approx(exact, rel=SIGMAS / math.sqrt(2 * 4000))
    again = bootstrap(samples, lambda some: float(some.mean()), resamples=4000)
    assert again == found  # the seed decides, no hidden generator
    with pytest.raises(ValueError, match="at least 2"):
        bootstrap(samples[:1], np.mean)


@pytest.mark.parametrize("exponent", [1 / 3, 0.5, 1.0])
def test_growth_exponents_come_out_within_their_errors(exponent):
    draw = np.random.default_rng(6)
    found = [growth_exponent(TIME, lengths(draw, exponent), (2, 80), resamples=60, seed=i) for i in range(60)]
    deviations = [(f.exponent - exponent) / f.error for f in found]
    assert abs(np.mean(deviations)) < SIGMAS / math.sqrt(len(found))
    assert covered(deviations) > 0.683 - COVERAGE_68  # the spread over windows may only make errors larger
    statistical = [(f.exponent - exponent) / f.statistical for f in found]
    assert covered(statistical) == pytest.approx(0.66, abs=1.5 * COVERAGE_68)
    assert all(f.refused is None for f in found)


def test_growth_says_why_there_is_no_exponent():
    draw = np.random.default_rng(7)
    assert "replicas" in str(growth_exponent(TIME, lengths(draw, 0.5, replicas=3), (2, 80)).refused)
    assert "decades" in str(growth_exponent(TIME, lengths(draw, 0.5), (20, 39)).refused)
    unlike = TIME ** np.array([[-0.5], [0.1], [0.9], [1.5]])  # every replica grows in its own way
    assert "error" in str(growth_exponent(TIME, unlike, (2, 60)).refused)
    assert "factor" in str(growth_exponent(TIME, lengths(draw, 0.0, scatter=0.01), (2, 80)).refused)
    bent = lengths(draw, 0.5, scatter=0.01) * (1 + (TIME / 30) ** 2)
    assert "no power law" in str(growth_exponent(TIME, bent, (2, 80)).refused)
    with pytest.raises(ValueError, match="lengths"):
        growth_exponent(TIME, np.ones(20), (2, 80))
    with pytest.raises(ValueError, match="widen"):
        growth_exponent(TIME, lengths(draw, 0.5), (2, 2.1))


def test_half_of_the_bend_is_part_of_the_error_of_an_exponent():
    draw = np.random.default_rng(17)
    middle = math.sqrt(2 * 80)
    bent = lengths(draw, 1.0, scatter=0.01) * np.exp(
        -0.04 * np.log(TIME / middle) ** 2
    )  # slope 1 - 0.08 ln(t / middle)
    found = growth_exponent(TIME, bent, (2, 80))
    early, late = found.halves
    assert found.refused is None
    assert abs(found.exponent - 1) < found.error
    inside = np.log(TIME[(TIME >= 2) & (TIME <= 80)] / middle)
    cut = len(inside) // 2
    for half, times in ((early, inside[: cut + 1]), (late, inside[cut:])):
        assert abs(half.value - (1 - 0.08 * times.mean())) < SIGMAS * half.error
    noise = math.hypot(early.error, late.error)
    assert abs(2 * found.bend - (early.value - late.value)) < noise
    assert found.error == pytest.approx(math.hypot(found.statistical, max(found.bend, found.window_spread)))


def test_scaling_collapse_tells_the_right_exponent_from_a_wrong_one():
    draw = np.random.default_rng(8)
    k = np.linspace(0.05, 1.2, 24)
    size = 2 * np.array([4.0, 6.0, 9.0]) ** 0.5
    exact = size[:, None] ** 2 / (1 + (k * size[:, None]) ** 2) ** 1.5
    structure = exact * (1 + 0.05 * draw.normal(size=(20, 3, len(k))))
    right = collapse_quality(rescaled(k, structure, np.tile(size, (20, 1))))
    wrong = collapse_quality(rescaled(k, structure, np.tile(size**2 / 4, (20, 1))))
    pairs = 3 * 2 * len(k) * 0.8
    assert (
        abs(right - 1) < SIGMAS * math.sqrt(2 / pairs) * 3 + 0.3
    )  # points share neighbours; lines between points bend
    assert wrong > 20 * right
    with pytest.raises(ValueError, match="overlap"):
        collapse_quality([(k, k, k), (k + 10, k, k)])
    with pytest.raises(ValueError, match="at least 2"):
        collapse_quality([(k, k, k)])
