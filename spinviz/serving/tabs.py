"""A page and the browser tab that shows it: begin when it is loaded, free everything when it is gone."""

from __future__ import annotations

import secrets
import threading
from typing import Any, Protocol

import panel as pn
from bokeh.document import Document
from tornado.web import Application

from spinviz.components.network import Network
from spinviz.serving import farewell
from spinviz.serving.sharing import SERVER

LOOK_MILLISECONDS = 1000
CLOSED_LOOKS = 3  # a tab that said farewell and was away for so many looks in a row is closed,
LOST_LOOKS = 60  # one that did not may come back: its network failed, or its machine slept


class Tab(Protocol):
    """What a page must have: ``watch`` is called when the browser has loaded it, ``close`` when the tab is gone."""

    page: Any

    def watch(self) -> None: ...

    def close(self) -> None: ...


def attached(tab: Tab) -> Any:
    """Bind a page to the browser tab that is being opened, and return what is shown there.

    Bokeh keeps a page whose tab was closed for as long as one that was never loaded, half a minute: its worker would go
    on for nobody. A tab that was closed is given up after CLOSED_LOOKS seconds. One whose connection was lost is waited
    for, LOST_LOOKS seconds: meanwhile its run goes on.
    """

    def loaded() -> None:
        SERVER.enter()
        present.append(True)
        tab.watch()
        document = pn.state.curdoc
        absence = _Absence(document)
        farewell.hear(absence.application, name, absence.close)
        document.add_periodic_callback(absence.look, LOOK_MILLISECONDS)

    def gone(context: Any) -> None:
        if present:
            SERVER.leave()
        farewell.forget(name)
        threading.Thread(target=tab.close, daemon=True).start()

    present: list[bool] = []
    name = secrets.token_urlsafe(12)
    tab.page.main = [*tab.page.main, Network(farewell=f"{farewell.PATH}/{name}")]
    pn.state.onload(loaded)
    pn.state.on_session_destroyed(gone)
    return tab.page


class _Absence:
    """Counts the looks at which no browser was there."""

    def __init__(self, document: Document) -> None:
        self._session = document.session_context.session
        self._looks, self._most = 0, LOST_LOOKS

    @property
    def application(self) -> Application:
        """The server's, by way of the connection that has just been made."""
        return next(iter(self._session._subscribed_connections))._socket.application

    def close(self) -> None:
        """The tab has said farewell."""
        self._most = CLOSED_LOOKS

    def look(self) -> None:
        self._looks = 0 if self._session.connection_count else self._looks + 1
        if self._looks >= self._most:
            self._session.request_expiration()


def send_at_once(document: Document) -> None:
    """Send small messages without delay (TCP_NODELAY).

    A frame is five small writes; with Nagle's algorithm the later ones wait up to 40 ms for the browser to acknowledge
    the first, and two frames arrive together.
    """
    for connection in document.session_context.session._subscribed_connections:
        connection._socket.set_nodelay(True)
