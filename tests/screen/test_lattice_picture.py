"""Lattice maps as files: cells in their true places, and the key to the colours below."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from engine import Lattice, square, triangular
from spinviz.theme import spin_colours
from spinviz.views.download import csv_bytes
from spinviz.views.lattice_picture import PNG_WIDTH, STRIP, cell_polygons, extent, lattice_picture, wheel_key
from tests.tolerances import ROUNDING


@pytest.mark.parametrize("lattice", [square(5, 4), triangular(4, 9)], ids=str)
def test_a_picture_has_its_key_below(lattice: Lattice) -> None:
    """The drawing itself is the same with and without; below it lie the wheel (its middle white) and its words."""
    spin = np.random.default_rng(0).normal(size=(lattice.sites, 3))
    colours = spin_colours(spin / np.linalg.norm(spin, axis=1)[:, None])
    plain, keyed = (
        np.asarray(Image.open(io.BytesIO(lattice_picture("png", lattice, colours, key)))) for key in (None, wheel_key())
    )
    strip = round(STRIP * PNG_WIDTH)
    assert len(keyed) == len(plain) + strip and np.array_equal(keyed[:-strip], plain)
    wheel = keyed[-strip:, : PNG_WIDTH // 10].astype(int)
    assert (np.ptp(wheel, axis=-1) > 200).any() and (wheel.sum(-1) < 60).any() and (wheel.sum(-1) == 765).any()
    assert (keyed[-strip:, PNG_WIDTH // 10 :].sum(-1) < 200).any(), "words"
    one, two = (lattice_picture("svg", lattice, colours, key).decode() for key in (None, wheel_key()))
    assert one.count("<polygon") == two.count("<polygon") and "<image" not in one
    assert two.count("<image") == 1 and "rim: −z</text>" in two
    root = ElementTree.fromstring(two)
    (width, height), (wide, tall) = map(float, root.get("viewBox", "").split()[2:]), extent(lattice)
    assert (width, height) == pytest.approx((wide, tall + STRIP * wide), rel=1e-3)  # four digits are written


@pytest.mark.parametrize("lattice", [square(5, 4), triangular(6), triangular(4, 9)], ids=str)
@pytest.mark.parametrize("triangles", [False, True])
def test_cells_tile_the_rectangle_once(lattice: Lattice, triangles: bool) -> None:
    """Their areas add up to that of the sample, and their centres lie in the rectangle, all different."""
    shapes = cell_polygons(lattice, triangles)
    x, y = shapes[..., 0], shapes[..., 1]
    area = 0.5 * (x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum()
    assert np.isclose(area, abs(np.linalg.det(lattice.periods)))
    centres = shapes.mean(axis=1)
    assert (centres > -ROUNDING).all() and (centres < np.array(extent(lattice)) + ROUNDING).all()
    assert len(np.unique(np.round(centres, 6), axis=0)) == len(shapes)


def test_wrong_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="png or svg"):
        lattice_picture("gif", square(3), np.zeros((9, 3), np.uint8))
    with pytest.raises(ValueError, match="one colour per site"):
        lattice_picture("png", square(3), np.zeros((10, 3), np.uint8))
    with pytest.raises(ValueError, match="nothing to download"):
        csv_bytes({"a": [], "b": []})
