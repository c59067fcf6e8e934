"""The parts of the live page: side drawer, head line, pictures. Widgets only; what they do is decided in layout.

A page is sent with its texture and transport buttons alone, in a third less time; the rest follows by ``furnish`` when
the first frame is drawn, into room that was kept for it.
"""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from engine.frame import Frame
from engine.lattice import Lattice
from engine.presets import Preset
from spinviz.controls import CONTROLS, ELECTRONIC, Controls
from spinviz.running.audit import Audit
from spinviz.running.recording import Recording
from spinviz.running.status import Status
from spinviz.views import (
    AuditView,
    ChiralityView,
    DisagreementView,
    DomainView,
    SpinView,
    StructureFactorView,
    TimeSeriesView,
)
from spinviz.views.chirality_view import OF_VIEW
from spinviz.views.view import dress_curves
from spinviz.widgets.control import SLIM, heading, widget
from spinviz.widgets.downloads import Downloads
from spinviz.widgets.message import Message
from spinviz.widgets.narrow import CROWDED, MAIN, SIDE, STACKED, WRAPPED, below

TABS: dict[str, Any] = {
    "dynamic": False, "sizing_mode": "stretch_both", "margin": 0,
    "sx": {"& .MuiTabs-root, & .MuiTab-root": {"minHeight": "24px"},
           "& .MuiTab-root": {"padding": "0 8px", "fontSize": "12px", "textTransform": "none", "minWidth": 0},
           "& .MuiTabs-scrollButtons": {"display": "none"}},
}  # fmt: skip
GOOD, WARNING = "#00796b", "#b45309"
CHIP = (
    '<span class="value-chip" title="Share of sites where two networks differ by more than a tenth of the rms force: '
    '{share:.0f} %" style="font-size:12px;padding:2px 10px;border-radius:10px;white-space:nowrap;color:#fff;'
    'background:{colour}">{text}</span>'
)
CARD = {"elevation": 1, "sizing_mode": "stretch_both", "margin": 4, "sx": {"padding": "4px 8px"}}


class Sidebar:
    """All controls, time-step advice, recording and downloads."""

    def __init__(self, controls: Controls) -> None:
        self.controls = controls
        self.doing: list[Any] = []
        self.widgets = {name: widget(controls, name) for name in CONTROLS}
        self.suggest = pmui.Button(label="Suggested time step", variant="text", size="small", **SLIM)
        self.record = pmui.Button(label="Record", variant="outlined", color="error", size="small", **SLIM)
        self.recorded = pn.pane.HTML("", margin=(0, 14))
        self.taking = pmui.Column(sizing_mode="stretch_width", margin=0)
        self.downloads: Downloads | None = None
        self.audit = pmui.Button(label="Audit", icon="fact_check", variant="outlined", size="small", width=104,
                                 margin=(9, 4, 2, 12))  # fmt: skip
        self.audit_every = pmui.IntInput(
            label="every n steps (0: off)", value=0, start=0, step=10, size="small", margin=(7, 12, 2, 4),
            sizing_mode="stretch_width", description="Audit the force again after so many steps",
        )  # fmt: skip
        self.electrons = heading("Electrons")
        self.learned = pn.pane.HTML("", margin=(0, 14), styles={"font-size": "11px", "opacity": "0.8"})
        self.panel = pmui.Column(sizing_mode="stretch_width")
        self.arrange()

    def furnish(self) -> None:
        """Put the controls into the panel."""
        self.panel.objects = [
            *(self.widgets[name] for name in ("preset", "size", "force")),
            pmui.Row(self.audit, self.audit_every, margin=0, sizing_mode="stretch_width"),
            *(self.widgets[name] for name in ("texture", "seed")), *self.doing,
            heading("Field"), *(self.widgets[name] for name in ("field_z", "field_x", "field_y")),
            heading("Temperature"), *(self.widgets[name] for name in ("temperature", "linked", "electron_temperature")),
            self.electrons, self.learned, *(self.widgets[name] for name in ELECTRONIC),
            heading("Dynamics"), *(self.widgets[name] for name in ("damping", "time_step")), self.suggest,
            self.widgets["speed"],
            heading("Recording"), self.record, self.recorded, self.taking,
        ]  # fmt: skip

    def arrange(self) -> None:
        """Show only the controls that act on the present system."""
        controls = self.controls
        self.widgets["electron_temperature"].disabled = controls.linked or controls.learned
        said = controls.about_electrons
        for name in ("linked", "electron_temperature", *ELECTRONIC):
            self.widgets[name].description = said or controls.param[name].doc
        self.widgets["linked"].disabled = controls.learned
        for name in ELECTRONIC:
            self.widgets[name].disabled = not controls.settable
        self.learned.object = said
        self.electrons.visible = controls.electronic
        self.widgets["linked"].visible = self.widgets["electron_temperature"].visible = controls.electronic
        self.widgets["chemical_potential"].visible = controls.electronic and not controls.fixed_filling
        self.widgets["filling"].visible = controls.electronic and controls.fixed_filling
        self.widgets["coupling"].visible = controls.electronic

    def follow(self, status: Status) -> None:
        """Buttons and texts for this status."""
        self.record.label = "Stop recording" if status.recording else "Record"
        self.record.variant = "contained" if status.recording else "outlined"
        self.recorded.object = f"{status.recorded} frames recorded" if status.recorded else ""

    def offer(self, recording: Recording | None) -> None:
        """Offer a finished recording, its data and movies of it; None takes the last one away."""
        self.close()
        self.downloads = None if recording is None else Downloads(recording.path)
        self.taking.objects = [] if self.downloads is None else [self.downloads.panel]

    def close(self) -> None:
        """End a movie that is being made."""
        if self.downloads is not None:
            self.downloads.close()


class Pictures:
    """Transport buttons and all views."""

    def __init__(self) -> None:
        self.spin, self.chirality, self.structure = SpinView(), ChiralityView(), StructureFactorView()
        self.series, self.domains = TimeSeriesView(), DomainView()
        self.disagreement, self.audit = DisagreementView(), AuditView()
        small: dict[str, Any] = {"size": "small", "margin": (0, 4)}
        self.play = pmui.Button(label="Pause", icon="pause", variant="contained", width=104, **small)
        self.step = pmui.Button(label="Step", icon="skip_next", variant="outlined", **small)
        self.reset = pmui.Button(label="Reset", icon="replay", variant="outlined", **small)
        self.quench = pmui.Button(label="Quench", icon="bolt", variant="outlined", color="secondary", **small)
        self.title = pn.pane.HTML(
            "", sizing_mode="stretch_width", margin=(0, 8), stylesheets=[below(CROWDED, "display: none")]
        )
        self.chip = pn.pane.HTML("", margin=(6, 4))
        self.message = Message()
        self.notes = pmui.Alert(
            object="", severity="info", visible=False, closeable=True, sizing_mode="stretch_width", margin=(2, 4),
            css_classes=["spinviz-notes"],
        )  # fmt: skip
        self.checks = pmui.Tabs(("Domain size L(t), ξ(t)", self.domains.panel), ("Audit", self.audit.panel), **TABS)
        self.maps = pmui.Tabs(
            ("Chirality, charge", self.chirality.panel), ("Disagreement", self.disagreement.panel), **TABS
        )
        self.places = {"chirality": (self.maps, 0), "disagreement": (self.maps, 1),
                       "domains": (self.checks, 0), "audit": (self.checks, 1), "charge": (self.maps, 0)}  # fmt: skip
        self.view = "chirality"
        self.ordered = (
            pmui.Paper(self.maps, **CARD),
            _card("Structure factor", self.structure.panel),
        )
        self.side = pn.Column(
            sizing_mode="stretch_height", width=300, margin=0,
            stylesheets=[SIDE],
        )  # fmt: skip
        self.past = pmui.Column(sizing_mode="stretch_width", margin=0, height=46)
        self.curves = pmui.Paper(**{**CARD, "sizing_mode": "stretch_width", "height": 186})
        left = pn.Column(
            pmui.Row(self.title, self.chip, self.play, self.step, self.reset, self.quench, sizing_mode="stretch_width",
                     margin=(4, 0, 2, 0), sx=WRAPPED),
            self.message, self.notes, pmui.Paper(self.spin.panel, **CARD), self.past, self.curves,
            sizing_mode="stretch_both", margin=0, stylesheets=[MAIN],
        )  # fmt: skip
        self.panel = pn.Row(
            left, self.side, sizing_mode="stretch_both", margin=0, min_height=560,
            styles={"height": "calc(100vh - 84px)"}, stylesheets=[STACKED],
        )  # fmt: skip

    def furnish_side(self) -> None:
        """Put the maps beside the texture."""
        self.side.objects = [*self.ordered, pmui.Paper(self.checks, **CARD)]

    def furnish_curves(self) -> None:
        """Put the curves below the texture."""
        self.curves.objects = [self.series.panel]

    def look_at(self, view: str) -> None:
        """Turn to one of the pictures (a key of ``places``)."""
        tabs, index = self.places[view]
        tabs.active, self.view = index, view
        if view in OF_VIEW:
            self.chirality.choose(OF_VIEW[view])

    def dress(self, theme: str) -> None:
        """Maps and curves in the colours of a theme, "light" or "dark"."""
        for picture in (self.spin.panel, self.chirality.map, self.disagreement.map):
            picture.theme = theme
        for curves in (self.series, self.domains):
            dress_curves(curves.panel, theme)

    def note(self, text: str) -> None:
        """Show a sentence until the reader closes it; "" takes it away."""
        self.notes.object, self.notes.visible = text, bool(text)

    def show(self, observed: Frame, history: bool = True) -> None:
        """Show a frame with observables in all views but the texture, which has its own clock; ``history`` False leaves
        out the curves against time."""
        self.spin.describe(observed)
        for view in (self.chirality, self.disagreement, self.structure):
            view.show(observed)
        if history:
            self.show_history(observed)
        self.chip.object = self._chip()

    def show_history(self, observed: Frame) -> None:
        """Show a frame in the curves against time alone."""
        for view in (self.series, self.domains):
            view.show(observed)

    def _chip(self) -> str:
        """Whether the network is inside its data; empty without a committee."""
        chip = self.disagreement.chip
        if chip is None:
            return ""
        colour = WARNING if chip[1] else GOOD
        return CHIP.format(text=chip[0], colour=colour, share=100 * (self.disagreement.share or 0.0))

    def show_audit(self, audit: Audit) -> None:
        """Parity plot, and the worst site on the texture."""
        self.audit.show(audit)
        self.spin.mark([audit.worst])

    def look_at_audit(self, text: str) -> None:
        """Turn to the audit's plot and say what is going on."""
        self.checks.active = 1
        self.audit.explain(text)

    def follow(self, status: Status) -> None:
        """Buttons and message for this status."""
        self.play.label, self.play.icon = ("Pause", "pause") if status.running else ("Start", "play_arrow")
        self.message.say(status.message)

    def arrange(self, lattice: Lattice) -> None:
        """Hide what this lattice does not have."""
        regular = len(lattice.plaquettes) > 0
        self.series.charge.visible = regular
        for card in self.ordered:
            card.visible = regular
        self.checks.active = 0 if regular else 1

    def name(self, system: Preset) -> None:
        """Title of the page: what is shown."""
        self.title.object = (
            f'<div style="font-size:17px;font-weight:600;line-height:1.2" title="{system.description}">'
            f"{system.title}</div>"
        )


def _card(title: str, content: Any) -> Any:
    name = pn.pane.HTML(f'<div style="font-size:13px;font-weight:600">{title}</div>', margin=(0, 4), height=18)
    return pmui.Paper(name, content, **CARD)
