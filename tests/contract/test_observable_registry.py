"""What every registered observable promises: NumPy, a leading replica axis, batch = loop, refusals that teach."""

import numpy as np
import pytest
import torch

from engine.electrons.ensemble import Ensemble
from engine.electrons.exact import ExactDiagonalization
from engine.forces import ElectronicForce, Response
from engine.lattice import random_sites, triangular
from engine.models.sd import SDModel
from engine.observables import OBSERVABLES, Observable, available_observables, observe, register, topological_charge
from engine.state import SpinState
from engine.textures import random_spins
from tests.tolerances import EXACT_SINGLE

LATTICE = triangular(4, shells=1)
FORCE = ElectronicForce(SDModel(LATTICE, {1: 1.0}, 1.0), ExactDiagonalization(), Ensemble(0.1, chemical_potential=-1.0))
SHAPES = {
    "magnetization": (3,),
    "scalar_chirality": (32,),
    "topological_charge_density": (32,),
    "structure_factor": (16,),
    "local_density": (16,),
    "bond_current": (48,),
    "force": (16, 3),
}


@pytest.fixture(scope="module")
def seen():
    state = SpinState(random_spins(LATTICE, replicas=3, seed=1))
    return state, FORCE(state)


@pytest.mark.parametrize("name", OBSERVABLES)
def test_shape_type_and_batch(name, seen):
    state, response = seen
    value = observe([name], state, LATTICE, response)[name]
    assert isinstance(value, np.ndarray) and value.dtype in (np.float32, np.float64) and len(value) == 3
    assert value.shape[1:] == SHAPES.get(name, value.shape[1:]) and np.isfinite(value).all()
    if name not in SHAPES and name != "spin_correlation":
        assert value.ndim == 1
    alone = [SpinState(state.spin[b : b + 1]) for b in range(3)]
    loop = np.concatenate([observe([name], s, LATTICE, FORCE(s))[name] for s in alone])
    assert np.allclose(value, loop, atol=20 * EXACT_SINGLE)


@pytest.mark.parametrize("name", OBSERVABLES)
def test_every_entry_describes_itself(name):
    entry = OBSERVABLES[name]
    assert entry.name == name and entry.unit and entry.doc.endswith(".")


def test_several_at_once_equal_the_functions(seen):
    state, response = seen
    values = observe(("topological_charge", "energy"), state, LATTICE, response)
    assert list(values) == ["topological_charge", "energy"]
    assert np.array_equal(values["topological_charge"], topological_charge(state.spin, LATTICE).numpy())
    assert np.allclose(values["energy"], response.energy.numpy() / 16)


def test_force_without_energy_answers_nan_and_without_electrons_teaches(seen):
    state, response = seen
    torque_only = Response(force=response.force)
    assert np.isnan(observe(["energy"], state, LATTICE, torque_only)["energy"]).all()
    with pytest.raises(ValueError, match="'electron_number' cannot be measured here: it needs electrons"):
        observe(["electron_number"], state, LATTICE, torque_only)
    with pytest.raises(ValueError, match="response=None"):
        observe(["torque"], state, LATTICE)


def test_unknown_names_are_refused_with_the_known_ones(seen):
    with pytest.raises(ValueError, match=r"did you mean 'magnetization'\? Known: energy"):
        observe(["magnetisation"], seen[0], LATTICE)


def test_available_observables_can_all_be_measured(seen):
    response = seen[1]
    assert available_observables(LATTICE, response) == list(OBSERVABLES)
    assert "bond_current" not in available_observables(LATTICE, response, live=True)
    glass = random_sites(10)
    names = available_observables(glass)
    assert names == ["magnetization", "spin_correlation"]
    observe(names, SpinState(random_spins(glass)), glass)
    assert set(available_observables(LATTICE, Response(force=response.force))) >= {
        "energy",
        "torque",
        "structure_factor",
    }


def test_new_observables_register_once(seen):
    entry = Observable("first_spin", "1", "Spin of site 0.", lambda observation: observation.state.spin[:, 0])
    try:
        register(entry)
        assert torch.equal(
            torch.from_numpy(observe(["first_spin"], seen[0], LATTICE)["first_spin"]), seen[0].spin[:, 0]
        )
        with pytest.raises(ValueError, match="registered already"):
            register(entry)
    finally:
        OBSERVABLES.pop("first_spin", None)
