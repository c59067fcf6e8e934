"""What all views share: the abstract view, the look of a figure, and the message of a lattice map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from bokeh.models import Label
from bokeh.plotting import figure
from panel.pane import Bokeh

from engine.frame import Frame
from engine.lattice import Lattice
from spinviz.components.encoding import octahedral
from spinviz.theme import LINES, PAGE

MUTED = PAGE["light"]["muted"]
GRID = PAGE["light"]["grid"]


class View(ABC):
    """A picture of the first replica of a frame. ``panel`` is what goes on the page."""

    panel: Any

    @abstractmethod
    def show(self, frame: Frame) -> None:
        """Show this frame; called on the page's thread, so it must be quick."""


def plain_figure(title: str, **options: Any) -> figure:
    """A quiet figure that fills its place, without tools."""
    settings = {"sizing_mode": "stretch_both", "toolbar_location": None, "tools": "", "min_border": 4, "title": title}
    plot = figure(**(settings | options))
    if title:
        plot.html_attributes = {"role": "img", "aria-label": title}
    plot.background_fill_color = plot.border_fill_color = None
    plot.outline_line_color = None
    plot.title.text_font_size, plot.title.text_font_style = "12px", "bold"
    for axis in plot.axis:
        axis.axis_line_color, axis.major_tick_line_color, axis.minor_tick_line_color = MUTED, MUTED, None
        axis.major_label_text_font_size, axis.axis_label_text_font_size = "10px", "11px"
        axis.axis_label_text_font_style, axis.axis_label_standoff = "normal", 2
    for grid in plot.grid:
        grid.grid_line_color = GRID
    return plot


def dress_curves(panel: Any, theme: str) -> None:
    """Curves of all figures in ``panel``, and names in their colours, as a theme has them, "light" or "dark"."""
    colours = dict(zip(LINES["light"] + LINES["dark"], 2 * LINES[theme], strict=True))
    colours |= {page["muted"]: PAGE[theme]["muted"] for page in PAGE.values()}
    for pane in panel.select(Bokeh):
        for renderer in pane.object.renderers:
            for name in ("line_color", "text_color"):  # a text has no line
                colour = getattr(renderer.glyph, name, None)
                if colour in colours:
                    setattr(renderer.glyph, name, colours[colour])
        for label in pane.object.select(Label):
            label.text_color = colours.get(label.text_color, label.text_color)


def map_message(lattice: Lattice, mode: str, values: np.ndarray) -> dict[str, Any]:
    """Message of :class:`spinviz.components.LatticeMap`: spins (N, 3) as 2 bytes each or values in [-1, 1] as signed
    bytes, and where they belong."""
    data = octahedral(values) if mode == "spin" else np.rint(np.clip(values, -1, 1) * 127).astype(np.int8)
    message: dict[str, Any] = {"mode": mode, "kind": lattice.kind, "shape": list(lattice.shape), "data": data.tobytes()}
    if not lattice.is_regular:
        message["positions"] = lattice.positions.astype(np.float32).tobytes()
        message["box"] = float(lattice.periods[0, 0])
    return message


def size_text(lattice: Lattice) -> str:
    """For example "24 × 24 triangular lattice"."""
    if not lattice.is_regular:
        return f"{lattice.sites} random sites"
    return f"{lattice.shape[0]} × {lattice.shape[1]} {lattice.kind} lattice"
