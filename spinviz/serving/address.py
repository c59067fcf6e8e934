"""The whole set-up in the address bar: text in, settings and warnings out, and back.

    ?v=1&preset=skyrmion&size=24&force=kpm&texture=random&seed=3&field=0.0,0.0,0.005&temperature=0.001&theme=dark

Numbers are written with all their digits, so that a link makes the same run bit for bit. What is wrong is left out,
what is too large is cut, and each time one sentence says so; no value of the address is a path or is evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from engine import PRESETS
from spinviz.controls import FORCES, SITES, SIZES, SPEEDS, Controls, networks, slider_ranges, textures

VERSION = 1
SMALLEST = 4
VIEWS = ("chirality", "disagreement", "domains", "audit", "charge")
THEMES = ("light", "dark")
NUMBERS = ("temperature", "electron_temperature", "damping", "time_step", "chemical_potential", "filling", "coupling")
PAGE_ONLY = ("speed", "view", "theme")  # not of the simulation
LONGEST = 60  # characters of a value that a warning repeats


class _Refused(ValueError):  # noqa: N818 - it is no failure
    """A value that cannot be used; the message says why and what is used instead."""


def parse_query(query: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Settings that the address names, and a sentence for everything in it that was left out or cut.

    ``query`` holds text (or the first of a list of texts). Keys of the result: "preset" (always), and where given
    "size", "force", "texture", "seed", "field" (3 numbers), the names of ``NUMBERS`` and of ``PAGE_ONLY``. Ranges are
    those of the preset's sliders or of the controls, whichever reach further. Never raises.
    """
    texts = {str(key): _text(value) for key, value in query.items()}
    settings: dict[str, Any] = {}
    warnings: list[str] = []
    version = texts.pop("v", str(VERSION))
    if version != str(VERSION):
        warnings.append(
            f"This link is of version {version[:LONGEST]}, the page reads version {VERSION}: it shows what it knows."
        )
    preset = texts.pop("preset", Controls.param.preset.default)
    if preset not in PRESETS:
        warnings.append(_sentence("preset", preset, f"is not one of {', '.join(PRESETS)}"))
        preset = Controls.param.preset.default
    settings["preset"] = preset
    for name, text in texts.items():
        reader = _READERS.get(name)
        if reader is None:
            warnings.append(f"The address has {name[:LONGEST]}, which this page does not know; it is left out.")
            continue
        try:
            settings[name], cut = reader(preset, name, text)
        except _Refused as reason:
            warnings.append(_sentence(name, text, str(reason)))
            continue
        warnings += [cut] if cut else []
    if "chemical_potential" in settings and "filling" in settings:
        del settings["chemical_potential"]
        warnings.append("The address has chemical_potential and filling; only the filling is used.")
    return settings, warnings


def query(settings: Mapping[str, Any]) -> dict[str, str]:
    """The address of ``settings``, as :func:`parse_query` reads it. Raises ValueError for a name it does not know."""
    unknown = sorted(set(settings) - {"preset", *_READERS})
    if unknown:
        raise ValueError(f"an address has no {', '.join(unknown)}; it takes preset, {', '.join(_READERS)}")
    texts = {"v": str(VERSION)}
    for name, value in settings.items():
        if name == "field":
            texts[name] = ",".join(repr(float(part)) for part in value)
        elif value is not None:
            texts[name] = repr(float(value)) if name in NUMBERS else str(value)
    return texts


def of_simulation(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The part of ``settings`` that makes a simulation: all of it but speed, view and theme."""
    return {name: value for name, value in settings.items() if name not in PAGE_ONLY}


def _sentence(name: str, text: str, reason: str) -> str:
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"{name}={shown!r} in the address {reason}; it is left out."


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = value[0] if value else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _choice(known: Callable[[str], tuple[Any, ...]]) -> Callable[[str, str, str], tuple[Any, str]]:
    """Reader of one of the values that ``known(preset)`` lists."""

    def read(preset: str, name: str, text: str) -> tuple[Any, str]:
        options = {str(option): option for option in known(preset)}
        if text not in options:
            raise _Refused(f"is not one of {', '.join(options)} for {PRESETS[preset].title!r}")
        return options[text], ""

    return read


def _whole(limits: Callable[[str], tuple[int, int]]) -> Callable[[str, str, str], tuple[int, str]]:
    """Reader of a whole number, cut to the limits."""

    def read(preset: str, name: str, text: str) -> tuple[int, str]:
        if not (text.lstrip("+-").isascii() and text.lstrip("+-").isdigit() and len(text) <= 19):
            raise _Refused("is not a whole number")
        return _cut(name, int(text), *limits(preset))

    return read


def _number(preset: str, name: str, text: str) -> tuple[float, str]:
    try:
        value = float(text)
    except ValueError:
        raise _Refused("is not a number") from None
    if not math.isfinite(value):
        raise _Refused("is not a finite number")
    return _cut(name, value, *limits_of(preset, name))


def _field(preset: str, name: str, text: str) -> tuple[tuple[float, float, float], str]:
    parts = text.split(",")
    if len(parts) != 3:
        raise _Refused("is not three numbers Hx,Hy,Hz")
    read = [_number(preset, f"field_{axis}", part) for axis, part in zip("xyz", parts, strict=True)]
    (x, _), (y, _), (z, _) = read
    return (x, y, z), " ".join(cut for _, cut in read if cut)


def limits_of(preset: str, name: str) -> tuple[float, float]:
    """Range of a number in the address: that of the control or of the preset's slider, whichever reaches further."""
    low, high = Controls.param[name].bounds
    slider = slider_ranges(PRESETS[preset]).get(name, (low, high))
    return min(low, slider[0]), max(high, slider[1])


def _cut(name: str, value: Any, low: Any, high: Any) -> tuple[Any, str]:
    kept = min(max(value, low), high)
    return kept, "" if kept == value else f"{name}={value} in the address is outside {low} to {high}; {kept} is used."


def _size_limits(preset: str) -> tuple[int, int]:
    regular = PRESETS[preset].lattice != "random_sites"
    return (SMALLEST, max(SIZES)) if regular else (10, max(SITES))


_READERS: dict[str, Callable[[str, str, str], tuple[Any, str]]] = {
    "size": _whole(_size_limits),
    "force": _choice(lambda preset: (*FORCES.values(), *networks(preset))),
    "texture": _choice(lambda preset: tuple(textures(PRESETS[preset]))),
    "seed": _whole(lambda preset: Controls.param.seed.bounds),
    "field": _field,
    **dict.fromkeys(NUMBERS, _number),
    "speed": _choice(lambda preset: tuple(SPEEDS.values())),
    "view": _choice(lambda preset: VIEWS),
    "theme": _choice(lambda preset: THEMES),
}
