"""Structure factor S(q) on the first Brillouin zone; along Γ–K–M, averaged over rings, and as a history, when asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, LinearColorMapper
from panel.pane import Bokeh
from panel_material_ui import Column

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
LABEL = "Structure factor: on the first Brillouin zone, along lines, in rings, or against time"


class StructureFactorView(View):
    """Every pixel of the zone shows the nearest momentum of the finite lattice; colour = square root of S(q), or log10.

    The other pictures are built when they are first chosen; the history is kept from the first frame on.
    """

    def __init__(self) -> None:
        self._lattice: Lattice | None = None
        self._shown: Frame | None = None
        self._history, self._recorded = History(), False
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
        self.tools.follow("choice", lambda: self.choose(self.tools.choice))
        self.tools.follow("switched", self._refresh)
        figure = Bokeh(self._plot, sizing_mode="stretch_both")
        self.panel = Column(self.tools, figure, sizing_mode="stretch_both", margin=0)

    def show(self, frame: Frame) -> None:
        if "structure_factor" not in frame.observables:
            self._shown = None
            return
        if self._lattice is None or self._lattice.description() != frame.lattice.description():
            self._lay_out(frame.lattice)
        self._shown = frame
        self._averaged = self._rings.average(frame.observables["structure_factor"][0])
        if not self._recorded:
            self._history.add(float(frame.time[0]), self._averaged)
        self._refresh()

    def remember(self, lattice: Lattice, times: np.ndarray, structure: np.ndarray) -> None:
        """The history of a recording, times (F,) and S(q) (F, N), instead of the frames that will be shown."""
        self._lay_out(lattice)
        self._recorded, self._history = True, History()
        for time, values in zip(times, structure, strict=True):
            self._history.add(float(time), self._rings.average(values))

    def choose(self, choice: str) -> None:
        """Look in one of the ways of CHOICES. Raises ValueError for another."""
        if choice not in CHOICES:
            raise ValueError(f"the structure factor is shown as one of {list(CHOICES)}, got {choice!r}")
        if choice != "Zone" and choice not in self._curves:
            self._curves[choice] = self._made(choice)
        plot, zone = self._plot, choice == "Zone"
        for renderer in self._zone_parts:
            renderer.visible = zone
        for name, picture in self._curves.items():
            for renderer in picture.renderers:
                renderer.visible = name == choice
        self._bar.visible = choice in ("Zone", "History")
        plot.match_aspect, plot.grid.visible = zone, choice in ("Path", "Rings")
        plot.x_range.range_padding, plot.y_range.range_padding = (0, 0) if self._bar.visible else (0.02, 0.05)
        plot.yaxis.axis_label = "S(q)"
        (self._arrange_zone if zone else self._curves[choice].arrange)()
        self.tools.param.update(choice=choice, help=EXPLANATIONS[CHOICES[choice]].html)
        self._refresh()

    def _made(self, choice: str) -> Any:
        """One of the pictures that share the figure with the zone: exchanging figures would shake the page."""
        if choice == "History":
            return Kymograph(self._plot, self._colours)
        return (PathCurve if choice == "Path" else RingCurve)(self._plot)

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
        if choice != "Zone" and choice not in self._curves:
            return  # it is being made
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
        self._image.data = {
            "image": [image],
            "x": [-self._reach],
            "y": [-self._tall],
            "dw": [span],
            "dh": [2 * self._tall],
        }
        if logarithmic:
            self._colours.update(low=float(np.floor(shown.min())), high=float(np.ceil(shown.max())))
        else:
            self._colours.update(low=0.0, high=float(np.ceil(20 * max(shown.max(), 0.05)) / 20))

    def _zone(self) -> Any:
        """The figure, with the zone in it."""
        plot = plain_figure("", match_aspect=True, x_axis_label="qx (1/a)", y_axis_label="qy (1/a)")
        plot.grid.visible = False
        for span in (plot.x_range, plot.y_range):
            span.range_padding, span.only_visible, span.min_interval = 0, True, 1e-3
        plot.yaxis.ticker = BasicTicker(desired_num_ticks=4)
        self._zone_parts = [
            plot.image("image", "x", "y", "dw", "dh", source=self._image, color_mapper=self._colours),
            plot.line("x", "y", source=self._edge, line_color="#8888", line_width=2),
            plot.scatter("x", "y", source=self._points, size=4, fill_color="white", line_color="#555", line_width=1),
            plot.text("x", "y", "name", source=self._points, x_offset=4, y_offset=-2, text_font_size="13px",
                      text_font_style="bold", text_color="colour"),
        ]  # fmt: skip
        self._bar = colour_bar(self._colours)
        plot.add_layout(self._bar, "right")
        plot.html_attributes = {"role": "img", "aria-label": LABEL}
        plot.xaxis.ticker = BasicTicker(desired_num_ticks=4)
        return plot

    def _arrange_zone(self) -> None:
        """Axes of the zone, after another picture had them."""
        self._plot.xaxis.axis_label, self._plot.yaxis.axis_label = "qx (1/a)", "qy (1/a)"
        self._plot.xaxis.ticker = BasicTicker(desired_num_ticks=4)

    def _lay_out(self, lattice: Lattice) -> None:
        """Pixel -> momentum, the zone's edge and its points."""
        self._lattice, zone, self._rings = lattice, lattice.brillouin_zone(), Rings(lattice)
        self._reach = float(np.abs(zone.vertices).max()) * MARGIN
        self._tall = float(zone.vertices[:, 1].max()) * MARGIN
        rows = max(1, round(PIXELS * self._tall / self._reach))
        across, up = ((2 * np.arange(n) + 1) / n - 1 for n in (PIXELS, rows))
        momenta = np.stack(np.meshgrid(self._reach * across, self._tall * up, indexing="xy"), -1)
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
