"""Every force on every lattice: gradient of its energy, batch = loop, and the symmetries of the model."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import engine
from tests import tolerances
from tests.catalogue import (
    ENSEMBLES,
    LATTICES,
    REGULAR,
    SOLVERS,
    classical_model,
    electronic_model,
    fits,
    random_state,
    rotation,
)

ELECTRONIC = list(itertools.product(LATTICES, SOLVERS, ENSEMBLES))


def build(lattice: engine.Lattice, solver: str, ensemble: str) -> engine.ForceProvider:
    if solver == "classical":
        return engine.ClassicalForce(classical_model(lattice))
    return engine.ElectronicForce(electronic_model(lattice), SOLVERS[solver][0], ENSEMBLES[ensemble])


def cases(names: list[str], deterministic: bool = False) -> list[tuple[str, str, str]]:
    found = []
    for name, solver, ensemble in ELECTRONIC:
        if name in names and fits(LATTICES[name](), SOLVERS[solver][0]) and (SOLVERS[solver][1] or not deterministic):
            found.append((name, solver, ensemble))
    return found + [(name, "classical", "none") for name in names if name in REGULAR]


@pytest.mark.parametrize(("name", "solver", "ensemble"), cases(list(LATTICES)))
def test_force_is_minus_the_gradient_of_the_energy(name: str, solver: str, ensemble: str) -> None:
    lattice = LATTICES[name]()
    force, state = build(lattice, solver, ensemble), random_state(lattice, replicas=2)
    direction = random_state(lattice, replicas=2, seed=77).spin
    response = force(state)
    step = tolerances.GRADIENT_STEP
    ahead = force(state.with_spin(state.spin + step * direction)).energy
    behind = force(state.with_spin(state.spin - step * direction)).energy
    slope = -(ahead - behind) / (2 * step)
    torch.testing.assert_close(
        (response.force * direction).sum((1, 2)), slope, rtol=tolerances.GRADIENT, atol=tolerances.GRADIENT
    )
    assert response.force.abs().max() > 1e-2  # the comparison is not between zeros


@pytest.mark.parametrize(("name", "solver", "ensemble"), cases(["triangular-3", "square-3x5", "random-sites"]))
def test_batch_is_a_loop(name: str, solver: str, ensemble: str) -> None:
    lattice = LATTICES[name]()
    force, state = build(lattice, solver, ensemble), random_state(lattice, replicas=3)
    together = force(state)
    for replica in range(3):
        alone = force(engine.SpinState(state.spin[replica : replica + 1]))
        torch.testing.assert_close(together.force[replica], alone.force[0], rtol=0, atol=tolerances.ROUNDING)
        torch.testing.assert_close(together.energy[replica], alone.energy[0], rtol=0, atol=tolerances.ROUNDING)


@pytest.mark.parametrize(
    ("name", "solver", "ensemble"), [c for c in cases(list(LATTICES), True) if c[1] != "classical"]
)
def test_electronic_forces_turn_with_the_spins(name: str, solver: str, ensemble: str) -> None:
    lattice = LATTICES[name]()
    force, state, turn = build(lattice, solver, ensemble), random_state(lattice), rotation()
    before, after = force(state), force(engine.SpinState(state.spin @ turn.T))
    torch.testing.assert_close(after.energy, before.energy, rtol=0, atol=tolerances.SYMMETRY)
    torch.testing.assert_close(after.force, before.force @ turn.T, rtol=0, atol=tolerances.SYMMETRY)


@pytest.mark.parametrize(("name", "solver", "ensemble"), cases(REGULAR, True))
def test_translation(name: str, solver: str, ensemble: str) -> None:
    lattice = LATTICES[name]()
    force, state = build(lattice, solver, ensemble), random_state(lattice)
    shifted = state.spin.unflatten(1, lattice.shape).roll((1, 2), (1, 2)).flatten(1, 2)
    before, after = force(state), force(engine.SpinState(shifted))
    expected = before.force.unflatten(1, lattice.shape).roll((1, 2), (1, 2)).flatten(1, 2)
    torch.testing.assert_close(after.energy, before.energy, rtol=0, atol=tolerances.SYMMETRY)
    torch.testing.assert_close(after.force, expected, rtol=0, atol=tolerances.SYMMETRY)


@pytest.mark.parametrize("solver", ["exact", "chebyshev-identity"])
@pytest.mark.parametrize("name", ["triangular-3", "square-4", "triangular-6x4"])
def test_point_group(name: str, solver: str) -> None:
    lattice = LATTICES[name]()
    force, state = build(lattice, solver, "fixed-mu"), random_state(lattice)
    before = force(state)
    operations = lattice.point_group()
    assert len(operations) == {"triangular-3": 12, "square-4": 8, "triangular-6x4": 2}[name]
    for _, permutation in operations:
        moved = torch.empty_like(state.spin)
        moved[:, permutation] = state.spin
        after = force(engine.SpinState(moved))
        torch.testing.assert_close(after.energy, before.energy, rtol=0, atol=tolerances.SYMMETRY)
        torch.testing.assert_close(after.force[:, permutation], before.force, rtol=0, atol=tolerances.SYMMETRY)


def test_time_reversal_leaves_energies_and_reverses_forces() -> None:
    lattice = engine.triangular(4)
    force, state = build(lattice, "exact", "fixed-mu"), random_state(lattice)
    before, after = force(state), force(engine.SpinState(-state.spin))
    torch.testing.assert_close(after.energy, before.energy, rtol=0, atol=tolerances.SYMMETRY)
    torch.testing.assert_close(after.force, -before.force, rtol=0, atol=tolerances.SYMMETRY)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize("name", LATTICES)
def test_chebyshev_converges_to_exact_diagonalization(name: str, ensemble: str) -> None:
    lattice, state = LATTICES[name](), random_state(LATTICES[name](), replicas=2)
    model = electronic_model(lattice)
    exact = engine.ElectronicForce(model, engine.ExactDiagonalization(), ENSEMBLES[ensemble])(state)
    errors = []
    for moments in (50, 100, 400):
        series = engine.ElectronicForce(model, engine.KernelPolynomial(moments), ENSEMBLES[ensemble])(state)
        errors.append(float((series.force - exact.force).abs().max()))
    assert errors[0] > 3 * errors[1] > 3 * errors[2]
    assert errors[2] < tolerances.CHEBYSHEV
    torch.testing.assert_close(series.energy, exact.energy, rtol=tolerances.CHEBYSHEV, atol=tolerances.CHEBYSHEV)
    torch.testing.assert_close(
        series.electrons.bond_density, exact.electrons.bond_density, rtol=0, atol=tolerances.CHEBYSHEV
    )


def test_sum_of_forces_adds_and_names() -> None:
    lattice, state = engine.square(4), random_state(engine.square(4))
    exchange = engine.ClassicalForce(engine.HeisenbergModel(lattice, {1: 1.0}))
    zeeman = engine.ClassicalForce(engine.Zeeman((0, 0, 2.0)))
    total = engine.SumForce(exchange=exchange, zeeman=zeeman)
    for same in (total, engine.SumForce(exchange, zeeman), engine.SumForce([exchange, zeeman])):
        torch.testing.assert_close(same(state).force, exchange(state).force + zeeman(state).force)
        torch.testing.assert_close(same(state).energy, exchange(state).energy + zeeman(state).energy)
    assert total.zeeman.model.field == (0.0, 0.0, 2.0)
    np.testing.assert_allclose(zeeman(state).force[0, 0], [0, 0, 2])


def test_sum_of_models_equals_sum_of_forces() -> None:
    lattice, state = engine.triangular(4), random_state(engine.triangular(4))
    electrons, exchange = electronic_model(lattice), engine.HeisenbergModel(lattice, {1: 0.4})
    zeeman = engine.Zeeman((0.1, 0.2, 0.3))
    solver, ensemble = engine.ExactDiagonalization(), ENSEMBLES["fixed-mu"]
    one = engine.ElectronicForce(electrons + exchange + zeeman, solver, ensemble)(state)
    many = engine.SumForce(
        engine.ElectronicForce(electrons, solver, ensemble), engine.ClassicalForce(exchange + zeeman)
    )(state)
    torch.testing.assert_close(one.force, many.force, rtol=0, atol=tolerances.ROUNDING)
    torch.testing.assert_close(one.energy, many.energy, rtol=0, atol=tolerances.ROUNDING)


@pytest.mark.parametrize("name", REGULAR)
def test_quadratic_form_is_the_bond_sum(name: str) -> None:
    """Two independent routes: the sparse quadratic form, and autograd through the sum over bonds."""
    lattice = LATTICES[name]()
    state, model = random_state(lattice, replicas=3), classical_model(lattice)
    fast = engine.ClassicalForce(model)(state)
    spin = state.spin.clone().requires_grad_()
    energy = model.classical_energy(spin)
    (gradient,) = torch.autograd.grad(energy.sum(), spin)
    torch.testing.assert_close(fast.force, -gradient, rtol=0, atol=tolerances.ROUNDING)
    torch.testing.assert_close(fast.energy, energy.detach(), rtol=0, atol=tolerances.ROUNDING)
