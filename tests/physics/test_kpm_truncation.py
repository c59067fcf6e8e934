"""The error of a series cut short, and the number of moments chosen for a stated error."""

from __future__ import annotations

import math

import pytest
import torch

import engine
from engine.electrons.series import coefficients, grid
from engine.electrons.truncation import AMPLIFICATION, moments_needed, truncation_error
from tests import tolerances
from tests.catalogue import electronic_model, random_state

HOT = engine.Ensemble(0.1, chemical_potential=0.0)


def transverse(vectors: torch.Tensor, spin: torch.Tensor) -> torch.Tensor:
    return vectors - (vectors * spin).sum(-1, keepdim=True) * spin


@pytest.mark.parametrize("distance", [0.0, -3.0])
@pytest.mark.parametrize("temperature", [0.02, 0.2])
def test_tail_is_that_of_the_fermi_function(temperature: float, distance: float) -> None:
    """Closed form against the coefficients of the function itself, over five decades."""
    half_width = 5.0
    c = coefficients(torch.sigmoid(-(half_width * grid(2**15) - distance) / temperature), 2**14)
    for moments in (32, 100, 400):
        tail = float((c[moments:] ** 2).sum().sqrt())
        if tail > 1e-10:
            estimate = truncation_error(moments, temperature, distance, half_width) / AMPLIFICATION
            assert estimate == pytest.approx(tail, rel=tolerances.TAIL)


@pytest.mark.parametrize("temperature", [0.02, 0.1])
@pytest.mark.parametrize("tolerance", [0.1, 0.001])
def test_tolerance_is_met(temperature: float, tolerance: float) -> None:
    lattice = engine.triangular(12)
    state = random_state(lattice, seed=5)
    model = engine.SDModel(lattice, {1: 1.0, 3: -0.85}, 0.5)
    matrix, ensemble = model.matrix(state.spin), engine.Ensemble(temperature, chemical_potential=-3.5)
    exact = transverse(engine.ExactDiagonalization().solve(matrix, ensemble).spin_density, state.spin)
    electrons = engine.KernelPolynomial(tolerance=tolerance).solve(matrix, ensemble)
    error = float((transverse(electrons.spin_density, state.spin) - exact).norm() / exact.norm())
    assert error < tolerance
    assert error > tolerance / tolerances.CAREFUL  # and not many more moments than it takes
    assert electrons.series.truncation_error <= tolerance
    fewer = engine.KernelPolynomial(electrons.series.moments - 1).solve(matrix, ensemble)
    assert fewer.series.truncation_error > tolerance


def test_moments_grow_as_the_temperature_falls() -> None:
    found = [moments_needed(0.01, temperature, -3.0, 8.0) for temperature in (0.1, 0.03, 0.01, 0.003)]
    assert found == sorted(found)
    for temperature in (0.1, 1e-3, 1e-12):
        moments = moments_needed(0.05, temperature, 0.0, 8.0)
        assert (
            truncation_error(moments, temperature, 0.0, 8.0) <= 0.05 < truncation_error(moments - 1, temperature, 0, 8)
        )


def test_filling_takes_the_safe_middle() -> None:
    lattice = engine.triangular(4)
    matrix = electronic_model(lattice).matrix(random_state(lattice).spin)
    solver = engine.KernelPolynomial(tolerance=0.01)
    filled = solver.solve(matrix, engine.Ensemble(0.1, filling=0.1)).series
    assert filled.truncation_error < 0.01
    assert filled.moments >= solver.solve(matrix, engine.Ensemble(0.1, (-3.0))).series.moments


def test_too_few_moments_are_refused_with_the_number_needed() -> None:
    lattice = engine.square(4)
    matrix = electronic_model(lattice).matrix(random_state(lattice).spin)
    cold = engine.Ensemble(0.01, chemical_potential=-1.0)
    with pytest.raises(ValueError, match=r"64 moments are too few .* limit 1% needs \d+ moments") as caught:
        engine.KernelPolynomial(64, tolerance=0.01).solve(matrix, cold)
    enough = int(str(caught.value).split("needs ")[1].split()[0])
    assert engine.KernelPolynomial(enough, tolerance=0.01).solve(matrix, cold).series.moments == enough
    with pytest.raises(ValueError, match="limit 100% needs 12 moments"):
        engine.KernelPolynomial(4).solve(matrix, cold)
    engine.KernelPolynomial(4, kernel="jackson").solve(matrix, cold)  # broad by choice


def test_senseless_tolerances_are_refused() -> None:
    for wrong in (0.0, 1.5, -0.1, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            engine.KernelPolynomial(tolerance=wrong)
    with pytest.raises(ValueError, match="without a kernel"):
        engine.KernelPolynomial(tolerance=0.1, kernel="jackson")
    lattice = engine.square(4)
    matrix = electronic_model(lattice).matrix(random_state(lattice).spin)
    with pytest.raises(ValueError, match="temperature > 0"):
        engine.KernelPolynomial(tolerance=0.1).solve(matrix, engine.Ensemble(0.0, chemical_potential=0.0))


def test_default_number_of_moments_is_reported() -> None:
    lattice = engine.square(4)
    matrix = electronic_model(lattice).matrix(random_state(lattice).spin)
    report = engine.KernelPolynomial().solve(matrix, engine.Ensemble(0.1, chemical_potential=0.0)).series
    assert report.moments == 512
    assert report.window[0] < -4 < 4 < report.window[1]
    assert report.vector_bytes > 0
    assert engine.KernelPolynomial(8, kernel="jackson").solve(matrix, HOT).series.truncation_error is None
