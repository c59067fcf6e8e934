"""Geometry: coordination, images on small lattices, plaquettes, zones, point groups."""

from __future__ import annotations

import numpy as np
import pytest

import engine
from engine.lattice import from_description
from tests.catalogue import LATTICES, REGULAR


@pytest.mark.parametrize("name", LATTICES)
def test_displacements_close_through_the_wraps(name: str) -> None:
    lattice = LATTICES[name]()
    i, j = lattice.bonds.T
    direct = lattice.positions[j] - lattice.positions[i] + lattice.wraps @ lattice.periods
    np.testing.assert_allclose(direct, lattice.displacements, atol=1e-12)


@pytest.mark.parametrize(("build", "coordination"), [(engine.square, [4, 4, 4, 8]), (engine.triangular, [6, 6, 6, 12])])
@pytest.mark.parametrize("size", [3, 4, 5, 7])
def test_every_shell_has_its_coordination_however_small_the_lattice(build, coordination: list, size: int) -> None:
    lattice = build(size, size + 1, shells=4)
    for shell, expected in enumerate(coordination, 1):
        ends = lattice.bonds[lattice.shells == shell].ravel()
        assert np.bincount(ends, minlength=lattice.sites).tolist() == [expected] * lattice.sites


def test_shell_distances() -> None:
    for lattice, distances in (
        (engine.triangular(8, shells=5), [1, np.sqrt(3), 2, np.sqrt(7), 3]),
        (engine.square(8, shells=5), [1, np.sqrt(2), 2, np.sqrt(5), np.sqrt(8)]),
    ):
        found = [lattice.distances[lattice.shells == s] for s in range(1, 6)]
        np.testing.assert_allclose([f.mean() for f in found], distances)
        np.testing.assert_allclose([f.std() for f in found], 0, atol=1e-12)


@pytest.mark.parametrize("name", REGULAR)
def test_plaquettes_tile_the_torus_counter_clockwise(name: str) -> None:
    lattice = LATTICES[name]()
    corners = lattice.positions[lattice.plaquettes]
    inverse = np.linalg.inv(lattice.periods)

    def nearest(offset: np.ndarray) -> np.ndarray:
        fraction = offset @ inverse
        return (fraction - np.round(fraction)) @ lattice.periods

    first, second = nearest(corners[:, 1] - corners[:, 0]), nearest(corners[:, 2] - corners[:, 0])
    areas = (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    assert (areas > 0).all()
    assert areas.sum() == pytest.approx(np.linalg.det(lattice.periods))
    assert len(lattice.plaquettes) == 2 * lattice.sites
    edges = np.concatenate([lattice.plaquettes[:, [k, (k + 1) % 3]] for k in range(3)])
    np.testing.assert_array_equal(  # every edge is met once in each direction
        np.unique(edges, axis=0), np.unique(edges[:, ::-1], axis=0)
    )


def test_random_sites_keep_their_distance_and_their_seed() -> None:
    lattice, again = engine.random_sites(60, seed=4), engine.random_sites(60, seed=4)
    np.testing.assert_array_equal(lattice.positions, again.positions)
    assert lattice.distances.min() >= 0.5
    assert len(lattice.bonds) == 60 * 59 // 2
    assert np.abs(lattice.displacements).max() <= lattice.periods[0, 0] / 2 + 1e-12


@pytest.mark.parametrize("name", REGULAR)
def test_brillouin_zone(name: str) -> None:
    lattice = LATTICES[name]()
    zone = lattice.brillouin_zone()
    np.testing.assert_allclose(zone.reciprocal @ lattice.primitive_vectors.T, 2 * np.pi * np.eye(2), atol=1e-12)
    x, y = zone.vertices.T
    area = 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))
    assert area == pytest.approx((2 * np.pi) ** 2 / np.linalg.det(lattice.primitive_vectors))
    if lattice.kind == "triangular":
        assert {k: len(v) for k, v in zone.equivalents.items()} == {"Γ": 1, "K": 6, "M": 6}
        assert np.linalg.norm(zone.points["K"]) == pytest.approx(4 * np.pi / 3)
        assert np.linalg.norm(zone.points["M"]) == pytest.approx(2 * np.pi / np.sqrt(3))
    doubled = 2 * zone.equivalents["M"] @ np.linalg.inv(zone.reciprocal)
    np.testing.assert_allclose(doubled, np.round(doubled), atol=1e-12)  # M is half a reciprocal vector


def test_point_group_maps_bonds_onto_bonds() -> None:
    for lattice, order in ((engine.triangular(5), 12), (engine.square(5), 8)):
        bonds = {tuple(sorted(b)) for b in lattice.bonds[lattice.shells == 1].tolist()}
        operations = lattice.point_group()
        assert len({tuple(p) for _, p in operations}) == order
        for matrix, permutation in operations:
            np.testing.assert_allclose(matrix @ matrix.T, np.eye(2), atol=1e-12)
            assert {tuple(sorted(permutation[list(b)])) for b in bonds} == bonds


@pytest.mark.parametrize("name", LATTICES)
def test_description_rebuilds_the_lattice(name: str) -> None:
    lattice = LATTICES[name]()
    again = from_description(lattice.description())
    for part in ("positions", "bonds", "displacements", "shells", "wraps", "plaquettes", "periods"):
        np.testing.assert_array_equal(getattr(again, part), getattr(lattice, part))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: engine.square(2), "L1 >= 3"),
        (lambda: engine.triangular(6, 2), "L2 >= 3"),
        (lambda: engine.square(4.5), "integer"),
        (lambda: engine.square(4, shells=0), "shells"),
        (lambda: engine.random_sites(1), "at least 2"),
        (lambda: engine.random_sites(200, box=2.0), "larger box"),
        (lambda: engine.random_sites(10, box=float("nan")), "positive"),
        (lambda: from_description({"kind": "kagome"}), "kagome"),
    ],
)
def test_senseless_lattices_are_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_lattices_that_cannot_fit_are_refused_before_they_are_built() -> None:
    with pytest.raises(MemoryError, match="4096 x 4096"):
        engine.triangular(100_000)
