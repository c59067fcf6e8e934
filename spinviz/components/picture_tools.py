"""PictureTools: the strip above a picture. Ways to look at it, its help, and downloads as PNG, SVG and CSV.

PNG and SVG of Bokeh figures are drawn by the browser as they stand; those of lattice maps, and every CSV, come from
the server when they are asked for. Nothing is computed or sent before.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import param
from panel.custom import JSComponent
from panel.io.state import state

KINDS = {"png": "image/png", "svg": "image/svg+xml", "csv": "text/csv;charset=utf-8"}


class PictureTools(JSComponent):
    """Buttons in plain DOM, named for screen readers; the help opens with a click or the keyboard.

    ``file(kind)`` -> bytes is asked for "csv", and for "png" and "svg" where ``figures`` is empty.
    """

    title = param.String(default="picture", doc="Name of the picture, in labels and file names")
    help = param.String(default="", doc="HTML that the info button shows")
    figures = param.List(default=[], item_type=str, doc="Ids of the Bokeh figures, drawn side by side in PNG and SVG")
    choices = param.List(default=[], item_type=str, doc="Ways to look, one at a time")
    choice = param.String(default="", doc="The present way")
    switch = param.String(default="", doc="Name of a switch beside the choices")
    switched = param.Boolean(default=False, doc="Whether the switch is on")

    _esm = Path(__file__).parent / "picture_tools.js"

    def __init__(self, file: Callable[[str], bytes], **parameters: Any) -> None:
        super().__init__(**{"height": 20, "sizing_mode": "stretch_width", "margin": 0, **parameters})
        self._file = file

    def follow(self, name: str, action: Callable[[], None]) -> None:
        """Call ``action`` after each change of "choice" or "switched", when the document may be changed."""
        self.param.watch(lambda event: state.execute(action, schedule=True), name)

    def _handle_msg(self, data: Any) -> None:
        kind = data.get("wanted") if isinstance(data, dict) else None
        if kind not in KINDS:
            return
        try:
            content = base64.b64encode(self._file(kind)).decode("ascii")
        except ValueError as error:
            self._send_msg({"sentence": str(error)})
            return
        self._send_msg({"name": f"{self.title}.{kind}".replace(" ", "-"), "type": KINDS[kind], "content": content})
