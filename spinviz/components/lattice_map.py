"""LatticeMap: one lattice picture in the browser, fed with at most two frames in flight.

The server sends the newest frame only when the browser owes fewer than two answers; every drawn frame is answered
with ``{"drawn": frame, "renderer": name}``. A frame without an answer for a second is taken for lost. So a slow or
hidden browser skips frames and never queues them.

The browser draws with WebGL2, or on a plain 2-D canvas where that is missing or slower (software rendering): the first
frame of every size is drawn with both. The module that it runs is PARTS, joined; nothing is loaded from elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import param
from bokeh.document import Document
from bokeh.events import Event
from panel.custom import JSComponent
from panel.io.state import set_curdoc

from spinviz.theme import PAGE

FRAMES_IN_FLIGHT = 2
ANSWER_TIMEOUT = 1.0
FOLDER = Path(__file__).parent
PARTS = ("colours", "geometry", "reading", "canvas_renderer", "webgl_renderer", "map_controls", "lattice_map")
TOOLS = ("look", "flip", "paint", "skyrmion", "pin", "heat", "drag")
PHASES = ("down", "move", "up")
READING_DIGITS = 3


@dataclass(frozen=True)
class Pick:
    """The reader pointed at ``site`` with ``tool``: ``phase`` "down", then "move" once per further site, then "up".

    ``shift`` tells whether the shift key was held. The keyboard (Enter) sends "down" and "up" for the site in the middle.
    """

    site: int
    phase: str
    shift: bool
    tool: str


class LatticeMap(JSComponent):
    """Canvas with a lattice map. ``push(message)`` shows the newest message; see lattice_map.js for its fields.

    ``drawn`` is the number of the last frame that was drawn, ``drawn_by`` what drew it: "webgl2" or "canvas";
    ``hovering`` is True while the reader reads a site, and only then :meth:`push_reading` sends anything.
    """

    title = param.String(default="spin", doc="Name under which window.__spinviz_frames counts drawn frames")
    label = param.String(default="", doc="Spoken description of the picture (aria-label)")
    legend = param.String(default="", doc="'wheel', or 'high|low' texts beside a colour bar, or empty")
    palette = param.Bytes(default=b"", doc="256 x 3 bytes of the colour map of scalar pictures")
    renderer = param.Selector(
        default="auto", objects=["auto", "webgl2", "canvas"], doc="What draws; auto: whichever is faster here"
    )
    theme = param.Selector(default="light", objects=sorted(PAGE), doc="Background and notes, light or dark")
    tool = param.Selector(default="look", objects=list(TOOLS), doc="look moves the picture; all others send picks")
    pages = param.Dict(default=PAGE, constant=True, doc="Colours of the page in each theme")

    _esm = "\n".join((FOLDER / f"{part}.js").read_text(encoding="utf-8") for part in PARTS)

    def __init__(self, clock: Callable[[], float] = time.monotonic, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._clock = clock
        self._in_flight: dict[int, float] = {}
        self._newest: dict[str, Any] | None = None
        self._last: dict[str, Any] | None = None
        self._frame = 0
        self._on_pick: list[Callable[[Pick], None]] = []
        self._on_hover: list[Callable[[bool], None]] = []
        self.most_in_flight = 0
        self.drawn = 0
        self.drawn_by = ""
        self.hovering = False

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

    def push_reading(self, arrays: Mapping[str, tuple[npt.ArrayLike, str]]) -> None:
        """Show name -> (values (N,) or (N, 3), unit) when a site is read; not sent while nobody reads.

        An array called "χ" takes the place of the chirality that the browser computes from the last frame. Raises
        ValueError for another shape.
        """
        reading = []
        for name, (values, unit) in arrays.items():
            data = np.ascontiguousarray(values, dtype=np.float32)
            if data.ndim not in (1, 2) or (data.ndim == 2 and data.shape[1] != 3):
                raise ValueError(f"the reading {name!r} needs the shape (N,) or (N, 3), got {data.shape}")
            reading.append({"name": name, "unit": unit, "digits": READING_DIGITS, "data": data.tobytes()})
        if self.hovering:
            self._send_msg({"reading": reading})

    def on_pick(self, callback: Callable[[Pick], None]) -> None:
        """Call ``callback(pick)`` on the page's thread whenever the reader points at a site with a ``tool`` in hand."""
        self._on_pick.append(callback)

    def on_hover(self, callback: Callable[[bool], None]) -> None:
        """Call ``callback(hovering)`` when the reader begins or ends to read sites: the time for :meth:`push_reading`."""
        self._on_hover.append(callback)

    def _process_bokeh_event(self, doc: Document, event: Event) -> None:
        """Answers come 30 times a second: they do not go through Panel's busy counter, which costs 10 ms each."""
        with set_curdoc(doc):
            self._process_event(event)

    def _handle_msg(self, data: Any) -> None:
        if "drawn" in data:  # frames are drawn in order: older ones were skipped by the browser
            self.drawn, self.drawn_by = data["drawn"], data.get("renderer", "")
            self._in_flight = {frame: sent for frame, sent in self._in_flight.items() if frame > data["drawn"]}
            self.send_newest()
        elif "ready" in data:
            self._in_flight.clear()
            if self._newest is None:
                self._newest = self._last
            self.send_newest()
        elif "hovering" in data:
            self.hovering = bool(data["hovering"])
            for told in self._on_hover:
                told(self.hovering)
        elif data.get("kind") == "pick":
            self._picked(data)

    def _picked(self, data: Mapping[str, Any]) -> None:
        """Pass a pick on; what no browser of ours would send is left out."""
        site, phase, tool = data.get("site"), data.get("phase"), data.get("tool")
        sites = 0 if self._last is None else int(np.prod(self._last["shape"]))
        if not (isinstance(site, int) and 0 <= site < sites and phase in PHASES and tool in TOOLS):
            return
        pick = Pick(site, phase, bool(data.get("shift")), tool)
        for told in self._on_pick:
            told(pick)
