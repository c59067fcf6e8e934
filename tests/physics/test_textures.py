"""Textures: unit spins, charges, peaks, seeds, and refusals."""

import math

import numpy as np
import pytest
import torch

from engine.lattice import random_sites, square, triangular
from engine.observables import scalar_chirality, structure_factor, topological_charge
from engine.textures import (
    TEXTURES,
    antiferromagnet,
    domain_wall,
    ferromagnet,
    helix,
    neel_120,
    perturbed,
    random_spins,
    single_skyrmion,
    skyrmion_crystal,
    stripe,
    tetrahedral,
    texture,
)
from tests.tolerances import EXACT_DOUBLE, EXACT_SINGLE, INTEGER_CHARGE, SIGMAS

LATTICES = {"square": square(12), "triangular": triangular(12)}
ELSEWHERE = {"antiferromagnet": "square", "neel_120": "triangular", "tetrahedral": "triangular"}
ELSEWHERE |= {"skyrmion_crystal": "triangular"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", TEXTURES)
def test_every_texture_is_made_of_unit_spins(name, dtype):
    lattice = LATTICES[ELSEWHERE.get(name, "square")]
    options = {"radius": 2.0} if name == "single_skyrmion" else {}
    spin = texture(name, lattice, replicas=3, seed=5, dtype=dtype, **options)
    assert spin.shape == (3, lattice.sites, 3) and spin.dtype == dtype and spin.is_contiguous()
    assert (torch.linalg.vector_norm(spin, dim=-1) - 1).abs().max() < EXACT_SINGLE
    assert TEXTURES[name].title


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_a_texture_of_another_lattice_is_refused(name):
    wrong = "square" if ELSEWHERE[name] == "triangular" else "triangular"
    with pytest.raises(ValueError, match=f"{name} lives on the {ELSEWHERE[name]} lattice"):
        texture(name, LATTICES[wrong])


def test_replicas_do_not_depend_on_how_many_there_are():
    lattice = LATTICES["square"]
    many, one = random_spins(lattice, replicas=3, seed=7), random_spins(lattice, seed=9)
    assert torch.equal(many[2:], one)
    assert not torch.equal(many[0], many[1])
    shaken = perturbed(ferromagnet(lattice, replicas=3), 0.3, seed=7)
    assert torch.equal(shaken[2:], perturbed(ferromagnet(lattice), 0.3, seed=9))
    assert torch.equal(texture("random", lattice, seed=9), one)


def test_random_spins_are_uniform_on_the_sphere():
    spin = random_spins(square(64), seed=1, dtype=torch.float64)[0]
    count = len(spin)
    assert (spin.mean(0).abs() < SIGMAS * math.sqrt(1 / 3 / count)).all()  # <S_a^2> = 1/3
    fourth = spin.pow(4).mean(0)  # <S_a^4> = 1/5, variance 1/9 - 1/25
    assert ((fourth - 0.2).abs() < SIGMAS * math.sqrt((1 / 9 - 1 / 25) / count)).all()


@pytest.mark.parametrize("size", [12, 24])
@pytest.mark.parametrize("n_sk", [1, 2])
def test_skyrmion_crystal_has_its_charge_in_every_cell_and_six_peaks(n_sk, size):
    lattice = triangular(size)
    spin = skyrmion_crystal(lattice, n_sk, dtype=torch.float64)
    assert abs(topological_charge(spin, lattice).item() + n_sk * lattice.sites / 48) < INTEGER_CHARGE
    turns = math.pi / 3 * np.exp(2j * np.pi * np.array([0, 1, 2]) / 3)
    peaks = structure_factor(spin, lattice, np.stack([turns.real, turns.imag], 1))[1]
    assert (peaks > 0.1).all() and torch.allclose(peaks, peaks[:, :1].expand_as(peaks), rtol=0.15)


def test_state_without_charge_has_two_waves_across_the_field_and_one_along_it():
    lattice = triangular(12)
    spin = skyrmion_crystal(lattice, 0, dtype=torch.float64)
    assert abs(topological_charge(spin, lattice).item()) < INTEGER_CHARGE and spin[..., 2].min() > 0
    waves = [math.pi / 3 * np.array([math.cos(a), math.sin(a)]) for a in (0, 2 * math.pi / 3, -2 * math.pi / 3)]
    phase = torch.from_numpy(np.exp(1j * lattice.positions @ np.array(waves).T))
    weight = (torch.einsum("ia,iq->aq", spin[0].to(phase.dtype), phase) / lattice.sites).abs() ** 2  # (component, wave)
    assert (weight.diagonal() > 0.01).all()
    # half a cell further S_x and S_y have changed sign and S_z has not: unit length mixes x with y, never with z
    assert torch.cat([weight[:2, 2], weight[2, :2]]).max() < 1e-20 and max(weight[0, 1], weight[1, 0]) < 2e-3


def test_crystal_that_does_not_fit_names_one_that_does():
    with pytest.raises(ValueError, match="multiples of 12"):
        skyrmion_crystal(triangular(10))
    spin = skyrmion_crystal(triangular(10), wave_number=4 * math.pi / 10)
    assert abs(topological_charge(spin, triangular(10)).item() + 3) < INTEGER_CHARGE
    with pytest.raises(ValueError, match="n_sk must be 0, 1 or 2"):
        skyrmion_crystal(triangular(12), 3)


@pytest.mark.parametrize("polarity", [-1, 1])
@pytest.mark.parametrize("vorticity", [-2, -1, 1, 2])
@pytest.mark.parametrize("build", [square, triangular])
def test_single_skyrmion_carries_polarity_times_vorticity(build, vorticity, polarity):
    lattice = build(17)
    for radius in (2.0, 2.7, 3.6):
        for centre in (None, (0.0, 0.0), (1.3, 14.2)):
            spin = single_skyrmion(lattice, radius, 0.4, vorticity, centre, polarity)
            assert abs(topological_charge(spin, lattice).item() - polarity * vorticity) < INTEGER_CHARGE


def test_single_skyrmion_has_its_radius_and_helicity():
    lattice = square(32)
    neel, bloch = (single_skyrmion(lattice, 5.0, h, centre=(16.0, 16.0))[0].view(32, 32, 3) for h in (0.0, math.pi / 2))
    assert neel[16, 16, 2] == -1 and neel[0, 0, 2] == 1
    at_radius = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    assert torch.allclose(neel[21, 16], at_radius[0], atol=EXACT_SINGLE)
    assert torch.allclose(bloch[21, 16], at_radius[1], atol=EXACT_SINGLE)
    with pytest.raises(ValueError, match="radius must lie between"):
        single_skyrmion(lattice, 9.0)


@pytest.mark.parametrize("handedness", [1, -1])
def test_tetrahedral_order(handedness):
    lattice = triangular(6, 8)
    spin = tetrahedral(lattice, handedness, dtype=torch.float64)
    expected = torch.full((1, 2 * lattice.sites), handedness * 4 / (3 * math.sqrt(3)), dtype=torch.float64)
    assert torch.allclose(scalar_chirality(spin, lattice), expected, atol=EXACT_DOUBLE)
    charge = topological_charge(spin, lattice).item()  # solid angle pi, a quarter of 4 pi, on each triangle
    assert abs(charge - handedness * 2 * lattice.sites / 4) < INTEGER_CHARGE
    at_m = structure_factor(spin, lattice, lattice.brillouin_zone().equivalents["M"])[1]
    assert torch.allclose(at_m, torch.full_like(at_m, 1 / 3), atol=EXACT_DOUBLE)


def test_waves_have_a_single_peak():
    lattice = triangular(12)
    for spin, point in ((neel_120(lattice), "K"), (stripe(lattice), "M")):
        weight = structure_factor(spin, lattice, lattice.brillouin_zone().points[point][None])[1].item()
        assert weight == pytest.approx({"K": 0.5, "M": 1.0}[point], abs=EXACT_SINGLE)
    q = lattice.momenta()[[17]]
    spin = helix(lattice, q[0], normal=(1.0, 2.0, -0.5), phase=0.3, dtype=torch.float64)
    assert structure_factor(spin, lattice, np.concatenate([q, -q]))[1].sum().item() == pytest.approx(
        1, abs=EXACT_DOUBLE
    )
    normal = torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64)
    assert (spin @ normal).abs().max() < EXACT_DOUBLE
    chequered = antiferromagnet(square(6))
    assert structure_factor(chequered, square(6), np.array([[np.pi, np.pi]]))[1].item() == pytest.approx(1)


def test_helix_turns_about_its_normal_along_q():
    lattice = square(8)
    spin = helix(lattice, lattice.brillouin_zone().reciprocal[0] / 8, dtype=torch.float64)[0].view(8, 8, 3)
    turn = torch.linalg.cross(spin[0, 0], spin[1, 0])
    assert torch.allclose(turn, torch.tensor([0.0, 0.0, math.sin(math.pi / 4)], dtype=torch.float64))


def test_domain_walls_come_in_pairs():
    spin = domain_wall(square(16, 4), width=1.0)[0].view(16, 4, 3)
    signs = torch.sign(spin[:, 0, 2])
    assert (signs != signs.roll(1)).sum() == 2 and abs(spin[..., 2].sum()) < 1e-4


def test_perturbation_keeps_lengths_and_grows_with_its_amount():
    spin = ferromagnet(square(32), dtype=torch.float64)
    assert torch.equal(perturbed(spin, 0.0), spin)
    tilt = [perturbed(spin, amount, 3)[..., :2].square().sum(-1).mean().item() for amount in (0.01, 0.1)]
    assert tilt[0] == pytest.approx(2e-4, rel=SIGMAS / math.sqrt(1024)) and tilt[1] > 50 * tilt[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: texture("skyrmion", square(4)), "unknown texture 'skyrmion'; known: random"),
        (lambda: helix(square(8), (1.0, 0.0)), "does not fit the 8 x 8 square lattice"),
        (lambda: helix(square(8), (1.0, 0.0, 0.0)), "two numbers"),
        (lambda: tetrahedral(triangular(5)), "does not fit"),
        (lambda: tetrahedral(triangular(4), 2), "handedness must be 1 or -1"),
        (lambda: neel_120(triangular(4)), "does not fit"),
        (lambda: ferromagnet(square(4), (0.0, 0.0, 0.0)), "not all zero"),
        (lambda: ferromagnet(square(4), replicas=0), "replicas must be an integer >= 1"),
        (lambda: random_spins(square(4), replicas=0), "replicas must be an integer >= 1"),
        (lambda: perturbed(ferromagnet(square(4)), -0.1), "amount must be a number >= 0"),
        (lambda: domain_wall(square(4), 0.0), "width must be a positive length"),
        (lambda: stripe(random_sites(10)), "needs a square or triangular lattice"),
        (lambda: single_skyrmion(square(32), vorticity=0), "vorticity an integer but 0"),
        (lambda: skyrmion_crystal(triangular(12), amplitude=0.0, magnetization=math.nan), "not finite"),
    ],
)
def test_refusals_teach(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_random_angles_are_uniform_in_the_polar_angle() -> None:
    """<cos^2 theta> is 1/2 for a uniform polar angle, 1/3 for uniform points on the sphere; variance of cos^2 is 1/8."""
    spin = texture("random_angles", square(40), dtype=torch.float64)
    deviation = (float((spin[..., 2] ** 2).mean()) - 0.5) / (0.125 / 1600) ** 0.5
    assert abs(deviation) < SIGMAS
