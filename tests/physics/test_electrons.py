"""Electrons against exact and independent numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import engine
from engine.electrons.probes import colouring
from engine.electrons.series import coefficients, grid, spectral_bounds, trace_function, weights
from engine.electrons.twists import twist_mesh
from tests import tolerances
from tests.catalogue import electronic_model, random_state


def test_kondo_lattice_against_an_independent_dense_calculation() -> None:
    """6 x 6 square lattice, all spins along z but one: grand potential and total force on the odd spin."""
    lattice = engine.square(6, 6)
    spin = torch.zeros(1, 36, 3, dtype=torch.float64)
    spin[..., 2] = 1
    spin[0, 0] = torch.ones(3) / math.sqrt(3)
    electrons = engine.ElectronicForce(
        engine.SDModel(lattice, {1: 1.0, 3: 0.5}, 0.5), engine.ExactDiagonalization(), engine.Ensemble(0.0, 0.103)
    )
    exchange = engine.ClassicalForce(engine.HeisenbergModel(lattice, {1: -0.1}))
    state = engine.SpinState(spin)
    assert float(electrons(state).energy) / 36 == pytest.approx(-1.98657216, abs=tolerances.PRINTED)
    total = engine.SumForce(electrons, exchange)(state).force[0, 0]
    np.testing.assert_allclose(total, [0.05079641, 0.05079641, -0.38451922], atol=tolerances.PRINTED)


def test_chebyshev_trace_with_jackson_kernel() -> None:
    matrix = torch.diag(torch.tensor([5.0, -5.0, 0.0, 0.0]))
    value = trace_function(matrix, lambda x: x**2, 1000, (-6.0, 6.0), "jackson")
    assert value == pytest.approx(50.000432961, abs=5e-10)  # all printed digits


@pytest.mark.parametrize("angle", [0.0, 1.1, 2.5])
def test_two_sites_in_the_double_exchange_limit(angle: float) -> None:
    """Lowest level -J - t cos(angle / 2) for J >> t, on an open pair: two far sites bonded once."""
    lattice = engine.random_sites(2, box=4.0, seed=1)
    spin = torch.tensor([[[0.0, 0.0, 1.0], [math.sin(angle), 0.0, math.cos(angle)]]], dtype=torch.float64)
    coupling = 1e5
    model = engine.SDModel(lattice, lambda distance: np.ones_like(distance), coupling)
    lowest = float(torch.linalg.eigvalsh(model.matrix(spin).to_dense())[0, 0])
    assert lowest + coupling == pytest.approx(-math.cos(angle / 2), abs=1 / coupling)


def test_free_electrons_fill_the_band() -> None:
    """J = 0: levels are the dispersion -2 (cos kx + cos ky), for every twist."""
    lattice, twist = engine.square(4, 5), (0.3, -1.1)
    model = engine.SDModel(lattice, {1: 1.0}, 0.0)
    levels = torch.linalg.eigvalsh(model.matrix(random_state(lattice).spin).to_dense(twist))[0].numpy()
    k1 = (2 * np.pi * np.arange(4) + twist[0]) / 4
    k2 = (2 * np.pi * np.arange(5) + twist[1]) / 5
    band = np.sort(np.repeat((-2 * np.cos(k1)[:, None] - 2 * np.cos(k2)).ravel(), 2))
    np.testing.assert_allclose(levels, band, atol=1e-12)


@pytest.mark.parametrize("mesh", [(2, 2), (3, 2)])
def test_twist_average_is_a_large_lattice(mesh: tuple[int, int]) -> None:
    """The state repeated k1 x k2 times on a large lattice with antiperiodic boundaries has the same energy per site."""
    small = engine.triangular(4, 4)
    large = engine.triangular(4 * mesh[0], 4 * mesh[1])
    state = random_state(small)
    repeated = state.spin.unflatten(1, (4, 4)).repeat(1, *mesh, 1).flatten(1, 2)
    ensemble = engine.Ensemble(0.05, chemical_potential=-1.0)
    response = engine.ElectronicForce(electronic_model(small), engine.ExactDiagonalization(mesh), ensemble)(state)
    levels = torch.linalg.eigvalsh(electronic_model(large).matrix(repeated).to_dense((math.pi, math.pi)))[0]
    omega = -0.05 * torch.logaddexp(-(levels + 1.0) / 0.05, torch.zeros(())).sum()
    assert float(response.energy) / 16 == pytest.approx(float(omega) / large.sites, abs=tolerances.ROUNDING)


@pytest.mark.parametrize(
    ("texture", "energy"),
    [("tetrahedral", -2.6238), ("stripe", -2.5937), ("neel_120", -2.5343), ("ferromagnet", -2.5004)],
)
def test_energies_of_ordered_states_at_quarter_filling(texture: str, energy: float) -> None:
    """Reference: converged momentum sums (the stripe is metallic: -2.59370(4) at 96 x 96 and 144 x 144 momenta)."""
    lattice = engine.triangular(6, 6)
    spin = engine.texture(texture, lattice, dtype=torch.float64)
    ensemble = engine.Ensemble(0.002, filling=0.25)
    solver = engine.ExactDiagonalization((8, 8))
    response = engine.ElectronicForce(engine.SDModel(lattice, {1: 1.0}, 3.0), solver, ensemble)(engine.SpinState(spin))
    assert float(response.energy) / lattice.sites == pytest.approx(energy, abs=tolerances.ORDERED_ENERGY)


@pytest.mark.parametrize(("coupling", "gap"), [(1.0, 0.402), (2.0, 1.182), (3.0, 1.413), (4.0, 1.543)])
def test_gap_of_the_tetrahedral_state(coupling: float, gap: float) -> None:
    """On the 12 x 12 mesh of twists of a 4 x 4 lattice; with the high-symmetry points included it is smaller (1.394)."""
    lattice = engine.triangular(4, 4)
    spin = engine.texture("tetrahedral", lattice, dtype=torch.float64)
    matrix = engine.SDModel(lattice, {1: 1.0}, coupling).matrix(spin)
    thetas = twist_mesh((12, 12), 2, torch.float64, torch.device("cpu"))
    levels = torch.linalg.eigvalsh(matrix.add_onsite(matrix.to_dense_bonds(thetas)))[0]
    assert float(levels[:, 8].min() - levels[:, 7].max()) == pytest.approx(gap, abs=tolerances.GAP)


@pytest.mark.parametrize("solver", [engine.ExactDiagonalization((2, 2)), engine.KernelPolynomial(64, twists=(2, 2))])
@pytest.mark.parametrize("temperature", [0.02, 0.5])
def test_filling_is_met(solver: object, temperature: float) -> None:
    lattice = engine.triangular(4, 4)
    force = engine.ElectronicForce(electronic_model(lattice), solver, engine.Ensemble(temperature, filling=0.37))
    number = force(random_state(lattice, replicas=2)).electrons.number
    np.testing.assert_allclose(number / 32, 0.37, atol=tolerances.FILLING)


def test_zero_temperature_fills_the_lowest_levels() -> None:
    lattice, state = engine.square(4), random_state(engine.square(4))
    model = electronic_model(lattice)
    levels = torch.linalg.eigvalsh(model.matrix(state.spin).to_dense())[0]
    response = engine.ElectronicForce(model, engine.ExactDiagonalization(), engine.Ensemble(0.0, filling=0.5))(state)
    assert float(response.energy) == pytest.approx(float(levels[:16].sum()), abs=1e-10)
    assert float(levels[15]) < float(response.electrons.chemical_potential) < float(levels[16])


def test_spin_and_charge_densities_and_currents() -> None:
    lattice, state = engine.triangular(4), random_state(engine.triangular(4))
    solver = engine.ExactDiagonalization((2, 2))
    response = engine.ElectronicForce(electronic_model(lattice, 0.8), solver, engine.Ensemble(0.1, -1.0))(state)
    electrons = response.electrons
    torch.testing.assert_close(response.force, 0.8 * electrons.spin_density)
    torch.testing.assert_close(electrons.density.sum(1), electrons.number)
    divergence = torch.zeros(16, dtype=torch.float64)
    divergence.index_add_(0, torch.tensor(lattice.bonds[:, 0]), electrons.bond_current[0])
    divergence.index_add_(0, torch.tensor(lattice.bonds[:, 1]), -electrons.bond_current[0])
    assert electrons.bond_current.abs().max() > 1e-3
    assert divergence.abs().max() < tolerances.ROUNDING  # equilibrium: charge is conserved site by site


@pytest.mark.parametrize("solver", [engine.ExactDiagonalization((4, 4)), engine.KernelPolynomial(256, twists=(4, 4))])
def test_density_of_states_holds_all_electrons(solver: object) -> None:
    lattice = engine.triangular(4)
    force = engine.ElectronicForce(electronic_model(lattice), solver, engine.Ensemble(0.1, chemical_potential=-1.0))
    energies = torch.linspace(-14, 14, 4001, dtype=torch.float64)
    electrons = force(random_state(lattice)).electrons
    density = electrons.density_of_states(energies, 0.05)[0]
    assert float(torch.trapezoid(density, energies)) == pytest.approx(2.0, abs=tolerances.SPECTRUM)
    occupied = density * torch.sigmoid(-(energies + 1.0) / 0.1)
    assert float(torch.trapezoid(occupied, energies)) * 16 == pytest.approx(
        float(electrons.number), rel=tolerances.SPECTRUM
    )


def test_stochastic_energy_and_force_are_unbiased_and_their_errors_honest() -> None:
    """Over many steps (fresh probes each) the mean agrees with the exact trace in sigma, and sigma is as reported."""
    lattice, state = engine.triangular(4), random_state(engine.triangular(4))
    matrix = electronic_model(lattice).matrix(state.spin)
    ensemble = engine.Ensemble(0.2, chemical_potential=-1.0)
    exact = engine.KernelPolynomial(48).solve(matrix, ensemble)
    for probes in (engine.RandomPhase(8, draws=4), engine.Coloured(16, draws=2)):
        draws = [engine.KernelPolynomial(48, probes).solve(matrix, ensemble, step) for step in range(60)]
        energies = torch.stack([d.energy[0] for d in draws])
        error = energies.std() / math.sqrt(len(draws))
        assert abs(float(energies.mean() - exact.energy[0]) / error) < tolerances.SIGMAS
        reported = torch.stack([d.energy_error[0] ** 2 for d in draws]).mean().sqrt()
        assert 0.7 < float(reported / energies.std()) < 1.4  # 60 draws determine a width to about 10 %
        spins = torch.stack([d.spin_density[0] for d in draws])
        deviation = (spins.mean(0) - exact.spin_density[0]) / (spins.std(0) / math.sqrt(len(draws)))
        assert float((deviation**2).mean()) == pytest.approx(1.0, abs=tolerances.CHI_SQUARE)


def test_coloured_probes_beat_random_phases() -> None:
    lattice, state = engine.triangular(12), random_state(engine.triangular(12))
    matrix = electronic_model(lattice).matrix(state.spin)
    ensemble = engine.Ensemble(0.3, chemical_potential=-1.0)
    exact = engine.KernelPolynomial(32).solve(matrix, ensemble).spin_density

    def spread(probes: engine.Coloured | engine.RandomPhase) -> float:
        return float((engine.KernelPolynomial(32, probes).solve(matrix, ensemble).spin_density - exact).norm())

    assert spread(engine.Coloured(72)) < spread(engine.Coloured(18)) < spread(engine.RandomPhase(18))


def test_colouring_keeps_equal_colours_apart() -> None:
    lattice = engine.triangular(12)
    for colours, distance in ((9, 3.0), (12, 2 * math.sqrt(3)), (16, 4.0), (36, 6.0)):
        colour = colouring(lattice, colours)
        pairs = np.nonzero(colour[:, None] == colour[None, :])
        offsets = (lattice.positions[pairs[0]] - lattice.positions[pairs[1]]) @ np.linalg.inv(lattice.periods)
        lengths = np.linalg.norm((offsets - np.round(offsets)) @ lattice.periods, axis=1)
        assert np.bincount(colour).tolist() == [144 // colours] * colours
        assert lengths[lengths > 0].min() == pytest.approx(distance)


def test_coefficients_and_weights_are_adjoint() -> None:
    generator = torch.Generator().manual_seed(0)
    moments = torch.randn(2, 20, dtype=torch.float64, generator=generator)
    values = torch.randn(2, 80, dtype=torch.float64, generator=generator)
    left = (coefficients(values, 20) * moments).sum(1)
    torch.testing.assert_close(left, (weights(moments, 80) * values).sum(1))
    third = torch.cos(3 * torch.arccos(grid(80)))
    expected = torch.zeros(20, dtype=torch.float64)
    expected[3] = 1
    torch.testing.assert_close(coefficients(third, 20), expected)


@pytest.mark.parametrize("lattice", [engine.triangular(5), engine.square(4, 3), engine.random_sites(20, seed=2)])
def test_bounds_enclose_the_spectrum_for_every_twist(lattice: engine.Lattice) -> None:
    matrix = electronic_model(lattice, 2.0).matrix(random_state(lattice, replicas=2).spin)
    low, high = spectral_bounds(matrix)
    for twist in np.random.default_rng(0).uniform(0, 2 * np.pi, (5, lattice.dimension)):
        levels = torch.linalg.eigvalsh(matrix.to_dense(tuple(twist)))
        assert low <= float(levels.min()) and float(levels.max()) <= high


def test_chunks_do_not_change_the_answer() -> None:
    lattice, ensemble = engine.triangular(4), engine.Ensemble(0.1, filling=0.3)
    matrix = electronic_model(lattice).matrix(random_state(lattice, replicas=2).spin)
    pairs = [
        (
            engine.ExactDiagonalization((2, 2)),
            engine.ExactDiagonalization((2, 2), memory=12 * 32**2 * 16 + 9 * 32**2 * 16),
        ),
        (engine.KernelPolynomial(40), engine.KernelPolynomial(40, memory=2**17)),
    ]
    for whole, pieces in pairs:
        a, b = whole.solve(matrix, ensemble), pieces.solve(matrix, ensemble)
        torch.testing.assert_close(a.onsite, b.onsite, rtol=0, atol=tolerances.ROUNDING)
        torch.testing.assert_close(a.energy, b.energy, rtol=0, atol=tolerances.ROUNDING)
        torch.testing.assert_close(a.bond_density, b.bond_density, rtol=0, atol=tolerances.ROUNDING)


def test_single_precision_is_good_to_its_digits() -> None:
    lattice = engine.triangular(6)
    double, single = random_state(lattice), random_state(lattice, dtype=torch.float32)
    for solver in (engine.ExactDiagonalization((2, 2)), engine.KernelPolynomial(200)):
        force = engine.ElectronicForce(electronic_model(lattice), solver, engine.Ensemble(0.1, chemical_potential=-1.0))
        error = (force(single).force.double() - force(double).force).abs().max()
        assert float(error) < tolerances.SINGLE_PRECISION_FORCE
