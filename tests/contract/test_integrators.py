"""What every integrator promises, whatever its formula."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from engine.dynamics import HeunLLG, Relax, SemiImplicitLLG, suggest_time_step
from engine.forces import ClassicalForce, ForceProvider, SumForce
from engine.lattice import triangular
from engine.models import HeisenbergModel, Zeeman
from engine.noise import Noise
from engine.simulation import Simulation
from engine.state import SpinState
from tests.tolerances import COVARIANCE, UNIT_LENGTH_SINGLE
from tests.toy_forces import Counting, UniformField

LATTICE = triangular(4, 3, shells=1)
INTEGRATORS = {
    "heun": HeunLLG(damping=0.2, time_step=0.05),
    "heun_thermal": HeunLLG(damping=0.2, temperature=0.3, time_step=0.05),
    "sib": SemiImplicitLLG(damping=0.2, time_step=0.05),
    "sib_thermal": SemiImplicitLLG(damping=0.2, temperature=0.3, time_step=0.05),
    "relax": Relax(time_step=0.05),
}
THERMAL = [HeunLLG, SemiImplicitLLG]


def magnet(field: tuple[float, float, float] = (0.1, 0.0, 0.4)) -> SumForce:
    exchange = ClassicalForce(HeisenbergModel(LATTICE, exchange={1: 1.0}, dmi_bulk=0.4))
    return SumForce(exchange=exchange, zeeman=ClassicalForce(Zeeman(field=field)))


def random_state(replicas: int = 2, dtype: torch.dtype = torch.float32, seed: int = 5) -> SpinState:
    draws = [Noise(seed + b).normal(0, (LATTICE.sites, 3), dtype=torch.float64) for b in range(replicas)]
    spin = torch.cat(draws)
    return SpinState((spin / torch.linalg.vector_norm(spin, dim=-1, keepdim=True)).to(dtype))


@pytest.fixture(params=INTEGRATORS, ids=str)
def integrator(request: pytest.FixtureRequest):
    return INTEGRATORS[request.param]


def test_state_in_state_out(integrator) -> None:
    state, force = random_state(), magnet()
    before = state.spin.clone()
    later, response = integrator.step(state, force, Noise([0, 1]))
    assert torch.equal(state.spin, before) and state.step == 0
    assert later.step == 1 and later.spin.dtype == state.spin.dtype
    assert later.time.tolist() == [integrator.time_step] * 2
    assert torch.equal(response.force, force(state).force)
    assert not torch.equal(later.spin, before)
    with pytest.raises(dataclasses.FrozenInstanceError):
        integrator.time_step = 1.0


def test_length_stays_one(integrator) -> None:
    state = Simulation(random_state(), magnet(), integrator, Noise([0, 1])).advance(150).state
    assert float((state.spin.double().norm(dim=-1) - 1).abs().max()) < UNIT_LENGTH_SINGLE


def test_batch_is_loop(integrator) -> None:
    state, force = random_state(3), magnet()
    together = Simulation(state, force, integrator, Noise([7, 8, 9])).advance(20).state.spin
    for replica in range(3):
        alone = SpinState(state.spin[replica : replica + 1])
        spin = Simulation(alone, force, integrator, Noise(7 + replica)).advance(20).state.spin
        torch.testing.assert_close(spin[0], together[replica], rtol=0, atol=COVARIANCE)


def test_memory_order_does_not_matter(integrator) -> None:
    state, noise = random_state(), Noise([0, 1])
    other = SpinState(state.spin.movedim(-1, 0).contiguous().movedim(0, -1))
    first, _ = integrator.step(state, magnet(), noise)
    second, _ = integrator.step(other, magnet(), noise)
    assert torch.equal(first.spin, second.spin)


def test_known_response_is_not_computed_again(integrator) -> None:
    state, noise = random_state(), Noise([0, 1])
    counting = Counting(magnet())
    plain, response = integrator.step(state, counting, noise)
    evaluations = counting.calls
    given, _ = integrator.step(state, counting, noise, response)
    assert counting.calls == 2 * evaluations - 1
    assert torch.equal(plain.spin, given.spin)


def test_rotating_everything_rotates_the_motion() -> None:
    """Exchange and field without noise: rotating spins and field together rotates the trajectory."""
    rotation, _ = torch.linalg.qr(Noise(2).normal(0, (3, 3), dtype=torch.float64)[0])
    rotation = rotation * torch.sign(torch.linalg.det(rotation))
    field = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64)
    exchange = ClassicalForce(HeisenbergModel(LATTICE, exchange={1: 1.0}))
    state = random_state(dtype=torch.float64)
    turned = SpinState(state.spin @ rotation.T)
    for name in ("heun", "sib", "relax"):
        spins = []
        for start, vector in ((state, field), (turned, rotation @ field)):
            force = SumForce(exchange, UniformField(tuple(vector.tolist())))
            spins.append(Simulation(start, force, INTEGRATORS[name], Noise([0, 1])).advance(20).state.spin)
        torch.testing.assert_close(spins[0] @ rotation.T, spins[1], rtol=0, atol=COVARIANCE * 1e-6)


@pytest.mark.parametrize("kind", THERMAL)
def test_noise_is_keyed_by_step(kind: type) -> None:
    state, force, noise = random_state(), magnet(), Noise([0, 1])
    dynamics = kind(damping=0.2, temperature=0.3, time_step=0.05)
    fields = [dynamics.thermal_field(SpinState(state.spin, step=step), noise) for step in (0, 0, 1)]
    assert torch.equal(fields[0], fields[1]) and not torch.equal(fields[0], fields[2])
    cold = kind(damping=0.2, time_step=0.05)
    assert cold.thermal_field(state, noise) is None
    assert kind(damping=0.0, temperature=1.0, time_step=0.05).thermal_field(state, noise) is None
    assert not torch.equal(dynamics.step(state, force, noise)[0].spin, cold.step(state, force, noise)[0].spin)


@pytest.mark.parametrize("kind", THERMAL)
@pytest.mark.parametrize(
    ("name", "value"),
    [("damping", -0.1), ("damping", math.nan), ("temperature", -1.0), ("temperature", math.inf), ("time_step", 0.0),
     ("time_step", -0.1), ("time_step", math.nan), ("time_step", "small"), ("damping", True)],
)  # fmt: skip
def test_senseless_parameters_are_refused(kind: type, name: str, value: object) -> None:
    settings = {"damping": 0.1, "temperature": 0.1, "time_step": 0.1, name: value}
    with pytest.raises(ValueError, match=name):
        kind(**settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_step", 0.0),
        ("torque_tolerance", -1e-3),
        ("maximum_steps", 0),
        ("maximum_steps", 1.5),
        ("maximum_steps", True),
    ],
)
def test_relax_refuses_senseless_parameters(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        Relax(**{name: value})


def test_relax_reaches_a_minimum_and_says_so() -> None:
    seen: list[tuple[int, float]] = []
    force: ForceProvider = magnet()
    state = random_state(3, torch.float64)
    result = Relax(torque_tolerance=1e-7, maximum_steps=2000).run(state, force, lambda *report: seen.append(report))
    assert result.converged and result.steps == seen[-1][0] == len(seen) - 1
    torque = torch.linalg.cross(result.state.spin, force(result.state).force).norm(dim=-1).amax(1)
    torch.testing.assert_close(result.torque, torque, rtol=0, atol=COVARIANCE * 1e-6)
    assert float(torque.max()) <= 1e-7
    assert bool((result.response.energy < force(state).energy).all())
    short = Relax(torque_tolerance=1e-7, maximum_steps=3).run(state, force)
    assert not short.converged and short.steps == 3


def test_relax_replicas_do_not_meet() -> None:
    state, force = random_state(3, torch.float64), magnet()
    relax = Relax(torque_tolerance=1e-6)
    together = relax.run(state, force).response.energy
    alone = [relax.run(SpinState(state.spin[b : b + 1]), force).response.energy for b in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=COVARIANCE)


def test_suggested_time_step() -> None:
    """A precessing spin: Heun's local error is (h dt)^3 |1/6 - s^2/4|, s its part across the field; dt goes as 1/h."""
    state = random_state(1, torch.float64)
    steps = [suggest_time_step(state, UniformField((0.0, 0.0, h)), 1e-3, damping=0.0) for h in (1.0, 4.0)]
    assert math.sqrt(6e-3) < steps[0] < 2 * math.sqrt(6e-3)
    assert steps[1] == pytest.approx(steps[0] / 4, rel=0.01)
    finer = suggest_time_step(state, UniformField((0.0, 0.0, 1.0)), 1e-5, damping=0.0)
    assert finer == pytest.approx(steps[0] / 10, rel=0.05)
    rest = SpinState(torch.tensor([0.0, 0.0, 1.0]).expand(1, LATTICE.sites, 3))
    assert 0.005 < suggest_time_step(rest, magnet((0.0, 0.0, 0.4))) < 0.2  # a state at rest has frequencies too
    assert suggest_time_step(state, UniformField((0.0, 0.0, 0.0))) == 10.0
    with pytest.raises(ValueError, match="tolerance"):
        suggest_time_step(state, magnet(), tolerance=0.0)
