"""Rings of four spins: their fast sums against each other, and against sums written out with spin matrices."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from engine.learning import kernels
from engine.learning.network import LATTICES
from engine.learning.networks.rings import RingNetwork
from engine.learning.rings import joined, ring_energy_and_field, ring_gradients, ring_products
from tests import tolerances
from tests.learning.own_networks import EXACT, KINDS, SHAPE, check, generator, grid_of, make, random_spins

PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
pytestmark = pytest.mark.usefixtures("coarse_momenta")


@pytest.fixture(scope="module")
def parts() -> tuple[torch.Tensor, torch.Tensor, np.ndarray, torch.Tensor]:
    network = make("rings", "triangular")
    assert isinstance(network, RingNetwork)
    bonds, weights = network.bonds, network.weights[:, network.group]
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


@pytest.mark.parametrize("threads", [2, 3, 24])  # the last: more parts than bonds
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
