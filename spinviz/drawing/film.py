"""What a movie shows besides the texture, as pixels: chirality, density of the topological charge, structure factor,
curves, all of them, or the 3-D scene.

chi = S_i . (S_j x S_k) and rho = Omega / 4 pi of each triangle (colour: square root of |rho| with the sign of rho, up to
0.1), S(q) on the first Brillouin zone (colour: square root of S), and charge, |M| and energy against the time so far.
What a frame does not carry is measured from its spins; energy is shown where it was recorded. The text below has time,
step, charge and the caption; the key belongs to the colours of the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image, ImageDraw

from engine import SpinState, observe
from engine.frame import Frame
from engine.lattice import Lattice
from spinviz.drawing.caption import Caption, said
from spinviz.drawing.raster import TexturePicture, even, fitted, font, rgb
from spinviz.theme import LINES, PAGE, Colours, chirality_colours, structure_factor_colours

VIEWS = ("texture", "chirality", "charge", "structure", "curves", "all", "scene")
CHIRALITY_LIMIT, CHARGE_LIMIT = 1.0, 0.1  # fixed: a colour means the same in every frame
MARGIN = 1.1
POINTS = 2000  # of a curve: beyond that every second one is dropped


class Picture(Protocol):
    """What draws the frames of one lattice as pixels (height, width, 3) uint8, always of one size."""

    def image(self, frame: Frame, replica: int = 0) -> Colours: ...


def picture_of(view: str, lattice: Lattice, height: int, caption: Caption = "", arrows: bool = True, notes: bool = True,
               page: str = "dark") -> Picture:  # fmt: skip
    """The picture of a view (one of VIEWS). Raises ValueError for another, or one that the lattice does not have."""
    if view not in VIEWS:
        raise ValueError(f"a movie shows one of {', '.join(VIEWS)}, got {view!r}")
    if view in ("chirality", "charge", "structure") and not len(lattice.plaquettes):
        raise ValueError(f"random sites have no {view} to show; choose texture, curves or all")
    if view == "texture":
        return TexturePicture(lattice, height, caption, arrows, page, notes)
    if view == "chirality":
        return Chirality(lattice, height, caption, page, notes)
    if view == "charge":
        return Charge(lattice, height, caption, page, notes)
    if view == "structure":
        return Structure(lattice, height, caption, page, notes)
    if view == "curves":
        return Curves((even(round(1.6 * height)), even(height)), page, caption if notes else None)
    if view == "scene":
        from spinviz.drawing.scene import Scene  # VTK takes seconds to load

        return Scene(lattice, (even(round(4 * height / 3)), even(height)), page=page, text=notes, caption=caption)
    return Everything(lattice, height, caption, arrows, page, notes)


def measured(frame: Frame, name: str, replica: int) -> Any:
    """An observable of one replica: the frame's own, or measured from its spins."""
    if name in frame.observables:
        return frame.observables[name][replica]
    spin = torch.from_numpy(np.array(frame.spin[replica : replica + 1]))
    return observe((name,), SpinState(spin), frame.lattice)[name][0]


class Chirality(TexturePicture):
    """Every pixel takes the colour of the triangle that it lies in."""

    key, round_key = "χ from −1 to +1", False

    def __init__(self, lattice: Lattice, height: int, caption: Caption, page: str, notes: bool) -> None:
        super().__init__(lattice, height, caption, False, page, notes)
        self._triangles = _pixel_triangles(lattice, self._area, self.scale)

    def colours(self, frame: Frame, replica: int) -> Colours:
        return chirality_colours(measured(frame, "scalar_chirality", replica), CHIRALITY_LIMIT)[self._triangles]

    def paint_key(self, size: tuple[int, int]) -> Colours:
        return np.tile(chirality_colours(np.linspace(-1, 1, size[1])), (size[0], 1, 1))


class Charge(Chirality):
    """The same for the share of the sphere that its spins cover. Smooth textures cover little: the root shows them."""

    key = "ρ per △, −0.1 to +0.1, root"

    def colours(self, frame: Frame, replica: int) -> Colours:
        density = measured(frame, "topological_charge_density", replica)
        return chirality_colours(np.sign(density) * np.sqrt(np.abs(density) / CHARGE_LIMIT))[self._triangles]

    def paint_key(self, size: tuple[int, int]) -> Colours:
        place = np.linspace(-1, 1, size[1])
        return np.tile(chirality_colours(np.sign(place) * np.sqrt(np.abs(place))), (size[0], 1, 1))


class Structure(TexturePicture):
    """Every pixel of the zone takes the colour of the nearest momentum of the finite lattice."""

    key, round_key = "√S(q), from 0 to its largest", False

    def __init__(self, lattice: Lattice, height: int, caption: Caption, page: str, notes: bool) -> None:
        super().__init__(lattice, height, caption, False, page, notes)
        zone = lattice.brillouin_zone()
        width, tall = (int(n) for n in self._area)
        step = 2 * MARGIN * float(np.abs(zone.vertices).max()) / min(width, tall)
        x = (np.arange(width) + 0.5 - width / 2) * step
        y = (tall / 2 - np.arange(tall) - 0.5) * step
        momenta = np.stack(np.meshgrid(x, y), axis=-1)
        self._nearest = _nearest(momenta, lattice)
        following = np.roll(zone.vertices, -1, axis=0) - zone.vertices
        normals = np.stack([following[:, 1], -following[:, 0]], axis=1)
        spacing = float(np.linalg.norm(zone.reciprocal, axis=1).max() / min(lattice.shape))
        reach = (normals * zone.vertices).sum(axis=1) + np.linalg.norm(normals, axis=1) * spacing / 2
        self._outside = (momenta @ normals.T > reach).any(axis=-1)  # peaks on the edge are whole
        self._points = {
            name: (float(q[0] / step + width / 2), float(tall / 2 - q[1] / step)) for name, q in zone.points.items()
        }

    def colours(self, frame: Frame, replica: int) -> Colours:
        pixels = structure_factor_colours(measured(frame, "structure_factor", replica))[self._nearest]
        pixels[self._outside] = rgb(self._page["surface"])
        picture = Image.fromarray(pixels)
        draw = ImageDraw.Draw(picture)
        for name, (x, y) in self._points.items():
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=rgb(self._page["text"]))
            draw.text((x + 4, y - 4), name, font=self._font, fill=rgb(self._page["text"]), anchor="lb")
        return np.asarray(picture)

    def paint_key(self, size: tuple[int, int]) -> Colours:
        return np.tile(structure_factor_colours(np.linspace(0, 1, size[1]) ** 2, 1.0), (size[0], 1, 1))


class Curves:
    """Charge, magnetization and energy against the time so far, in panels side by side; ``size`` (width, height).
    ``caption`` None: without text below.
    """

    def __init__(self, size: tuple[int, int], page: str = "dark", caption: Caption | None = None) -> None:
        self.width, self.height = size
        self._caption = caption
        self._page, self._lines = PAGE[page], LINES[page]
        self._font = font(max(9, round(min(size[1] / 18, size[0] / 60))))
        self._samples: list[tuple[float, ...]] = []

    def image(self, frame: Frame, replica: int = 0) -> Colours:
        """The curves up to this frame."""
        self._add(frame, replica)
        columns = np.array(self._samples).T
        picture = Image.new("RGB", (self.width, self.height), rgb(self._page["background"]))
        draw = ImageDraw.Draw(picture)
        kinds = [(name, row) for name, row in zip(("Charge Q", "|M|", "Energy / site (t₁)"), columns[1:], strict=True)
                 if np.isfinite(row).any()]  # fmt: skip
        for index, (name, row) in enumerate(kinds):
            left, right = (self.width * k / len(kinds) for k in (index, index + 1))
            self._panel(draw, (left, right), name, columns[0], row, rgb(self._lines[(1, 0, 3)[index % 3]]))
        if self._caption is not None:
            words = f"t = {frame.time[replica]:.4g}   step {frame.step}   {said(self._caption, frame)}"
            place = (self._font.size, self.height - 0.4 * self._font.size)
            fitting = fitted(words, self._font.size, self.width - 2 * self._font.size)
            draw.text(place, words, font=fitting, fill=rgb(self._page["text"]), anchor="lb")
        return np.asarray(picture)

    def _add(self, frame: Frame, replica: int) -> None:
        time = float(frame.time[replica])
        if self._samples and time < self._samples[-1][0]:
            self._samples = []
        charge = float(measured(frame, "topological_charge", replica)) if len(frame.lattice.plaquettes) else np.nan
        energy = float(frame.observables["energy"][replica]) if "energy" in frame.observables else np.nan
        size = float(np.linalg.norm(frame.spin[replica].astype(np.float64).mean(axis=0)))
        if len(self._samples) > POINTS:
            self._samples = self._samples[::2]
        self._samples.append((time, charge, size, energy))

    def _panel(self, draw: Any, across: tuple[float, float], name: str, x: Any, y: Any, colour: Any) -> None:
        """One curve in a box, with its range written at the corners."""
        line = self._font.size * 1.3
        left, right, top, bottom = (
            across[0] + 4.2 * line,
            across[1] - line,
            1.6 * line,
            self.height - (2.6 if self._caption is None else 4.2) * line,
        )
        low, high = float(np.nanmin(y)), float(np.nanmax(y))
        high = high if high - low > 1e-9 else low + 1e-9 + 0.01 * abs(low)
        span = max(float(x[-1] - x[0]), 1e-12)
        ink, muted = rgb(self._page["text"]), rgb(self._page["muted"])
        draw.rectangle((left, top, right, bottom), outline=rgb(self._page["grid"]))
        points = np.stack(
            [left + (x - x[0]) / span * (right - left), bottom - (y - low) / (high - low) * (bottom - top)]
        )
        path = points[:, np.isfinite(points).all(axis=0)].T
        if len(path) > 1:
            draw.line(path.ravel().tolist(), fill=colour, width=max(2, round(self.height / 250)))
        text: Callable[..., None] = draw.text
        text(((left + right) / 2, top - 0.3 * line), name, font=self._font, fill=ink, anchor="mb")
        text((left - 5, top), f"{high + 0.0:.4g}", font=self._font, fill=muted, anchor="rt")
        text((left - 5, bottom), f"{low + 0.0:.4g}", font=self._font, fill=muted, anchor="rb")
        text((left, bottom + 4), f"{x[0]:.4g}", font=self._font, fill=muted, anchor="lt")
        text((right, bottom + 4), f"{x[-1]:.4g}", font=self._font, fill=muted, anchor="rt")
        text(((left + right) / 2, bottom + 4 + line), "time (ħ/t₁)", font=self._font, fill=muted, anchor="mt")


class _SmallChirality(Chirality):
    def words(self, frame: Frame, replica: int) -> list[str]:
        return ["Scalar chirality"]


class _SmallCharge(Charge):
    def words(self, frame: Frame, replica: int) -> list[str]:
        return ["Charge density"]


class _SmallStructure(Structure):
    def words(self, frame: Frame, replica: int) -> list[str]:
        return ["Structure factor"]


class Everything:
    """Texture, beside it chirality above charge density, and the structure factor; below them the curves. Random sites:
    texture and curves."""

    def __init__(self, lattice: Lattice, height: int, caption: Caption, arrows: bool, page: str, notes: bool) -> None:
        self._background = rgb(PAGE[page]["background"])
        main = TexturePicture(lattice, even(round(0.7 * height)), caption, arrows, page, notes)
        columns: list[list[TexturePicture]] = [[main]]
        if len(lattice.plaquettes):
            small = max(96, main.height // 2)
            columns.append([kind(lattice, small, "", page, notes) for kind in (_SmallChirality, _SmallCharge)])
            columns.append([_SmallStructure(lattice, main.height, "", page, notes)])
        self._pictures: list[tuple[int, int, TexturePicture]] = []  # row and column of the upper left corner
        self.width = self._top = 0
        for column in columns:
            row = 0
            for one in column:
                self._pictures.append((row, self.width, one))
                row += one.height
            self.width += max(one.width for one in column)
            self._top = max(self._top, row)
        self._curves = Curves((self.width, even(max(96, height - self._top))), page)
        self.height = self._top + self._curves.height

    def image(self, frame: Frame, replica: int = 0) -> Colours:
        """All of it."""
        canvas = np.empty((self.height, self.width, 3), dtype=np.uint8)
        canvas[:] = self._background
        for row, column, one in self._pictures:
            pixels = one.image(frame, replica)
            canvas[row : row + pixels.shape[0], column : column + pixels.shape[1]] = pixels
        canvas[self._top :] = self._curves.image(frame, replica)
        return canvas


def _pixel_triangles(lattice: Lattice, area: np.ndarray, scale: float) -> np.ndarray:
    """Triangle of every pixel (height, width), in the rectangle in which the texture is drawn.

    Triangles stand in pairs, cell by cell; which half of its cell a point is in follows from its fractions (u, v) of
    the primitive vectors: the cut goes along a1 + a2 on the square lattice, else along a1 - a2.
    """
    vectors = lattice.primitive_vectors
    x = (np.arange(area[0]) + 0.5) / scale - 0.5
    y = (area[1] - np.arange(area[1]) - 0.5) / scale - vectors[1, 1] / 2
    fractions = np.stack(np.meshgrid(x, y), axis=-1) @ np.linalg.inv(vectors)
    cell = np.floor(fractions)
    u, v = np.moveaxis(fractions - cell, -1, 0)
    second = v > u if lattice.kind == "square" else u + v > 1
    n1, n2 = np.moveaxis(cell.astype(np.int64) % np.array(lattice.shape), -1, 0)
    return np.asarray(2 * (n1 * lattice.shape[1] + n2) + second)


def _nearest(momenta: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Index of the nearest momentum of the lattice for every point (..., 2): the best of four corners of its cell."""
    shape = np.array(lattice.shape)
    reciprocal = lattice.brillouin_zone().reciprocal / shape[:, None]
    floor = np.floor(momenta @ lattice.primitive_vectors.T / (2 * np.pi) * shape)
    best = np.full(momenta.shape[:-1], np.inf)
    index = np.zeros(momenta.shape[:-1], dtype=np.int64)
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        cell = floor + corner
        distance = ((cell @ reciprocal - momenta) ** 2).sum(axis=-1)
        n1, n2 = np.moveaxis((cell % shape).astype(np.int64), -1, 0)
        index = np.where(distance < best, n1 * shape[1] + n2, index)
        best = np.minimum(distance, best)
    return index
