"""The texture in three dimensions: arrows or spheres on the lattice, and all spins on a unit sphere; off-screen.

Colours are those of every other picture (hue = in-plane angle, white = +z, black = -z), dimmed by the light on curved
surfaces. Needs no window system: VTK draws through EGL (on a bare machine: libegl1 and libgl1-mesa-dri).

Geometry is made once per lattice; a frame moves points and colours. An arrow along x is brought onto the spin s by half
a turn about h = x + s:  p' = 2 h (h . p) / (h . h) - p,  which an arrow, being round, cannot tell from another rotation.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):  # else VTK looks for a window system first
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

with suppress(ImportError):  # torch imports it when it trains; after VTK has drawn, that ends Python (two LLVMs)
    import triton  # noqa: F401

import pyvista as pv
from PIL import Image, ImageDraw

from engine.files import Closing
from engine.frame import Frame
from engine.lattice import Lattice
from spinviz.drawing.caption import Caption, said
from spinviz.drawing.raster import broken, fitted
from spinviz.movie import MovieWriter
from spinviz.theme import PAGE, Colours, spin_colours

MARKERS = ("arrow", "sphere")
SMALLEST, LARGEST = 64, 4320  # pixels
ARROW_LENGTH, SPHERE_RADIUS = 0.9, 0.42  # lattice constants; random sites stand half as far apart
RANDOM_SCALE = 0.5
INSET = (0.77, 0.995, 0.985)  # left, right, top of the unit sphere, shares of the picture; its bottom makes it square
BACKGROUND = "grid"  # of the page's colours: neither white nor black, so that both are seen
POINT_SHARE = 1 / 110  # size of a spin on the unit sphere, of the picture's height
STEEP = 89.0  # degrees: from above, north is up
LIGHT: dict[str, Any] = {"ambient": 0.4, "diffuse": 0.6, "specular": 0.0}

Points = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
    """From where the lattice is seen. Degrees: ``azimuth`` about z (0: from -y), ``elevation`` above the plane (90: from
    the top); ``zoom`` 1 shows all of it. Raises ValueError for what cannot be."""

    azimuth: float = 20.0
    elevation: float = 35.0
    zoom: float = 1.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.azimuth):
            raise ValueError(f"the azimuth must be an angle in degrees, got {self.azimuth}")
        if not -90 <= self.elevation <= 90:
            raise ValueError(f"the elevation must be from -90 to 90 degrees, got {self.elevation}")
        if not 0.1 <= self.zoom <= 100:
            raise ValueError(f"the zoom must be from 0.1 to 100, got {self.zoom}")

    @property
    def direction(self) -> npt.NDArray[np.float64]:
        """Unit vector (3,) from the lattice to the eye."""
        azimuth, elevation = np.radians([self.azimuth, self.elevation])
        flat = np.cos(elevation)
        return np.array([np.sin(azimuth) * flat, -np.cos(azimuth) * flat, np.sin(elevation)])

    @property
    def up(self) -> npt.NDArray[np.float64]:
        azimuth = np.radians(self.azimuth)
        steep = abs(self.elevation) > STEEP
        return np.array([-np.sin(azimuth), np.cos(azimuth), 0.0]) if steep else np.array([0.0, 0.0, 1.0])


class Scene(Closing):
    """Draws Frames of one lattice: :meth:`image` -> (height, width, 3) uint8. Close it, or use it as a context.

    size : (width, height) in pixels, even numbers. marker : "arrow" or "sphere". inset : show the unit sphere of all
    spins. page : "light" or "dark". text : burn in time and step, and the caption below them. samples : of each pixel in
    each direction, 1 or 2 for smooth edges. All calls belong in one thread. Raises ValueError for what makes no sense,
    RuntimeError where nothing can be drawn.
    """

    def __init__(
        self,
        lattice: Lattice,
        size: tuple[int, int] = (960, 720),
        camera: Camera | None = None,
        marker: str = "arrow",
        inset: bool = True,
        page: str = "dark",
        text: bool = False,
        samples: int = 1,
        caption: Caption = "",
    ) -> None:
        width, height = size
        if any(int(n) != n or n % 2 or not SMALLEST <= n <= LARGEST for n in size):
            raise ValueError(f"size must be two even numbers from {SMALLEST} to {LARGEST} pixels, got {size}")
        if marker not in MARKERS:
            raise ValueError(f"marker must be one of {MARKERS}, got {marker!r}")
        if page not in PAGE:
            raise ValueError(f"page must be one of {sorted(PAGE)}, got {page!r}")
        if samples not in (1, 2):
            raise ValueError(f"samples must be 1 or 2, got {samples}")
        self.lattice, self.size, self.marker, self.samples = lattice, (int(width), int(height)), marker, samples
        self._page, self._text, self._caption = PAGE[page], text, caption
        self._positions = scene_positions(lattice)
        drawn = [samples * length for length in self.size]
        self._plotter: Any = pv.Plotter(
            off_screen=True, window_size=drawn, shape=(1, 2 if inset else 1), border=False, lighting="none"
        )
        window: Any = self._plotter.render_window
        window.SetMultiSamples(0)  # in software they cost eight times the picture
        self._fill_main()
        self._inset: Any = self._fill_inset(int(width), int(height)) if inset else None
        self.look(camera or Camera())

    def image(self, frame: Frame, replica: int = 0) -> Colours:
        """One replica of a frame as pixels."""
        if not 0 <= replica < len(frame.spin) or frame.spin.shape[1] != self.lattice.sites:
            raise ValueError(
                f"expected a frame of {self.lattice.sites} sites with a replica {replica}, got {frame.spin.shape[:2]}"
            )
        spin = frame.spin[replica]
        colours = spin_colours(spin)
        if self.marker == "arrow":
            self._mesh.points = (self._positions[:, None] + turned(self._template, spin)).reshape(-1, 3)
            self._mesh.point_data["Normals"][:] = turned(self._normals, spin).reshape(-1, 3)
        self._mesh.point_data["colour"][:] = np.repeat(colours, len(self._template), axis=0)
        self._mesh.Modified()
        if self._inset is not None:
            self._inset.points = spin
            self._inset.point_data["colour"][:] = colours
            self._inset.Modified()
        self._plotter.render()  # before the screenshot: else it shows what was there before
        pixels = self._plotter.screenshot(return_img=True)
        if pixels is None:
            raise RuntimeError("nothing was drawn; off-screen rendering needs libegl1 and libgl1-mesa-dri")
        drawn = Image.fromarray(np.ascontiguousarray(pixels[..., :3])).reduce(self.samples)
        return self._written(drawn, frame, replica)

    def look(self, camera: Camera) -> None:
        """See the lattice, and the unit sphere, from there."""
        margin = ARROW_LENGTH / 2
        low, high = self._positions.min(axis=0) - margin, self._positions.max(axis=0) + margin
        self._aim(0, camera, np.stack([low, high]), camera.zoom)
        if self._inset is not None:
            self._aim(1, camera, np.array([[-0.75] * 3, [0.75] * 3]), 1.0)

    def close(self) -> None:
        """Free the drawing context. May be called twice."""
        self._plotter.close()

    def _aim(self, renderer: int, camera: Camera, box: npt.NDArray[np.float64], zoom: float) -> None:
        """Look at the middle of a box (2, 3) from as far as lets all its corners into the picture."""
        view = self._plotter.renderers[renderer]
        eye, up = camera.direction, camera.up
        right = np.cross(up, eye)
        right /= np.linalg.norm(right)
        corners = np.stack(np.meshgrid(*(box - box.mean(axis=0)).T, indexing="ij"), axis=-1).reshape(-1, 3)
        left, bottom, far, top = view.viewport
        aspect = self.size[0] * (far - left) / (self.size[1] * (top - bottom))
        slope = np.tan(np.radians(view.camera.view_angle / 2))
        reach = np.maximum(np.abs(corners @ right) / aspect, np.abs(corners @ np.cross(eye, right)))
        distance = float((corners @ eye + reach / slope).max())
        view.camera.focal_point = box.mean(axis=0)
        view.camera.position = box.mean(axis=0) + distance * eye
        view.camera.up = up
        view.camera.zoom(zoom)
        view.reset_camera_clipping_range()

    def _fill_main(self) -> None:
        shrink = 1.0 if self.lattice.is_regular else RANDOM_SCALE
        shape = arrow_template(shrink) if self.marker == "arrow" else sphere_template(shrink)
        self._template, self._normals, faces = shape
        sites, corners = self.lattice.sites, len(self._template)
        everywhere = faces[None] + corners * np.arange(sites)[:, None, None]
        cells = np.concatenate([np.full((sites * len(faces), 1), 3), everywhere.reshape(-1, 3)], axis=1)
        points = (self._positions[:, None] + self._template).reshape(-1, 3)
        self._mesh: Any = pv.PolyData(points, cells.ravel())
        self._mesh.point_data["Normals"] = np.tile(self._normals, (sites, 1))
        self._mesh.point_data.active_normals_name = "Normals"
        self._mesh.point_data["colour"] = np.zeros((sites * corners, 3), dtype=np.uint8)
        self._plotter.subplot(0, 0)
        self._plotter.add_light(_white_light())
        self._plotter.renderers[0].viewport = (0, 0, 1, 1)
        self._plotter.set_background(self._page[BACKGROUND], all_renderers=False)
        self._plotter.add_mesh(self._mesh, scalars="colour", rgb=True, interpolation="Gouraud", **LIGHT)

    def _fill_inset(self, width: int, height: int) -> Any:
        left, right, top = INSET
        self._plotter.subplot(0, 1)
        self._plotter.add_light(_white_light())
        self._plotter.renderers[1].viewport = (left, max(0.0, top - (right - left) * width / height), right, top)
        self._plotter.set_background(self._page[BACKGROUND], all_renderers=False)
        ball = pv.Sphere(radius=0.96, theta_resolution=36, phi_resolution=18)
        self._plotter.add_mesh(ball, color=self._page["surface"], ambient=0.6, diffuse=0.4)
        spins = pv.PolyData(np.tile(np.array([0, 0, 1], np.float32), (self.lattice.sites, 1)))
        spins.point_data["colour"] = np.zeros((self.lattice.sites, 3), dtype=np.uint8)
        size = self.samples * max(3.0, POINT_SHARE * height)
        self._plotter.add_mesh(spins, scalars="colour", rgb=True, point_size=size, lighting=False)
        return spins

    def _written(self, drawn: Image.Image, frame: Frame, replica: int) -> Colours:
        if self._text:
            size, draw = max(12, round(self.size[1] / 28)), ImageDraw.Draw(drawn)
            room = INSET[0] * self.size[0] - size
            told = broken(said(self._caption, frame), size, room)
            for line, words in enumerate((f"t = {frame.time[replica]:.4g}   step {frame.step}", *told)):
                place = (size / 2, (0.5 + 1.25 * line) * size)
                draw.text(place, words, fill=self._page["text"], font=fitted(words, size, room))
        return np.asarray(drawn)


class SceneMovie(MovieWriter):
    """A :class:`spinviz.movie.MovieWriter` of scenes: ``write(frame)`` for every frame; a context manager.

    ``path`` ends in .mp4, .webm or .gif; other options are those of :class:`Scene`. Time and step are burnt in.
    """

    def __init__(
        self, path: str | os.PathLike[str], frames_per_second: int = 25, replica: int = 0, **scene: Any
    ) -> None:
        self._options = {"text": True, "size": (960, 720), **scene}
        super().__init__(path, frames_per_second, height=self._options["size"][1], replica=replica)

    def picture(self, lattice: Lattice) -> Scene:
        """What draws the frames."""
        return Scene(lattice, **self._options)


def picture(frame: Frame, size: tuple[int, int] = (960, 720), replica: int = 0, **scene: Any) -> Colours:
    """One replica of a frame as pixels (height, width, 3) uint8; options are those of :class:`Scene`."""
    with Scene(frame.lattice, size, **{"samples": 2, **scene}) as drawn:
        return drawn.image(frame, replica)


def scene_movie(
    frames: Iterable[Frame], path: str | os.PathLike[str], frames_per_second: int = 25, **scene: Any
) -> int:
    """Write all frames (of a run, or of a trajectory that is read) to a movie; answers how many there were."""
    with SceneMovie(path, frames_per_second, **scene) as movie:
        for frame in frames:
            movie.write(frame)
        return len(movie)


def scene_positions(lattice: Lattice) -> Points:
    """Positions (N, 3): the torus cut open as a rectangle, as in the flat pictures; random sites where they are."""
    positions = np.zeros((lattice.sites, 3), dtype=np.float32)
    positions[:, : lattice.dimension] = lattice.positions
    if lattice.is_regular:
        positions[:, 0] = (positions[:, 0] + 0.25) % lattice.periods[0, 0] - 0.25  # rounding must not wrap column 0
    return positions


def turned(template: Points, spin: npt.NDArray[np.float32]) -> Points:
    """Points or normals (P, 3) of an arrow along x, turned onto every spin (N, 3): (N, P, 3)."""
    axis = spin + np.array([1, 0, 0], dtype=np.float32)
    opposite = (axis**2).sum(axis=1) < 1e-8
    axis[opposite] = [0, 0, 1]  # any axis across x turns x to -x
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    return np.asarray(2 * axis[:, None] * (template @ axis.T).T[..., None] - template, dtype=np.float32)


def arrow_template(shrink: float) -> tuple[Points, Points, npt.NDArray[np.int64]]:
    """Points, normals and triangles of an arrow along x about the origin."""
    length = ARROW_LENGTH * shrink
    mesh = pv.Arrow(
        start=(-length / 2, 0, 0), direction=(1, 0, 0), scale=length, tip_length=0.42, tip_radius=0.2, tip_resolution=8,
        shaft_radius=0.075, shaft_resolution=6,
    )  # fmt: skip
    return _parts(mesh)


def sphere_template(shrink: float) -> tuple[Points, Points, npt.NDArray[np.int64]]:
    """Points, normals and triangles of a sphere about the origin."""
    return _parts(pv.Sphere(radius=SPHERE_RADIUS * shrink, theta_resolution=10, phi_resolution=8))


def _white_light() -> Any:
    """From over the shoulder; the usual light kit is coloured, and would tint white spins."""
    return pv.Light(position=(0.3, 0.6, 1.0), light_type="camera light", intensity=1.0)


def _parts(mesh: Any) -> tuple[Points, Points, npt.NDArray[np.int64]]:
    solid = mesh.triangulate().compute_normals(
        cell_normals=False, point_normals=True, split_vertices=True, feature_angle=60.0
    )
    faces = np.asarray(solid.faces, dtype=np.int64).reshape(-1, 4)[:, 1:]
    return np.asarray(solid.points, np.float32), np.asarray(solid.point_data["Normals"], np.float32), faces
