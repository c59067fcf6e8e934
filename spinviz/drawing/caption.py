"""The line below a picture: preset, force and parameters of a run, at the beginning or at each frame.

H is the field (t1), T and Tₑ are the temperatures of the spins' bath and of the electrons (t1), α is the damping, Δt the
time step (hbar/t1), μ the chemical potential (t1), n the filling per spin-orbital, J the coupling (t1). A pulse is told
while it acts: ΔT is the excess temperature of the bath, ΔH the additional field, on so many sites. So are pinned sites while
they are, and what was done to the spins by hand since the frame before. The settings of a run do not tell its first pins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.frame import Frame

SYMBOLS = {
    "temperature": "T", "electron_temperature": "Tₑ", "damping": "α", "time_step": "Δt", "chemical_potential": "μ",
    "filling": "n", "coupling": "J",
}  # fmt: skip

GAP = "   "  # between two words of a caption
Caption = str | Callable[[Frame], str]  # of all frames, or what it says of one


def said(caption: Caption, frame: Frame) -> str:
    """What a caption says of this frame."""
    return caption if isinstance(caption, str) else caption(frame)


def captions_of(settings: Mapping[str, Any]) -> Callable[[Frame], str]:
    """The caption of every frame: with the parameters that it carries, else with those of the settings."""
    return lambda frame: caption_of(settings, frame.parameters)


def caption_of(settings: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> str:
    """Preset, force and parameters of a run in one line, as far as its settings say ("parts": as checkpoints have them).

    ``parameters`` by name, as frames carry them, take the place of those that the run was begun with; NaN: there is none.
    """
    held = {**_begun_with(settings), **(parameters or {})}
    words = [str(settings["preset"])] if "preset" in settings else []
    words += [str(held["force"])] if held.get("force") else []
    words += [f"H = {field}"] if (field := _vector(held.get("field"))) else []
    numbers = {symbol: _number(held.get(name)) for name, symbol in SYMBOLS.items()}
    words += [f"{symbol} = {value:.3g}" for symbol, value in numbers.items() if math.isfinite(value)]
    words += [*_pulses(held), *_by_hand(held)]
    return GAP.join([*words, *([f"seed {settings['seed']}"] if settings.get("seed") is not None else [])])


def _pulses(held: Mapping[str, Any]) -> list[str]:
    """What is told of the pulses that act, with their numbers of sites where these are noted."""
    heat, field = _number(held.get("heat_pulse")), _vector(held.get("field_pulse"))
    told = {"heat": f"ΔT = {heat:.3g}" if math.isfinite(heat) else "", "field": f"ΔH = {field}" if field else ""}
    sites = {name: _number(held.get(f"{name}_pulse_sites")) for name in told}
    return [
        f"{name} pulse {strength}" + (f" on {sites[name]:.0f} sites" if math.isfinite(sites[name]) else "")
        for name, strength in told.items()
        if strength
    ]


def _by_hand(held: Mapping[str, Any]) -> list[str]:
    """Pinned sites and edits of the spins."""
    pins, edits = _number(held.get("pins")), held.get("edits")
    told = [f"{pins:.0f} sites pinned"] if math.isfinite(pins) else []
    return [*told, f"by hand: {edits}"] if isinstance(edits, str) and edits else told


def _begun_with(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters in the settings of a run, by the names that frames have for them."""
    parts = settings.get("parts", {})
    dynamics = parts.get("dynamics", {}).get("fields", {})
    while "inner" in dynamics:  # pins and heat lie around the dynamics
        dynamics = dynamics["inner"].get("fields", {})
    ensemble = _fields(parts, "Ensemble")
    found = {name: dynamics.get(name) for name in ("temperature", "damping", "time_step")}
    found |= {name: ensemble.get(name) for name in ("chemical_potential", "filling")}
    found["coupling"] = {**_fields(parts, "SDModel"), **_fields(parts, "LearnedModel")}.get("coupling")
    found |= {"electron_temperature": ensemble.get("temperature"), "force": settings.get("force")}
    found["field"] = _fields(parts, "Zeeman").get("field", {}).get("tuple")
    return {name: value for name, value in found.items() if value is not None}


def _fields(part: Any, name: str) -> Mapping[str, Any]:
    """Fields of the first part of this class, at any depth; {} where there is none."""
    if isinstance(part, Mapping):
        if part.get("class") == name:
            return dict(part.get("fields", {}))
        part = list(part.values())
    for item in part if isinstance(part, list) else ():
        found = _fields(item, name)
        if found:
            return found
    return {}


def _vector(value: Any) -> str:
    """Components of a field as "(0, 0, 0.1)"; "" unless all are numbers."""
    parts = [_number(part) for part in np.atleast_1d(math.nan if value is None else value)]
    return "(" + ", ".join(f"{part + 0.0:.3g}" for part in parts) + ")" if np.isfinite(parts).all() else ""


def _number(value: Any) -> float:
    """A single number; NaN for anything else."""
    single = isinstance(value, int | float | np.number | np.ndarray) and np.ndim(value) == 0
    return float(value) if single else math.nan
