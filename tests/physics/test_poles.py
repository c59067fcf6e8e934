"""Pole expansion and selected inversion against dense algebra, exact diagonalization and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import engine
from engine.electrons.dissection import dissect
from engine.electrons.poles import PoleExpansion
from engine.electrons.rational import fermi_poles
from engine.electrons.resolvent import Resolvent
from engine.electrons.twists import twist_mesh
from tests import tolerances
from tests.catalogue import ENSEMBLES, LATTICES, electronic_model, random_state

CUT = {  # large enough to be cut several times
    "triangular-9": lambda: engine.triangular(9),
    "square-7x10": lambda: engine.square(7, 10),
    "triangular-4x14": lambda: engine.triangular(4, 14, shells=1),
}


def mesh(lattice: engine.Lattice, twists: tuple[int, int] = (2, 1)) -> tuple[int, ...]:
    return twists if lattice.dimension == 2 else (1,)


def model_of(lattice: engine.Lattice) -> engine.SDModel:
    """Nearest neighbours on one lattice: its bonds reach one cell, those of the others two."""
    nearest = lattice.is_regular and lattice.shells.max() == 1
    return engine.SDModel(lattice, {1: 1.0}, 0.8) if nearest else electronic_model(lattice)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5, 1e-9])
@pytest.mark.parametrize("window", [(-20.0, 15.0), (-3000.0, 4000.0), (-1.0, 900.0)])
def test_few_poles_make_the_fermi_function(window: tuple[float, float], tolerance: float) -> None:
    found = fermi_poles(*window, tolerance)
    x = np.concatenate([np.linspace(*window, 5001), np.linspace(-12, 12, 2001)])
    x = x[(x >= window[0]) & (x <= window[1])]
    fermi = 0.5 * (1 - np.tanh(x / 2))
    assert np.abs(found.occupation(x) - fermi).max() < 1.2 * found.error < 4 * tolerance  # error: on other points
    assert len(found.poles) <= 0.25 * math.log(2 * max(map(abs, window))) * math.log(10 / tolerance) + 2
    assert (found.poles.imag > 3).all()  # none closer to the axis than the first Matsubara pole, i pi
    h = 1e-3
    slope = (found.grand_potential(x + h) - found.grand_potential(x - h)) / (2 * h)
    np.testing.assert_allclose(slope, found.occupation(x), atol=1e-6)  # truncation h^2, rounding 1e-10 / h


@pytest.mark.parametrize("name", [*CUT, "random-sites", "triangular-3"])
def test_selected_elements_and_determinant_against_dense_inverses(name: str) -> None:
    lattice = (CUT | LATTICES)[name]()
    matrix = model_of(lattice).matrix(random_state(lattice, replicas=2).spin)
    thetas = twist_mesh(mesh(lattice), lattice.dimension, torch.float64, torch.device("cpu"))
    resolvent = Resolvent(matrix, matrix.twist_phases(thetas), all_bonds=True)
    shifts = torch.tensor([0.1 + 0.05j, -1.0 + 0.3j, 0.5 + 2.0j], dtype=torch.complex128)
    system = torch.tensor([0, 1, resolvent.systems - 1])
    onsite, bonds, logarithm = resolvent(shifts, system, pairs=True, determinants=True)
    dense = matrix.add_onsite(matrix.to_dense_bonds(thetas).expand(2, -1, -1, -1).clone()).flatten(0, 1)[system]
    identity = torch.eye(matrix.size, dtype=torch.complex128)
    green = torch.linalg.inv(shifts[:, None, None] * identity - dense)
    blocks = green.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).transpose(2, 3)
    sites, (first, second) = torch.arange(lattice.sites), torch.tensor(lattice.bonds.T)
    close = {"rtol": 0, "atol": tolerances.ROUNDING}
    torch.testing.assert_close(onsite, blocks[:, sites, sites], **close)
    torch.testing.assert_close(bonds[0], blocks[:, first, second], **close)
    torch.testing.assert_close(bonds[1], blocks[:, second, first], **close)
    exact = torch.log(shifts[:, None] - torch.linalg.eigvalsh(dense)).sum(1)  # principal branch of every level
    torch.testing.assert_close(logarithm, exact, **close)


@pytest.mark.parametrize("pairs", [False, True])
def test_threads_share_the_shifts_and_change_nothing(pairs: bool) -> None:
    lattice = engine.triangular(9)
    matrix = electronic_model(lattice).matrix(random_state(lattice, replicas=2).spin)
    thetas = twist_mesh((2, 1), lattice.dimension, torch.float64, torch.device("cpu"))
    resolvent = Resolvent(matrix, matrix.twist_phases(thetas), all_bonds=pairs)
    system, shifts = torch.arange(5) % resolvent.systems, 0.2j + torch.linspace(-1, 1, 5, dtype=torch.complex128)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(resolvent(shifts, system, pairs, determinants=True))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for one, several in zip(*found, strict=True):
        torch.testing.assert_close(one, several, rtol=0, atol=tolerances.ROUNDING)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize("name", [*CUT, "random-sites", "triangular-6x4"])
def test_agrees_with_exact_diagonalization(name: str, ensemble: str) -> None:
    lattice = (CUT | LATTICES)[name]()
    matrix = model_of(lattice).matrix(random_state(lattice).spin)
    chosen = ENSEMBLES[ensemble]
    cold = engine.Ensemble(0.01, chosen.chemical_potential, chosen.filling)
    exact = engine.ExactDiagonalization(mesh(lattice)).solve(matrix, cold)
    found = PoleExpansion(twists=mesh(lattice)).solve(matrix, cold)
    close = {"rtol": 0, "atol": tolerances.POLES}
    torch.testing.assert_close(found.onsite, exact.onsite, **close)
    torch.testing.assert_close(found.bond_density, exact.bond_density, **close)
    torch.testing.assert_close(found.bond_current, exact.bond_current, **close)
    torch.testing.assert_close(found.energy / lattice.sites, exact.energy / lattice.sites, **close)
    torch.testing.assert_close(found.number / lattice.sites, exact.number / lattice.sites, **close)
    torch.testing.assert_close(found.chemical_potential, exact.chemical_potential, **close)


@pytest.mark.parametrize("twists", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_bonds_from_a_site_to_itself_count(ensemble: str, twists: tuple[int, int]) -> None:
    """Shell 5 of a 3 x 3 lattice leads around it."""
    lattice = engine.triangular(3, 3, shells=5)
    assert (lattice.bonds[:, 0] == lattice.bonds[:, 1]).any()
    matrix = engine.SDModel(lattice, {1: 1.0, 5: 0.3}, 0.8).matrix(random_state(lattice, replicas=2).spin)
    exact = engine.ExactDiagonalization(twists).solve(matrix, ENSEMBLES[ensemble])
    found = PoleExpansion(twists=twists).solve(matrix, ENSEMBLES[ensemble])
    torch.testing.assert_close(found.energy, exact.energy, rtol=0, atol=tolerances.POLES)
    torch.testing.assert_close(found.onsite, exact.onsite, rtol=0, atol=tolerances.POLES)


@pytest.mark.parametrize(("ensemble", "tolerance"), [("fixed-mu", 1e-2), ("fixed-mu", 1e-8), ("fixed-filling", 1e-8)])
def test_force_is_the_gradient_of_the_energy_for_any_number_of_poles(ensemble: str, tolerance: float) -> None:
    """At fixed filling F is stationary in mu only as well as the filling is met, which is to the tolerance."""
    lattice = engine.triangular(7, 7)
    force = engine.ElectronicForce(electronic_model(lattice), PoleExpansion(tolerance, (1, 2)), ENSEMBLES[ensemble])
    state, direction = random_state(lattice, replicas=2), random_state(lattice, replicas=2, seed=77).spin
    step = tolerances.GRADIENT_STEP
    ahead, behind = (force(state.with_spin(state.spin + sign * step * direction)).energy for sign in (1, -1))
    expected = (force(state).force * direction).sum((1, 2))
    torch.testing.assert_close(
        -(ahead - behind) / (2 * step), expected, rtol=tolerances.GRADIENT, atol=tolerances.GRADIENT
    )


def test_error_is_as_small_as_asked_for() -> None:
    lattice = engine.triangular(9)
    matrix = electronic_model(lattice).matrix(random_state(lattice).spin)
    ensemble = engine.Ensemble(0.005, chemical_potential=-1.3)
    exact = engine.ExactDiagonalization().solve(matrix, ensemble).onsite
    for tolerance in (1e-2, 1e-4, 1e-6, 1e-8):  # |rho - rho_exact| <= max |f - f_exact| in operator norm
        assert (PoleExpansion(tolerance).solve(matrix, ensemble).onsite - exact).abs().max() < 3 * tolerance
    single = PoleExpansion(1e-6).solve(matrix.to(torch.complex64), ensemble).onsite
    assert (single - exact).abs().max() < tolerances.SINGLE_PRECISION_FORCE


def test_chunks_do_not_change_the_answer_and_too_little_memory_is_refused() -> None:
    lattice = engine.triangular(8)
    matrix = electronic_model(lattice).matrix(random_state(lattice, replicas=2).spin)
    ensemble = engine.Ensemble(0.1, chemical_potential=-1.3)
    one = dissect(matrix).numbers(2) * 16
    whole, pieces = (PoleExpansion(twists=(1, 2), memory=m).solve(matrix, ensemble) for m in (2**29, 3 * one))
    torch.testing.assert_close(whole.onsite, pieces.onsite, rtol=0, atol=tolerances.ROUNDING)
    torch.testing.assert_close(whole.energy, pieces.energy, rtol=0, atol=tolerances.ROUNDING)
    with pytest.raises(MemoryError, match=r"one resolvent of 64 sites needs [\d.]+ MiB"):
        PoleExpansion(memory=one - 1).solve(matrix, ensemble)


def test_work_grows_with_the_third_power_of_the_length() -> None:
    work = [dissect(model.matrix(random_state(model.lattice).spin)).operations(2)
            for model in (engine.SDModel(engine.triangular(n), {1: 1.0, 3: -0.85}, 0.5) for n in (24, 48, 96))]  # fmt: skip
    dense = [8 * (2 * n * n) ** 3 for n in (24, 48, 96)]
    assert work[1] / work[0] < 2**3.5 and work[2] / work[1] < 2**3.4
    assert all(found < share * full for found, share, full in zip(work, (0.06, 0.01, 0.002), dense, strict=True))


def test_density_of_states_is_lorentzian() -> None:
    lattice = engine.triangular(6)
    matrix = electronic_model(lattice).matrix(random_state(lattice).spin)
    energies, width = torch.linspace(-9, 9, 50, dtype=torch.float64), 0.3
    found = PoleExpansion(twists=(2, 2)).solve(matrix, engine.Ensemble(0.1, -1.0)).density_of_states(energies, width)
    thetas = twist_mesh((2, 2), 2, torch.float64, torch.device("cpu"))
    levels = torch.linalg.eigvalsh(matrix.add_onsite(matrix.to_dense_bonds(thetas))).flatten()
    expected = (width / math.pi / ((energies[:, None] - levels) ** 2 + width**2)).sum(1) / (4 * lattice.sites)
    torch.testing.assert_close(found[0], expected, rtol=0, atol=tolerances.ROUNDING)


def test_refusals_teach() -> None:
    lattice = engine.triangular(4)
    matrix = electronic_model(lattice).matrix(random_state(lattice).spin)
    with pytest.raises(ValueError, match="needs a temperature > 0, got 0"):
        PoleExpansion().solve(matrix, engine.Ensemble(0.0, chemical_potential=-1.0))
    with pytest.raises(ValueError, match="tolerance must lie between"):
        PoleExpansion(tolerance=0.5)
    with pytest.raises(ValueError, match="tolerance must lie between"):
        fermi_poles(-10, 10, 1e-15)
    with pytest.raises(ValueError, match="low < high"):
        PoleExpansion(window=(1.0, -1.0))
    hot = engine.Ensemble(0.1, chemical_potential=-1.0)
    low, high = (float(f(torch.linalg.eigvalsh(matrix.to_dense()))) for f in (torch.min, torch.max))
    for window in ((-3.0, 3.0), (low + 0.2, high + 1), (low - 1, high - 0.2)):
        with pytest.raises(
            ValueError, match=r"the spectrum exceeds the window .* use window=None or one that contains"
        ):
            PoleExpansion(window=window).solve(matrix, hot)
    narrow = PoleExpansion(window=(low - 0.1, high + 0.1)).solve(matrix, hot)
    torch.testing.assert_close(narrow.onsite, PoleExpansion().solve(matrix, hot).onsite, rtol=0, atol=tolerances.POLES)
    with pytest.raises(ValueError, match="dtype must be"):
        PoleExpansion(dtype=torch.float32)
    with pytest.raises(ValueError, match="memory must be"):
        PoleExpansion(memory=0)
    with pytest.raises(ValueError, match="twists must be integers"):
        PoleExpansion(twists=(0, 1))
