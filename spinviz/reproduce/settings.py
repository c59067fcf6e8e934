"""Settings of figures (sizes, numbers of runs and steps), and changes to them as the command line gives them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

Settings = dict[str, Any]
SAMPLES = ("starts", "replicas", "realizations", "samples", "records")  # what errors are computed from


def changed(figure: str, settings: Mapping[str, Any], changes: Sequence[str]) -> Settings:
    """``settings`` with "KEY=VALUE" changes: each value a number, numbers with commas or a text, as the one it replaces.

    Raises ValueError for an unknown key and for a value of another kind, and says what was expected.
    """
    found = dict(settings)
    for text in changes:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"a change of a setting reads KEY=VALUE, got {text!r}")
        if key not in settings:
            near = difflib.get_close_matches(key, settings, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"figure {figure!r} has no setting {key!r}{hint} It has: {', '.join(settings)}")
        found[key] = _like(settings[key], value, f"setting {key!r} of figure {figure!r}")
        if key.endswith(SAMPLES) and found[key] < 2 <= settings[key]:
            raise ValueError(
                f"setting {key!r} of figure {figure!r} must be at least 2, for a standard error, got {value!r}"
            )
    return found


def _like(old: Any, text: str, name: str) -> Any:
    """The text as a value of the kind of ``old``."""
    if isinstance(old, str):
        return text
    if isinstance(old, tuple) and all(isinstance(one, int | float) for one in old):
        return tuple(_number(one, all(isinstance(part, int) for part in old), name) for one in text.split(","))
    if isinstance(old, int | float):
        return _number(text, isinstance(old, int), name)
    raise ValueError(f"{name} is a table and cannot be changed here")


def _number(text: str, whole: bool, name: str) -> int | float:
    """A positive number. Raises ValueError."""
    kind = "a positive whole number" if whole else "a positive number"
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        raise ValueError(f"{name} must be {kind}, got {text!r}") from None
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be {kind}, got {text!r}")
    return value
