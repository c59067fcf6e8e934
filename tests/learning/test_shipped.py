"""The shipped networks: they load, say what they are, and agree with exact diagonalization made here and now."""

from __future__ import annotations

import json

import pytest

import engine
from engine.learnable import source
from engine.learning.network import transverse
from engine.learning.weights import read_network, shipped
from tests.tolerances import (
    ADJUSTABLE_ENERGY,
    ADJUSTABLE_EPSILON,
    DOUBLE_EXCHANGE_ENERGY,
    DOUBLE_EXCHANGE_EPSILON,
    PUDDLES_EPSILON,
    SCHEMES_APART,
    SCHEMES_TURN,
    SHIPPED_ENERGY,
    SHIPPED_EPSILON,
    SPIN_GLASS_ENERGY,
    SPIN_GLASS_SIGMA,
    TETRAHEDRAL_EPSILON,
)

NAMES = sorted(shipped())


def test_the_promised_networks_are_there() -> None:
    assert {"skyrmion/best", "skyrmion/ecnn", "skyrmion/cnn", "skyrmion/bp"} <= set(NAMES)
    assert {"skyrmion/adjustable", "skyrmion/adjustable_fast"} <= set(NAMES)
    assert {"double_exchange_000/best", "double_exchange_000/ecnn"} <= set(NAMES)
    assert {"skyrmion/fast", "tetrahedral/fast", "double_exchange/best", "double_exchange/fast"} <= set(NAMES)
    assert {"tetrahedral/best", "spin_glass/best", "spin_glass/acsf"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_small_and_their_cards_complete(name: str) -> None:
    path = shipped()[name]
    card = json.loads(path.with_suffix(".json").read_text())
    assert path.stat().st_size <= 10 * 2**20 and read_network(path)[1] == card, "one card, in the file and beside it"
    assert card["preset"] == name.split("/")[0] and card["command"].startswith("spinviz train")
    assert card["errors"]["all"]["epsilon"] < 0.5 and card["limits"] and card["data"]


@pytest.mark.parametrize("name", NAMES)
def test_schemes_that_ask_for_other_spins_move_alike(name: str) -> None:
    """Heun evaluates the force at unit spins, the semi-implicit scheme at shorter ones, where no network was trained."""
    system, network = name.split("/")
    start = engine.preset(system, size=40 if system == "spin_glass" else 6, force=network, seed=3)
    rms = float(transverse(start.response().force, start.state.spin).square().sum(-1).mean().sqrt())
    moves = []
    for scheme in (engine.HeunLLG, engine.SemiImplicitLLG):
        dynamics = scheme(damping=0.2, temperature=0.0, time_step=SCHEMES_TURN / rms)
        moves.append(dynamics.step(start.state, start.force, engine.Noise([1]))[0].spin - start.state.spin)
    assert float((moves[1] - moves[0]).norm() / moves[0].norm()) < SCHEMES_APART


@pytest.mark.parametrize("texture", ["random", "skyrmion_crystal"])
def test_the_best_network_agrees_with_exact_forces(texture: str) -> None:
    exact = engine.preset("skyrmion", size=12, force="ed", twists=(14, 14), texture=texture, seed=12345)
    state = engine.SpinState(engine.textures.perturbed(exact.state.spin, 0.2, 5))
    learned = engine.load_force("skyrmion/best", lattice=exact.lattice)(state)
    true = exact.force.electrons(state)
    difference = transverse(learned.force - true.force, state.spin)
    epsilon = float(difference.norm() / transverse(true.force, state.spin).norm())
    assert epsilon < SHIPPED_EPSILON
    assert learned.energy is not None and true.energy is not None
    assert abs(float(learned.energy - true.energy)) / 144 < SHIPPED_ENERGY


@pytest.mark.parametrize(("chemical_potential", "coupling"), [(-3.72, 0.62), (-3.33, 0.44)])
def test_the_adjustable_network_agrees_with_exact_forces_of_any_electrons(
    chemical_potential: float, coupling: float
) -> None:
    electrons = {"chemical_potential": chemical_potential, "coupling": coupling}
    exact = engine.preset("skyrmion", size=12, force="ed", twists=(14, 14), seed=4321, **electrons)
    learned = engine.load_force("skyrmion/adjustable", exact.lattice, **electrons)(exact.state)
    true = exact.force.electrons(exact.state)
    difference = transverse(learned.force - true.force, exact.state.spin)
    assert float(difference.norm() / transverse(true.force, exact.state.spin).norm()) < ADJUSTABLE_EPSILON
    assert learned.energy is not None and true.energy is not None
    assert abs(float(learned.energy - true.energy)) / 144 < ADJUSTABLE_ENERGY


def test_double_exchange_agrees_where_it_was_trained() -> None:
    exact = engine.preset("double_exchange_000", size=30, seed=777)
    learned, true = engine.load_force("double_exchange_000/best")(exact.state), exact.force.electrons(exact.state)
    difference = transverse(learned.force - true.force, exact.state.spin)
    assert float(difference.norm() / transverse(true.force, exact.state.spin).norm()) < DOUBLE_EXCHANGE_EPSILON
    assert learned.energy is not None
    assert abs(float(learned.energy - true.energy)) / 900 < DOUBLE_EXCHANGE_ENERGY


def test_spin_glass_agrees_on_sites_it_has_not_seen() -> None:
    made = source("spin_glass", (1, 1), (100, 50))
    lattice = made.lattice((100, 50))
    state = engine.SpinState(engine.texture("random", lattice, seed=8))
    learned, true = engine.load_force("spin_glass/best", lattice)(state), made.exact(lattice)(state)
    sigma = float(transverse(learned.force - true.force, state.spin).square().mean().sqrt())
    assert sigma < SPIN_GLASS_SIGMA
    assert learned.energy is not None and true.energy is not None
    assert abs(float(learned.energy - true.energy)) / 100 < SPIN_GLASS_ENERGY


@pytest.mark.parametrize(
    "preset, largest", [("tetrahedral", TETRAHEDRAL_EPSILON), ("double_exchange", PUDDLES_EPSILON)]
)
def test_networks_at_fixed_filling_agree_as_their_cards_say(preset: str, largest: float) -> None:
    exact = engine.preset(preset, size=12, force="ed", twists=(3, 3), seed=77)
    learned = engine.preset(preset, size=12, force="best", seed=77).force.electrons(exact.state)
    true = exact.force.electrons(exact.state)
    difference = transverse(learned.force - true.force, exact.state.spin)
    assert float(difference.norm() / transverse(true.force, exact.state.spin).norm()) < largest
