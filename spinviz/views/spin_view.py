"""Spin texture: hue = in-plane angle, white = +z, black = -z, with arrows on a subgrid."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.frame import Frame
from spinviz.components import LatticeMap
from spinviz.theme import spin_colours
from spinviz.views.download import csv_bytes
from spinviz.views.lattice_picture import lattice_picture, wheel_key
from spinviz.views.view import View, map_message, size_text

READ = {"force": ("F", "t₁")}  # observables per site that are read beside the spin, their letter and unit


class SpinView(View):
    """The texture, coloured and drawn in the browser from 2 bytes per site.

    ``panel`` is the :class:`spinviz.components.LatticeMap`: it has the tool in hand (``panel.tool``, ``panel.on_pick``)
    and the theme.
    """

    def __init__(self) -> None:
        self.marks: list[int] = []
        self._shown: Frame | None = None
        self._observed: Frame | None = None
        self.panel = LatticeMap(title="spin", label="Spin texture", legend="wheel", sizing_mode="stretch_both")
        self.panel.on_hover(lambda hovering: self._read())

    @property
    def shown(self) -> Frame | None:
        """The frame that is shown."""
        return self._shown

    def show(self, frame: Frame) -> None:
        if self._shown is not None and frame.step < self._shown.step:
            self.marks = []  # they belong to a run that is over
        self._shown = frame
        message = map_message(frame.lattice, "spin", frame.spin[0])
        self.panel.push(
            {**message, "arrows": True, "marks": [site for site in self.marks if site < frame.lattice.sites]}
        )

    def mark(self, sites: list[int]) -> None:
        """Ring these sites from now on; also in a picture that stands still."""
        self.marks = sites
        if self._shown is not None:
            self.show(self._shown)

    def describe(self, frame: Frame) -> None:
        """Say in words what is seen, for screen readers, and what is read at a site; frame with observables."""
        size = float(np.linalg.norm(frame.observables["magnetization"][0]))
        text = f"Spin texture on the {size_text(frame.lattice)}: magnetization {size:.2f}"
        if "topological_charge" in frame.observables:
            text += f", topological charge {float(frame.observables['topological_charge'][0]):.0f}"
        self.panel.label = text
        self._observed = frame
        self._read()

    def file(self, kind: str) -> bytes:
        """What is shown as "csv" (position and spin of every site), "png" or "svg" (all of it, without arrows)."""
        if self._shown is None:
            raise ValueError("there is no texture to download yet; wait until something is shown")
        lattice, spin = self._shown.lattice, self._shown.spin[0]
        if kind != "csv":
            return lattice_picture(kind, lattice, spin_colours(spin), wheel_key())
        columns = {f"{'xyz'[k]} (a)": lattice.positions[:, k] for k in range(lattice.dimension)}
        return csv_bytes({**columns, **{f"S{'xyz'[k]}": spin[:, k] for k in range(3)}})

    def _read(self) -> None:
        """Send what is read at a site, while somebody reads."""
        if self._observed is None or not self.panel.hovering:
            return
        arrays: dict[str, tuple[Any, str]] = {
            letter: (self._observed.observables[name][0], unit)
            for name, (letter, unit) in READ.items()
            if name in self._observed.observables
        }
        if arrays:
            self.panel.push_reading(arrays)
