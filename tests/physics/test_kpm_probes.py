"""Coloured probes: distance as a parameter, and phases that leave the estimate as symmetric as the electrons."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import engine
from engine.electrons.probes import colouring
from tests import tolerances
from tests.catalogue import electronic_model, random_state, rotation

ENSEMBLE = engine.Ensemble(0.1, chemical_potential=-1.0)


def spin_density(spin: torch.Tensor, lattice: engine.Lattice, probes: object, coupling: float = 0.8) -> torch.Tensor:
    matrix = electronic_model(lattice, coupling).matrix(spin)
    return engine.KernelPolynomial(48, probes).solve(matrix, ENSEMBLE).spin_density


def test_covariant_probes_turn_with_the_spins() -> None:
    lattice, turn = engine.triangular(6), rotation()
    state = random_state(lattice)
    for covariant in (True, False):
        probes = engine.Coloured(8, covariant=covariant)
        before = spin_density(state.spin, lattice, probes)
        after = spin_density(state.spin @ turn.T, lattice, probes)
        close = torch.allclose(after, before @ turn.T, rtol=0, atol=tolerances.SYMMETRY)
        assert close == covariant


def test_covariant_probes_make_no_spin_out_of_nothing() -> None:
    """Free electrons carry no spin: with these probes not even in one estimate; nor do the torques turn the whole."""
    lattice = engine.triangular(6)
    spin = random_state(lattice).spin
    assert spin_density(spin, lattice, engine.Coloured(8, covariant=True), 0.0).abs().max() < tolerances.ROUNDING
    assert spin_density(spin, lattice, engine.Coloured(8), 0.0).abs().max() > 1e-2
    torque = torch.linalg.cross(spin, spin_density(spin, lattice, engine.Coloured(8, covariant=True)))
    assert torque.norm(dim=2).mean() > 1e-2
    assert torque.sum(1).abs().max() < tolerances.ROUNDING


def test_covariant_probes_are_unbiased_and_quieter() -> None:
    lattice = engine.triangular(6)
    spin = random_state(lattice).spin
    exact = spin_density(spin, lattice, "identity")
    rms = {}
    for covariant in (True, False):
        draws = torch.stack([spin_density(spin, lattice, engine.Coloured(18, k, 1, covariant)) for k in range(60)])
        deviation = (draws.mean(0) - exact) / (draws.std(0) / math.sqrt(len(draws)))
        assert float((deviation**2).mean()) == pytest.approx(1.0, abs=tolerances.CHI_SQUARE)
        rms[covariant] = float((draws - exact).norm())
    assert rms[True] < 0.8 * rms[False]


@pytest.mark.parametrize(
    ("few", "many"),
    [
        (engine.RandomPhase(8, draws=1), engine.RandomPhase(32, draws=1)),
        (engine.RandomPhase(8, draws=1), engine.RandomPhase(32, draws=4)),
        (engine.Coloured(8), engine.Coloured(32, draws=4)),
        (engine.Coloured(8, covariant=True), engine.Coloured(32, draws=4, covariant=True)),
    ],
)
def test_variance_falls_as_one_over_the_columns(few: engine.Probes, many: engine.Probes) -> None:
    """Four times the columns of one kind, a quarter of the variance; a finer colouring does better."""
    lattice = engine.triangular(6)
    matrix = electronic_model(lattice).matrix(random_state(lattice).spin)

    def variance(probes: engine.Probes) -> float:
        solver = engine.KernelPolynomial(48, probes)
        draws = torch.stack([solver.solve(matrix, ENSEMBLE, step).spin_density[0] for step in range(60)])
        return float(draws.var(0).sum())

    assert variance(few) / variance(many) == pytest.approx(4, rel=tolerances.VARIANCE)


@pytest.mark.parametrize("make", [engine.triangular, engine.square])
def test_distance_as_a_parameter(make) -> None:
    lattice, columns = make(12), []
    for distance in (1.0, 2.0, 3.0, 4.0, 6.0):
        probes = engine.Coloured.at_distance(lattice, distance, covariant=True)
        columns.append(probes.count)
        colour = colouring(lattice, probes.count // 2)
        first, second = np.nonzero((colour[:, None] == colour) & ~np.eye(144, dtype=bool))
        offsets = (lattice.positions[first] - lattice.positions[second]) @ np.linalg.inv(lattice.periods)
        lengths = np.linalg.norm((offsets - np.round(offsets)) @ lattice.periods, axis=1)
        assert lengths.min() >= distance - 1e-9
    assert columns == sorted(columns)
    assert engine.Coloured.at_distance(lattice, 100.0).count == 2 * lattice.sites  # every site alone: exact
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="distance > 0"):
            engine.Coloured.at_distance(lattice, wrong)
    with pytest.raises(ValueError, match="random_sites"):
        engine.Coloured.at_distance(engine.random_sites(10), 1.0)
