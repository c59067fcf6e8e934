"""The pictures of one recorded run: any of its frames, with the curves of all of it."""

from __future__ import annotations

from html import escape

import panel as pn

from spinviz.drawing.caption import caption_of
from spinviz.pages.recorded_run import RecordedRun
from spinviz.views import ChiralityView, DomainView, SpinView, StructureFactorView, TimeSeriesView
from spinviz.views.view import dress_curves

CAPTION = "font-size:11px;line-height:1.3;opacity:.85;white-space:pre;overflow:hidden;text-overflow:ellipsis"


class Replay:
    """The pictures of one run."""

    def __init__(self, letter: str) -> None:
        self.letter = letter
        self.spin, self.chirality, self.structure = SpinView(), ChiralityView(), StructureFactorView()
        self.series, self.domains = TimeSeriesView(), DomainView()
        self.spin.panel.title = f"replay{letter}"
        self.heading = pn.pane.HTML("", height=38, margin=(0, 8), sizing_mode="stretch_width")
        self.run: RecordedRun | None = None
        self.shown = -1

    def dress(self, theme: str) -> None:
        """Maps and curves in the colours of a theme, "light" or "dark"."""
        for picture in (self.spin.panel, self.chirality.map):
            picture.theme = theme
        for curves in (self.series, self.domains):
            dress_curves(curves.panel, theme)

    def load(self, run: RecordedRun) -> None:
        """Take another run, with the curves of all of it."""
        self.run, self.shown = run, -1
        curves, structure = run.survey()
        self.series.show_all(curves)
        self.domains.show_all(curves)
        self.series.charge.visible = run.lattice.is_regular
        if structure is not None:
            self.structure.remember(run.lattice, run.times, structure)

    def show(self, time: float) -> None:
        """The last frame at or before this time."""
        assert self.run is not None
        index = self.run.index_at(time)
        if index == self.shown:
            return
        self.shown = index
        frame = self.run.frame(index)
        self.spin.show(frame)
        self.spin.describe(frame)
        self.chirality.show(frame)
        self.structure.show(frame)
        self.series.mark(float(frame.time[0]))
        charge = frame.observables.get("topological_charge")
        said = "" if charge is None else f" · Q = {float(charge[0]):+.0f}".replace("-", "−").replace("+0", "0")
        self.heading.object = (
            f'<b>{self.letter}: {escape(self.run.name)}</b> <span class="replay-{self.letter}" style="font-variant-numeric:'
            f'tabular-nums">t = {frame.time[0]:.4g} ħ/t₁ · step {frame.step:,}{said}</span>'
            f'<div class="replay-caption-{self.letter}" style="{CAPTION}">'
            f"{escape(caption_of(self.run.settings, frame.parameters))}</div>"
        )
