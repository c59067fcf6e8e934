"""Audit: parity of the running and the exact force, component by component; a point on the line is a right one."""

from __future__ import annotations

import numpy as np
import panel as pn
from bokeh.models import BasicTicker, ColumnDataSource

from spinviz.running.audit import Audit
from spinviz.theme import LINES
from spinviz.views.view import MUTED, plain_figure

MARGIN = 1.08
HEIGHT = 190
TITLE, AXIS = "No audit yet", "running h⊥ (t₁)"
HINT = "Press Audit to compare the force of this run with the exact one."
NAMES = {"ed": "ED", "poles": "poles", "kpm": "KPM", "classical": "classical"}


class AuditView:
    """Scatter of transverse components with the identity line; the worst site stands out."""

    def __init__(self) -> None:
        self._all = ColumnDataSource({"exact": np.empty(0), "running": np.empty(0)})
        self._worst = ColumnDataSource({"exact": np.empty(0), "running": np.empty(0)})
        self._line = ColumnDataSource({"x": [-1.0, 1.0], "y": [-1.0, 1.0]})
        plot = plain_figure(
            TITLE, x_axis_label="exact h⊥ (t₁)", y_axis_label=AXIS, x_range=(-1, 1), y_range=(-1, 1),
            max_height=HEIGHT,
        )  # fmt: skip
        plot.line("x", "y", source=self._line, line_color=MUTED, line_dash="dashed")
        colours = LINES["light"]
        plot.scatter(
            "exact", "running", source=self._all, size=4, fill_color=colours[0], line_color=None, fill_alpha=0.4
        )
        plot.scatter(
            "exact", "running", source=self._worst, size=8, fill_color=None, line_color=colours[1], line_width=2
        )
        for axis in plot.axis:
            axis.ticker = BasicTicker(desired_num_ticks=3)
        self._plot = plot
        self.caption = pn.pane.HTML(
            HINT, width=104, margin=(18, 0, 0, 0), styles={"font-size": "11px", "line-height": "1.35"}
        )
        self.panel = pn.Row(pn.pane.Bokeh(plot, sizing_mode="stretch_both"), self.caption, sizing_mode="stretch_both")

    def show(self, audit: Audit) -> None:
        """Show this outcome."""
        self._all.data = {"exact": audit.exact.ravel(), "running": audit.running.ravel()}
        self._worst.data = {"exact": audit.exact[audit.worst_row], "running": audit.running[audit.worst_row]}
        reach = MARGIN * max(float(np.abs(audit.exact).max()), float(np.abs(audit.running).max()), 1e-9)
        self._line.data = {"x": [-reach, reach], "y": [-reach, reach]}
        for span in (self._plot.x_range, self._plot.y_range):
            span.start, span.end = -reach, reach
        name = NAMES.get(audit.force, audit.force)
        self._plot.title.text = f"{name}: ε = {audit.epsilon:.3g}"
        self._plot.html_attributes = {"role": "img", "aria-label": f"Parity plot, {self._plot.title.text}"}
        self._plot.yaxis.axis_label = f"{name} h⊥ (t₁)"
        self.caption.object = describe(audit)

    def clear(self) -> None:
        """Forget the outcome: another system runs."""
        for source in (self._all, self._worst):
            source.data = {"exact": np.empty(0), "running": np.empty(0)}
        self._plot.title.text, self._plot.yaxis.axis_label, self.caption.object = TITLE, AXIS, HINT

    def explain(self, text: str) -> None:
        """Say why there is no outcome, or that one is coming."""
        self.caption.object = text


def describe(audit: Audit) -> str:
    """What was compared, when, and the error of the energy."""
    energy = (
        "" if audit.energy_error is None else f"energy off by {audit.energy_error:+.1e} t₁ a site<br>".replace("-", "−")
    )
    return (
        f"step {audit.step:,}<br>time {audit.time:,.1f} ħ/t₁<br>{energy}{audit.region}<br>"
        '<span title="Largest difference between the two forces">ring: worst site</span>'
    )
