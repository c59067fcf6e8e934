"""Structure factor S(q) on the first Brillouin zone, with its high-symmetry points."""

from __future__ import annotations

import numpy as np
from bokeh.models import BasicTicker, ColorBar, ColumnDataSource, LinearColorMapper
from panel.pane import Bokeh

from engine.frame import Frame
from engine.lattice import Lattice
from spinviz.theme import STRUCTURE_FACTOR_MAP, palette_hex
from spinviz.views.view import MUTED, View, plain_figure

PIXELS = 144
MARGIN = 1.1


class StructureFactorView(View):
    """Every pixel of the zone shows the nearest momentum of the finite lattice; colour = square root of S(q)."""

    def __init__(self) -> None:
        self._lattice: Lattice | None = None
        self._image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._edge = ColumnDataSource({"x": [], "y": []})
        self._points = ColumnDataSource({"x": [], "y": [], "name": [], "colour": []})
        self._colours = LinearColorMapper(
            palette=palette_hex(STRUCTURE_FACTOR_MAP), low=0.0, high=1.0, nan_color="rgba(0,0,0,0)"
        )
        plot = plain_figure("", match_aspect=True)
        plot.axis.visible, plot.grid.visible = False, False
        plot.image("image", "x", "y", "dw", "dh", source=self._image, color_mapper=self._colours)
        plot.line("x", "y", source=self._edge, line_color="#8888", line_width=2)
        plot.scatter("x", "y", source=self._points, size=4, fill_color="white", line_color="#555", line_width=1)
        plot.text(
            "x", "y", "name", source=self._points, x_offset=4, y_offset=-2, text_font_size="13px",
            text_font_style="bold", text_color="colour",
        )  # fmt: skip
        plot.add_layout(
            ColorBar(color_mapper=self._colours, width=8, padding=2, label_standoff=4,
                     ticker=BasicTicker(desired_num_ticks=3), background_fill_color=None,
                     major_label_text_font_size="10px"), "right",
        )  # fmt: skip
        self._plot = plot
        plot.html_attributes = {"role": "img", "aria-label": "Structure factor on the first Brillouin zone"}
        self.panel = Bokeh(plot, sizing_mode="stretch_both")

    def show(self, frame: Frame) -> None:
        if "structure_factor" not in frame.observables:
            return
        if self._lattice is None or self._lattice.description() != frame.lattice.description():
            self._lay_out(frame.lattice)
        shown = np.sqrt(np.maximum(frame.observables["structure_factor"][0], 0)).astype(np.float32)
        image = np.where(self._outside, np.float32(np.nan), shown[self._nearest])
        span = 2 * self._reach
        self._image.data = {"image": [image], "x": [-self._reach], "y": [-self._reach], "dw": [span], "dh": [span]}
        self._colours.high = float(np.ceil(20 * max(shown.max(), 0.05)) / 20)

    def _lay_out(self, lattice: Lattice) -> None:
        """Pixel -> momentum, the zone's edge and its points."""
        self._lattice, zone = lattice, lattice.brillouin_zone()
        self._reach = float(np.abs(zone.vertices).max()) * MARGIN
        centres = (np.arange(PIXELS) + 0.5) / PIXELS * 2 * self._reach - self._reach
        momenta = np.stack(np.meshgrid(centres, centres, indexing="xy"), -1)
        self._nearest = nearest_momentum(momenta, lattice)
        following = np.roll(zone.vertices, -1, axis=0)
        normals = np.stack([following[:, 1] - zone.vertices[:, 1], zone.vertices[:, 0] - following[:, 0]], 1)
        spacing = float(np.linalg.norm(zone.reciprocal, axis=1).max() / min(lattice.shape))
        reach = (
            np.sum(normals * zone.vertices, 1) + np.linalg.norm(normals, axis=1) * spacing / 2
        )  # peaks on the edge whole
        inside = np.einsum("hwd,nd->hwn", momenta, normals) <= reach
        self._outside = ~inside.all(-1)
        closed = np.concatenate([zone.vertices, zone.vertices[:1]])
        self._edge.data = {"x": closed[:, 0], "y": closed[:, 1]}
        names = list(zone.points)
        places = np.array([zone.points[name] for name in names])
        colours = ["white" if name == "Γ" else MUTED for name in names]
        self._points.data = {"x": places[:, 0], "y": places[:, 1], "name": names, "colour": colours}
        self._plot.x_range.start, self._plot.x_range.end = -self._reach, self._reach
        tall = float(zone.vertices[:, 1].max()) * MARGIN
        self._plot.y_range.start, self._plot.y_range.end = -tall, tall


def nearest_momentum(momenta: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Index into ``lattice.momenta()`` of the nearest allowed momentum, for (..., 2), any reciprocal cell."""
    shape = np.array(lattice.shape)
    fractions = momenta @ lattice.primitive_vectors.T / (2 * np.pi) * shape
    reciprocal = lattice.brillouin_zone().reciprocal / shape[:, None]
    floor = np.floor(fractions)
    best = np.full(momenta.shape[:-1], np.inf)
    index = np.zeros(momenta.shape[:-1], dtype=np.int64)
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        cell = floor + corner
        distance = np.sum((cell @ reciprocal - momenta) ** 2, -1)
        wrapped = (cell % shape).astype(np.int64)
        index = np.where(distance < best, wrapped[..., 0] * shape[1] + wrapped[..., 1], index)
        best = np.minimum(best, distance)
    return index
