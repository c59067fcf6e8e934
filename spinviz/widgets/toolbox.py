"""The tools on the page: which one is in hand, with which numbers, and what a pick on the texture does with it.

Widgets only, and pure functions of them; what is done is in :mod:`spinviz.running.tools`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import panel_material_ui as pmui

from engine.presets import Preset
from spinviz.running.tools import Change, drag, field_pulse, flip, heat, insert_skyrmion, paint, pin

TOOLS = {
    "Look: zoom, move, read": "look", "Insert a skyrmion": "skyrmion", "Flip a region": "flip",
    "Paint": "paint", "Drag the texture": "drag", "Pin sites": "pin", "Heat a spot": "heat",
}  # fmt: skip
HINTS = {
    "look": "Drag moves the picture, the wheel zooms.",
    "skyrmion": "Click puts one skyrmion in; with shift the opposite vorticity.",
    "flip": "Click reverses all spins within the radius.",
    "paint": "Draw with the pointer; with shift the opposite direction.",
    "drag": "Take a piece of the texture along with the pointer.",
    "pin": "Pinned spins do not move; with shift they are set free.",
    "heat": "Click raises the bath temperature within the radius for a while.",
}
DIRECTIONS: dict[str, tuple[float, float, float]] = {
    "+z (white)": (0, 0, 1), "−z (black)": (0, 0, -1), "+x (red)": (1, 0, 0), "−x (cyan)": (-1, 0, 0),
    "+y": (0, 1, 0), "−y": (0, -1, 0),
}  # fmt: skip
HELICITIES = {"Néel, outward (0)": 0.0, "Bloch (π/2)": math.pi / 2, "Néel, inward (π)": math.pi,
              "Bloch (−π/2)": -math.pi / 2}  # fmt: skip
NUMBERS = {  # which widgets each tool uses
    "skyrmion": ("radius", "vorticity", "helicity"), "flip": ("radius",), "paint": ("radius", "direction"),
    "drag": ("radius",), "pin": ("radius",), "heat": ("radius", "excess", "duration"),
}  # fmt: skip
SLIM: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (2, 6)}
USUAL_STEPS = 30  # length of a pulse


@dataclass(frozen=True)
class Stroke:
    """What a pick does: a change, and whether it belongs to the stroke before."""

    change: Change
    continues: bool


class ToolBox:
    """Choice of the tool and its numbers; ``panel`` is what goes on the page.

    ``on_choice(tool)`` is called when another tool is taken; ``pulse`` and ``free`` are buttons for the page.
    """

    def __init__(self, system: Preset, on_choice: Callable[[str], None]) -> None:
        self._at: int | None = None
        self._moved = False
        self.tool = pmui.Select(label="Tool", options=TOOLS, value="look", size="small", **SLIM)
        self.hint = pmui.Typography(HINTS["look"], variant="caption", margin=(0, 8))
        self.numbers: dict[str, Any] = {
            "radius": pmui.FloatSlider(label="Radius (sites)", start=0, end=16, step=0.5, value=3, **SLIM),
            "vorticity": pmui.Select(label="Vorticity", options={"+1": 1, "−1 (antiskyrmion)": -1}, value=1,
                                     size="small", **SLIM),
            "helicity": pmui.Select(label="Helicity", options=HELICITIES, value=0.0, size="small", **SLIM),
            "direction": pmui.Select(label="Direction of paint", options=DIRECTIONS, value=(0, 0, 1), size="small",
                                     **SLIM),
            "excess": pmui.FloatInput(label="Hotter by (t₁)", value=1.0, start=0.0, size="small", **SLIM),
            "duration": pmui.FloatInput(label="Duration of heat (ħ/t₁)", value=1.0, start=0.0, size="small", **SLIM),
        }  # fmt: skip
        self.free = pmui.Button(label="Set all sites free", icon="lock_open", variant="text", size="small", **SLIM)
        self.field = {
            "direction": pmui.Select(label="Field pulse along", options=DIRECTIONS, value=(1, 0, 0), size="small",
                                     **SLIM),
            "strength": pmui.FloatInput(label="Strength of the field (t₁)", value=1.0, start=0.0, size="small", **SLIM),
            "duration": pmui.FloatInput(label="Duration of the field (ħ/t₁)", value=1.0, start=0.0, size="small",
                                        **SLIM),
        }  # fmt: skip
        self.pulse = pmui.Button(label="Give the field pulse", icon="bolt", variant="outlined", size="small", **SLIM)
        self.tool.param.watch(lambda event: self._chosen(event.new, on_choice), "value")
        self.panel = pmui.Column(
            self.tool, self.hint, *self.numbers.values(), self.free, *self.field.values(), self.pulse,
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self._arrange("look")
        self.adjust(system)

    def adjust(self, system: Preset) -> None:
        """Strengths and durations at the scale of this system."""
        self.numbers["excess"].value = 2 * system.temperature_scale
        self.field["strength"].value = system.field_scale
        for widget in (self.numbers["duration"], self.field["duration"]):
            widget.value = USUAL_STEPS * system.time_step

    def stroke(self, site: int, phase: str, shift: bool, tool: str) -> Stroke | None:
        """What this pick does, or None. Picks of one stroke must come in order."""
        radius = self.numbers["radius"].value
        if tool == "drag":
            return self._dragged(site, phase, radius)
        if phase == "up" or (phase == "move" and tool not in ("paint", "pin")):
            return None
        continues = phase == "move"
        if tool == "skyrmion":
            vorticity = self.numbers["vorticity"].value * (-1 if shift else 1)
            return Stroke(insert_skyrmion(site, vorticity, self.numbers["helicity"].value, radius), False)
        if tool == "flip":
            return Stroke(flip(site, radius), False)
        if tool == "paint":
            sign = -1 if shift else 1
            x, y, z = (sign * part for part in self.numbers["direction"].value)
            return Stroke(paint(site, radius, (x, y, z)), continues)
        if tool == "pin":
            return Stroke(pin(site, radius, on=not shift), continues)
        if tool == "heat":
            return Stroke(heat(site, radius, self.numbers["excess"].value, self.numbers["duration"].value), False)
        return None

    def field_pulse(self) -> Change:
        """The field pulse with the present numbers."""
        strength = self.field["strength"].value
        x, y, z = (strength * part for part in self.field["direction"].value)
        return field_pulse((x, y, z), self.field["duration"].value)

    def _dragged(self, site: int, phase: str, radius: float) -> Stroke | None:
        before, self._at = self._at, None if phase == "up" else site
        if phase == "down":
            self._moved = False
        if before is None or phase == "down" or site == before:
            return None
        continues, self._moved = self._moved, True
        return Stroke(drag(before, site, radius), continues)

    def _chosen(self, tool: str, on_choice: Callable[[str], None]) -> None:
        self._arrange(tool)
        on_choice(tool)

    def _arrange(self, tool: str) -> None:
        """Show the numbers of this tool alone."""
        self.hint.object = HINTS[tool]
        for name, widget in self.numbers.items():
            widget.visible = name in NUMBERS.get(tool, ())
        self.free.visible = tool == "pin"
