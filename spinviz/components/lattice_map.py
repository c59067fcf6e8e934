"""LatticeMap: one lattice picture in the browser, fed with at most two frames in flight.

The server sends the newest frame only when the browser owes fewer than two answers; every drawn frame is answered
with ``{"drawn": frame}``. A frame without an answer for a second is taken for lost. So a slow or hidden browser
skips frames and never queues them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import param
from bokeh.document import Document
from bokeh.events import Event
from panel.custom import JSComponent
from panel.io.state import set_curdoc

FRAMES_IN_FLIGHT = 2
ANSWER_TIMEOUT = 1.0


class LatticeMap(JSComponent):
    """Canvas with a lattice map. ``push(message)`` shows the newest message; see lattice_map.js for its fields."""

    title = param.String(default="spin", doc="Name under which window.__spinviz_frames counts drawn frames")
    label = param.String(default="", doc="Spoken description of the picture (aria-label)")
    legend = param.String(default="", doc="'wheel', or 'high|low' texts beside a colour bar, or empty")
    palette = param.Bytes(default=b"", doc="256 x 3 bytes of the colour map of scalar pictures")

    _esm = Path(__file__).parent / "lattice_map.js"

    def __init__(self, clock: Callable[[], float] = time.monotonic, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._clock = clock
        self._in_flight: dict[int, float] = {}
        self._newest: dict[str, Any] | None = None
        self._last: dict[str, Any] | None = None
        self._frame = 0
        self.most_in_flight = 0
        self.drawn = 0

    def push(self, message: dict[str, Any]) -> None:
        """Show this message as soon as the browser has room; an older one still waiting is dropped."""
        self._frame += 1
        self._newest = {"frame": self._frame, **message}
        self.send_newest()

    def send_newest(self) -> None:
        """Send the newest waiting message if fewer than two are unanswered."""
        now = self._clock()
        self._in_flight = {frame: sent for frame, sent in self._in_flight.items() if now - sent < ANSWER_TIMEOUT}
        if self._newest is None or len(self._in_flight) >= FRAMES_IN_FLIGHT:
            return
        message, self._newest = self._newest, None
        self._in_flight[message["frame"]] = now
        self.most_in_flight = max(self.most_in_flight, len(self._in_flight))
        self._last = message
        self._send_msg(message)

    def _process_bokeh_event(self, doc: Document, event: Event) -> None:
        """Answers come 30 times a second: they do not go through Panel's busy counter, which costs 10 ms each."""
        with set_curdoc(doc):
            self._process_event(event)

    def _handle_msg(self, data: Any) -> None:
        if "drawn" in data:  # frames are drawn in order: older ones were skipped by the browser
            self.drawn = data["drawn"]
            self._in_flight = {frame: sent for frame, sent in self._in_flight.items() if frame > data["drawn"]}
            self.send_newest()
        elif "ready" in data:
            self._in_flight.clear()
            if self._newest is None:
                self._newest = self._last
            self.send_newest()
