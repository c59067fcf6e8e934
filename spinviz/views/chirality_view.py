"""Scalar chirality chi = Sa . (Sb x Sc) of every triangle, blue (negative) to red (positive)."""

from __future__ import annotations

import numpy as np

from engine.frame import Frame
from spinviz.components import LatticeMap
from spinviz.theme import CHIRALITY_MAP
from spinviz.views.view import View, map_message, size_text

LIMITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SHOWN_SHARE = 98.0


class ChiralityView(View):
    """Triangles in their true places. The colour range is the smallest of LIMITS that holds 98 % of them."""

    def __init__(self) -> None:
        self.panel = LatticeMap(
            title="chirality", label="Scalar chirality", legend="+1|−1", palette=CHIRALITY_MAP.tobytes(),
            sizing_mode="stretch_both",
        )  # fmt: skip

    def show(self, frame: Frame) -> None:
        if "scalar_chirality" not in frame.observables:
            return
        chirality = frame.observables["scalar_chirality"][0]
        reach = float(np.percentile(np.abs(chirality), SHOWN_SHARE))
        limit = next((value for value in LIMITS if value >= reach), LIMITS[-1])
        message = map_message(frame.lattice, "triangles", chirality / limit)
        self.panel.push({**message, "high": f"+{limit:g}", "low": f"−{limit:g}"})
        self.panel.label = (
            f"Scalar chirality of the triangles of the {size_text(frame.lattice)}: mean {float(chirality.mean()):+.3f}"
        )
