"""Still pictures of a spin texture as pixels: true geometry, no plotting library.

Each pixel takes the colour of the nearest site, so a site is drawn as its Wigner-Seitz cell: a square, or a hexagon.
The parallelogram of a triangular lattice is wrapped into a rectangle of the same area (every site shows once). Random
sites are discs, seen along -z, the higher one in front. The map from pixels to sites is made once per lattice.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from engine.frame import Frame
from engine.lattice import Lattice
from spinviz.drawing.caption import GAP, Caption, said
from spinviz.theme import PAGE, Colours, spin_colours, spin_wheel

ARROWS_PER_SIDE = 32
SMALLEST_ARROW_CELL = 7.0  # pixels
SMALLEST_WIDTH, LARGEST_ASPECT = 320, 2.0
SMALL_LINE = 0.62  # of the size of a line of text: two of them have the room of one
DISC_RADIUS = 0.3  # lattice constants


class TexturePicture:
    """Draws Frames of one lattice: :meth:`image` -> (height, width, 3) uint8, both even (video formats need that).

    ``height`` is that of the whole picture in pixels, with a strip for text and colour key at the bottom (``notes``
    False: without); wide lattices are drawn lower. ``caption`` is the second line of the text, or gives it for a frame.
    ``page`` "light" or "dark". Raises ValueError otherwise.
    """

    key, round_key = "centre +z, rim −z", True

    def __init__(
        self, lattice: Lattice, height: int = 544, caption: Caption = "", arrows: bool = True, page: str = "dark",
        notes: bool = True,
    ) -> None:  # fmt: skip
        if not 96 <= height <= 4320:
            raise ValueError(f"height must be from 96 to 4320 pixels, got {height}")
        if page not in PAGE:
            raise ValueError(f"page must be one of {sorted(PAGE)}, got {page!r}")
        self.lattice, self.caption, self._arrows, self._notes = lattice, caption, arrows, notes
        self._page = PAGE[page]
        self._text_height = max(11, round(height / 34))
        strip = 3 * self._text_height if notes else 0
        extent = np.diagonal(lattice.periods)[:2]  # L1 and L2 times the row distance
        available = np.array([LARGEST_ASPECT * height, height - strip])
        self.scale = float((available / extent).min())  # pixels per lattice constant
        self._area = np.maximum(np.rint(extent * self.scale).astype(int), 1)
        self.width = even(max(int(self._area[0]), SMALLEST_WIDTH))
        self.height = even(int(self._area[1]) + strip)
        self._left = (self.width - int(self._area[0])) // 2
        self._sites = _pixel_sites(lattice, self._area, self.scale)
        self._font = font(self._text_height)
        self._tails = _arrow_sites(lattice, self.scale) if arrows else np.zeros(0, dtype=np.intp)

    def image(self, frame: Frame, replica: int = 0) -> Colours:
        """One replica of a frame as pixels."""
        if not 0 <= replica < len(frame.spin) or frame.spin.shape[1] != self.lattice.sites:
            raise ValueError(
                f"expected a frame of {self.lattice.sites} sites with a replica {replica}, got {frame.spin.shape[:2]}"
            )
        canvas = np.empty((self.height, self.width, 3), dtype=np.uint8)
        canvas[:] = rgb(self._page["background"])
        canvas[: self._area[1], self._left : self._left + self._area[0]] = self.colours(frame, replica)
        picture = Image.fromarray(canvas)
        draw = ImageDraw.Draw(picture)
        self._draw_arrows(draw, frame.spin[replica])
        if self._notes:
            self._draw_notes(picture, draw, self.words(frame, replica))
        return np.asarray(picture)

    def colours(self, frame: Frame, replica: int) -> Colours:
        """Pixels of the drawn rectangle."""
        none = [rgb(self._page["background"])]
        return np.concatenate([spin_colours(frame.spin[replica]), none]).astype(np.uint8)[self._sites]

    def words(self, frame: Frame, replica: int) -> list[str]:
        """Lines of text below the picture."""
        words = [f"t = {frame.time[replica]:.4g}", f"step {frame.step}"]
        charge = frame.observables.get("topological_charge")
        if charge is not None:
            words.append(f"Q = {charge[replica] + 0.0:.0f}")
        return [GAP.join(words), said(self.caption, frame)]

    def paint_key(self, size: tuple[int, int]) -> Colours:
        """The key to the colours, (height, width) pixels."""
        return spin_wheel(size, rgb(self._page["background"]))

    def _draw_arrows(self, draw: ImageDraw.ImageDraw, spin: npt.NDArray[np.float32]) -> None:
        """Arrows of the in-plane part, centred on their sites, as long as the in-plane part."""
        if not len(self._tails):
            return
        centre = _rectangle(self.lattice, self.lattice.positions[self._tails]) * self.scale
        centre[:, 0] += self._left
        centre[:, 1] = self._area[1] - centre[:, 1]
        cell = np.sqrt(self._area[0] * self._area[1] / len(self._tails))
        half = 0.42 * cell * spin[self._tails, :2] * np.array([1, -1])
        side = half[:, ::-1] * np.array([-1, 1])
        tip = centre + half
        path = np.stack([centre - half, tip, tip - 0.5 * half + 0.3 * side, tip, tip - 0.5 * half - 0.3 * side], axis=1)
        ink = np.where(spin[self._tails, 2] > -0.2, 20, 235)
        width = max(1, round(cell / 14))
        visible = np.linalg.norm(half, axis=1) > 1.5
        for points, level in zip(path[visible].reshape(-1, 10).tolist(), ink[visible].tolist(), strict=True):
            draw.line(points, fill=(level, level, level), width=width)

    def _draw_notes(self, picture: Image.Image, draw: ImageDraw.ImageDraw, lines: list[str]) -> None:
        """Text on the left, the key to the colours on the right; its words beside it, or above it, where there is room."""
        line, top = self._text_height, int(self._area[1])
        ink, muted = rgb(self._page["text"]), rgb(self._page["muted"])
        size = (round(2.6 * line), round(2.6 * line)) if self.round_key else (line, 5 * line)
        left, middle = self.width - size[1] - line // 2, top + (self.height - top) // 2
        room, small = left - line, font(round(0.8 * line))
        placed = self._placed(lines, room)
        words = small.getlength(self.key) + 2 * line
        if max((length for *_, length in placed), default=0.0) + words < room:
            draw.text((left - line / 2, middle), self.key, font=small, fill=muted, anchor="rm")
        elif not self.round_key and placed[0][-1] + words < self.width:
            draw.text((self.width - line // 2, top + 0.4 * line), self.key, font=small, fill=muted, anchor="rt")
            middle += round(0.6 * line)
        picture.paste(Image.fromarray(self.paint_key(size)), (left, middle - size[0] // 2))
        for text, height, letters, _ in placed:
            draw.text((line / 2, top + height), text, font=letters, fill=ink, anchor="lt")

    def _placed(self, lines: list[str], room: float) -> list[tuple[str, float, ImageFont.FreeTypeFont, float]]:
        """Every line of text, its height below the picture, its font, and its length in pixels."""
        line = self._text_height
        rest = [part for text in lines[1:] for part in broken(text, line, room)]
        size = line if len(rest) < 2 else SMALL_LINE * line
        heights = [0.4 * line, *(1.65 * line + 1.1 * index * size for index in range(len(rest)))]
        fonts = [fitted(text, line, room) for text in lines[:1]] + [fitted(text, size, room) for text in rest]
        texts = [*lines[:1], *rest]
        return [(*row, row[2].getlength(row[0])) for row in zip(texts, heights, fonts, strict=True)]


def _pixel_sites(lattice: Lattice, area: npt.NDArray[np.intp], scale: float) -> npt.NDArray[np.int32]:
    """Site of every pixel (height, width); N = background."""
    x = (np.arange(area[0]) + 0.5) / scale
    y = (area[1] - np.arange(area[1]) - 0.5) / scale
    if lattice.is_regular:
        return _nearest_sites(lattice, x, y)
    sites = np.full((area[1], area[0]), lattice.sites, dtype=np.int32)
    order = np.argsort(lattice.positions[:, -1])
    for site, centre in zip(order, _rectangle(lattice, lattice.positions[order]), strict=True):
        columns = np.flatnonzero(np.abs(x - centre[0]) <= DISC_RADIUS)
        rows = np.flatnonzero(np.abs(y - centre[1]) <= DISC_RADIUS)
        inside = np.hypot(x[columns] - centre[0], (y[rows] - centre[1])[:, None]) <= DISC_RADIUS
        patch = np.ix_(rows, columns)
        sites[patch] = np.where(inside, site, sites[patch])
    return sites


def _nearest_sites(lattice: Lattice, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Nearest site of the points (x, y - shifted by half a cell), shape (len(y), len(x)): the best of four corners."""
    vectors = lattice.primitive_vectors
    points = np.stack(np.meshgrid(x - 0.5, y - vectors[1, 1] / 2), axis=-1)
    corner = np.floor(points @ np.linalg.inv(vectors))
    best = np.full(points.shape[:2], np.inf)
    sites = np.zeros(points.shape[:2], dtype=np.int32)
    for offset in ((0, 0), (1, 0), (0, 1), (1, 1)):
        cell = corner + offset
        distance = ((points - cell @ vectors) ** 2).sum(axis=-1)
        n1, n2 = np.moveaxis(cell.astype(np.int64) % np.array(lattice.shape), -1, 0)
        sites = np.where(distance < best, n1 * lattice.shape[1] + n2, sites).astype(np.int32)
        best = np.minimum(distance, best)
    return sites


def _rectangle(lattice: Lattice, positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """In-plane positions (n, 2) wrapped into the drawn rectangle, half a cell away from its lower left corner."""
    if not lattice.is_regular:
        return positions[:, :2].copy()
    height = lattice.primitive_vectors[1, 1]
    shifted = positions + np.array([0.5, height / 2])
    return np.stack([shifted[:, 0] % lattice.periods[0, 0], shifted[:, 1]], axis=-1)


def _arrow_sites(lattice: Lattice, scale: float) -> npt.NDArray[np.intp]:
    """Sites that carry an arrow: all, or every n-th cell so that at most 32 x 32 stand and each has a few pixels."""
    if not lattice.is_regular:
        return np.arange(lattice.sites) if lattice.sites <= ARROWS_PER_SIDE**2 else np.zeros(0, dtype=np.intp)
    stride = max(int(np.ceil(max(lattice.shape) / ARROWS_PER_SIDE)), int(np.ceil(SMALLEST_ARROW_CELL / scale)))
    return np.flatnonzero((lattice.cells % stride == stride // 2).all(axis=1))


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, that Matplotlib brings along: Pillow's own font has no Greek."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)


def fitted(text: str, size: float, room: float) -> ImageFont.FreeTypeFont:
    """The font of this size, or a smaller one where the text would not fit into so many pixels."""
    whole = font(int(size))
    length = whole.getlength(text)
    return whole if length <= room else font(max(6, int(size * room / length)))


def broken(text: str, size: float, room: float) -> list[str]:
    """The text in two lines of about equal length where in one it would be smaller than SMALL_LINE of this size."""
    words = text.split(GAP)
    if len(words) < 2 or font(int(size)).getlength(text) * SMALL_LINE <= room:
        return [text]
    halves = [(GAP.join(words[:at]), GAP.join(words[at:])) for at in range(1, len(words))]
    return list(min(halves, key=lambda pair: max(map(len, pair))))


def rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def even(length: int) -> int:
    return length + length % 2
