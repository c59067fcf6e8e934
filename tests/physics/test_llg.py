"""The Landau-Lifshitz equation: sense, exact solutions, order of convergence, conservation, and its stationary state."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import pytest
import torch

import engine
from engine.dynamics import HeunLLG, SemiImplicitLLG
from engine.dynamics.llg import LandauLifshitz
from engine.forces import ClassicalForce, SumForce
from engine.lattice import square
from engine.models import HeisenbergModel, Zeeman
from engine.noise import Noise
from engine.simulation import Simulation
from engine.state import SpinState
from tests.tolerances import CONVERGENCE_RATIO, ENERGY_DRIFT, LARGE_STEP_ENERGY, LLG_SOLUTION, SIGMAS
from tests.toy_forces import OpenChain, UniformField

BOTH = pytest.mark.parametrize("kind", [HeunLLG, SemiImplicitLLG])


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def magnet(axis_anisotropy: float = 0.3, field: tuple[float, float, float] = (0.1, 0.0, 0.5)) -> SumForce:
    """A nonlinear coupled system: exchange, bulk DMI, anisotropy and an oblique field on a 4 x 4 torus."""
    model = HeisenbergModel(square(4, shells=1), exchange={1: 1.0}, dmi_bulk=0.6, anisotropy=axis_anisotropy)
    return SumForce(exchange=ClassicalForce(model), zeeman=ClassicalForce(Zeeman(field=field)))


def random_state(sites: int, replicas: int = 1, seed: int = 3) -> SpinState:
    spin = Noise(seed).normal(0, (replicas, sites, 3), dtype=torch.float64)[0]
    return SpinState(spin / torch.linalg.vector_norm(spin, dim=-1, keepdim=True))


@BOTH
def test_larmor_sense_and_frequency(kind: type[LandauLifshitz]) -> None:
    """dS/dt = -S x h: about h = +z, S goes from x towards y with angular frequency |h|."""
    state = SpinState(torch.tensor([[[1.0, 0.0, 0.0]]], dtype=torch.float64))
    simulation = Simulation(state, UniformField((0.0, 0.0, 2.0)), kind(damping=0.0, time_step=0.005), Noise(0))
    spin = simulation.advance(100).state.spin[0, 0]
    expected = torch.tensor([math.cos(1.0), math.sin(1.0), 0.0], dtype=torch.float64)
    torch.testing.assert_close(spin, expected, rtol=0, atol=LLG_SOLUTION)


@BOTH
def test_damped_spin_follows_tanh_and_sech(kind: type[LandauLifshitz]) -> None:
    """h along z, S_z(0) = 0: S_z = tanh(alpha h t), S_x + i S_y = sech(alpha h t) exp(i h t)."""
    damping, field, time_step, steps = 0.4, 1.5, 0.005, 300
    state = SpinState(torch.tensor([[[1.0, 0.0, 0.0]]], dtype=torch.float64))
    dynamics = kind(damping=damping, time_step=time_step)
    final = Simulation(state, UniformField((0.0, 0.0, field)), dynamics, Noise(0)).advance(steps).state
    time = steps * time_step
    assert float(final.time[0]) == pytest.approx(time)
    across, phase = 1 / math.cosh(damping * field * time), field * time
    expected = [across * math.cos(phase), across * math.sin(phase), math.tanh(damping * field * time)]
    torch.testing.assert_close(final.spin[0, 0], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=LLG_SOLUTION)


@BOTH
def test_second_order_in_the_time_step(kind: type[LandauLifshitz]) -> None:
    """Halving the step divides the error by four, on interacting spins; both integrators have one limit."""
    state, force, span = random_state(16), magnet(), 2.0

    def final(integrator: type[LandauLifshitz], steps: int) -> torch.Tensor:
        dynamics = integrator(damping=0.3, time_step=span / steps)
        return Simulation(state, force, dynamics, Noise(0)).advance(steps).state.spin

    reference = (4 * final(SemiImplicitLLG, 800) - final(SemiImplicitLLG, 400)) / 3
    errors = [float((final(kind, steps) - reference).norm()) for steps in (50, 100, 200)]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(4.0, abs=CONVERGENCE_RATIO)


@BOTH
def test_undamped_motion_conserves(kind: type[LandauLifshitz]) -> None:
    """Energy with all couplings; magnetization for exchange alone. The drift is of third order in the step."""
    state = random_state(16)
    full, exchange = magnet(), ClassicalForce(HeisenbergModel(square(4, shells=1), exchange={1: 1.0}))
    for force in (full, exchange):
        start = Simulation(state, force, kind(damping=0.0, time_step=0.01), Noise(0))
        final = start.advance(1000)
        drift = (final.response().energy - start.response().energy) / state.sites
        assert abs(float(drift)) < ENERGY_DRIFT
    moved = (final.state.spin.mean(1) - state.spin.mean(1)).abs().max()
    assert float(moved) < ENERGY_DRIFT


def test_semi_implicit_drifts_ten_times_less_than_heun() -> None:
    state, force = random_state(16), ClassicalForce(HeisenbergModel(square(4, shells=1), exchange={1: 1.0}))
    drift = {}
    for kind in (HeunLLG, SemiImplicitLLG):
        start = Simulation(state, force, kind(damping=0.0, time_step=0.05), Noise(0))
        drift[kind] = abs(float(start.advance(800).response().energy - start.response().energy))
    assert drift[SemiImplicitLLG] < 0.1 * drift[HeunLLG]


def test_damping_lowers_the_energy() -> None:
    simulation = Simulation(random_state(16), magnet(), SemiImplicitLLG(damping=0.3, time_step=0.05), Noise(0))
    energies = [float(simulation.response().energy)]
    for _ in range(50):
        simulation = simulation.advance()
        energies.append(float(simulation.response().energy))
    assert all(later < earlier for earlier, later in pairwise(energies))


def equilibrium(spins: int, field: float, temperature: float) -> SpinState:
    """Independent spins drawn from exp(h S_z/T)."""
    generator, x = Noise(99).generator(0, 0), field / temperature
    z = torch.tensor(generator.random(spins), dtype=torch.float64).mul(math.exp(2 * x) - 1).add(1).log() / x - 1
    phase = torch.tensor(generator.random(spins), dtype=torch.float64) * 2 * math.pi
    across = (1 - z * z).clamp_min(0).sqrt()
    return SpinState(torch.stack([across * phase.cos(), across * phase.sin(), z], -1)[None])


def mean_along_field(kind: type[LandauLifshitz], time_step: float, damping: float) -> tuple[float, float]:
    """Bias of <S_z> from coth(h/T) - T/h, and its standard error, over 16000 independent spins in a field."""
    field, temperature, spins, samples = 1.0, 0.5, 16000, 8
    dynamics = kind(damping=damping, temperature=temperature, time_step=time_step)
    start = equilibrium(spins, field, temperature)
    simulation = Simulation(start, UniformField((0.0, 0.0, field)), dynamics, Noise(1)).advance(round(5 / time_step))
    total = torch.zeros(spins, dtype=torch.float64)
    for _ in range(samples):
        simulation = simulation.advance(round(1 / time_step))
        total += simulation.state.spin[0, :, 2]
    mean = total / samples
    exact = 1 / math.tanh(field / temperature) - temperature / field
    return float(mean.mean()) - exact, float(mean.std()) / math.sqrt(spins)


def test_boltzmann_mean_of_one_spin_heun() -> None:
    """The bias falls in proportion to the step, to zero: 2 b(dt/2) - b(dt) vanishes in sigma."""
    coarse, coarse_error = mean_along_field(HeunLLG, 0.2, damping=0.5)
    fine, fine_error = mean_along_field(HeunLLG, 0.1, damping=0.5)
    assert coarse - fine > SIGMAS * math.hypot(coarse_error, fine_error)
    finest, finest_error = mean_along_field(HeunLLG, 0.05, damping=0.5)
    assert abs(2 * finest - fine) < SIGMAS * math.hypot(2 * finest_error, fine_error)


def test_boltzmann_mean_of_one_spin_semi_implicit() -> None:
    coarse, coarse_error = mean_along_field(SemiImplicitLLG, 0.4, damping=0.5)
    assert abs(coarse) > SIGMAS * coarse_error
    fine, fine_error = mean_along_field(SemiImplicitLLG, 0.1, damping=0.5)
    assert abs(fine) < SIGMAS * fine_error
    assert abs(fine) < abs(coarse)


def test_strength_of_the_noise_has_the_factor_one_plus_damping_squared() -> None:
    """At damping 1 a missing 1/(1 + alpha^2) would double the temperature of the spins."""
    coarse, coarse_error = mean_along_field(SemiImplicitLLG, 0.1, damping=1.0)
    fine, fine_error = mean_along_field(SemiImplicitLLG, 0.05, damping=1.0)
    assert abs(fine) < abs(coarse) < 0.05
    assert abs(2 * fine - coarse) < SIGMAS * math.hypot(2 * fine_error, coarse_error)


@BOTH
def test_energy_of_the_heisenberg_chain(kind: type[LandauLifshitz]) -> None:
    """Open chain at temperature T: -<S_i . S_(i+1)> = -(coth K - 1/K), K = 1/T; the bias falls with the step."""
    replicas, sites, temperature = 60, 100, 0.5
    exact = -(1 / math.tanh(1 / temperature) - temperature)
    biases, errors = [], []
    for time_step in (0.2, 0.05):
        dynamics = kind(damping=0.5, temperature=temperature, time_step=time_step)
        noise = Noise(range(replicas))
        start = SpinState(random_state(sites, replicas).spin)
        simulation = Simulation(start, OpenChain(), dynamics, noise).advance(round(10 / time_step))
        total = torch.zeros(replicas, dtype=torch.float64)
        for _ in range(4):
            simulation = simulation.advance(round(2 / time_step))
            total += simulation.response().energy / (sites - 1) / 4
        biases.append(float(total.mean()) - exact)
        errors.append(float(total.std()) / math.sqrt(replicas))
    assert abs(biases[1]) < abs(biases[0])
    richardson = biases[1] - (biases[0] - biases[1]) / 3  # what is left at zero step if the bias goes as the step
    assert abs(richardson) < SIGMAS * math.hypot(4 / 3 * errors[1], errors[0] / 3)


def test_the_field_that_electrons_turn_with_the_spin_moves_nothing() -> None:
    """J = 3, dt = 0.25: steps ten times smaller come to the same energy."""
    energies = []
    for steps in (20, 200):
        simulation = engine.preset("tetrahedral", 6, force="ed", seed=1, dtype="float64", temperature=0.0)
        dynamics = SemiImplicitLLG(damping=0.2, time_step=5.0 / steps)
        simulation = dataclasses.replace(simulation, dynamics=dynamics).advance(steps)
        energies.append(float(simulation.response().energy[0]) / simulation.state.sites)
    assert abs(energies[0] - energies[1]) < LARGE_STEP_ENERGY
