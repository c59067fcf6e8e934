"""Disagreement of two networks at every site, in units of the rms force: bright where they are outside their data."""

from __future__ import annotations

import numpy as np
import panel as pn

from engine.frame import Frame
from spinviz.components import LatticeMap
from spinviz.running.committee import DISAGREEMENT, DOUBTFUL, OUTSIDE_SHARE
from spinviz.theme import STRUCTURE_FACTOR_MAP
from spinviz.views.view import View, map_message, size_text

LIMIT = 0.5


class DisagreementView(View):
    """Map of the sites, or a sentence that says why there is none. ``share``: sites above the doubtful disagreement.

    Not every frame has it: the last one is shown.
    """

    def __init__(self) -> None:
        self.map = LatticeMap(
            title="disagreement", label="Disagreement of two networks", legend=f"≥{LIMIT:g}|0",
            palette=STRUCTURE_FACTOR_MAP.tobytes(), sizing_mode="stretch_both", visible=False,
        )  # fmt: skip
        self.note = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 8), styles={"font-size": "12px"})
        self.panel = pn.Column(self.note, self.map, sizing_mode="stretch_both")
        self.share: float | None = None

    def show(self, frame: Frame) -> None:
        if DISAGREEMENT not in frame.observables:
            return
        values = frame.observables[DISAGREEMENT][0]
        self.share = float(np.mean(values > DOUBTFUL))
        self.map.push({**map_message(frame.lattice, "sites", 2 * np.minimum(values / LIMIT, 1) - 1)})
        self.map.label = (
            f"Disagreement of two networks on the {size_text(frame.lattice)}: above {DOUBTFUL:g} of the rms force at "
            f"{100 * self.share:.0f} % of the sites"
        )

    def explain(self, absence: str) -> None:
        """Say why there is no map; "" shows the map."""
        self.note.object, self.map.visible = absence, not absence
        if absence:
            self.share = None

    @property
    def chip(self) -> tuple[str, bool] | None:
        """Text of the status chip and whether it is a warning; None without a committee."""
        if self.share is None:
            return None
        outside = self.share > OUTSIDE_SHARE
        return f"{'outside' if outside else 'inside'} its data", outside
