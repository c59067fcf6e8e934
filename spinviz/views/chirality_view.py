"""Scalar chirality chi = Sa . (Sb x Sc) of every triangle, blue (negative) to red (positive)."""

from __future__ import annotations

import numpy as np
from panel_material_ui import Column

from engine.frame import Frame
from spinviz.components import LatticeMap
from spinviz.components.picture_tools import PictureTools
from spinviz.theme import CHIRALITY_MAP, chirality_colours
from spinviz.views.download import cell_polygons, csv_bytes, lattice_picture
from spinviz.views.explanations import EXPLANATIONS
from spinviz.views.view import View, map_message, size_text

LIMITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SHOWN_SHARE = 98.0


class ChiralityView(View):
    """Triangles in their true places. The colour range is the smallest of LIMITS that holds 98 % of them."""

    def __init__(self) -> None:
        self.map = LatticeMap(
            title="chirality", label="Scalar chirality", legend="+1|−1", palette=CHIRALITY_MAP.tobytes(),
            sizing_mode="stretch_both",
        )  # fmt: skip
        self.tools = PictureTools(self.file, title="scalar chirality", help=EXPLANATIONS["chirality"].html)
        self.panel = Column(self.tools, self.map, sizing_mode="stretch_both", margin=0)
        self._shown: tuple[Frame, float] | None = None

    def show(self, frame: Frame) -> None:
        if "scalar_chirality" not in frame.observables:
            self._shown = None
            return
        chirality = frame.observables["scalar_chirality"][0]
        reach = float(np.percentile(np.abs(chirality), SHOWN_SHARE))
        limit = next((value for value in LIMITS if value >= reach), LIMITS[-1])
        self._shown = frame, limit
        message = map_message(frame.lattice, "triangles", chirality / limit)
        self.map.push({**message, "high": f"+{limit:g}", "low": f"−{limit:g}"})
        self.map.label = (
            f"Scalar chirality of the triangles of the {size_text(frame.lattice)}: mean {float(chirality.mean()):+.3f}"
        )

    def file(self, kind: str) -> bytes:
        """What is shown as "csv" (centre of every triangle, chirality), "png" or "svg"."""
        if self._shown is None:
            raise ValueError("there is no chirality to download yet; wait until something is shown")
        frame, limit = self._shown
        chirality = frame.observables["scalar_chirality"][0]
        if kind != "csv":
            return lattice_picture(kind, frame.lattice, chirality_colours(chirality, limit))
        centre = cell_polygons(frame.lattice, triangles=True).mean(axis=1)
        return csv_bytes({"x (a)": centre[:, 0], "y (a)": centre[:, 1], "chirality": chirality})
