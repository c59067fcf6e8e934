"""A tab that is closed says farewell: a beacon, sent by the browser after the page is gone.

The WebSocket's own closing code does not do: a server that is just sending a frame finds the connection broken and never
reads it. So a tab that was closed could not be told from one whose network failed, and whose run should go on. At the
same address a page that comes back asks whether the server still keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from tornado.web import Application, RequestHandler

PATH = "farewell"
Heard = dict[str, Callable[[], None]]
_heard: WeakKeyDictionary[Application, Heard] = WeakKeyDictionary()  # of every server in this process


class Farewell(RequestHandler):
    """POST .../farewell/NAME: the page of this name was closed (unknown names are let pass). GET: is it still kept
    (204) or given up (404)? A page whose network failed asks this before it takes its run up again."""

    def initialize(self, heard: Heard) -> None:
        self._actions = heard

    def post(self, name: str) -> None:
        action = self._actions.pop(name, None)
        if action is not None:
            action()
        self.set_status(204)

    def get(self, name: str) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_status(204 if name in self._actions else 404)


def hear(application: Application, name: str, action: Callable[[], None]) -> None:
    """Call ``action`` when the page called ``name`` says farewell to this server."""
    if application not in _heard:
        _heard[application] = {}
        application.add_handlers(r".*", [(rf".*/{PATH}/([\w-]+)", Farewell, {"heard": _heard[application]})])
    _heard[application][name] = action


def forget(name: str) -> None:
    """The page is gone for good."""
    for heard in _heard.values():
        heard.pop(name, None)
