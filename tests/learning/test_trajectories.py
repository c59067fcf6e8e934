"""Comparisons of dynamics: a force compared with itself, with a weaker one, and without damping."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import engine
from engine.dynamics import SemiImplicitLLG
from engine.learning.trajectories import RINGS, energy_drift, ring_of, same_starts

LATTICE = engine.triangular(6, 6)
EXCHANGE = engine.ClassicalForce(engine.HeisenbergModel(LATTICE, {1: 1.0}))
WEAKER = engine.ClassicalForce(engine.HeisenbergModel(LATTICE, {1: 0.2}))
DAMPED = SemiImplicitLLG(damping=0.5, time_step=0.1)


def test_a_force_agrees_with_itself() -> None:
    found = same_starts(EXCHANGE, EXCHANGE, LATTICE, (0, 5, 10), 4, DAMPED)
    assert found["rms_of_difference_over_error"] == 0 and found["relative_difference"] == 0
    assert np.allclose(np.sum(found["learned"], 1), 1)  # sum rule of S(q), ring by ring


def test_another_force_is_told_apart() -> None:
    found = same_starts(WEAKER, EXCHANGE, LATTICE, (0, 20), 16, DAMPED)
    assert found["learned"][0] == found["exact"][0]
    assert found["largest_difference_over_error"] > 5


def test_undamped_energy_stays() -> None:
    coarse, fine = (energy_drift(EXCHANGE, 36, step, round(1 / step))["largest"] for step in (0.05, 0.025))
    assert 0 < fine < coarse / 3  # second order in the time step


def test_a_force_without_energy_is_refused() -> None:
    class Torque(engine.ForceProvider):
        def __call__(self, state: engine.SpinState) -> engine.Response:
            return engine.Response(torch.zeros_like(state.spin))

    with pytest.raises(ValueError, match="torque network has none"):
        energy_drift(Torque(), 36, 0.1, 1)


def test_rings_hold_q_and_minus_q_together() -> None:
    rings = ring_of(LATTICE).reshape(LATTICE.shape)
    assert rings[0, 0] == 0 and 3 < rings.max() < RINGS
    assert (rings == np.roll(rings[::-1, ::-1], (1, 1), (0, 1))).all()
