"""Observables: exact values of known textures, sum rules, symmetries, statistics of fits."""

import math

import numpy as np
import pytest
import torch

from engine.lattice import random_sites, square, triangular
from engine.models.heisenberg import HeisenbergModel
from engine.models.sd import SDModel
from engine.observables import (
    cluster_sizes,
    clusters,
    domain_length,
    ferromagnetic_clusters,
    fold_to_zone,
    hall_conductivity,
    magnetization,
    mean_cluster_size,
    peak_length,
    peak_order,
    power_law_fit,
    ring_average,
    scalar_chirality,
    spin_correlation,
    structure_factor,
    topological_charge,
    topological_charge_density,
    torque,
    zone_path,
)
from engine.textures import ferromagnet, perturbed, random_spins, single_skyrmion, skyrmion_crystal, tetrahedral
from tests.tolerances import EXACT_DOUBLE, EXACT_SINGLE, HALL_TETRAHEDRAL, INTEGER_CHARGE, SIGMAS, SUM_RULE

TORI = {
    "square 3x3": square(3),
    "square 8x5": square(8, 5),
    "triangular 3x3": triangular(3),
    "triangular 7x12": triangular(7, 12),
}


@pytest.fixture(params=TORI)
def torus(request):
    return TORI[request.param]


def shifted(field, lattice, first, second):
    """``field`` (B, N, ...) translated by whole cells."""
    return field.unflatten(1, lattice.shape).roll((first, second), (1, 2)).flatten(1, 2)


class TestTopology:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_charge_is_an_integer_on_every_torus(self, torus, dtype):
        charge = topological_charge(random_spins(torus, replicas=50, seed=1, dtype=dtype), torus)
        assert charge.shape == (50,) and (charge - charge.round()).abs().max() < INTEGER_CHARGE
        assert charge.abs().max() > 0.5  # random spins do wrap the sphere

    def test_large_float32_sample_keeps_its_integer(self):
        lattice = triangular(128)
        charge = topological_charge(random_spins(lattice, seed=2), lattice)
        assert (charge - charge.round()).abs().item() < INTEGER_CHARGE

    def test_reversal_and_mirror_change_the_sign_rotation_does_not(self, torus):
        spin = random_spins(torus, replicas=4, seed=3, dtype=torch.float64)
        density = topological_charge_density(spin, torus)
        assert torch.allclose(topological_charge_density(-spin, torus), -density, atol=EXACT_DOUBLE)
        mirrored = spin * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
        assert torch.allclose(scalar_chirality(mirrored, torus), -scalar_chirality(spin, torus), atol=EXACT_DOUBLE)
        rotation = torch.linalg.qr(torch.from_numpy(np.random.default_rng(0).normal(size=(3, 3))))[0]
        rotation = rotation * torch.linalg.det(rotation)
        assert torch.allclose(topological_charge_density(spin @ rotation.T, torus), density, atol=EXACT_DOUBLE)

    def test_translation_moves_the_density(self, torus):
        spin = random_spins(torus, replicas=2, seed=4, dtype=torch.float64)
        for measure in (scalar_chirality, topological_charge_density):
            cells = measure(spin, torus).unflatten(1, (-1, 2))
            moved = measure(shifted(spin, torus, 2, 1), torus).unflatten(1, (-1, 2))
            assert torch.allclose(moved, shifted(cells, torus, 2, 1), atol=EXACT_DOUBLE)

    @pytest.mark.parametrize("build", [square, triangular])
    def test_known_charges(self, build):
        lattice = build(24)
        spins = [ferromagnet(lattice), single_skyrmion(lattice), single_skyrmion(lattice, vorticity=-1)]
        charge = topological_charge(torch.cat(spins), lattice)
        assert torch.allclose(charge, torch.tensor([0.0, -1.0, 1.0], dtype=torch.float64), atol=INTEGER_CHARGE)

    def test_small_solid_angle_is_half_the_chirality(self, torus):
        spin = perturbed(ferromagnet(torus, dtype=torch.float64), 1e-3)
        ratio = topological_charge_density(spin, torus) * 4 * math.pi
        assert torch.allclose(ratio, scalar_chirality(spin, torus) / 2, rtol=1e-4, atol=1e-12)

    def test_numpy_spins_are_welcome(self, torus):
        spin = random_spins(torus, replicas=2, seed=5)
        assert torch.equal(topological_charge(spin.numpy(), torus), topological_charge(spin, torus))

    @pytest.mark.parametrize("measure", [scalar_chirality, topological_charge, topological_charge_density])
    def test_refusals_teach(self, measure):
        with pytest.raises(ValueError, match=r"needs? a lattice with plaquettes"):
            measure(random_spins(random_sites(10)), random_sites(10))
        with pytest.raises(ValueError, match=r"shape \(B, 9, 3\) on this lattice, got \(9, 3\)"):
            measure(random_spins(square(3))[0], square(3))
        with pytest.raises(ValueError, match="pass the lattice the spins belong to"):
            measure(random_spins(square(4)), square(3))


class TestStructureFactor:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_sum_rule_and_direct_sum(self, torus, dtype):
        spin = random_spins(torus, replicas=3, seed=1, dtype=dtype)
        q, structure = structure_factor(spin, torus)
        assert q.shape == (torus.sites, 2) and structure.shape == (3, torus.sites)
        assert (structure.sum(1) - 1).abs().max() < SUM_RULE
        assert torch.allclose(structure, structure_factor(spin, torus, q)[1], atol=EXACT_DOUBLE)

    def test_it_is_the_textbook_sum(self):
        lattice, q = triangular(4, 5), np.array([[0.3, -1.1], [2.0, 0.7]])
        spin = random_spins(lattice, seed=2, dtype=torch.float64)
        wave = np.exp(1j * lattice.positions @ q.T)
        expected = np.square(np.abs(np.einsum("nc,nq->qc", spin[0].numpy(), wave) / lattice.sites)).sum(1)
        assert np.allclose(structure_factor(spin, lattice, q)[1][0].numpy(), expected, atol=EXACT_DOUBLE)

    def test_translation_and_rotation_leave_it_unchanged(self, torus):
        spin = random_spins(torus, replicas=2, seed=3, dtype=torch.float64)
        structure = structure_factor(spin, torus)[1]
        assert torch.allclose(structure_factor(shifted(spin, torus, 1, 2), torus)[1], structure, atol=EXACT_DOUBLE)
        assert torch.allclose(structure_factor(spin.roll(1, 2), torus)[1], structure, atol=EXACT_DOUBLE)

    def test_random_sites_take_a_direct_sum(self):
        lattice = random_sites(20)
        assert structure_factor(ferromagnet(lattice), lattice, np.zeros((1, 3)))[1].item() == pytest.approx(1)
        with pytest.raises(ValueError, match="square or triangular"):
            structure_factor(ferromagnet(lattice), lattice)
        with pytest.raises(ValueError, match=r"q must have shape \(Q, 3\)"):
            structure_factor(ferromagnet(lattice), lattice, np.zeros((1, 2)))

    def test_folding_gives_the_shortest_equivalent(self, torus):
        q = np.random.default_rng(1).normal(scale=20, size=(200, 2))
        folded, zone = fold_to_zone(q, torus), torus.brillouin_zone()
        steps = (q - folded) @ np.linalg.inv(zone.reciprocal)
        assert np.allclose(steps, np.round(steps), atol=1e-9)
        shells = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 2), -1).reshape(-1, 2) @ zone.reciprocal
        images = np.linalg.norm(folded[:, None] - shells, axis=-1).min(1)
        assert np.allclose(np.linalg.norm(folded, axis=1), images)

    def test_path_passes_its_points(self):
        lattice = triangular(6)
        path = zone_path(lattice, count=301)
        points = lattice.brillouin_zone().points
        for name, at in zip(path.names, path.corners, strict=True):
            nearest = path.q[np.abs(path.length - at).argmin()]
            assert np.linalg.norm(nearest - points[name]) < path.length[1]
        with pytest.raises(ValueError, match="points must be two or more of"):
            zone_path(square(6))

    def test_ring_average_of_a_crystal_peaks_at_its_wave_number(self):
        lattice = triangular(48)
        structure = structure_factor(skyrmion_crystal(lattice, 2), lattice)[1]
        radius, rings = ring_average(structure, lattice)
        assert abs(radius[rings[0].argmax()] - math.pi / 3) < 0.1


class TestCorrelations:
    def test_start_at_one_and_agree_with_the_pair_sum(self, torus):
        spin = random_spins(torus, replicas=2, seed=1, dtype=torch.float64)
        distance, correlation = spin_correlation(spin, torus)
        assert distance[0] == 0 and torch.allclose(correlation[:, 0], torch.ones(2, dtype=torch.float64))
        nearest = torus.bonds[torus.shells == 1] if min(torus.shape) > 3 else None
        if nearest is not None:
            pairs = (spin[:, nearest[:, 0]] * spin[:, nearest[:, 1]]).sum(-1).mean(1)
            assert distance[1] == pytest.approx(1) and torch.allclose(correlation[:, 1], pairs)

    def test_regular_and_binned_paths_agree_on_a_ferromagnet_and_on_random_sites(self):
        lattice = random_sites(60)
        distance, correlation = spin_correlation(ferromagnet(lattice), lattice)
        assert torch.allclose(correlation, torch.ones_like(correlation)) and (distance.diff() > 0).all()
        spin = random_spins(lattice, replicas=200, seed=2, dtype=torch.float64)
        distance, correlation = spin_correlation(spin, lattice, width=1.0)
        pairs = torch.histc(torch.as_tensor(lattice.distances), bins=1, min=0, max=1.0)
        mean, scatter = correlation[:, 1].mean(), math.sqrt(1 / 3 / pairs.item() / 200)
        assert correlation[:, 0].min() == pytest.approx(1) and abs(mean.item()) < SIGMAS * scatter

    def test_magnetization_and_torque(self):
        lattice = square(4)
        assert torch.equal(magnetization(ferromagnet(lattice), lattice), torch.tensor([[0.0, 0.0, 1.0]]))
        field = torch.tensor([0.3, 0.4, 7.0]).expand(1, 16, 3)
        assert torque(ferromagnet(lattice), field).item() == pytest.approx(0.5)


class TestDomains:
    @pytest.mark.parametrize("build", [square, triangular])
    def test_a_wave_has_its_wave_length(self, build):
        lattice = build(24)
        for index in (1, 3, 24, 2 * 24, 3 * 24):
            q = lattice.momenta()[index]
            field = torch.from_numpy(np.cos(lattice.positions @ q + 0.2))[None]
            expected = 2 * math.pi / np.linalg.norm(fold_to_zone(q, lattice))
            assert domain_length(field, lattice).item() == pytest.approx(expected)
            triangles = field.repeat_interleave(2, 1)
            assert domain_length(triangles, lattice).item() == pytest.approx(expected)

    def test_one_domain_fills_the_sample_and_noise_is_short(self):
        lattice = square(32)
        assert domain_length(torch.ones(1, 1024), lattice).item() == pytest.approx(32)
        noise = random_spins(lattice, seed=1)[..., 2]
        assert 2 < domain_length(noise, lattice).item() < 3
        biased = noise + 0.3
        assert domain_length(biased, lattice, subtract_mean=True).item() == pytest.approx(
            domain_length(noise - noise.mean(), lattice).item(), rel=1e-5
        )

    def test_length_grows_with_the_domains(self):
        lattice = square(48)
        lengths = []
        for size in (4, 8, 16):
            pattern = np.kron(np.random.default_rng(size).choice([-1.0, 1.0], (48 // size,) * 2), np.ones((size,) * 2))
            lengths.append(domain_length(pattern.reshape(1, -1), lattice).item())
        assert 1.4 < lengths[1] / lengths[0] < 2.6 and 1.4 < lengths[2] / lengths[1] < 2.6

    def test_crystal_peaks_sharpen_with_order(self):
        lattice, q = triangular(48), (math.pi / 3, 0.0)
        crystal = skyrmion_crystal(lattice, 2, dtype=torch.float64)
        shaken, random = perturbed(crystal, 1.0), random_spins(lattice, seed=1, dtype=torch.float64)
        lengths = [peak_length(s, lattice, q).item() for s in (crystal, shaken, random)]
        orders = [peak_order(s, lattice, q).item() for s in (crystal, shaken, random)]
        assert lengths[0] > 2 * lengths[1] > 2 * lengths[2] and orders[0] > orders[1] > 20 * orders[2]
        assert peak_length(crystal, lattice).item() == pytest.approx(lengths[0])  # the peak is found
        mixture = peak_length(torch.cat([crystal, crystal.roll(1, 2)]), lattice, q)
        assert torch.allclose(mixture, mixture[:1].expand(2))

    def test_clusters_of_a_known_pattern(self):
        lattice = square(6, shells=2)
        rows = ["##...#", "......", "..#...", "..##..", "......", "#....."]
        members = np.array([[c == "#" for c in "".join(rows)], [True] * 36, [False] * 36])
        labels = clusters(members, lattice)
        assert [sizes.tolist() for sizes in cluster_sizes(labels)] == [[4, 3], [36], []]  # edges are periodic
        assert labels[0, 0] == labels[0, 5] == labels[0, 30] == 0 and labels[0, 14] == 14 and labels[0, 2] == -1
        assert mean_cluster_size(labels).tolist() == [3.5, 36.0, 0.0]

    def test_clusters_agree_with_a_flood_fill(self):
        lattice = triangular(9, 7)
        members = np.random.default_rng(4).random((20, lattice.sites)) < 0.5
        near = [[] for _ in range(lattice.sites)]
        for i, j in lattice.bonds[lattice.shells == 1]:
            near[i].append(j)
            near[j].append(i)
        for mask, labels in zip(members, clusters(members, lattice), strict=True):
            expected = np.full(lattice.sites, -1)
            for start in np.flatnonzero(mask):
                stack = [start] if expected[start] < 0 else []
                while stack:
                    site = stack.pop()
                    if mask[site] and expected[site] < 0:
                        expected[site] = start
                        stack += near[site]
            assert np.array_equal(labels, expected)

    def test_ferromagnetic_clusters_see_puddles(self):
        lattice = square(8)
        sign = (-1.0) ** lattice.cells.sum(1)
        spin = np.zeros((1, 64, 3))
        spin[0, :, 2] = sign
        puddle = [9, 10, 11, 17, 18, 19]
        spin[0, puddle, 2] = 1.0
        labels = ferromagnetic_clusters(spin, lattice)
        sizes = cluster_sizes(labels)[0]
        assert len(sizes) == 1 and len(set(labels[0, puddle])) == 1
        assert mean_cluster_size(ferromagnetic_clusters(ferromagnet(lattice), lattice)).tolist() == [64.0]

    def test_power_law_recovers_its_exponent_in_sigma(self):
        x, random = np.geomspace(1, 1000, 40), np.random.default_rng(8)
        sigma = 0.03 * x**0.5
        deviations = []
        for _ in range(200):
            y = 2.5 * x**0.5 + sigma * random.standard_normal(40)
            fits = power_law_fit(x, y, errors=sigma), power_law_fit(x, y)
            deviations.append([(f.exponent - 0.5) / f.uncertainty for f in fits])
        deviations = np.array(deviations)
        assert (np.abs(deviations.mean(0)) < SIGMAS / math.sqrt(200)).all()
        assert (np.abs(deviations.std(0) - 1) < SIGMAS / math.sqrt(400) + 0.03).all()  # the quoted error is the scatter

    def test_power_law_uses_its_window(self):
        x = np.arange(0.0, 50.0)
        y = np.where(x < 10, 1.0, 3 * x)
        fit = power_law_fit(x, y, window=(10, 40))
        assert fit.exponent == pytest.approx(1) and fit.prefactor == pytest.approx(3) and fit.points == 31
        with pytest.raises(ValueError, match="at least 3 points"):
            power_law_fit(x, y, window=(10, 11))
        with pytest.raises(ValueError, match="positive, finite x"):
            power_law_fit(x, y)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: domain_length(torch.ones(1, 5), square(4)), "field must have shape"),
            (lambda: domain_length(torch.ones(1, 10), random_sites(10)), "square or triangular"),
            (lambda: clusters(np.ones((1, 16)), square(4)), "booleans"),
            (lambda: clusters(np.ones((1, 10), bool), random_sites(10)), "regular lattice"),
            (lambda: peak_length(random_spins(square(4)), square(4), (1.0, 2.0, 3.0)), "one momentum"),
        ],
    )
    def test_refusals_teach(self, call, message):
        with pytest.raises(ValueError, match=message):
            call()


class TestHall:
    @pytest.mark.parametrize("handedness", [1, -1])
    def test_tetrahedral_order_is_a_chern_insulator(self, handedness):
        lattice = triangular(4, shells=1)
        model = SDModel(lattice, hopping={1: 1.0}, coupling=3.0)
        spin = tetrahedral(lattice, handedness)
        sigma = hall_conductivity(model, spin, [-8.0, -3.305, 9.0], (6, 6))
        expected = torch.tensor([[0.0, -handedness, 0.0]], dtype=torch.float64)
        assert torch.allclose(sigma, expected, atol=HALL_TETRAHEDRAL)

    def test_more_twists_act_like_a_larger_lattice(self):
        small, large = triangular(4, shells=1), triangular(8, shells=1)
        values = []
        for lattice, twists in ((small, (4, 4)), (large, (2, 2))):
            model = SDModel(lattice, {1: 1.0}, 3.0)
            values.append(hall_conductivity(model, tetrahedral(lattice), [-3.305, -4.5], twists, temperature=0.1))
        assert torch.allclose(values[0], values[1], atol=1e-8)

    def test_translation_rotation_and_reversal(self):
        lattice = triangular(4, 3, shells=1)
        model = SDModel(lattice, {1: 1.0}, 3.0)
        spin = perturbed(tetrahedral(triangular(4)), 0.3, 1)[:, :12].double()
        spin = spin / torch.linalg.vector_norm(spin, dim=-1, keepdim=True)
        stack = torch.cat([spin, shifted(spin, lattice, 1, 2), spin.roll(1, 2), -spin])
        sigma = hall_conductivity(model, stack, [-3.0, 0.5], (2, 3), temperature=0.3)
        assert sigma.shape == (4, 2) and sigma[0].abs().max() > 0.01
        for other, sign in ((1, 1), (2, 1), (3, -1)):
            assert torch.allclose(sigma[other], sign * sigma[0], atol=1e-8)

    def test_refusals_teach(self):
        lattice = triangular(4, shells=1)
        with pytest.raises(ValueError, match="use an SDModel"):
            hall_conductivity(HeisenbergModel(lattice, {1: 1.0}), random_spins(lattice), [0.0])
        model = SDModel(lattice, {1: 1.0}, 3.0)
        with pytest.raises(ValueError, match="temperature must be a number >= 0"):
            hall_conductivity(model, random_spins(lattice), [0.0], temperature=-1.0)
        with pytest.raises(ValueError, match="chemical_potentials must be finite"):
            hall_conductivity(model, random_spins(lattice), [math.nan])
        glass = SDModel(random_sites(10), lambda r: np.exp(-r), 1.0)
        with pytest.raises(ValueError, match="two-dimensional"):
            hall_conductivity(glass, random_spins(random_sites(10)), [0.0])


def test_single_precision_agrees_with_double(torus):
    spin = random_spins(torus, replicas=2, seed=9, dtype=torch.float64)
    single = spin.float()
    for measure in (scalar_chirality, topological_charge_density, magnetization):
        assert torch.allclose(measure(single, torus).double(), measure(spin, torus), atol=EXACT_SINGLE, rtol=1e-4)
