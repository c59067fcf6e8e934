"""Rings, few poles, messages and moments: symmetries, derivatives, and what every network must do."""

from __future__ import annotations

import json

import pytest
import torch

from engine.learning.dataset import Records
from engine.learning.network import LATTICES, Network, field_and_energy
from engine.learning.networks.messages import MessageNetwork
from engine.learning.networks.moments import MomentNetwork
from engine.learning.networks.rings import RingNetwork
from tests import tolerances
from tests.learning.own_networks import (
    EXACT,
    FAMILIES,
    KINDS,
    METALLIC,
    SHAPE,
    check,
    generator,
    make,
    random_spins,
    untrained,
)

pytestmark = pytest.mark.usefixtures("coarse_momenta")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_rotations_translations_and_time_reversal(family: str, kind: str) -> None:
    network, spin = make(family, kind), random_spins()
    field, energy = network.evaluated(spin, SHAPE)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator(5), dtype=torch.float64))[0]
    for rotation in (turn, -turn):  # one of them is a rotoreflection
        check(network.evaluated(spin @ rotation.T, SHAPE), field @ rotation.T, energy)
    check(network.evaluated(-spin, SHAPE), -field, energy)

    def shifted(values: torch.Tensor) -> torch.Tensor:
        return values.unflatten(1, SHAPE).roll((1, 2), (1, 2)).flatten(1, 2)

    check(network.evaluated(shifted(spin), SHAPE), shifted(field), energy)


@pytest.mark.parametrize("shape", [(4, 4), (6, 6), (4, 6)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_point_group(family: str, kind: str, shape: tuple[int, int]) -> None:
    network, spin = make(family, kind), random_spins(shape)
    field, energy = network.evaluated(spin, shape)
    operations = LATTICES[kind](*shape).point_group()
    assert len(operations) >= 2
    for _, permutation in operations:
        moved, moved_field = torch.empty_like(spin), torch.empty_like(field)
        moved[:, permutation], moved_field[:, permutation] = spin, field
        check(network.evaluated(moved, shape), moved_field, energy)
    scrambled = spin[:, torch.randperm(spin.shape[1], generator=generator(1))]
    assert (network(scrambled, shape) - energy).abs().max() > 1e-3  # not because it sees nothing


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_field_is_the_derivative(family: str, kind: str) -> None:
    network, spin = make(family, kind), random_spins()
    field, energy = network.evaluated(spin, SHAPE)
    check(Network.evaluated(network, spin, SHAPE), field, energy)
    torch.testing.assert_close(network(spin, SHAPE), energy, **EXACT)
    direction = torch.randn(spin.shape, generator=generator(2), dtype=torch.float64)
    step = tolerances.GRADIENT_STEP
    slope = (network(spin + step * direction, SHAPE) - network(spin - step * direction, SHAPE)) / (2 * step)
    expected = -(field * direction).sum((1, 2))
    torch.testing.assert_close(slope, expected, rtol=tolerances.GRADIENT, atol=tolerances.GRADIENT)
    assert field.abs().max() > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_and_rebuilding(family: str) -> None:
    network, spin = make(family, "triangular"), random_spins(batch=3)
    field, energy = network.evaluated(spin, SHAPE)
    fields, energies = zip(*(network.evaluated(one[None], SHAPE) for one in spin), strict=True)
    check((torch.cat(fields), torch.cat(energies)), field, energy)
    again = type(network)(**json.loads(json.dumps(network.configuration))).double().requires_grad_(False)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(spin, SHAPE), network(spin, SHAPE))


@pytest.mark.parametrize("family", FAMILIES)
def test_training_may_follow_inference(family: str) -> None:
    network, spin = make(family, "square"), random_spins((3, 7))
    with torch.inference_mode():
        before = network(spin, (3, 7))
    network.requires_grad_(True)
    field, energy = field_and_energy(network, spin, (3, 7), differentiable=True)
    assert energy is not None
    (field.square().sum() + energy.sum()).backward()
    torch.testing.assert_close(energy.detach(), before.clone(), **EXACT)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("family", FAMILIES)
def test_ferromagnets_have_a_finite_field(family: str) -> None:
    network = make(family, "triangular").requires_grad_(True)
    spin = torch.zeros(1, 16, 3, dtype=torch.float64)
    spin[..., 2] = 1.0
    field, _ = field_and_energy(network, spin, (4, 4), differentiable=True)
    field.square().sum().backward()
    assert field.isfinite().all() and field[..., :2].abs().max() < tolerances.SYMMETRY
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_single_precision(family: str) -> None:
    network, spin = make(family, "triangular"), random_spins()
    field, energy = network.evaluated(spin, SHAPE)
    single, single_energy = network.float().evaluated(spin.float(), SHAPE)
    assert single.dtype == torch.float32
    assert float((single - field).norm() / field.norm()) < tolerances.NETWORK_SINGLE
    torch.testing.assert_close(single_energy.double(), energy, rtol=tolerances.NETWORK_SINGLE, atol=0)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "poles"])  # see test_few_poles
def test_any_size_has_the_same_local_energies(family: str) -> None:
    """A 4 x 3 configuration repeated to 8 x 9 has as many times the energy, and the same field."""
    network, spin = make(family, "triangular"), random_spins((4, 3))
    repeated = spin.unflatten(1, (4, 3)).repeat(1, 2, 3, 1).flatten(1, 2)
    field, energy = network.evaluated(spin, (4, 3))
    large_field, large_energy = network.evaluated(repeated, (8, 9))
    torch.testing.assert_close(large_energy, 6 * energy, **EXACT)
    torch.testing.assert_close(large_field.unflatten(1, (8, 9))[:, :4, :3].flatten(1, 2), field, **EXACT)


def records(network: Network, shape: tuple[int, int], count: int, seed: int) -> Records:
    """Random spins labelled by a network."""
    spin = random_spins(shape, count, seed)
    force, energy = network.evaluated(spin, shape)
    return Records(shape, spin, force, energy, torch.zeros(count), torch.arange(count), ["{}"] * count)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "poles"])
def test_initialise_finds_the_linear_part_of_its_own_data(family: str) -> None:
    """On a lattice that tells all kernels apart; then it knows the fields on other lattices."""
    network = make(family, "triangular")
    for parameter in network.local[-1].parameters():  # type: ignore[index, operator, union-attr]
        parameter.zero_()
    learned = untrained(family, "triangular")
    learned.requires_grad_(False).initialise([records(network, (20, 21), 4, 7)])
    new = records(network, (7, 8), 2, 9)
    field, energy = learned.evaluated(new.spin, new.shape)
    wrong, right = (torch.linalg.cross(new.spin, values) for values in (field - new.force, new.force))
    assert float(wrong.norm() / right.norm()) < tolerances.FITTED
    known = [] if isinstance(learned, MomentNetwork) else ["bilinear"]
    if isinstance(learned, RingNetwork):
        assert float((energy - new.energy).norm() / new.energy.norm()) < tolerances.FITTED
        known = ["bilinear", "weights"]
        assert isinstance(network, RingNetwork)
        network.bilinear[~learned.basis.any(1)] = 0.0
    for name in known:
        fitted, true = (made.scale * getattr(made, name) for made in (learned, network))
        assert float((fitted - true).norm() / true.norm()) < tolerances.FITTED_WEIGHTS


@pytest.mark.parametrize("pooled", [-1, 4])
def test_a_wrong_number_of_means_is_refused(pooled: int) -> None:
    with pytest.raises(ValueError, match="from 0 to channels = 3"):
        MessageNetwork("square", **{**METALLIC, "pooled": pooled})


def test_all_scalars_may_be_known_by_their_mean() -> None:
    """True, as the cards of networks say it, is the number of channels."""
    one, two = (MessageNetwork("square", **{**METALLIC, "pooled": pooled}) for pooled in (True, 3))
    assert [p.shape for p in one.parameters()] == [p.shape for p in two.parameters()]
