"""Rings, messages and moments: symmetries, derivatives, and their formulas against sums written out with spin matrices."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from engine.learning import kernels
from engine.learning.dataset import Records
from engine.learning.network import LATTICES, Network, field_and_energy
from engine.learning.networks.messages import MessageNetwork
from engine.learning.networks.moments import MomentNetwork
from engine.learning.networks.rings import RingNetwork, half
from engine.learning.rings import joined, ring_energy_and_field, ring_gradients, ring_products
from engine.models import SDModel
from tests import tolerances

KINDS = ["square", "triangular"]
ELECTRONS: dict[str, Any] = {"hopping": {1: 1.0, 3: -0.85}, "chemical_potential": -3.5, "temperature": 0.3}
RINGS: dict[str, Any] = {"radius": 12.0, "short": 2.0, "channels": ((0.3, 2.0),), "fields": 3, "width": 8}
MESSAGES: dict[str, Any] = {"reach": 1.5, "far": 2.5, "channels": 3, "layers": 2, "width": 6}
METALLIC = {**MESSAGES, "harmonics": 2, "pooled": 2}
MOMENTS: dict[str, Any] = {"hopping": {1: 1.0, 2: 0.3}, "coupling": 1.7, "products": 2, "width": 6}
FAMILIES = ["rings", "messages", "metallic messages", "moments"]
SHAPE = (5, 6)
EXACT: dict[str, Any] = {"rtol": tolerances.SYMMETRY, "atol": tolerances.SYMMETRY}
PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


@pytest.fixture(scope="module", autouse=True)
def coarse_momenta() -> Iterator[None]:
    """Kernels of 12 lattice constants need no finer mesh."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "MESH", 48)
        yield


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bare(kind: str) -> RingNetwork:
    """Rings with their kernels, weights still zero."""
    network = RingNetwork(kind, **ELECTRONS, **RINGS).double()
    network.prepare()
    return network


def untrained(family: str, kind: str) -> Network:
    if family == "rings":
        return bare(kind)
    if family == "moments":
        return MomentNetwork(kind, **MOMENTS).double()
    return MessageNetwork(kind, **(MESSAGES if family == "messages" else METALLIC)).double()


def make(family: str, kind: str, seed: int = 3) -> Network:
    """Every weight random, every part of the energy at work."""
    network = untrained(family, kind)
    weights = generator(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            width = parameter.shape[-1] if parameter.ndim else 1
            parameter.copy_(torch.randn(parameter.shape, generator=weights, dtype=torch.float64) / math.sqrt(width))
        network.scale.fill_(0.7)
        network.offset.fill_(-0.3)
    return network.requires_grad_(False)


def random_spins(shape: tuple[int, int] = SHAPE, batch: int = 2, seed: int = 0) -> torch.Tensor:
    spin = torch.randn(batch, math.prod(shape), 3, generator=generator(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(spin, dim=-1)


def grid_of(spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    return spin.mT.unflatten(-1, shape)


def check(changed: tuple[torch.Tensor, torch.Tensor], field: torch.Tensor, energy: torch.Tensor) -> None:
    torch.testing.assert_close(changed[0], field, **EXACT)
    torch.testing.assert_close(changed[1], energy, **EXACT)


# All families


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


@pytest.mark.parametrize("family", FAMILIES)
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


@pytest.mark.parametrize("family", FAMILIES)
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


# Rings


@pytest.fixture(scope="module")
def parts() -> tuple[torch.Tensor, torch.Tensor, np.ndarray, torch.Tensor]:
    network = make("rings", "triangular")
    assert isinstance(network, RingNetwork)
    bonds, weights = np.concatenate(network.bonds), network.weights[:, network.group]
    return grid_of(random_spins(), SHAPE), network.joined_responses(SHAPE), bonds, weights


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_ring_energy_does_not_depend_on_chunks(parts, chunk: int) -> None:
    grid, response, bonds, weights = parts
    energy, field = ring_energy_and_field(grid, response, bonds, weights)
    again, again_field = ring_energy_and_field(grid, response, bonds, weights, chunk)
    check((again_field, again), field, energy)


def test_compiled_loops_and_tensors_agree(parts, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = ring_energy_and_field(*parts)
    monkeypatch.setattr("engine.learning.rings.ring_kernel", None)
    check(ring_energy_and_field(*parts)[::-1], compiled[1], compiled[0])


def test_ring_gradients_are_those_of_the_energy(parts) -> None:
    grid, response, bonds, _ = parts
    group = torch.arange(len(bonds)) // 2
    groups = int(group.max()) + 1
    coefficients = torch.randn(2, groups, generator=generator(0), dtype=torch.float64)
    _, field = ring_energy_and_field(grid, response, bonds, coefficients[:, group])
    fields = ring_gradients(grid, response, bonds, group, groups)
    torch.testing.assert_close(torch.einsum("f,bf...->b...", coefficients.flatten(), fields), field, **EXACT)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_the_bonds(threads: int) -> None:
    network, spin = make("rings", "triangular"), random_spins()
    field, energy = network.evaluated(spin, SHAPE)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        shared = network.evaluated(spin, SHAPE)
    finally:
        torch.set_num_threads(before)
    check(shared, field, energy)


@pytest.mark.parametrize("kind", KINDS)
def test_linear_fields_are_the_terms_of_the_field(kind: str) -> None:
    network, spin = make("rings", kind), random_spins()
    assert isinstance(network, RingNetwork)
    for parameter in network.local[-1].parameters():
        parameter.zero_()
    coefficients = torch.cat((network.bilinear, network.weights.flatten()))
    fields = network.linear_fields(spin, SHAPE)
    assert fields.shape == (2, len(coefficients), 3, 30)
    total = network.scale * torch.einsum("f,bfcn->bnc", coefficients, fields)
    torch.testing.assert_close(total, network.evaluated(spin, SHAPE)[0], **EXACT)


@pytest.mark.parametrize("bond", [(0, 0), (1, 0), (2, -1), (-4, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_pair_kernels_are_sums_over_periodic_images(kind: str, bond: tuple[int, int]) -> None:
    """On 5 x 6 sites, where kernels of radius 6 wrap more than once."""
    radius, lattice = 6.0, LATTICES[kind](5, 6)
    stars = kernels.orbits(kind, radius)
    values = torch.randn(2, len(stars), generator=generator(4), dtype=torch.float64)
    cut: dict[tuple[int, ...], complex] = {}
    for star, value in zip(stars, torch.complex(*values).tolist(), strict=True):
        for vector in star:
            part = float(np.linalg.norm(vector @ lattice.primitive_vectors)) / radius
            cut[tuple(vector)] = value * (0.5 * (1 + math.cos(math.pi * (part - 0.6) / 0.4)) if part > 0.6 else 1.0)
    expected = np.zeros((5, 6), complex)
    for r1, r2 in cut:
        if (r1, r2) not in ((0, 0), bond):
            expected[r1 % 5, r2 % 6] += cut[r1, r2] * cut.get((r1 - bond[0], r2 - bond[1]), 0.0)
    response = kernels.wrapped_pairs(values, np.array([bond]), lattice, radius)
    kernel = torch.fft.irfft2(response.conj(), s=(5, 6))[0]
    np.testing.assert_allclose(torch.complex(*kernel), expected, atol=tolerances.ROUNDING)


def test_rings_are_the_fourth_order_sum() -> None:
    """Re sum_ijkl G_ij G_jk G_kl G_li tr[S_i.sigma S_j.sigma S_k.sigma S_l.sigma] on a 4 x 4 torus, any symmetric G.

    Corners j and l are not i or k. With the trace of four Pauli vectors, 2 [(ij)(kl) - (ik)(jl) + (il)(jk)], the sum
    over ordered pairs (i, k) is 2 (2 X - Y).
    """
    shape, sites = (4, 4), 16
    generic = torch.complex(*torch.randn(2, *shape, generator=generator(6), dtype=torch.float64)).numpy()
    mirrored = np.roll(generic[::-1, ::-1], (1, 1), (0, 1))
    propagator = generic + mirrored  # G(R) = G(-R)
    steps = np.array(list(itertools.product(range(4), range(4))))
    between = (steps[None] - steps[:, None]) % 4  # R = j - i
    g = propagator[between[..., 0], between[..., 1]]
    spin = random_spins(shape, 1, 11)
    matrices = np.einsum("ia,axy->ixy", spin[0].numpy(), PAULI)
    trace = np.einsum("iab,jbc,kcd,lda->ijkl", *[matrices] * 4, optimize=True)
    ring = np.einsum("ij,jk,kl,li->ijkl", g, g, g, g)
    apart = ~np.eye(sites, dtype=bool)  # of neighbouring corners
    allowed = np.einsum("ij,jk,kl,li->ijkl", *[apart.astype(int)] * 4)
    brute = float((ring * trace * allowed).real.sum())

    kernel = np.stack([propagator * np.roll(propagator, tuple(d), (0, 1)) for d in steps])  # G(R) G(R - d)
    for pair, d in zip(kernel, steps, strict=True):
        pair[0, 0] = pair[tuple(d)] = 0
    response = torch.fft.rfft2(torch.from_numpy(np.stack((kernel.real, kernel.imag), 1))).conj().resolve_conj()
    weights = torch.tensor([[2.0], [-1.0]], dtype=torch.float64).expand(2, sites)
    grid = grid_of(spin, shape)
    energy, _ = ring_energy_and_field(grid, joined(response, shape), steps, weights)
    assert 2 * float(energy) == pytest.approx(brute, rel=tolerances.ROUNDING)
    ends = torch.from_numpy((steps[:, None] + steps[None]) % 4 @ np.array([4, 1]))  # sites i + d of every bond
    x, y = ring_products(grid, torch.fft.rfft2(grid), response, ends)
    assert 2 * float((2 * x - y).sum()) == pytest.approx(brute, rel=tolerances.ROUNDING)


# Kernels


@pytest.mark.parametrize("kind", KINDS)
def test_propagators_are_those_of_the_electrons(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against (i w + mu - H)^-1 of free electrons on a torus as large as the mesh of momenta."""
    monkeypatch.setattr(kernels, "MESH", 6)
    lattice, hopping, mu, w = LATTICES[kind](6, 6), {1: 1.0, 3: -0.85}, -3.5, 0.3
    matrix = SDModel(lattice, hopping, 0.0).matrix(random_spins((6, 6), 1)).to_dense()[0].numpy()
    assert np.abs(matrix[::2, 1::2]).max() == 0 == np.abs(matrix[::2, ::2] - matrix[1::2, 1::2]).max()
    inverse = np.linalg.inv((1j * w + mu) * np.eye(36) - matrix[::2, ::2])
    found = kernels._propagator(kernels._dispersion(lattice, hopping), mu, w)
    np.testing.assert_allclose(found.ravel(), inverse[0], atol=tolerances.ROUNDING)
    orbit = kernels.propagators(lattice, hopping, mu, 2.0, [w])[0]
    for (real, imaginary), star in zip(orbit.T, kernels.orbits(kind, 2.0), strict=True):
        np.testing.assert_allclose(found[star[:, 0], star[:, 1]], real + 1j * imaginary, atol=tolerances.ROUNDING)


@pytest.mark.parametrize("radius", [1.0, 5.0, 9.5])
@pytest.mark.parametrize("kind", KINDS)
def test_orbits_are_all_vectors_and_closed(kind: str, radius: float) -> None:
    vectors = LATTICES[kind](3, 3).primitive_vectors
    stars = kernels.orbits(kind, radius)
    box = np.array(list(itertools.product(range(-14, 15), repeat=2)))
    inside = np.linalg.norm(box @ vectors, axis=1) < radius + 1e-6
    assert {tuple(step) for star in stars for step in star} == {tuple(step) for step in box[inside]}
    assert sum(map(len, stars)) == inside.sum() and len(stars[0]) == 1
    for star in stars:
        places = star @ vectors
        for turn, _ in LATTICES[kind](12, 12).point_group():
            away = np.linalg.norm((places @ turn.T)[:, None] - places[None], axis=-1)
            assert (away.min(1) < 1e-9).all()
        pairs = {tuple(d) for d in half(star)}
        assert pairs | {(-a, -b) for a, b in pairs} == {tuple(d) for d in star}
        assert len(pairs) == math.ceil(len(star) / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_basis_is_orthonormal_and_fits_any_torus(kind: str) -> None:
    network = bare(kind)
    sizes = torch.tensor([float(len(star)) for star in kernels.orbits(kind, 12.0)], dtype=torch.float64)
    products = (network.basis * sizes) @ network.basis.T
    kept = products.diagonal() > 0.5
    torch.testing.assert_close(products, torch.diag(kept.double()), **EXACT)
    assert network.basis[:, 0].abs().max() < tolerances.ROUNDING and kept.sum() > 10
    lattice = LATTICES[kind](4, 5)
    tables = kernels.wrapped(network.basis, lattice, 12.0)[0]
    torch.testing.assert_close(tables[:, 0, 0].real, network.basis @ sizes, **EXACT)
    torch.testing.assert_close(tables.imag, torch.zeros_like(tables.real), **EXACT)


@pytest.mark.parametrize("pooled", [-1, 4])
def test_a_wrong_number_of_means_is_refused(pooled: int) -> None:
    with pytest.raises(ValueError, match="from 0 to channels = 3"):
        MessageNetwork("square", **{**METALLIC, "pooled": pooled})


def test_all_scalars_may_be_known_by_their_mean() -> None:
    """True, as the cards of networks say it, is the number of channels."""
    one, two = (MessageNetwork("square", **{**METALLIC, "pooled": pooled}) for pooled in (True, 3))
    assert [p.shape for p in one.parameters()] == [p.shape for p in two.parameters()]
