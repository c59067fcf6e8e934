"""Palette of every picture: spins, chirality, structure factor, curves and the page itself.

Spins: hue = in-plane angle (0 = +x red, 120 degrees green, 240 degrees blue), white = +z, black = -z. In HSL this is
hue = atan2(S_y, S_x), saturation = 1, lightness = (1 + S_z) / 2: continuous on the whole sphere.
Chirality: blue (negative) - pale - red (positive), symmetric about 0. Structure factor: dark to bright (magma).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Colours = npt.NDArray[np.uint8]

PAGE = {
    "light": {
        "background": "#f6f7fb",
        "surface": "#ffffff",
        "text": "#1b1f2a",
        "muted": "#5a6275",
        "primary": "#3949ab",
        "accent": "#b5367a",
        "grid": "#d9dde8",
    },
    "dark": {
        "background": "#10131c",
        "surface": "#1a1f2c",
        "text": "#eceff6",
        "muted": "#a2abc0",
        "primary": "#8c9eff",
        "accent": "#f48fb1",
        "grid": "#323a4d",
    },
}

MATERIAL = {  # the same for the components of Material UI
    mode: {
        "palette": {
            "primary": {"main": colours["primary"]},
            "secondary": {"main": colours["accent"]},
            "background": {"default": colours["background"], "paper": colours["surface"]},
        },
        "components": {
            "MuiAppBar": {
                "styleOverrides": {"root": {"backgroundColor": PAGE["light"]["primary"], "color": "#ffffff"}}
            },
            # plus and minus of a number have no name of their own; all other buttons of icons do
            "MuiIconButton": {"defaultProps": {"aria-label": "Change by one step"}},
        },
    }
    for mode, colours in PAGE.items()
}

LINES = {
    "light": ("#3949ab", "#b5367a", "#00796b", "#b45309"),
    "dark": ("#8c9eff", "#f48fb1", "#4dd0b8", "#ffb74d"),
}

CHIRALITY_STOPS = ("#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7",
                   "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f")  # fmt: skip
STRUCTURE_FACTOR_STOPS = ("#000004", "#1d1147", "#51127c", "#832681", "#b73779", "#e75263",
                          "#fc8961", "#fec488", "#fcfdbf")  # fmt: skip


def spin_colours(spin: npt.ArrayLike) -> Colours:
    """Colours (..., 3) uint8 of unit vectors (..., 3)."""
    spin = np.asarray(spin, dtype=np.float32)
    if spin.shape[-1:] != (3,):
        raise ValueError(f"spins need a last axis of length 3, got shape {spin.shape}")
    hue = np.arctan2(spin[..., 1], spin[..., 0]) * np.float32(6 / (2 * np.pi))  # sextants
    lightness = (1 + np.clip(spin[..., 2], -1, 1)) / 2
    chroma = np.minimum(lightness, 1 - lightness)
    sextant = np.stack([hue, hue - 2, hue + 2], axis=-1)  # red is brightest at 0, green at 2, blue at 4
    distance = np.abs((sextant + 3) % 6 - 3)
    weight = 2 * np.clip(2 - distance, 0, 1) - 1  # +1 within one sextant of its own, -1 beyond two
    return np.asarray(np.rint(255 * (lightness[..., None] + chroma[..., None] * weight)), dtype=np.uint8)


def spin_wheel(size: tuple[int, int], outside: tuple[int, int, int]) -> Colours:
    """The key to the colours of spins, (height, width) pixels: +z in the centre, in-plane half way, -z at the rim."""
    across, up = np.meshgrid(*(np.linspace(-1, 1, n) for n in size[::-1]))
    radius, angle = np.hypot(across, up), np.arctan2(-up, across)
    polar = np.pi * np.minimum(radius, 1)
    wheel = spin_colours(np.stack([np.sin(polar) * np.cos(angle), np.sin(polar) * np.sin(angle), np.cos(polar)], -1))
    wheel[radius > 1] = outside
    return wheel


def colour_map(stops: tuple[str, ...], levels: int = 256) -> Colours:
    """Table (levels, 3) interpolated between colours "#rrggbb" at equal distances."""
    points = np.array([[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops], dtype=float)
    position = np.linspace(0, len(points) - 1, levels)
    table = np.stack([np.interp(position, np.arange(len(points)), channel) for channel in points.T], axis=-1)
    return np.rint(table).astype(np.uint8)


CHIRALITY_MAP = colour_map(CHIRALITY_STOPS)
STRUCTURE_FACTOR_MAP = colour_map(STRUCTURE_FACTOR_STOPS)


def chirality_colours(values: npt.ArrayLike, limit: float = 1.0) -> Colours:
    """Colours of values from -limit to +limit (beyond: the end colours)."""
    if not limit > 0:
        raise ValueError(f"the limit of the chirality colours must be positive, got {limit}")
    return _looked_up(CHIRALITY_MAP, (np.asarray(values, dtype=np.float32) / limit + 1) / 2)


def structure_factor_colours(values: npt.ArrayLike, largest: float | None = None) -> Colours:
    """Colours of S(q) from 0 to ``largest`` (default: of these values), with a square root: weak peaks show."""
    values = np.asarray(values, dtype=np.float32)
    largest = float(values.max(initial=0.0)) if largest is None else largest
    return _looked_up(STRUCTURE_FACTOR_MAP, np.sqrt(np.clip(values / max(largest, 1e-30), 0, 1)))


def palette_hex(table: Colours) -> list[str]:
    """A table (levels, 3) as "#rrggbb", as Bokeh takes it."""
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in table.tolist()]


def _looked_up(table: Colours, fraction: npt.NDArray[Any]) -> Colours:
    index = np.rint(np.nan_to_num(np.clip(fraction, 0, 1)) * (len(table) - 1)).astype(np.intp)
    return np.asarray(table[index])
