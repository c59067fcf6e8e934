"""A page and the browser tab that shows it: begin when it is loaded, free everything when it is gone."""

from __future__ import annotations

import threading
from typing import Any, Protocol

import panel as pn
from bokeh.document import Document

from spinviz.components.network import Network
from spinviz.serving.sharing import SERVER

LOOK_MILLISECONDS = 1000
CLOSED_LOOKS = 3  # a tab that said farewell and was away for so many looks in a row is closed,
LOST_LOOKS = 60  # one that did not may come back: its network failed, or its machine slept
FAREWELLS = (1000, 1001)  # codes of a WebSocket whose page was closed, left or loaded again (RFC 6455)


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
        document.add_periodic_callback(_Absence(document).look, LOOK_MILLISECONDS)

    def gone(context: Any) -> None:
        if present:
            SERVER.leave()
        threading.Thread(target=tab.close, daemon=True).start()

    present: list[bool] = []
    tab.page.main = [*tab.page.main, Network()]
    pn.state.onload(loaded)
    pn.state.on_session_destroyed(gone)
    return tab.page


class _Absence:
    """Counts the looks at which no browser was there."""

    def __init__(self, document: Document) -> None:
        self._session = document.session_context.session
        self._looks = 0
        self._latest: Any = None

    def look(self) -> None:
        for connection in self._session._subscribed_connections:
            self._latest = connection._socket
        self._looks = 0 if self._session.connection_count else self._looks + 1
        closed = self._latest is not None and self._latest.close_code in FAREWELLS
        if self._looks == (CLOSED_LOOKS if closed else LOST_LOOKS):
            self._session.request_expiration()


def send_at_once(document: Document) -> None:
    """Send small messages without delay (TCP_NODELAY).

    A frame is five small writes; with Nagle's algorithm the later ones wait up to 40 ms for the browser to acknowledge
    the first, and two frames arrive together.
    """
    for connection in document.session_context.session._subscribed_connections:
        connection._socket.set_nodelay(True)
