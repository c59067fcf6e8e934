"""Networks whose electrons can be set: their polynomials, kernels and forces at any point of the range."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import engine
from engine.changes import with_changes
from engine.learnable import electrons_of, network_configuration, source
from engine.learning.dataset import Records, label, read
from engine.learning.force import LearnedForce, load_force
from engine.learning.kernels import electronic_basis, moving_basis, propagators
from engine.learning.network import LATTICES, ElectronSetting, field_and_energy, transverse
from engine.learning.networks.adjustable import AdjustableRings
from engine.learning.networks.few_poles import FewPoles
from engine.learning.networks.rings import RingNetwork
from engine.learning.run import Loss, TrainingOptions
from engine.learning.sampling import plan
from engine.learning.train import epsilon
from engine.learning.weights import save_network
from tests import tolerances
from tests.learning.own_networks import EXACT, generator, random_spins

pytestmark = pytest.mark.usefixtures("coarse_momenta")
HOPPING = {1: 1.0, 3: -0.85}
SMALL: dict[str, Any] = {"hopping": HOPPING, "temperature": 0.3, "chemical_potential": [-3.8, -3.2],
                         "coupling": [0.3, 0.7], "nodes": 8, "radius": 12.0, "short": 2.0,
                         "channels": [[0.3, 2.0]], "fields": 3, "width": 8}  # fmt: skip
SHAPE = (5, 6)
SETTINGS = [ElectronSetting(mu, coupling) for mu in (-3.8, -3.6, -3.4, -3.2) for coupling in (0.3, 0.45, 0.6, 0.7)]
BETWEEN = ElectronSetting(-3.47, 0.52)


@pytest.fixture(scope="module")
def network() -> AdjustableRings:
    """Every weight random."""
    made = AdjustableRings("triangular", **SMALL).double()
    made.prepare()
    weights = generator(5)
    with torch.no_grad():
        for parameter in made.parameters():
            width = parameter.shape[-1] if parameter.ndim > 1 else 1
            parameter.copy_(torch.randn(parameter.shape, generator=weights, dtype=torch.float64) / math.sqrt(width))
        made.scale.fill_(0.7)
        made.constant.copy_(torch.randn(made.constant.shape, generator=weights, dtype=torch.float64))
    return made.requires_grad_(False)


@pytest.fixture
def file(network: AdjustableRings, tmp_path: Path) -> Path:
    path = tmp_path / "set.safetensors"
    ranges = {name: list(ends) for name, ends in network.ranges.items()}
    save_network(path, network, {"preset": "skyrmion", "electrons": electrons_of("skyrmion"), "ranges": ranges})
    return path


def classical(setting: ElectronSetting, seed: int, shape: tuple[int, int] = SHAPE) -> Records:
    """What spins with a nearest-neighbour exchange J^2 (1 + 0.4 x) would be, x = mu in units of its range, and a constant
    energy of mu alone."""
    x = (setting.chemical_potential + 3.5) / 0.3
    exchange = setting.coupling**2 * (1 + 0.4 * x)
    spin = random_spins(shape, 3, seed).float()
    lattice = LATTICES["triangular"](*shape, shells=1)
    model = engine.ClassicalForce(engine.HeisenbergModel(lattice, {1: exchange}))
    response = model(engine.SpinState(spin))
    assert response.energy is not None
    energy = response.energy + spin.shape[1] * (x**4 - 2.0)
    number = torch.zeros(len(spin), dtype=torch.int64)
    return Records(shape, spin, response.force, energy, number, number, [""] * len(spin), setting)


# Kernels


def test_a_basis_at_one_chemical_potential_is_that_of_rings() -> None:
    lattice, rest = LATTICES["triangular"](12, 12), (0.3, 8.0, 2.0, (0.1, 0.4), (0.0,))
    one = moving_basis(lattice, HOPPING, [-3.5], *rest)
    assert np.array_equal(one[0], electronic_basis(lattice, HOPPING, -3.5, *rest))


def test_kernels_between_the_nodes_are_those_of_the_electrons_there(network: AdjustableRings) -> None:
    model = network.at(BETWEEN)
    assert isinstance(model, RingNetwork)
    lattice = LATTICES["triangular"](12, 12)
    found = propagators(lattice, HOPPING, BETWEEN.chemical_potential, 12.0, [0.3])
    assert np.abs(model.propagators.numpy() - found).max() < tolerances.INTERPOLATED * np.abs(found).max()


# Polynomials


def test_frozen_network_and_the_view_that_is_trained_agree(network: AdjustableRings) -> None:
    spin = random_spins(SHAPE)
    field, energy = field_and_energy(network.at(BETWEEN), spin, SHAPE)
    network.requires_grad_(True)
    try:
        view = network.at(BETWEEN)
        trained_field, trained_energy = field_and_energy(view, spin, SHAPE, differentiable=True)
        assert trained_energy is not None
        (trained_field.square().sum() + trained_energy.sum()).backward()
        assert all(p.grad is not None and bool(p.grad.any()) for p in network.parameters())
    finally:
        network.requires_grad_(False).zero_grad()
    torch.testing.assert_close(trained_field.detach(), field, **EXACT)
    torch.testing.assert_close(trained_energy.detach(), energy, **EXACT)


def test_linear_fit_finds_an_exchange_that_depends_on_the_electrons() -> None:
    """From data at many chemical potentials: at a few ones, kernels that differ only between them cannot be told apart."""
    shape = (9, 11)  # which tells all distances within the radius apart
    dense = [ElectronSetting(mu, coupling) for mu in np.linspace(-3.8, -3.2, 12) for coupling in (0.3, 0.45, 0.6, 0.7)]
    made = AdjustableRings("triangular", **{**SMALL, "radius": 4.0})
    made.initialise([classical(setting, seed, shape) for seed, setting in enumerate(dense)])
    made.requires_grad_(False)
    fresh = [classical(BETWEEN, 100, shape)]
    assert epsilon(made, fresh) < tolerances.LINEAR_FIT
    energy = field_and_energy(made.at(BETWEEN), fresh[0].spin, shape)[1]
    assert energy is not None
    per_site = (energy.double() - fresh[0].energy) / fresh[0].spin.shape[1]
    assert float(per_site.abs().max()) < tolerances.LINEAR_FIT


def test_every_setting_has_the_scale_of_its_own_forces() -> None:
    groups = [classical(setting, seed) for seed, setting in enumerate(SETTINGS)]
    scales = Loss(groups, TrainingOptions()).scales
    assert set(scales) == set(SETTINGS)
    for group in groups:
        assert group.electrons is not None
        rms = transverse(group.force, group.spin).square().sum(-1).mean().sqrt()
        assert scales[group.electrons][0] == pytest.approx(float(rms), rel=tolerances.EXACT_SINGLE)


# Forces


def test_a_force_stands_for_the_electrons_that_are_set(network: AdjustableRings, file: Path) -> None:
    lattice = engine.triangular(6)
    state = engine.SpinState(engine.texture("random", lattice, seed=2, dtype=torch.float64))
    force = load_force(file, lattice)
    assert force.electrons == ElectronSetting(-3.5, 0.5)
    changed = with_changes(force, {"ensemble.chemical_potential": -3.4, "model.coupling": 0.6})
    assert changed.electrons == ElectronSetting(-3.4, 0.6)
    field = transverse(field_and_energy(network.at(ElectronSetting(-3.4, 0.6)), state.spin, (6, 6))[0], state.spin)
    torch.testing.assert_close(changed(state).force, field, rtol=0, atol=tolerances.SINGLE_PRECISION_FORCE)
    again = load_force(file, lattice, chemical_potential=-3.4, coupling=0.6)
    assert torch.equal(again(state).force, changed(state).force)
    assert not torch.equal(force(state).force, changed(state).force)


def test_a_preset_takes_the_electrons_as_its_own_and_a_checkpoint_keeps_them(file: Path, tmp_path: Path) -> None:
    made = engine.preset("skyrmion", 6, force=str(file), chemical_potential=-3.3, coupling=0.4)
    path = "force.electrons.ensemble.chemical_potential"
    later = engine.updated(made.advance(1), {path: -3.35})
    engine.save_checkpoint(tmp_path / "c.safetensors", later)
    back = engine.load_checkpoint(tmp_path / "c.safetensors")
    term = back.force.terms["electrons"]  # type: ignore[attr-defined]
    assert term.electrons == ElectronSetting(-3.35, 0.4)
    assert torch.equal(back.advance(2).state.spin, later.advance(2).state.spin)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ensemble.chemical_potential": -3.0}, "chemical potential from -3.8 to -3.2, it was asked for -3"),
        ({"model.coupling": 0.8}, "coupling from 0.3 to 0.7, it was asked for 0.8"),
        ({"ensemble.temperature": 0.01}, "temperature 0.3"),
        ({"ensemble.chemical_potential": None, "ensemble.filling": 0.2}, "fixed chemical potential"),
    ],
)
def test_electrons_outside_the_range_are_refused(file: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_changes(load_force(file), changes)


@pytest.mark.parametrize("changes", [{"chemical_potential": -3.0}, {"coupling": 1.0}, {"filling": 0.2}])
def test_a_preset_refuses_them_too(file: Path, changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"was trained for .*coupling from 0.3 to 0.7, .*not for"):
        engine.preset("skyrmion", 6, force=str(file), **changes)


def test_other_networks_know_one_setting_only() -> None:
    force = load_force("skyrmion/fast")
    assert force.electrons is None and force.ensemble is None
    with pytest.raises(ValueError, match="knows one chemical potential and coupling only"):
        force.network.at(BETWEEN)
    with pytest.raises(ValueError, match="knows only the electrons it was trained for"):
        LearnedForce(force.network, force.card, ensemble=engine.Ensemble(0.005, chemical_potential=-3.4))


@pytest.mark.parametrize(
    "wrong", [{"coupling": [0.7, 0.3]}, {"coupling": [0.0, 0.3]}, {"chemical_potential": -3.5}, {"local_degree": 4},
              {"nodes": 1}]
)  # fmt: skip
def test_senseless_ranges_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"range|positive"):
        AdjustableRings("triangular", **{**SMALL, **wrong})


# Poles


def test_poles_with_an_adjustable_rest_are_those_of_the_electrons_that_are_set(network: AdjustableRings) -> None:
    rest = {"network": "adjustable", **{key: value for key, value in network.configuration.items() if key != "kind"}}
    poles: dict[str, Any] = {"hopping": HOPPING, "temperature": 0.3, "poles": ((0.1, 0.6), (-0.2, 1.5)), "period": 6}
    every = FewPoles("triangular", coupling=0.5, chemical_potential=-3.5, rest=rest, **poles).double()
    every.weight.copy_(torch.tensor([[0.3, 0.1], [-0.1, 0.4]]))
    every.rest.load_state_dict(network.state_dict())
    every.requires_grad_(False)
    of_one = {"network": "messages", "reach": 1.5, "far": 2.5, "channels": 3, "layers": 1, "width": 4}
    one = FewPoles(
        "triangular", coupling=BETWEEN.coupling, chemical_potential=BETWEEN.chemical_potential, rest=of_one, **poles
    )
    one = one.double()
    one.weight.copy_(every.weight)
    spin, here = random_spins(SHAPE), every.at(BETWEEN)
    field, energy = here.evaluated(spin, SHAPE)
    for part, (a, b) in enumerate(
        zip(one.electrons(spin, SHAPE), network.at(BETWEEN).evaluated(spin, SHAPE), strict=True)
    ):
        torch.testing.assert_close((field, energy)[part], a + b, **EXACT)
    assert every.ranges == network.ranges and every.configuration["coupling"] == 0.5, "itself it is as it was"
    number = torch.zeros(len(spin), dtype=torch.int64)
    records = Records(SHAPE, spin, field, energy, number, number, ["", ""], BETWEEN)
    left = every.remaining(records)
    torch.testing.assert_close(left.force, network.at(BETWEEN).evaluated(spin, SHAPE)[0], **EXACT)


# Data


def test_data_of_several_electrons_come_back_with_them(tmp_path: Path) -> None:
    path, wanted = tmp_path / "data.h5", [ElectronSetting(-3.8, 0.3), ElectronSetting(-3.2, 0.7)]
    system = source("skyrmion", (1, 1), (4, 4))
    blocks = list(plan({"random": 1.0}, [(4, 4)], 6, wanted))
    assert [block.electrons for block in blocks] == [*wanted, *wanted, *wanted]
    list(label(system, iter(blocks[:3]), 1, path, {"electrons": 2}))
    list(label(system, iter(blocks), 1, path, {"electrons": 2}))
    groups, _ = read(path)
    assert {group.electrons: len(group) for group in groups} == {wanted[0]: 3, wanted[1]: 3}
    for group in groups:
        assert group.electrons is not None
        exact = source("skyrmion", (1, 1), (4, 4), group.electrons)
        response = exact.exact(exact.lattice((4, 4)))(engine.SpinState(group.spin))
        torch.testing.assert_close(response.force, group.force, rtol=0, atol=tolerances.SINGLE_PRECISION_FORCE)


def test_a_fixed_filling_has_no_chemical_potential_to_vary() -> None:
    with pytest.raises(ValueError, match="fixed filling"):
        source("tetrahedral", (1, 1), (4, 4), BETWEEN)


@pytest.mark.parametrize("given", [{}, {"rest": {"network": "adjustable"}}])
def test_its_ranges_are_those_of_the_data(given: dict[str, Any]) -> None:
    network = "poles" if given else "adjustable"
    ranges = {"chemical_potential": [-3.8, -3.2], "coupling": [0.3, 0.7]}
    made = network_configuration("skyrmion", network, given, ranges=ranges)
    found = made["rest"] if given else made
    assert {key: found[key] for key in ranges} == ranges
    with pytest.raises(ValueError, match="dataset --sweep"):
        network_configuration("skyrmion", network, given)


def test_data_of_one_system_do_not_make_it() -> None:
    made = AdjustableRings("triangular", **SMALL)
    single = classical(BETWEEN, 0)
    with pytest.raises(ValueError, match="--sweep"):
        made.initialise(
            [Records(*(getattr(single, n) for n in ("shape", "spin", "force", "energy", "kind", "block", "origin")))]
        )
