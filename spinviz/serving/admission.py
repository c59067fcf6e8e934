"""How many pages of a public server may be open at once: one too many is refused with a page that says so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import panel as pn

from spinviz.serving.limits import SESSIONS_VARIABLE, limit

FULL = Path(__file__).resolve().parents[2] / "assets" / "index" / "full.html"


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
