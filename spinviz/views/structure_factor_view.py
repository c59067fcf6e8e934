"""Structure factor S(q) on the first Brillouin zone; along Γ–K–M, averaged over rings, and as a history, when asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, LinearColorMapper
from panel.layout import Column
from panel.pane import Bokeh

from engine.frame import Frame
from engine.lattice import Lattice
from engine.observables import fold_to_zone
from spinviz.components.picture_tools import PictureTools
from spinviz.theme import STRUCTURE_FACTOR_MAP, palette_hex
from spinviz.views.download import csv_bytes
from spinviz.views.explanations import EXPLANATIONS
from spinviz.views.structure_curves import (
    History,
    Kymograph,
    PathCurve,
    RingCurve,
    Rings,
    colour_bar,
    logarithm,
    nearest_momentum,
)
from spinviz.views.view import MUTED, View, plain_figure

PIXELS = 144
MARGIN = 1.1
CHOICES = {"Zone": "structure_factor", "Path": "path", "Rings": "rings", "History": "history"}
LABELS = {
    "Zone": "Structure factor on the first Brillouin zone",
    "Path": "Structure factor along high-symmetry lines",
    "Rings": "Structure factor averaged over rings of equal wave number",
    "History": "Ring average of the structure factor against time",
}


class StructureFactorView(View):
    """Every pixel of the zone shows the nearest momentum of the finite lattice; colour = square root of S(q), or log10.

    The other pictures are built when they are first chosen; the history is kept from the first frame on.
    """

    def __init__(self) -> None:
        self._lattice: Lattice | None = None
        self._shown: Frame | None = None
        self._history = History()
        self._image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._edge = ColumnDataSource({"x": [], "y": []})
        self._points = ColumnDataSource({"x": [], "y": [], "name": [], "colour": []})
        self._colours = LinearColorMapper(
            palette=palette_hex(STRUCTURE_FACTOR_MAP), low=0.0, high=1.0, nan_color="rgba(0,0,0,0)"
        )
        self._plot = self._zone()
        self._curves: dict[str, Any] = {}
        self.tools = PictureTools(
            self.file, title="structure factor", help=EXPLANATIONS["structure_factor"].html,
            figures=[self._plot.id], choices=list(CHOICES), choice="Zone", switch="log",
        )  # fmt: skip
        self.tools.param.watch(lambda event: self.choose(event.new), "choice")
        self.tools.param.watch(lambda event: self._refresh(), "switched")
        self._place = Column(Bokeh(self._plot, sizing_mode="stretch_both"), sizing_mode="stretch_both", margin=0)
        self.panel = Column(self.tools, self._place, sizing_mode="stretch_both", margin=0)

    def show(self, frame: Frame) -> None:
        if "structure_factor" not in frame.observables:
            self._shown = None
            return
        if self._lattice is None or self._lattice.description() != frame.lattice.description():
            self._lay_out(frame.lattice)
        self._shown = frame
        self._averaged = self._rings.average(frame.observables["structure_factor"][0])
        self._history.add(float(frame.time[0]), self._averaged)
        self._refresh()

    def choose(self, choice: str) -> None:
        """Look in one of the ways of CHOICES. Raises ValueError for another."""
        if choice not in CHOICES:
            raise ValueError(f"the structure factor is shown as one of {list(CHOICES)}, got {choice!r}")
        if choice != "Zone" and choice not in self._curves:
            self._curves[choice] = {"Path": PathCurve, "Rings": RingCurve, "History": Kymograph}[choice]()
            self._curves[choice].plot.html_attributes = {"role": "img", "aria-label": LABELS[choice]}
        plot = self._plot if choice == "Zone" else self._curves[choice].plot
        self.tools.param.update(choice=choice, figures=[plot.id], help=EXPLANATIONS[CHOICES[choice]].html)
        self._refresh()
        self._place.objects = [Bokeh(plot, sizing_mode="stretch_both")]

    def file(self, kind: str) -> bytes:
        """What is shown, as CSV."""
        if self._shown is None:
            raise ValueError("there is no structure factor to download yet; wait until something is shown")
        if self.tools.choice != "Zone":
            return csv_bytes(self._curves[self.tools.choice].table())
        lattice = self._shown.lattice
        q = fold_to_zone(lattice.momenta(), lattice)
        values = self._shown.observables["structure_factor"][0]
        return csv_bytes({"qx (1/a)": q[:, 0], "qy (1/a)": q[:, 1], "S(q)": values})

    def _refresh(self) -> None:
        """Draw the chosen picture of the last frame."""
        if self._shown is None:
            return
        structure, logarithmic = self._shown.observables["structure_factor"][0], self.tools.switched
        choice = self.tools.choice
        if choice == "Zone":
            self._show_zone(structure, logarithmic)
        elif choice == "Path":
            self._curves[choice].show(self._shown.lattice, structure, logarithmic)
        else:
            content = self._averaged if choice == "Rings" else self._history
            self._curves[choice].show(self._rings.radius, content, logarithmic)

    def _show_zone(self, structure: np.ndarray, logarithmic: bool) -> None:
        shown = logarithm(structure) if logarithmic else np.sqrt(np.maximum(structure, 0))
        image = np.where(self._outside, np.float32(np.nan), shown.astype(np.float32)[self._nearest])
        span = 2 * self._reach
        self._image.data = {"image": [image], "x": [-self._reach], "y": [-self._reach], "dw": [span], "dh": [span]}
        if logarithmic:
            self._colours.update(low=float(np.floor(shown.min())), high=float(np.ceil(shown.max())))
        else:
            self._colours.update(low=0.0, high=float(np.ceil(20 * max(shown.max(), 0.05)) / 20))

    def _zone(self) -> Any:
        """The figure of the zone."""
        plot = plain_figure("", match_aspect=True, x_axis_label="qx (1/a)", y_axis_label="qy (1/a)")
        plot.grid.visible = False
        for axis in plot.axis:
            axis.ticker = BasicTicker(desired_num_ticks=3)
        plot.image("image", "x", "y", "dw", "dh", source=self._image, color_mapper=self._colours)
        plot.line("x", "y", source=self._edge, line_color="#8888", line_width=2)
        plot.scatter("x", "y", source=self._points, size=4, fill_color="white", line_color="#555", line_width=1)
        plot.text(
            "x", "y", "name", source=self._points, x_offset=4, y_offset=-2, text_font_size="13px",
            text_font_style="bold", text_color="colour",
        )  # fmt: skip
        plot.add_layout(colour_bar(self._colours), "right")
        plot.html_attributes = {"role": "img", "aria-label": LABELS["Zone"]}
        return plot

    def _lay_out(self, lattice: Lattice) -> None:
        """Pixel -> momentum, the zone's edge and its points."""
        self._lattice, zone, self._rings = lattice, lattice.brillouin_zone(), Rings(lattice)
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
