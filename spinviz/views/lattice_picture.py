"""Lattice maps as PNG and SVG to take away, true to the geometry, with the key to their colours below.

A site is drawn as its Wigner-Seitz cell (hexagon, square), a triangle as itself, a random site as a disc. On a triangular
lattice the parallelogram of sites is wrapped into the rectangle that the page shows. PNG comes from the same polygons.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from engine.lattice import Lattice
from spinviz.drawing.raster import font
from spinviz.theme import Colours, spin_wheel

PNG_WIDTH = 1200
LARGEST_DRAWING = 300_000  # cells of one drawing; an SVG of so many has some 20 MB
DISC_RADIUS = 0.25
STRIP, LETTERS, GAP = (
    0.06,
    0.022,
    0.01,
)  # height of the key, size of its letters, gaps in it; of the width of the picture
KEY_HEIGHT = 0.05  # of a wheel; a bar is as high as the letters
BAR = (16, 256)  # pixels
INK = (34, 34, 34)


@dataclass(frozen=True)
class ColourKey:
    """Colours (h, w, 3) with the words before and after them."""

    colours: Colours
    before: str
    after: str


def wheel_key() -> ColourKey:
    """The key to the colours of spins."""
    return ColourKey(spin_wheel((96, 96), (255, 255, 255)), "", "hue: in-plane angle, centre: +z, rim: −z")


def bar_key(palette: Colours, low: str, high: str, title: str) -> ColourKey:
    """A bar of ``palette`` (n, 3) from ``low`` to ``high``."""
    columns = np.arange(BAR[1]) * len(palette) // BAR[1]
    return ColourKey(np.tile(palette[columns], (BAR[0], 1, 1)), f"{title}:  {low}", high)


def lattice_picture(kind: str, lattice: Lattice, colours: Colours, key: ColourKey | None = None) -> bytes:
    """PNG or SVG (``kind``) of the sites (N, 3) or the triangles (2N, 3) of a lattice in these colours, ``key`` below.

    Raises ValueError for another kind, other numbers of colours, or a lattice too large to be drawn cell by cell.
    """
    if kind not in ("png", "svg"):
        raise ValueError(f"a picture is made as png or svg, got {kind!r}")
    if len(colours) not in (lattice.sites, len(lattice.plaquettes)):
        raise ValueError(
            f"expected one colour per site ({lattice.sites}) or triangle ({len(lattice.plaquettes)}), "
            f"got {len(colours)}"
        )
    if len(colours) > LARGEST_DRAWING:
        raise ValueError(f"a drawing of {len(colours)} cells is too large; at most {LARGEST_DRAWING} are drawn")
    shapes = cell_polygons(lattice, triangles=len(colours) != lattice.sites)
    shapes, colours = _with_images(shapes, colours, lattice)
    return (_png if kind == "png" else _svg)(shapes, colours, extent(lattice), key)


def extent(lattice: Lattice) -> tuple[float, float]:
    """Width and height of the drawn rectangle."""
    width, height = np.diagonal(lattice.periods)[:2]
    return float(width), float(height)


def cell_polygons(lattice: Lattice, triangles: bool = False) -> npt.NDArray[np.float64]:
    """Corners (M, K, 2) of every site's cell, or of every triangle, each near its place in the rectangle [0, w] x [0, h].

    Cells on the edge may reach over it by half a lattice constant.
    """
    if not lattice.is_regular:
        angle = np.arange(16) * np.pi / 8
        return lattice.positions[:, None, :2] + DISC_RADIUS * np.stack([np.cos(angle), np.sin(angle)], 1)
    vectors = lattice.primitive_vectors
    if triangles:
        cells = [[0, 0], [1, 0], [0, 1]], [[1, 0], [1, 1], [0, 1]]
        if lattice.kind == "square":
            cells = [[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]
        corners = np.array(cells, dtype=float) @ vectors  # (2, 3, 2)
        shapes = (lattice.positions[:, None, None, :] + corners).reshape(-1, 3, 2)
    else:
        count = 6 if lattice.kind == "triangular" else 4
        angle = (np.arange(count) + 0.5) * 2 * np.pi / count
        radius = 1 / (2 * np.cos(np.pi / count))  # the inner radius is 1/2
        shapes = lattice.positions[:, None, :] + radius * np.stack([np.cos(angle), np.sin(angle)], 1)
    shapes = shapes + np.array([0.5, vectors[1, 1] / 2])
    width, height = extent(lattice)
    shapes = shapes - np.floor(shapes.mean(axis=1) / height)[:, 1, None, None] * lattice.periods[1]
    return shapes - np.floor(shapes.mean(axis=1) / width)[:, 0, None, None] * lattice.periods[0]


def _with_images(
    shapes: npt.NDArray[np.float64], colours: Colours, lattice: Lattice
) -> tuple[npt.NDArray[np.float64], Colours]:
    """Cells that reach over an edge come in again on the other side."""
    if not lattice.is_regular:
        return shapes, colours
    first, second = lattice.periods
    back = round(second[0] / first[0])  # whole widths that the second period goes sideways
    shifts = [(i - back * j) * first + j * second for j in (-1, 0, 1) for i in (-1, 0, 1)]
    everything = np.concatenate([shapes + shift for shift in shifts])
    visible = ((everything.max(axis=1) > 0) & (everything.min(axis=1) < np.array(extent(lattice)))).all(axis=1)
    return everything[visible], np.tile(colours, (len(shifts), 1))[visible]


def _png(shapes: npt.NDArray[np.float64], colours: Colours, size: tuple[float, float], key: ColourKey | None) -> bytes:
    scale = PNG_WIDTH / size[0]
    height = max(1, round(size[1] * scale))
    strip = round(STRIP * PNG_WIDTH) if key else 0
    picture = Image.new("RGB", (PNG_WIDTH, height + strip), (255, 255, 255))
    draw = ImageDraw.Draw(picture)
    points = np.stack([shapes[..., 0], size[1] - shapes[..., 1]], axis=-1) * scale
    for corners, colour in zip(points.reshape(len(points), -1).tolist(), colours.tolist(), strict=True):
        draw.polygon(corners, fill=tuple(colour))
    if key:
        draw.rectangle((0, height, PNG_WIDTH, height + strip), fill=(255, 255, 255))
        middle, letters = height + strip / 2, font(round(LETTERS * PNG_WIDTH))
        (before, _), (left, width), (after, _) = ((at * PNG_WIDTH, length * PNG_WIDTH) for at, length in _in_a_row(key))
        drawn = Image.fromarray(key.colours).resize((round(width), round(width * _aspect(key))))
        picture.paste(drawn, (round(left), round(middle - drawn.height / 2)))
        for at, words in ((before, key.before), (after, key.after)):
            draw.text((at, middle), words, font=letters, fill=INK, anchor="lm")
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _svg(shapes: npt.NDArray[np.float64], colours: Colours, size: tuple[float, float], key: ColourKey | None) -> bytes:
    points = np.round(np.stack([shapes[..., 0], size[1] - shapes[..., 1]], axis=-1), 3)
    strip = STRIP * size[0] if key else 0.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]:.4g} {size[1] + strip:.4g}" width="800">'
        '<g stroke-width="0.02">'
    ]
    for corners, (red, green, blue) in zip(points.tolist(), colours.tolist(), strict=True):
        path = " ".join(f"{x:g},{y:g}" for x, y in corners)
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        parts.append(f'<polygon points="{path}" fill="{colour}" stroke="{colour}"/>')  # no gaps between neighbours
    return "\n".join([*parts, "</g>", *(_svg_key(key, size) if key else []), "</svg>\n"]).encode()


def _svg_key(key: ColourKey, size: tuple[float, float]) -> list[str]:
    """The key below the picture, on white."""
    wide, top = size[0], size[1]
    middle = top + STRIP * wide / 2
    (before, before_long), (left, width), (after, after_long) = (
        (at * wide, length * wide) for at, length in _in_a_row(key)
    )
    file = io.BytesIO()
    Image.fromarray(key.colours).save(file, "PNG")
    height = width * _aspect(key)
    parts = [
        f'<rect y="{top:.4g}" width="{wide:.4g}" height="{STRIP * wide:.4g}" fill="#ffffff"/>',
        f'<image x="{left:.4g}" y="{middle - height / 2:.4g}" width="{width:.4g}" height="{height:.4g}" '
        f'href="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"/>',
    ]
    for at, length, words in ((before, before_long, key.before), (after, after_long, key.after)):
        if words:
            parts.append(
                f'<text x="{at:.4g}" y="{middle:.4g}" font-size="{LETTERS * wide:.4g}" textLength="{length:.4g}" '
                f'font-family="DejaVu Sans, sans-serif" fill="#222222" dominant-baseline="central">{escape(words)}</text>'
            )
    return parts


def _in_a_row(key: ColourKey) -> list[tuple[float, float]]:
    """Left edge and width of the words before, the colours, and the words after, in widths of the picture."""
    letters = font(100)
    thick = KEY_HEIGHT if _aspect(key) == 1 else LETTERS
    widths = [LETTERS * letters.getlength(key.before) / 100, thick / _aspect(key),
              LETTERS * letters.getlength(key.after) / 100]  # fmt: skip
    placed, left = [], GAP
    for width in widths:
        placed.append((left, width))
        left += width + GAP * bool(width)
    return placed


def _aspect(key: ColourKey) -> float:
    """Height over width of its colours."""
    return key.colours.shape[0] / key.colours.shape[1]
