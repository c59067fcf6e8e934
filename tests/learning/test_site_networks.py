"""Networks on sites anywhere: symmetry functions against their definition, exact limits, symmetries, wrong input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import engine
from engine import Lattice, Noise, Simulation, SpinState, random_sites, texture
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.dynamics import SemiImplicitLLG
from engine.learnable import source
from engine.learning.dataset import Records
from engine.learning.descriptors.acsf import SymmetryFunctions
from engine.learning.evaluate import random_spins, symmetry_errors
from engine.learning.force import LearnedForce
from engine.learning.network import Network, field_and_energy
from engine.learning.sites import separations
from engine.learning.train import epsilon, initial_network
from spinviz.cli import main
from tests.tolerances import ROUNDING, SITE_EPSILON

SHAPE = (40, 3)


def made(name: str) -> Network:
    """A network with weights that matter, in double precision."""
    extra = {"coupling": 6.0} if name == "medium" else {"hidden": [8]}
    network = initial_network(name, {"kind": "random_sites", **extra}, 0).double()
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter.copy_(
                0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)).double()
            )
    return network


def records(seed: int, count: int) -> Records:
    what = source("spin_glass", (1, 1), (40, seed))
    lattice = what.lattice((40, seed))
    spin = texture("random", lattice, replicas=count, seed=100 + seed)
    response = what.exact(lattice)(SpinState(spin))
    assert response.energy is not None
    kind, block = torch.zeros(count, dtype=torch.int32), torch.arange(count)
    return Records((40, seed), spin, response.force, response.energy, kind, block, ["{}"] * count)


def test_symmetry_functions_are_their_definition() -> None:
    """G2m, G3m and G3chi of one site as sums over neighbours written out; 450 features."""
    functions, lattice = SymmetryFunctions(), random_sites(SHAPE[0], seed=SHAPE[1])
    spin = random_spins(1, lattice.sites, 1).double()
    table = {k: v.double() if v.is_floating_point() else v for k, v in functions.table(lattice).items()}
    features = functions(spin, table)[0].numpy()
    assert features.shape == (40, 450)
    apart, S, site = separations(lattice), spin[0].numpy(), 5
    R = np.linalg.norm(apart, axis=-1)

    def shell(distance: float, centre: float, width: float) -> float:
        soft = 0.5 * (1 + np.cos(np.pi * distance / 2.5)) if distance <= 2.5 else 0.0
        return float(np.exp(-(((distance - centre) / width) ** 2)) * soft)

    others = [j for j in range(40) if j != site]
    for number in (10, 25, 40):
        d = np.linspace(0.5, 2.46, 50)[number]
        pair = sum(shell(R[site, j], d, 0.05) * S[site] @ S[j] for j in others)
        even, odd = np.zeros((2, 2)), np.zeros((2, 2))
        for j in others:
            for k in others:
                if R[site, j] < R[site, k]:
                    cosine = apart[site, j] @ apart[site, k] / R[site, j] / R[site, k]
                    radial = shell(R[site, j], d, 0.05) * shell(R[site, k], d, 0.05)
                    weight = np.array([[radial * shell(R[j, k], p, 1.0) * (1 + s * cosine) for s in (1, -1)]
                                       for p in (1.0, 2.0)])  # fmt: skip
                    even += weight * (S[j] @ S[k])
                    odd += weight * (S[site] @ np.cross(S[j], S[k]))
        expected = np.concatenate([[pair], even.ravel(), odd.ravel()])
        columns = [number, *range(50 + 4 * number, 54 + 4 * number), *range(250 + 4 * number, 254 + 4 * number)]
        assert np.abs(features[site, columns] - expected).max() < 1e-3  # Gaussians below 1e-4 are left out


def test_a_checkpoint_knows_the_sites_of_a_network(tmp_path: Path) -> None:
    """Also those that are not a realization of the preset."""
    sites = random_sites(20, seed=4, minimum_distance=0.3)
    force = LearnedForce(network := made("medium"), {}, network.place(sites))
    start = Simulation(
        SpinState(texture("random", sites)), force, SemiImplicitLLG(damping=0.1, time_step=0.1), Noise([0])
    )
    save_checkpoint(tmp_path / "run.safetensors", start.advance(2))
    again = load_checkpoint(tmp_path / "run.safetensors")
    assert torch.equal(again.advance(2).state.spin, start.advance(4).state.spin)


@pytest.mark.parametrize("name", ["acsf", "medium"])
def test_fields_are_gradients_and_symmetries_hold(name: str) -> None:
    network, spin = made(name), random_spins(1, 40, 2).double()
    field = field_and_energy(network, spin, SHAPE)[0]
    step, direction = 1e-5, torch.randn(spin.shape, generator=torch.Generator().manual_seed(4)).double()
    change = network(spin + step * direction, SHAPE) - network(spin - step * direction, SHAPE)
    assert float(-change.detach() / (2 * step)) == pytest.approx(float((field * direction).sum()), rel=1e-6)
    errors = symmetry_errors(network, spin, SHAPE)
    assert errors["rotation"] < ROUNDING and set(errors) == {"rotation", "time_reversal"}
    assert (errors["time_reversal"] < ROUNDING) == (name == "medium")  # G3chi is odd


@pytest.mark.parametrize("name", ["acsf", "medium"])
def test_numbering_and_place_of_the_sites_mean_nothing(name: str) -> None:
    """The same sites in another order and shifted through the box: energies agree."""
    network, lattice = made(name), random_sites(*SHAPE[:1], seed=SHAPE[1])
    order = np.random.default_rng(0).permutation(40)
    box = np.diag(lattice.periods)
    moved = Lattice(
        kind="random_sites", shape=(40,), positions=(lattice.positions[order] + 0.3 * box) % box, bonds=lattice.bonds,
        displacements=lattice.displacements, shells=lattice.shells, wraps=lattice.wraps,
        plaquettes=lattice.plaquettes, periods=lattice.periods, options={"n": 40, "seed": 0},
    )  # fmt: skip
    spin = random_spins(1, 40, 2).double()
    shape = network.place(moved)
    assert shape == (40, -1) and network.place(moved) == shape and network.place(lattice) == SHAPE
    here, there = network(spin, SHAPE), network(spin[:, order], shape)
    torch.testing.assert_close(here, there, rtol=ROUNDING, atol=ROUNDING)


def test_the_medium_fits_exact_forces_of_sites_it_has_not_seen() -> None:
    network = initial_network("medium", {"kind": "random_sites", "coupling": 6.0}, 0)
    network.initialise([records(seed, 8) for seed in range(3)])
    assert epsilon(network, [records(9, 4)]) < SITE_EPSILON


def test_wrong_input_is_refused() -> None:
    network = made("medium")
    with pytest.raises(ValueError, match="kind random_sites, got 'square'"):
        initial_network("acsf", {"kind": "square"}, 0)
    with pytest.raises(ValueError, match="must be positive"):
        initial_network("medium", {"kind": "random_sites", "coupling": -1.0}, 0)
    with pytest.raises(ValueError, match="say which lattice"):
        LearnedForce(network, {})(SpinState(random_spins(1, 36, 0)))
    with pytest.raises(ValueError, match="has 30 sites"):
        LearnedForce(network, {}, SHAPE)(SpinState(random_spins(1, 30, 0)))
    with pytest.raises(ValueError, match="are not known here"):
        network.lattice((40, -7))


def test_realizations_are_labelled_and_learned(tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    label = "dataset spin_glass --size 12 --realizations 4:6 --mix random=1 --count 24 --out sites.h5"
    assert main(label.split()) == 0
    learn = "train spin_glass --network medium --data sites.h5 --steps 2 --batch 2 --rate 1e-5 --out net.safetensors"
    assert main(learn.split()) == 0
    force = engine.load_force("net.safetensors", random_sites(12, seed=5))
    assert force(SpinState(random_spins(1, 12, 0))).energy is not None
    report = "evaluate net.safetensors --data sites.h5 --size 12 --out report.json --plots plots"
    textures = "dataset spin_glass --mix texture=1 --count 1 --out bad.h5"
    regular = "dataset skyrmion --realizations 0:2 --count 1 --out bad.h5"
    assert [main(words.split()) for words in (report, textures, regular)] == [0, 2, 2]
    assert "textures need a regular lattice" in capsys.readouterr().err
