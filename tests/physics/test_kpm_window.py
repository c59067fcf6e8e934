"""The window of a Chebyshev series: found once for a trajectory, and refused when the spectrum sticks out of it."""

from __future__ import annotations

import pytest
import torch

import engine
from engine.electrons import series
from engine.electrons.spectral_moments import Sampling
from engine.observables.spectra import electron_density, local_density_of_states, sampled_density_of_states
from engine.observables.transport import conductivity
from tests.catalogue import electronic_model, random_state


def test_bounds_along_a_trajectory_stay_and_the_band_is_searched_once() -> None:
    """|S| = 1: the on-site norm is J for all spins, and the hopping does not move."""
    lattice = engine.triangular(6)
    model = electronic_model(lattice)
    found = {series.spectral_bounds(model.matrix(random_state(lattice, seed=0, dtype=torch.float32).spin))}
    searched = series._band_bounds.cache_info().misses
    for seed in range(1, 20):
        found.add(series.spectral_bounds(model.matrix(random_state(lattice, seed=seed, dtype=torch.float32).spin)))
    assert len(found) == 1
    assert series._band_bounds.cache_info().misses == searched


@pytest.mark.parametrize("side", ["below", "above"])
def test_a_window_that_does_not_enclose_the_spectrum_is_refused(side: str) -> None:
    """By a fiftieth of its width, so that nothing overflows; with the bounds that are safe."""
    lattice = engine.triangular(6)
    model, spin = electronic_model(lattice), random_state(lattice).spin
    matrix = model.matrix(spin)
    levels = torch.linalg.eigvalsh(matrix.to_dense())
    low, high = float(levels.min()), float(levels.max())
    width = (high - low) / 50
    window = (low + width, high + width) if side == "below" else (low - width, high - width)
    hot, few = engine.Ensemble(0.1, chemical_potential=-1.0), Sampling(vectors=2, window=window)
    safe = str(series.spectral_bounds(matrix)).replace("(", r"\(").replace(")", r"\)")
    for call in (
        lambda: engine.KernelPolynomial(256, 8, window=window).solve(matrix, hot),
        lambda: engine.PoleExpansion(window=window).solve(matrix, hot),
        lambda: sampled_density_of_states(model, spin, [0.0], few, 64),
        lambda: local_density_of_states(model, spin, [0.0], [3], few, 64),
        lambda: electron_density(model, spin, [0.0], 0.1, None, few, 64),
        lambda: conductivity(model, spin, [0.0], 0.3, 0.5, few),
    ):
        with pytest.raises(ValueError, match=rf"the spectrum exceeds the window .* one that contains {safe}"):
            call()
    enclosing = Sampling(vectors=2, window=(low - width, high + width))
    assert torch.isfinite(sampled_density_of_states(model, spin, [0.0], enclosing, 64).density).all()
