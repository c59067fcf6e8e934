"""Kernels of distance: propagators of free electrons, orbits of the point group, the basis made of them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from engine.learning import kernels
from engine.learning.network import LATTICES
from engine.learning.networks.rings import half
from engine.models import SDModel
from tests import tolerances
from tests.learning.own_networks import EXACT, KINDS, bare, random_spins

pytestmark = pytest.mark.usefixtures("coarse_momenta")


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
    tables = kernels.wrapped(network.basis, lattice, 12.0)
    torch.testing.assert_close(tables[:, 0, 0].real, network.basis @ sizes, **EXACT)
    torch.testing.assert_close(tables.imag, torch.zeros_like(tables.real), **EXACT)
