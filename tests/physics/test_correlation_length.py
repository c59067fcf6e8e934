"""Correlation length: fields of known correlations get their length, whatever momentum they order at."""

import math

import numpy as np
import pytest
import torch

from engine.lattice import Lattice, random_sites, square, triangular
from engine.observables import correlation_envelope, correlation_length, observe, spin_correlation
from engine.state import SpinState
from engine.textures import ferromagnet, perturbed, random_spins, skyrmion_crystal, tetrahedral
from tests.tolerances import CORRELATION_LENGTH, SIGMAS

LATTICES = {"square": square(64), "triangular": triangular(64)}


@pytest.fixture(params=LATTICES)
def lattice(request):
    return LATTICES[request.param]


def exponential(lattice: Lattice, length: float, q: np.ndarray | None = None) -> np.ndarray:
    """S(q) (N,) of C(r) = exp(-r / length) cos(q.r), summed over the periodic images of r."""
    shifts = np.array([[i, j] for i in (-1, 0, 1) for j in (-1, 0, 1)]) @ lattice.periods
    distance = np.linalg.norm(lattice.positions[:, None] + shifts, axis=-1)
    correlation = np.exp(-distance / length).sum(1)
    if q is not None:
        correlation = correlation * np.cos(lattice.positions @ q)
    return np.fft.fft2(correlation.reshape(lattice.shape)).real.ravel() / lattice.sites


def field_of(structure: np.ndarray, lattice: Lattice, seed: int) -> torch.Tensor:
    """Spins (1, N, 3) along z alone, of any length, whose structure factor is exactly this one; phases are random."""
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=lattice.shape))
    amplitude = np.sqrt(np.maximum(structure, 0)).reshape(lattice.shape) * lattice.sites
    field = np.fft.ifft2(amplitude * noise / np.abs(noise)).real
    return torch.from_numpy(np.stack([0 * field, 0 * field, field], -1).reshape(1, -1, 3))


@pytest.mark.parametrize("length", [4.0, 6.0])
def test_exponential_decay_has_its_length(lattice: Lattice, length: float) -> None:
    spin = field_of(exponential(lattice, length), lattice, seed=3)
    assert correlation_length(spin, lattice).item() == pytest.approx(length, rel=CORRELATION_LENGTH)
    assert correlation_length(100 * spin, lattice).item() == pytest.approx(length, rel=CORRELATION_LENGTH)


@pytest.mark.parametrize("index", [16 * 64, 10 * 64 + 10, 32 * 64], ids=["16,0", "10,10", "32,0"])
def test_order_at_a_finite_momentum_has_the_length_of_its_envelope(lattice: Lattice, index: int) -> None:
    """A uniform magnetization, that a field would make, changes nothing."""
    spin = field_of(exponential(lattice, 6.0, lattice.momenta()[index]), lattice, seed=4)
    lengths = [correlation_length(spin + torch.tensor([m, 0.0, 0.0]), lattice).item() for m in (0.0, 5.0)]
    assert lengths == pytest.approx([6.0, 6.0], rel=CORRELATION_LENGTH)


def test_a_uniform_magnetization_is_no_correlation(lattice: Lattice) -> None:
    """A ferromagnet's domains keep their length when a field adds a magnetization, to the weight of Γ that is capped."""
    spin = field_of(exponential(lattice, 4.0), lattice, seed=7)
    lengths = [correlation_length(spin + torch.tensor([m, 0.0, 0.0]), lattice).item() for m in (0.0, 1.0, 20.0)]
    share = 2 * math.pi * 4.0**2 / lattice.sites  # of Γ in the sum of S; it is at most doubled
    assert lengths == pytest.approx([lengths[0]] * 3, rel=2 * share)


def test_it_is_where_the_pair_correlation_is_one_over_e(lattice: Lattice) -> None:
    """Independent: C(r) from pairs of spins, averaged over a ring as wide as the lattice needs."""
    spin = field_of(exponential(lattice, 5.0), lattice, seed=5)
    found = correlation_length(spin, lattice).item()
    distance, correlation = spin_correlation(spin, lattice)
    near = (distance - found).abs() < 1.0
    level = torch.log(correlation[0, near] / correlation[0, 0]).mean().item()
    assert level == pytest.approx(-distance[near].mean().item() / found, rel=CORRELATION_LENGTH)


def test_ordered_samples_are_one_domain_and_noise_is_short() -> None:
    lattice = triangular(24)
    area = math.sqrt(24 * 24 * math.sqrt(3) / 2)
    ordered = [ferromagnet(lattice), tetrahedral(lattice), skyrmion_crystal(lattice, 2)]
    assert [correlation_length(spin, lattice).item() for spin in ordered] == pytest.approx([area] * 3)
    noise = correlation_length(random_spins(lattice, replicas=20, seed=1), lattice)
    assert noise.max() < 3, "a star of 12 peaks has no momenta farther away"
    assert correlation_length(torch.zeros(1, 576, 3), lattice).item() == pytest.approx(area)


def test_weak_noise_leaves_it_alone() -> None:
    """White noise of a share p of all weight lowers G by p: xi shortens by -p xi / (1 - p) to first order."""
    lattice = square(64)
    spin, share = field_of(exponential(lattice, 6.0), lattice, seed=6), 0.02
    spin = spin / spin.square().sum(-1).mean().sqrt()
    noise = math.sqrt(share) * torch.from_numpy(np.random.default_rng(0).normal(size=spin.shape[:2]))
    noisy = spin + noise[..., None] * torch.tensor([0.0, 0.0, 1.0])
    scatter = math.sqrt(2 * math.pi * 6.0**2 * share) / 64  # of the cross term, per unit of G
    expected = 6.0 * (1 - math.log(1 + share))
    assert abs(correlation_length(noisy, lattice).item() - expected) < 6.0 * (CORRELATION_LENGTH + SIGMAS * scatter)


def test_it_falls_with_disorder_and_is_registered() -> None:
    lattice = triangular(48)
    crystal = skyrmion_crystal(lattice, 2, dtype=torch.float64)
    spins = torch.cat([crystal, perturbed(crystal, 0.5), random_spins(lattice, seed=1, dtype=torch.float64)])
    lengths = observe(["correlation_length"], SpinState(spins), lattice)["correlation_length"]
    assert lengths[0] >= lengths[1] > 5 * lengths[2], "weak noise does not end the order"
    np.testing.assert_array_equal(lengths, correlation_length(spins, lattice).numpy())


def test_the_envelope_begins_at_one_and_ends_at_half_the_sample() -> None:
    lattice = square(16)
    radius, envelope = correlation_envelope(torch.from_numpy(exponential(lattice, 2.0))[None], lattice)
    assert radius[0] == 0 and radius[-1] == 8 and envelope[0, 0] == pytest.approx(1)
    with pytest.raises(ValueError, match=r"structure must have shape \(B, 256\)"):
        correlation_envelope(torch.ones(256), lattice)
    with pytest.raises(ValueError, match="square or triangular"):
        correlation_length(random_spins(random_sites(10)), random_sites(10))
    with pytest.raises(ValueError, match="spin must have shape"):
        correlation_length(torch.ones(1, 5, 3), lattice)
