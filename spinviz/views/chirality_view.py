"""Maps of the triangles, blue (negative) to red (positive): scalar chirality and density of the topological charge.

chi = Sa . (Sb x Sc), between -1 and 1;  rho = Omega / (4 pi), between -1/2 and 1/2, whose sum is the charge Q. Both come
with every frame; only the one that is looked at is coloured and sent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from panel_material_ui import Column

from engine.frame import Frame
from spinviz.components import LatticeMap
from spinviz.components.picture_tools import PictureTools
from spinviz.theme import CHIRALITY_MAP, chirality_colours
from spinviz.views.download import csv_bytes
from spinviz.views.explanations import EXPLANATIONS
from spinviz.views.lattice_picture import bar_key, cell_polygons, lattice_picture
from spinviz.views.view import View, map_message, size_text

SHOWN_SHARE = 98.0


@dataclass(frozen=True)
class Quantity:
    """One number per triangle: its observable, letter, words at the colour bar, name, column of the CSV, and ranges of
    the colours."""

    observable: str
    symbol: str
    key: str
    title: str
    column: str
    limits: tuple[float, ...]


CHOICES = {
    "Chirality χ": Quantity(
        "scalar_chirality", "χ", "χ", "scalar chirality", "chirality", (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    ),
    "Charge density ρ": Quantity(
        "topological_charge_density", "ρ", "ρ per △", "topological charge density", "charge density (1/triangle)",
        (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    ),
}  # fmt: skip
HELP = {"Chirality χ": "chirality", "Charge density ρ": "charge_density"}
OF_VIEW = {"chirality": "Chirality χ", "charge": "Charge density ρ"}  # what the views of a page's address choose


class ChiralityView(View):
    """Triangles in their true places, coloured by one of CHOICES. The colour range is the smallest of its limits that
    holds 98 % of them."""

    def __init__(self) -> None:
        self.map = LatticeMap(
            title="chirality", label="Scalar chirality", legend="+1|−1", palette=CHIRALITY_MAP.tobytes(),
            sizing_mode="stretch_both",
        )  # fmt: skip
        first = next(iter(CHOICES))
        self.tools = PictureTools(
            self.file, title=CHOICES[first].title, help=EXPLANATIONS[HELP[first]].html, choices=list(CHOICES),
            choice=first,
        )  # fmt: skip
        self.tools.follow("choice", lambda: self.choose(self.tools.choice))
        self.panel = Column(self.tools, self.map, sizing_mode="stretch_both", margin=0)
        self._frame: Frame | None = None
        self._limit = 1.0

    @property
    def quantity(self) -> Quantity:
        """What is looked at."""
        return CHOICES[self.tools.choice]

    def choose(self, choice: str) -> None:
        """Look at one of CHOICES. Raises ValueError for another."""
        if choice not in CHOICES:
            raise ValueError(f"triangles are coloured by one of {list(CHOICES)}, got {choice!r}")
        self.tools.param.update(choice=choice, title=CHOICES[choice].title, help=EXPLANATIONS[HELP[choice]].html)
        if self._frame is not None:
            self.show(self._frame)

    def show(self, frame: Frame) -> None:
        quantity = self.quantity
        if quantity.observable not in frame.observables:
            self._frame = None
            return
        values = frame.observables[quantity.observable][0]
        reach = float(np.percentile(np.abs(values), SHOWN_SHARE))
        self._frame = frame
        self._limit = limit = next((value for value in quantity.limits if value >= reach), quantity.limits[-1])
        message = map_message(frame.lattice, "triangles", values / limit)
        said = {"high": f"+{limit:g}", "low": f"−{limit:g}", "caption": quantity.key, "symbol": quantity.symbol}
        self.map.push({**message, **said})
        total = f"mean {float(values.mean()):+.3f}" if quantity.symbol == "χ" else f"sum {float(values.sum()):+.1f}"
        where = f"of the triangles of the {size_text(frame.lattice)}"
        self.map.label = f"{quantity.title.capitalize()} {where}: {total.replace('-', '−')}"

    def file(self, kind: str) -> bytes:
        """What is shown as "csv" (centre of every triangle, value), "png" or "svg"."""
        if self._frame is None:
            raise ValueError(f"there is no {self.quantity.title} to download yet; wait until something is shown")
        values = self._frame.observables[self.quantity.observable][0]
        if kind != "csv":
            key = bar_key(CHIRALITY_MAP, f"−{self._limit:g}", f"+{self._limit:g}", self.quantity.key)
            return lattice_picture(kind, self._frame.lattice, chirality_colours(values, self._limit), key)
        centre = cell_polygons(self._frame.lattice, triangles=True).mean(axis=1)
        return csv_bytes({"x (a)": centre[:, 0], "y (a)": centre[:, 1], self.quantity.column: values})
