"""The palette: the field's convention, continuous, readable."""

import colorsys

import numpy as np
import pytest

from spinviz import theme
from tests.tolerances import COLOUR_LEVELS, COLOUR_STEP


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_poles_and_axes() -> None:
    spins = [[0, 0, 1], [0, 0, -1], [1, 0, 0], [-0.5, 3**0.5 / 2, 0], [-0.5, -(3**0.5) / 2, 0], [-1, 0, 0]]
    expected = [[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 255, 255]]
    np.testing.assert_allclose(theme.spin_colours(spins), expected, atol=COLOUR_LEVELS)


def test_is_hsl_with_lightness_from_z() -> None:
    generator = np.random.default_rng(0)
    spin = generator.normal(size=(500, 3))
    spin /= np.linalg.norm(spin, axis=1, keepdims=True)
    expected = [colorsys.hls_to_rgb(np.arctan2(y, x) / (2 * np.pi) % 1, (1 + z) / 2, 1) for x, y, z in spin]
    np.testing.assert_allclose(theme.spin_colours(spin), np.multiply(expected, 255), atol=COLOUR_LEVELS)


def test_continuous_on_the_sphere() -> None:
    generator = np.random.default_rng(1)
    spin = generator.normal(size=(4000, 3))
    spin[:500, 2] = 30  # many near the pole, where the hue turns quickly
    near = spin + 1e-3 * generator.normal(size=spin.shape) * np.linalg.norm(spin, axis=1, keepdims=True)
    colours = [theme.spin_colours(s / np.linalg.norm(s, axis=1, keepdims=True)).astype(int) for s in (spin, near)]
    assert np.abs(colours[0] - colours[1]).max() <= COLOUR_STEP


def test_shapes() -> None:
    assert theme.spin_colours(np.zeros((2, 5, 7, 3), np.float32)).shape == (2, 5, 7, 3)
    with pytest.raises(ValueError, match="last axis of length 3"):
        theme.spin_colours(np.zeros((5, 2)))


def test_chirality_map_is_symmetric_and_signed() -> None:
    low, middle, high = theme.chirality_colours([-0.77, 0.0, 0.77], limit=0.77).astype(int)
    assert low[2] > low[0] and high[0] > high[2] and middle.min() > 240
    assert theme.chirality_colours([-9.0, np.nan, 9.0]).tolist()[::2] == theme.CHIRALITY_MAP[[0, -1]].tolist()
    with pytest.raises(ValueError, match="must be positive"):
        theme.chirality_colours([0.0], limit=0.0)


def test_structure_factor_map_grows_brighter() -> None:
    levels = [luminance(colour) for colour in theme.palette_hex(theme.STRUCTURE_FACTOR_MAP)]
    assert (np.diff(levels) >= 0).all()
    colours = theme.structure_factor_colours([0.0, 0.25, 1.0]).tolist()
    assert colours == theme.STRUCTURE_FACTOR_MAP[[0, 128, 255]].tolist()
    assert theme.structure_factor_colours(np.zeros(4)).tolist() == [theme.STRUCTURE_FACTOR_MAP[0].tolist()] * 4


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_page_is_readable(mode: str) -> None:
    page = theme.PAGE[mode]
    for ground in (page["background"], page["surface"]):
        assert contrast(page["text"], ground) > 7
        for colour in (page["muted"], page["primary"], page["accent"]):
            assert contrast(colour, ground) > 4.5
        assert all(contrast(colour, ground) > 3 for colour in theme.LINES[mode])
