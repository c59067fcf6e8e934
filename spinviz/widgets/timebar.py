"""The time line on the page: a slider over the kept states, going on from one of them, undo and redo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import panel_material_ui as pmui

from spinviz.running.status import Status
from spinviz.running.timeline import Stamp

NOTCHES = 200  # of the slider: its ends stay, so that a running page sends nothing
SMALL: dict[str, Any] = {"size": "small", "margin": (4, 2)}


class TimeBar:
    """Slider and buttons; ``panel`` is what goes on the page. ``on_look(step or None)`` when the reader moves it."""

    def __init__(self, on_look: Callable[[int | None], None]) -> None:
        self._stamps: Sequence[Stamp] = ()
        self._on_look = on_look
        self._quiet = False
        self.slider = pmui.IntSlider(
            label="Time line", start=0, end=NOTCHES, value=NOTCHES, show_value=False, size="small",
            sizing_mode="stretch_width", margin=(0, 12),
            description="States of this run that are kept; look back without losing the present one",
        )  # fmt: skip
        self.place = pmui.Typography("", variant="caption", margin=(10, 4), width=112)
        self.branch = pmui.Button(
            label="Go on from here", icon="call_split", variant="contained", visible=False, **SMALL
        )
        self.present = pmui.Button(label="Present", icon="last_page", variant="outlined", visible=False, **SMALL)
        self.undo = pmui.Button(label="Undo", icon="undo", variant="text", disabled=True, **SMALL)
        self.redo = pmui.Button(label="Redo", icon="redo", variant="text", disabled=True, **SMALL)
        self.slider.param.watch(self._moved, "value")
        self.panel = pmui.Row(
            self.slider, self.place, self.branch, self.present, self.undo, self.redo, sizing_mode="stretch_width",
            margin=0,
        )  # fmt: skip

    def follow(self, status: Status, stamps: Sequence[Stamp]) -> None:
        """Show what is kept and which of it is looked at."""
        self._stamps = stamps
        steps = [stamp.step for stamp in stamps]
        index = steps.index(status.looking) if status.looking in steps else len(steps) - 1
        if self._index(self.slider.value) != index:
            self._quiet = True
            self.slider.value = NOTCHES if index == len(steps) - 1 else round(NOTCHES * index / max(1, len(steps) - 1))
            self._quiet = False
        back = status.looking is not None
        self.place.object = f"at {status.time:,.1f} ħ/t₁" if back else f"{len(stamps)} kept"
        for button, shown in ((self.branch, back), (self.present, back)):
            button.visible = shown
        self.undo.disabled, self.redo.disabled = not status.undoable, not status.redoable

    def _moved(self, event: Any) -> None:
        if self._quiet or not self._stamps:
            return
        index = self._index(event.new)
        self._on_look(None if index == len(self._stamps) - 1 else self._stamps[index].step)

    def _index(self, value: int) -> int:
        """Number of the kept state that this place of the slider means."""
        return round(value / NOTCHES * (len(self._stamps) - 1))
