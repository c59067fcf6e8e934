"""How the pages of one server share its processors.

Workers step in turns, half of the cores at a time: Python runs one thread at a time anyhow, and ten workers that all want
it would leave the page's thread, that all readers wait for, an eleventh. And the more pages there are, the fewer pictures
per second each of them gets: together not more than one page alone would ask for.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager


class Share:
    """Turns and number of pages. One per server process: :data:`SERVER`; a session has its own by default."""

    def __init__(self, turns: int = 1) -> None:
        self.turn: AbstractContextManager[bool] = threading.BoundedSemaphore(turns)
        self._lock = threading.Lock()
        self._pages = 0

    @property
    def pages(self) -> int:
        """Pages that are open, at least 1."""
        return max(1, self._pages)

    def enter(self) -> None:
        """A page was opened."""
        with self._lock:
            self._pages += 1

    def leave(self) -> None:
        """A page was closed."""
        with self._lock:
            self._pages -= 1


SERVER = Share(max(1, (os.cpu_count() or 2) // 2))
