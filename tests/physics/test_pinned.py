"""Pinned sites stay, the others do not notice more than that; pulses act when and where they should."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from engine import ClassicalForce, HeisenbergModel, Noise, Simulation, SpinState, SumForce, Zeeman, square
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.dynamics import FieldPulse, HeatedDynamics, HeunLLG, PinnedDynamics, Relax, SemiImplicitLLG
from engine.presets import preset
from engine.textures import random_spins
from tests.tolerances import CONVERGENCE_RATIO, NOISE_OF_HEAT, SIGMAS

LATTICE = square(6)
INNER = {
    "heun": HeunLLG(damping=0.3, temperature=0.2, time_step=0.05),
    "sib": SemiImplicitLLG(damping=0.3, temperature=0.2, time_step=0.05),
    "relax": Relax(time_step=0.05),
}
MAGNET = SumForce(
    exchange=ClassicalForce(HeisenbergModel(LATTICE, {1: 1.0}, dmi_bulk=0.4)),
    zeeman=ClassicalForce(Zeeman((0.1, 0.0, 0.4))),
)
FIELD_ONLY = SumForce(
    exchange=ClassicalForce(HeisenbergModel(LATTICE, {1: 0.0})), zeeman=ClassicalForce(Zeeman((0.1, 0.0, 0.4)))
)


def mask(*sites: int, lattice=LATTICE) -> torch.Tensor:
    chosen = torch.zeros(lattice.sites, dtype=torch.bool)
    chosen[list(sites)] = True
    return chosen


def run(dynamics, force=MAGNET, steps: int = 30, replicas: int = 2, dtype=torch.float64, lattice=LATTICE):
    spin = random_spins(lattice, replicas=replicas, seed=3, dtype=dtype)
    return Simulation(SpinState(spin), force, dynamics, Noise(list(range(replicas)))), steps


@pytest.mark.parametrize("name", list(INNER))
def test_pinned_spins_stay_bit_for_bit_and_others_move(name: str) -> None:
    held = mask(0, 7, 20)
    first, steps = run(PinnedDynamics(inner=INNER[name], pinned=held), dtype=torch.float32)
    last = first.advance(steps)
    assert torch.equal(last.state.spin[:, held], first.state.spin[:, held])
    assert ((last.state.spin - first.state.spin).abs().sum(-1) > 0)[:, ~held].all()
    assert last.state.step == steps


@pytest.mark.parametrize("name", list(INNER))
def test_spins_that_feel_no_pinned_one_move_as_without(name: str) -> None:
    held = mask(0, 7, 20)
    pinned, steps = run(PinnedDynamics(inner=INNER[name], pinned=held), FIELD_ONLY)
    free, _ = run(INNER[name], FIELD_ONLY)
    assert torch.equal(pinned.advance(steps).state.spin[:, ~held], free.advance(steps).state.spin[:, ~held])


@pytest.mark.parametrize("name", list(INNER))
def test_no_pins_is_the_inner_dynamics(name: str) -> None:
    pinned, steps = run(PinnedDynamics(inner=INNER[name], pinned=mask()))
    free, _ = run(INNER[name])
    assert torch.equal(pinned.advance(steps).state.spin, free.advance(steps).state.spin)


@pytest.mark.parametrize("kind", [HeunLLG, SemiImplicitLLG])
def test_free_spins_beside_pinned_ones_move_with_second_order(kind: type) -> None:
    """Halving the step divides the error by four, only if the predictor holds the pinned spins too."""
    results = []
    for power in range(3, 7):
        steps = 2**power
        dynamics = PinnedDynamics(inner=kind(damping=0.1, time_step=0.4 / steps), pinned=mask(*range(0, 36, 2)))
        results.append(run(dynamics)[0].advance(steps).state.spin)
    errors = [float((a - b).norm()) for a, b in itertools.pairwise(results)]
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(4, rel=CONVERGENCE_RATIO)


def test_all_pinned_is_a_picture() -> None:
    first, steps = run(PinnedDynamics(inner=INNER["sib"], pinned=torch.ones(36, dtype=torch.bool)))
    assert torch.equal(first.advance(steps).state.spin, first.state.spin)


def test_heat_raises_the_temperature_of_its_sites_and_of_no_other() -> None:
    """<S_z> = coth(h/T) - T/h of independent spins: those in the pulse at T + dT, the others at T."""
    lattice, field, bath, excess = square(40), 1.0, 0.3, 0.5
    force = SumForce(
        zeeman=ClassicalForce(Zeeman((0, 0, field))), exchange=ClassicalForce(HeisenbergModel(lattice, {1: 0.0}))
    )
    hot = torch.arange(lattice.sites) < lattice.sites // 2
    inner = SemiImplicitLLG(damping=0.2, temperature=bath, time_step=0.05)
    heated = HeatedDynamics(inner=inner, sites=hot, excess=excess, first=0, steps=10_000)
    spin = random_spins(lattice, replicas=1, seed=1, dtype=torch.float32)
    simulation = Simulation(SpinState(spin), force, heated, Noise(4)).advance(500)
    samples = []
    for _ in range(8):  # 5 time units apart: correlation time 1 / (2 alpha T + alpha h) or less
        simulation = simulation.advance(100)
        samples.append(simulation.state.spin[0, :, 2].double())
    z = torch.stack(samples).mean(0)
    for part, temperature in ((hot, bath + excess), (~hot, bath)):
        expected = 1 / math.tanh(field / temperature) - temperature / field
        error = float(z[part].std()) / math.sqrt(int(part.sum()))
        assert abs(float(z[part].mean()) - expected) < SIGMAS * error


def test_heat_lasts_its_steps_and_leaves_the_rest_of_the_noise_alone() -> None:
    chosen = mask(3, 4)
    inner = INNER["sib"]
    cold, _ = run(inner, FIELD_ONLY)
    heated, _ = run(HeatedDynamics(inner=inner, sites=chosen, excess=5.0, first=2, steps=3), FIELD_ONLY)
    assert torch.equal(heated.advance(2).state.spin, cold.advance(2).state.spin)
    during, without = heated.advance(5).state.spin, cold.advance(5).state.spin
    assert torch.equal(during[:, ~chosen], without[:, ~chosen]) and not torch.equal(during, without)
    after = Simulation(heated.advance(5).state, FIELD_ONLY, inner, Noise([0, 1]))
    assert torch.equal(heated.advance(9).state.spin, after.advance(4).state.spin)


def test_pinned_spins_stay_in_the_heat() -> None:
    held = mask(3)
    inner = PinnedDynamics(inner=INNER["heun"], pinned=held)
    first, _ = run(HeatedDynamics(inner=inner, sites=mask(2, 3, 4), excess=9.0, first=0, steps=50))
    assert torch.equal(first.advance(20).state.spin[:, held], first.state.spin[:, held])


def test_field_pulse_is_a_field_for_its_steps() -> None:
    everywhere = torch.ones(36, dtype=torch.bool)
    inner = SemiImplicitLLG(damping=0.1, time_step=0.05)
    exchange = MAGNET.exchange
    pulsed, _ = run(inner, SumForce(exchange=exchange, pulse=FieldPulse((0.3, 0.0, 0.1), everywhere, 0, 4)))
    constant, _ = run(inner, SumForce(exchange=exchange, zeeman=ClassicalForce(Zeeman((0.3, 0.0, 0.1)))))
    assert torch.equal(pulsed.advance(4).state.spin, constant.advance(4).state.spin)
    assert torch.allclose(pulsed.response().energy, constant.response().energy)
    none, _ = run(inner, SumForce(exchange=exchange))
    rest = Simulation(pulsed.advance(4).state, none.force, inner, Noise([0, 1]))
    assert torch.equal(pulsed.advance(7).state.spin, rest.advance(3).state.spin)


def test_field_pulse_on_a_part_is_the_derivative_of_its_energy() -> None:
    pulse = FieldPulse((0.3, -0.2, 0.1), mask(1, 5), 0, 4)
    state = SpinState(random_spins(LATTICE, dtype=torch.float64))
    response = pulse(state)
    assert torch.equal(response.force[0, 1], torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64))
    assert response.force[0, 2].abs().sum() == 0
    assert float(response.energy) == pytest.approx(-float((response.force * state.spin).sum()))


@pytest.mark.parametrize("kind", [HeunLLG, SemiImplicitLLG])
def test_a_little_heat_changes_the_motion_of_electronic_spins_a_little(kind: type) -> None:
    """Electrons pull every spin along itself with a field of about J, which dynamics must still know under heat."""
    electrons = preset("double_exchange", 4, force="ed", seed=3).force
    inner = kind(damping=0.1, time_step=0.5)
    heated = HeatedDynamics(inner=inner, sites=torch.ones(16, dtype=torch.bool), excess=1e-14, first=0, steps=9)
    spin = random_spins(square(4), seed=3, dtype=torch.float64)
    hot, cold = (Simulation(SpinState(spin), electrons, d, Noise([0])).advance(2).state.spin for d in (heated, inner))
    assert (cold - spin).abs().max() > 0.01 and (hot - cold).abs().max() < NOISE_OF_HEAT


def test_a_checkpoint_holds_pins_and_pulses(tmp_path) -> None:
    inner = PinnedDynamics(inner=INNER["sib"], pinned=mask(1, 2))
    heated = HeatedDynamics(inner=inner, sites=mask(3), excess=1.0, first=0, steps=9)
    force = SumForce({**MAGNET.terms, "pulse": FieldPulse((1, 0, 0), mask(8), 2, 5)})
    first, _ = run(heated, force)
    save_checkpoint(tmp_path / "run.safetensors", first.advance(3))
    again = load_checkpoint(tmp_path / "run.safetensors")
    assert torch.equal(again.advance(5).state.spin, first.advance(8).state.spin)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PinnedDynamics(inner=INNER["sib"], pinned=torch.zeros(36)), "boolean vector"),
        (lambda: PinnedDynamics(inner="sib", pinned=mask()), "inner must be an Integrator"),
        (lambda: HeatedDynamics(inner=INNER["sib"], sites=mask(), excess=-1.0, first=0, steps=1), "excess"),
        (lambda: HeatedDynamics(inner=INNER["sib"], sites=mask(), excess=1.0, first=0, steps=0), "steps >= 1"),
        (lambda: HeatedDynamics(inner=INNER["relax"], sites=mask(), excess=1.0, first=0, steps=1), "Landau-Lifshitz"),
        (
            lambda: HeatedDynamics(
                inner=HeunLLG(damping=0.0, time_step=0.1), sites=mask(), excess=1.0, first=0, steps=1
            ),
            "through damping",
        ),
        (lambda: FieldPulse((1.0, math.nan, 0.0), mask(), 0, 1), "finite"),
        (lambda: FieldPulse((1.0, 0.0, 0.0), [True], 0, 1), "boolean vector"),
    ],
)
def test_senseless_requests_are_refused(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_another_number_of_sites_is_refused() -> None:
    first, _ = run(PinnedDynamics(inner=INNER["sib"], pinned=torch.zeros(35, dtype=torch.bool)))
    with pytest.raises(ValueError, match="35 sites"):
        first.advance(1)
