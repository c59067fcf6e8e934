"""Limits of a public server: lattice size and number of open pages, read from the environment that `spinviz serve` sets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.presets import PRESETS

FOLDER_VARIABLE = "SPINVIZ_RECORDINGS"
SIZE_VARIABLE, SESSIONS_VARIABLE = "SPINVIZ_LARGEST_SIZE", "SPINVIZ_MOST_SESSIONS"
FULL = Path(__file__).resolve().parent.parent / "assets" / "index" / "full.html"


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


class Admission:
    """Counts the open pages of a server and refuses one too many with a page that says so."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: set[str] = set()

    def admitted(self, user: Any) -> bool:
        """Whether another page may be opened."""
        return len(self._open) < self.most

    def came(self, context: Any) -> None:
        self._open.add(context.id)

    def went(self, context: Any) -> None:
        self._open.discard(context.id)

    def install(self) -> None:
        """Take this server's sessions in charge; before it starts, for example in a --setup script."""
        import panel as pn

        pn.state.on_session_created(self.came)
        pn.state.on_session_destroyed(self.went)
        pn.config.authorize_callback = self.admitted
        pn.config.auth_template = FULL


def install_admission(variables: Mapping[str, str] = os.environ) -> Admission | None:
    """The admission that the environment asks for, installed; None without a limit."""
    most = limit(SESSIONS_VARIABLE, variables)
    if most is None:
        return None
    admission = Admission(most)
    admission.install()
    return admission
