"""What a reader can do on the live page beyond its sliders: tools, time line, plans, keys, links.

The sections of the sidebar are empty until they are opened for the first time: a page that is only looked at does not
pay for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import panel_material_ui as pmui

from spinviz.components import Pick
from spinviz.components.bridge import Bridge
from spinviz.controls import Controls
from spinviz.running.changes import pinned_sites
from spinviz.running.status import Status
from spinviz.running.tools import unpin_all
from spinviz.serving import address
from spinviz.session import Session
from spinviz.views.scene_view import SceneView
from spinviz.widgets.panels import Pictures
from spinviz.widgets.planner import Planner
from spinviz.widgets.timebar import TimeBar
from spinviz.widgets.toolbox import ToolBox

MOST_MARKS = 400  # pinned sites that are ringed
KEYS = {
    " ": "start or pause", "ArrowRight": "one step", "ArrowLeft": "one kept state back", "r": "reset", "q": "quench",
    "z": "undo", "y": "redo", "1": "scalar chirality", "2": "disagreement of two networks", "3": "domain size",
    "4": "audit", "5": "charge density", "?": "this list",
}  # fmt: skip
SHOWN = {" ": "space", "ArrowRight": "→", "ArrowLeft": "←"}
SECTIONS = ("Tools on the texture", "Ramps and loops", "Three dimensions", "Link and keys")
KEY_LIST = "Keys: " + ", ".join(f"{SHOWN.get(key, key)} {text}" for key, text in KEYS.items()) + "."


class Doing:
    """Tools, plans, time line, keys and link of one live page.

    ``actions``: key -> what the page does for it; ``note(text)`` shows a sentence; ``settings()`` is what the address
    bar shall say.
    """

    def __init__(
        self,
        session: Session,
        controls: Controls,
        pictures: Pictures,
        actions: Mapping[str, Callable[[], None]],
        note: Callable[[str], None],
        settings: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.session, self.controls, self.pictures = session, controls, pictures
        self._note, self._settings = note, settings
        self.toolbox: ToolBox | None = None
        self.planner: Planner | None = None
        self.scene: SceneView | None = None
        self.link: Any = None
        self._preset = controls.preset
        self._pins: list[int] = []
        self.timebar = TimeBar(self._look)
        self.timebar.branch.on_click(lambda event: session.branch())
        self.timebar.present.on_click(lambda event: session.look_at_present())
        self.timebar.undo.on_click(lambda event: session.undo())
        self.timebar.redo.on_click(lambda event: session.redo())
        own = {"ArrowLeft": session.look_back, "z": session.undo, "y": session.redo, "?": self.help}
        views = {str(i): lambda name=name: pictures.look_at(name) for i, name in enumerate(address.VIEWS, start=1)}
        self._actions: dict[str, Callable[[], None]] = {**own, **views, **actions}
        self.bridge = Bridge(keys=list(KEYS))
        self.bridge.on_key(lambda key: self._actions[key]())
        self.bridge.on_copied(self._copied)
        pictures.spin.panel.on_pick(self._picked)
        self._makers = (self._make_tools, self._make_plans, self._make_scene, self._make_link)
        self._rooms = [pmui.Column(sizing_mode="stretch_width", margin=0) for _ in self._makers]
        self.sections = pmui.Accordion(
            *zip(SECTIONS, self._rooms, strict=True),
            disable_gutters=True, sizing_mode="stretch_width", margin=(4, 8), elevation=0,
            sx={"& .MuiTypography-root, & .MuiAccordionSummary-content *": {"fontSize": "13px", "fontWeight": 600},
                "& .MuiAccordionSummary-root": {"minHeight": "34px", "padding": "0 6px"},
                "& .MuiAccordionSummary-content": {"margin": "4px 0"},
                "& .MuiAccordionDetails-root": {"padding": "0 0 6px 0"}},
        )  # fmt: skip
        self.sections.param.watch(lambda event: self._open(event.new), "active")
        self.overlay = pmui.Column(self.bridge, margin=0, height=0, width=0)

    def follow(self, status: Status, simulation: Any) -> None:
        """Bring time line, plans and tools in line with what the worker did."""
        self.timebar.follow(status, self.session.timeline.stamps)
        if self.planner is not None:
            self.planner.follow(status, self.session.curve)
        if self.controls.preset != self._preset:
            self._preset = self.controls.preset
            for part in (self.toolbox, self.planner):
                if part is not None:
                    part.adjust(self.controls.system)

    def ring_pins(self, simulation: Any) -> None:
        """Ring the pinned sites on the texture."""
        pins = pinned_sites(simulation).nonzero().ravel().tolist()[:MOST_MARKS]
        if pins != self._pins:
            self._pins = pins
            self.pictures.spin.mark(pins)

    def show_address(self) -> None:
        """Write the present set-up into the address bar."""
        self.bridge.show_address("?" + urlencode(address.query(self._settings()), safe=","))

    def dress(self, theme: str) -> None:
        """The next scene is drawn for this theme."""
        if self.scene is not None:
            self.scene.theme = theme

    def close(self) -> None:
        """End the drawing of scenes."""
        if self.scene is not None:
            self.scene.close()

    def help(self) -> None:
        """Show the list of keys, or put it away."""
        shown = self.pictures.notes.visible and self.pictures.notes.object == KEY_LIST
        self._note("" if shown else KEY_LIST)

    def _open(self, active: list[int]) -> None:
        for index in active:
            if not self._rooms[index].objects:
                self._rooms[index].objects = self._makers[index]()

    def _make_tools(self) -> list[Any]:
        self.toolbox = box = ToolBox(self.controls.system, self._take)
        box.free.on_click(lambda event: self.session.act(unpin_all))
        box.pulse.on_click(lambda event: self.session.act(box.field_pulse()))
        return [box.panel]

    def _make_plans(self) -> list[Any]:
        self.planner = Planner(
            self.controls.system, self._start_plan, self.session.stop_schedule, lambda: self.session.curve
        )
        return [self.planner.panel]

    def _make_scene(self) -> list[Any]:
        self.scene = SceneView(self.pictures.spin.panel.theme, lambda: self.pictures.spin.shown)
        return [self.scene.panel]

    def _make_link(self) -> list[Any]:
        slim: dict[str, Any] = {
            "size": "small",
            "variant": "outlined",
            "sizing_mode": "stretch_width",
            "margin": (2, 6),
        }
        copy = pmui.Button(label="Copy link", icon="link", **slim)
        copy.on_click(lambda event: self._copy())
        keys = pmui.Button(label="Show the keys", icon="keyboard", **slim)
        keys.on_click(lambda event: self.help())
        self.link = pmui.TextInput(
            label="Link to this set-up", value="", visible=False, size="small", sizing_mode="stretch_width",
            margin=(8, 6),
        )  # fmt: skip
        return [copy, self.link, keys]

    def _take(self, tool: str) -> None:
        self.pictures.spin.panel.tool = tool

    def _picked(self, pick: Pick) -> None:
        if self.toolbox is not None:
            stroke = self.toolbox.stroke(pick.site, pick.phase, pick.shift, pick.tool)
            if stroke is not None:
                self.session.act(stroke.change, stroke.continues)

    def _look(self, step: int | None) -> None:
        if step is None:
            self.session.look_at_present()
        else:
            self.session.look(step)

    def _start_plan(self) -> None:
        assert self.planner is not None
        try:
            self.session.follow(self.planner.schedule(self.controls))
        except ValueError as error:
            self._note(str(error))

    def _copy(self) -> None:
        self.show_address()
        self.link.value = self.bridge.link
        self.bridge.copy(self.bridge.link)

    def _copied(self, done: bool) -> None:
        """The link is shown in any case; where the clipboard is closed to pages it can be copied by hand."""
        self.link.label = "Link, copied" if done else "Link, to be copied by hand"
        self.link.visible = True
