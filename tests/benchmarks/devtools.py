"""A headless Chromium that nobody listens to while it draws.

Playwright is told of every frame that a WebSocket receives, pixels included: at 512 x 512 this alone takes half a
processor. Here the browser is asked only before and after a measurement, by its own protocol (Chrome DevTools Protocol).
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from typing import Any

from tornado.websocket import websocket_connect

from engine.files import Closing
from tests.browser.conftest import ARGUMENTS, chromium_path


class Chromium(Closing):
    """A browser process of 1280 x 720 pixels; a context manager."""

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp(prefix="spinviz-chromium-")
        command = [chromium_path(), "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={self._profile}",
                   "--window-size=1280,720", *ARGUMENTS, "about:blank"]  # fmt: skip
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        line = next(line for line in self._process.stderr if "DevTools listening on" in line)
        self._place = line.rpartition("ws://")[2].partition("/")[0]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, address: str) -> Tab:
        """A new tab that goes to this address."""
        return Tab(self._place, self._asked(f"new?{address}", "PUT"))

    def _asked(self, what: str, method: str = "GET") -> dict[str, Any]:
        request = urllib.request.Request(f"http://{self._place}/json/{what}", method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.loads(answer.read()))


class Tab:
    """One tab: ``value(expression)`` of its scripts."""

    def __init__(self, place: str, description: dict[str, Any]) -> None:
        self._place, self._name = place, description["id"]
        self._socket = description["webSocketDebuggerUrl"]

    def value(self, expression: str) -> Any:
        """What JavaScript makes of the expression, as JSON."""
        return asyncio.run(self._evaluated(expression))

    async def _evaluated(self, expression: str) -> Any:
        connection = await websocket_connect(self._socket)
        parameters = {"expression": expression, "returnByValue": True}
        await connection.write_message(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": parameters}))
        answer = json.loads(await connection.read_message() or "{}")
        connection.close()
        return answer["result"]["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 120.0) -> None:
        """Until the expression is true. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while not self.value(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds:g} s in vain for {expression}")
            time.sleep(0.05)

    def close(self) -> None:
        urllib.request.urlopen(f"http://{self._place}/json/close/{self._name}", timeout=30).close()
