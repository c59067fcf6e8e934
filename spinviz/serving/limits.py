"""Limits of a public server, read from the environment that `spinviz serve` sets: which lattices it takes.

The number of open pages is watched in admission.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from engine.presets import PRESETS

FOLDER_VARIABLE = "SPINVIZ_RECORDINGS"
SIZE_VARIABLE, SESSIONS_VARIABLE = "SPINVIZ_LARGEST_SIZE", "SPINVIZ_MOST_SESSIONS"


def limit(variable: str, variables: Mapping[str, str] = os.environ) -> int | None:
    """The limit, None where there is none. Raises ValueError for what is no number >= 1."""
    text = variables.get(variable, "")
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{variable} must be a whole number >= 1, got {text!r}")
    return int(text)


def check_size(settings: Mapping[str, Any], variables: Mapping[str, str] = os.environ) -> None:
    """Refuse a lattice that this server does not take, before it is built. Raises ValueError.

    Sizes are linear; of random sites a size is their number, and at most the square of the largest is taken.
    """
    largest, size = limit(SIZE_VARIABLE, variables), settings.get("size")
    system = PRESETS.get(str(settings.get("preset")))
    if system is not None and system.lattice == "random_sites" and isinstance(size, int | float):
        size = size**0.5
    if largest is not None and isinstance(size, int | float) and size > largest:
        raise ValueError(f"this server takes lattices up to {largest} × {largest}, got {size:g}; choose a smaller size")
