"""Exact diagonalization on half of the twists where h has a particle-hole symmetry, against the dense sum over all."""

from __future__ import annotations

import pytest
import torch

import engine
from engine.electrons import exact
from engine.electrons.twists import twist_mesh
from tests import tolerances
from tests.catalogue import ENSEMBLES, random_state

SQUARE = {"square-4": lambda: engine.square(4), "square-4x6": lambda: engine.square(4, 6)}


@pytest.mark.parametrize("mesh", [(1, 1), (2, 2), (3, 3), (1, 2)])
@pytest.mark.parametrize("name", SQUARE)
def test_half_the_twists_give_all(name: str, mesh: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    lattice, done = SQUARE[name](), []
    matrix = engine.SDModel(lattice, {1: 1.0}, 3.5).matrix(random_state(lattice, replicas=2).spin)
    thetas = twist_mesh(mesh, 2, torch.float64, torch.device("cpu"))
    levels, vectors = torch.linalg.eigh(torch.stack([matrix.to_dense(tuple(theta.tolist())) for theta in thetas], 1))
    diagonalize = exact._diagonalize
    monkeypatch.setattr(exact, "_diagonalize", lambda *a: (found := diagonalize(*a), done.append(found[0].shape[1]))[0])
    for ensemble in (*ENSEMBLES.values(), engine.Ensemble(0.0, filling=0.4375)):
        done.clear()
        electrons = engine.ExactDiagonalization(mesh).solve(matrix, ensemble)
        assert sum(done) == (len(thetas) + 1) // 2
        occupied = occupation_of(levels, electrons.chemical_potential, ensemble)
        density = (vectors * occupied[..., None, :]) @ vectors.mH
        blocks = density.mean(1).unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).transpose(2, 3)
        sites = torch.arange(lattice.sites)
        torch.testing.assert_close(electrons.onsite, blocks[:, sites, sites], rtol=0, atol=tolerances.ROUNDING)
        number = occupied.sum((1, 2)) / len(thetas)
        torch.testing.assert_close(electrons.number, number, rtol=0, atol=tolerances.ROUNDING)


def occupation_of(levels: torch.Tensor, mu: torch.Tensor, ensemble: engine.Ensemble) -> torch.Tensor:
    """Fermi function of levels (B, K, n)."""
    shifted = levels - mu[:, None, None]
    return (shifted < 0).double() if ensemble.temperature == 0 else torch.sigmoid(-shifted / ensemble.temperature)


def test_force_and_bonds_are_those_of_all_twists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces that fit in little memory too."""
    lattice = engine.square(4)
    matrix = engine.SDModel(lattice, {1: 1.0}, 3.5).matrix(random_state(lattice, replicas=2).spin)
    ensemble, memory = ENSEMBLES["fixed-filling"], 6 * 32**2 * 16 + 18 * 32**2 * 16
    half, pieces = (engine.ExactDiagonalization((3, 3), memory=m).solve(matrix, ensemble) for m in (2**30, memory))
    monkeypatch.setattr(exact, "_has_particle_hole", lambda matrix: False)
    full = engine.ExactDiagonalization((3, 3)).solve(matrix, ensemble)
    energies = torch.linspace(-8, 8, 30, dtype=torch.float64)
    for found in (half, pieces):
        for array in ("energy", "number", "chemical_potential", "onsite", "bond_density"):
            torch.testing.assert_close(getattr(found, array), getattr(full, array), rtol=0, atol=tolerances.ROUNDING)
        spectra = (electrons.density_of_states(energies) for electrons in (found, full))
        torch.testing.assert_close(*spectra, rtol=0, atol=tolerances.ROUNDING)


@pytest.mark.parametrize(
    ("lattice", "hopping"),
    [(engine.square(4), {1: 1.0, 2: 0.2}), (engine.square(3, 4), {1: 1.0}), (engine.triangular(4), {1: 1.0})],
)
def test_lattices_without_two_sublattices_are_told(lattice: engine.Lattice, hopping: dict[int, float]) -> None:
    matrix = engine.SDModel(lattice, hopping, 3.5).matrix(random_state(lattice).spin)
    assert not exact._has_particle_hole(matrix)


def test_a_potential_breaks_the_symmetry() -> None:
    lattice = engine.square(4)
    matrix = engine.SDModel(lattice, {1: 1.0}, 3.5).matrix(random_state(lattice).spin)
    shifted = engine.BlockMatrix(matrix.onsite + 0.1 * torch.eye(2), matrix.bond, lattice)
    assert exact._has_particle_hole(matrix) and not exact._has_particle_hole(shifted)
