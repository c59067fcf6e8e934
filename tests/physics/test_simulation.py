"""Simulation: reproducible, resumable, changeable, and safe when a step fails."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from engine.dynamics import HeunLLG, Relax, SemiImplicitLLG
from engine.electrons import Ensemble, ExactDiagonalization
from engine.forces import ClassicalForce, ElectronicForce, ForceProvider, Response, SumForce
from engine.lattice import square
from engine.models import HeisenbergModel, SDModel, Zeeman
from engine.noise import Noise
from engine.simulation import Simulation, StepFailed, snapshot, updated
from engine.state import SpinState
from tests.toy_forces import Counting, NotFinite, UniformField

LATTICE = square(4, shells=1)


def random_state(replicas: int = 1) -> SpinState:
    spin = Noise(3).normal(0, (replicas, LATTICE.sites, 3))[0]
    return SpinState(spin / torch.linalg.vector_norm(spin, dim=-1, keepdim=True))


def magnet(kind: type = HeunLLG, replicas: int = 1) -> Simulation:
    """Classical magnet at finite temperature."""
    exchange = ClassicalForce(HeisenbergModel(LATTICE, exchange={1: 1.0}, dmi_bulk=0.4))
    force = SumForce(exchange=exchange, zeeman=ClassicalForce(Zeeman(field=(0.0, 0.0, 0.3))))
    dynamics = kind(damping=0.2, temperature=0.1, time_step=0.05)
    return Simulation(random_state(replicas), force, dynamics, Noise(range(replicas)), {"preset": "test"})


def kondo() -> Simulation:
    ensemble = Ensemble(temperature=0.1, chemical_potential=-1.0)
    electrons = ElectronicForce(SDModel(LATTICE, hopping={1: 1.0}, coupling=1.0), ExactDiagonalization(), ensemble)
    force = SumForce(electrons=electrons, zeeman=ClassicalForce(Zeeman(field=(0.0, 0.0, 0.01))))
    return Simulation(random_state(), force, SemiImplicitLLG(damping=0.1, time_step=0.1), Noise(0))


@pytest.mark.parametrize("kind", [HeunLLG, SemiImplicitLLG])
def test_pieces_make_the_whole_bit_for_bit(kind: type) -> None:
    start = magnet(kind, replicas=2)
    whole = start.advance(12)
    pieces = start
    for count in (1, 4, 0, 7):
        pieces.response()  # looking at a state does not change the run
        pieces = pieces.advance(count)
    assert torch.equal(whole.state.spin, pieces.state.spin)
    assert torch.equal(whole.state.spin, start.advance(12).state.spin)
    assert torch.equal(whole.state.time, pieces.state.time) and whole.state.step == 12
    assert start.state.step == 0 and whole.settings == {"preset": "test"}


def test_forces_are_not_computed_twice() -> None:
    start = magnet()
    counting = Counting(start.force)
    simulation = Simulation(start.state, counting, start.dynamics, start.noise)
    assert simulation.response() is simulation.response()
    assert counting.calls == 1
    later = simulation.advance(3)
    assert counting.calls == 6
    later.response()
    assert counting.calls == 7
    assert updated(later, {"dynamics.damping": 0.5}).response() is later.response()


def test_frames() -> None:
    simulation = magnet(replicas=2)
    frames = list(simulation.frames(3, every=2))
    assert [frame.step for frame in frames] == [0, 2, 4]
    assert frames[1].spin.shape == (2, LATTICE.sites, 3) and frames[1].spin.dtype == np.float32
    np.testing.assert_array_equal(frames[2].spin, simulation.advance(4).state.spin.numpy())
    assert frames[0].lattice is LATTICE and frames[0].observables == {}
    with pytest.raises(ValueError, match="count"):
        next(simulation.frames(0))


def test_snapshot_measures_and_is_a_copy() -> None:
    simulation = magnet(replicas=2)
    frame = snapshot(simulation, ("energy", "magnetization"))
    energy = simulation.response().energy
    np.testing.assert_allclose(frame.observables["energy"], energy.numpy() / LATTICE.sites)
    assert frame.observables["magnetization"].shape == (2, 3)
    frame.spin[:] = 0
    assert float(simulation.state.spin.abs().max()) > 0


def test_lattice_is_found_or_its_absence_explained() -> None:
    assert magnet().lattice is LATTICE and kondo().lattice is LATTICE
    assert magnet().advance(2).lattice is LATTICE
    bare = Simulation(random_state(), UniformField((0.0, 0.0, 1.0)), Relax(), Noise(0))
    with pytest.raises(ValueError, match="no lattice"):
        _ = bare.lattice


def test_parts_must_fit() -> None:
    good = magnet()
    with pytest.raises(ValueError, match="one seed per replica"):
        dataclasses.replace(good, noise=Noise([0, 1]))
    with pytest.raises(ValueError, match="sites"):
        dataclasses.replace(good, state=SpinState(good.state.spin[:, :5]))
    with pytest.raises(ValueError, match="dynamics must be"):
        dataclasses.replace(good, dynamics="heun")
    for count in (-1, 1.5, True):
        with pytest.raises(ValueError, match="number of steps"):
            good.advance(count)


def test_updated_reaches_every_parameter() -> None:
    simulation = kondo()
    changed = updated(
        simulation,
        {
            "dynamics.damping": 0.7,
            "force.electrons.ensemble.temperature": 0.2,
            "force.electrons.model.coupling": 2.0,
            "force.zeeman.model.field": (0.0, 0.1, 0.0),
            "noise.seeds.0": 5,
        },
    )
    force: SumForce = changed.force
    assert changed.dynamics.damping == 0.7 and changed.dynamics.time_step == simulation.dynamics.time_step
    assert force.electrons.ensemble.temperature == 0.2 and force.electrons.ensemble.chemical_potential == -1.0
    assert force.electrons.model.coupling == 2.0 and force.zeeman.model.field == (0.0, 0.1, 0.0)
    assert changed.noise.seeds == (5,)
    assert simulation.dynamics.damping == 0.1 and simulation.force.zeeman.model.field == (0.0, 0.0, 0.01)
    assert not torch.equal(changed.response().force, simulation.response().force)
    one = updated(simulation, {"force.zeeman.model.field.2": 0.5})
    assert one.force.zeeman.model.field == (0.0, 0.0, 0.5)
    assert one.force.electrons is simulation.force.electrons
    assert isinstance(updated(simulation, {"dynamics": Relax()}).dynamics, Relax)


def test_updated_changes_one_object_at_once() -> None:
    """From fixed chemical potential to fixed filling: neither half alone is valid."""
    changes = {"force.electrons.ensemble.filling": 0.3, "force.electrons.ensemble.chemical_potential": None}
    ensemble = updated(kondo(), changes).force.electrons.ensemble
    assert ensemble.filling == 0.3 and ensemble.chemical_potential is None
    with pytest.raises(ValueError, match=r"force\.electrons\.ensemble\.filling"):
        updated(kondo(), {"force.electrons.ensemble.filling": 0.3})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dynamics.dampin": 0.2}, "nearest: damping"),
        ({"force.zeman.model.field": (0, 0, 1)}, "nearest: zeeman"),
        ({"force.electrons.ensemble.temprature": 1.0}, "nearest: temperature"),
        ({"dynamics.damping": -1.0}, "dynamics.damping.*-1"),
        ({"dynamics.damping.value": 1.0}, "no parts"),
        ({"force.zeeman.model.field": (0, 0)}, "three"),
        ({"dynamics.damping": 0.3, "dynamics": Relax()}, "another changed path"),
        ({"dynamics.damping": 0.3, "force.electrons.ensemble.temperature": -1.0}, "temperature"),
        ({"": 1}, "no parameter"),
    ],
)
def test_updated_refuses_and_teaches(changes: dict, message: str) -> None:
    simulation = kondo()
    with pytest.raises(ValueError, match=message):
        updated(simulation, changes)
    assert simulation.dynamics.damping == 0.1


@pytest.mark.parametrize("kind", [HeunLLG, SemiImplicitLLG])
def test_a_failed_step_keeps_the_last_good_state(kind: type) -> None:
    good = Simulation(random_state(), NotFinite(5), kind(damping=0.1, time_step=0.1), Noise(0)).advance(3)
    before = good.state.spin.clone()
    with pytest.raises(StepFailed, match="smaller time step") as failure:
        good.advance(10)
    assert failure.value.last_good is good and torch.equal(good.state.spin, before)
    assert good.advance(1).state.step == 4


class NoMemory(ForceProvider):
    """Fails as an allocation does."""

    def __call__(self, state: SpinState) -> Response:
        raise MemoryError("12 GiB asked, 2 GiB there")


def test_no_memory_is_a_failed_step() -> None:
    simulation = Simulation(random_state(), NoMemory(), Relax(), Noise(0))
    with pytest.raises(StepFailed, match="12 GiB") as failure:
        simulation.advance()
    assert failure.value.last_good is simulation
    with pytest.raises(StepFailed, match="12 GiB"):
        simulation.response()
