"""Bridge: keys, address bar and clipboard of the browser, for one page. It shows nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import param
from panel.custom import JSComponent


class Bridge(JSComponent):
    """Calls ``on_key(key)`` for the ``keys`` of the page, unless what is in focus needs them (a field that is typed in,
    a slider under the arrows). ``place`` is the address of the page without its query, "" until the browser told it."""

    keys = param.List(default=[], item_type=str, doc="Names of keys as KeyboardEvent.key has them")

    _esm = Path(__file__).parent / "bridge.js"

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._on_key: list[Callable[[str], None]] = []
        self._on_copied: list[Callable[[bool], None]] = []
        self._on_ready: list[Callable[[int], None]] = []
        self._address = ""
        self.place = ""

    def on_key(self, callback: Callable[[str], None]) -> None:
        """Call ``callback(key)`` on the page's thread."""
        self._on_key.append(callback)

    def on_copied(self, callback: Callable[[bool], None]) -> None:
        """Call ``callback(done)`` after :meth:`copy`."""
        self._on_copied.append(callback)

    def on_ready(self, callback: Callable[[int], None]) -> None:
        """Call ``callback(width)`` with the width of the window (pixels) when the browser has built the page."""
        self._on_ready.append(callback)

    @property
    def link(self) -> str:
        """The whole address of the page with its present query."""
        return self.place + self._address

    def show_address(self, query: str) -> None:
        """Make ``query`` ("?a=1&b=2") that of the address bar."""
        if query != self._address:
            self._address = query
            if self.place:
                self._send_msg({"address": query})

    def copy(self, text: str) -> None:
        """Put a text into the clipboard."""
        self._send_msg({"copy": text})

    def _handle_msg(self, data: Any) -> None:
        if "ready" in data:
            self.place = str(data["ready"])
            if self._address:
                self._send_msg({"address": self._address})
            for told in self._on_ready:
                told(int(data["width"]))
        elif "copied" in data:
            for copied in self._on_copied:
                copied(bool(data["copied"]))
        elif data.get("key") in self.keys:
            for pressed in self._on_key:
                pressed(data["key"])
