"""Pictures and tables to take away: CSV of what is shown, and lattice maps as PNG and SVG, true to the geometry.

A site is drawn as its Wigner-Seitz cell (hexagon, square), a triangle as itself, a random site as a disc. On a triangular
lattice the parallelogram of sites is wrapped into the rectangle that the page shows. PNG comes from the same polygons.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from engine.lattice import Lattice
from spinviz.theme import Colours

PNG_WIDTH = 1200
LARGEST_DRAWING = 300_000  # cells of one drawing; an SVG of so many has some 20 MB
DISC_RADIUS = 0.25


def csv_bytes(columns: Mapping[str, npt.ArrayLike]) -> bytes:
    """Columns of equal length as CSV with a header line, UTF-8. Raises ValueError where there is nothing yet."""
    arrays = {name: np.asarray(values).ravel() for name, values in columns.items()}
    lengths = {len(values) for values in arrays.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError("there is nothing to download yet; wait until something is shown")
    lines = [",".join(f'"{name}"' if "," in name else name for name in arrays)]
    text = [[_word(value) for value in values.tolist()] for values in arrays.values()]
    lines += [",".join(row) for row in zip(*text, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def lattice_picture(kind: str, lattice: Lattice, colours: Colours) -> bytes:
    """PNG or SVG (``kind``) of the sites (N, 3) or the triangles (2N, 3) of a lattice in these colours.

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
    return (_png if kind == "png" else _svg)(shapes, colours, extent(lattice))


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


def _png(shapes: npt.NDArray[np.float64], colours: Colours, size: tuple[float, float]) -> bytes:
    scale = PNG_WIDTH / size[0]
    picture = Image.new("RGB", (PNG_WIDTH, max(1, round(size[1] * scale))), (255, 255, 255))
    draw = ImageDraw.Draw(picture)
    points = np.stack([shapes[..., 0], size[1] - shapes[..., 1]], axis=-1) * scale
    for corners, colour in zip(points.reshape(len(points), -1).tolist(), colours.tolist(), strict=True):
        draw.polygon(corners, fill=tuple(colour))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _svg(shapes: npt.NDArray[np.float64], colours: Colours, size: tuple[float, float]) -> bytes:
    points = np.round(np.stack([shapes[..., 0], size[1] - shapes[..., 1]], axis=-1), 3)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]:.4g} {size[1]:.4g}" width="800">'
        '<g stroke-width="0.02">'
    ]
    for corners, (red, green, blue) in zip(points.tolist(), colours.tolist(), strict=True):
        path = " ".join(f"{x:g},{y:g}" for x, y in corners)
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        parts.append(f'<polygon points="{path}" fill="{colour}" stroke="{colour}"/>')  # no gaps between neighbours
    return "\n".join([*parts, "</g></svg>\n"]).encode()


def _word(value: object) -> str:
    """A number with nine digits, a text in quotes where it must be; nothing for what is not a number."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.9g}"
    text = str(value)
    return f'"{text}"' if "," in text else text
