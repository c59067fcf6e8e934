"""Network: what a page does when its server is out of reach. It shows nothing while all is well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import param
from panel.custom import JSComponent


class Network(JSComponent):
    """Says on the page that the connection is lost, goes on with the run when it is there again, and loads the page again
    when the server has given the run up. When the tab is closed it posts to ``farewell``."""

    farewell = param.String(default="", doc="Address, relative to that of the page, that hears when the tab is closed")

    _esm = Path(__file__).parent / "network.js"

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**{"width": 0, "height": 0, "margin": 0, **parameters})

    def _handle_msg(self, data: Any) -> None:
        if isinstance(data, dict) and isinstance(data.get("asked"), int):
            self._send_msg({"answer": data["asked"]})
