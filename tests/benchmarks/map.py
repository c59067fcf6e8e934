"""The texture map alone in headless Chromium: drawn frames per second, and processor time of a frame on both sides.

Frames are new spins, encoded on the page's thread and sent whenever the browser has room. The browser is driven over
its bare DevTools socket, only to evaluate: Playwright watches every websocket message, which costs most of a core at
512 x 512; ``--playwright`` measures with it all the same. Processor time is the sum over all threads of the server, or
over all processes of the browser, so it tells more than the rate when the machine is shared.

    python -m tests.benchmarks.map [--playwright] [--renderer auto|webgl2|canvas] [--sizes 96,256,512,1024] [--square]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import psutil
from playwright.async_api import async_playwright
from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect

from engine.frame import Frame
from engine.lattice import Lattice, square, triangular
from spinviz.serving.tabs import send_at_once
from spinviz.views import SpinView
from tests.browser.conftest import ARGUMENTS, chromium_path

SECONDS, WARM_UP = 6.0, 3.0
TEXTURES = 8
FEED_MILLISECONDS = 5
WINDOW = (1280, 720)
COUNT = "[(window.__spinviz_frames ?? {}).spin ?? 0, performance.now()]"
CANVAS = """(() => { const look = (node) => { for (const e of node.querySelectorAll('*')) {
  if (e.matches('canvas.lattice-map')) return e;
  const inner = e.shadowRoot && look(e.shadowRoot); if (inner) return inner; } };
  const c = look(document); return [c.dataset.renderer, c.dataset.times, c.width, c.height]; })()"""

Evaluate = Callable[[str], Awaitable[Any]]
Opener = Callable[[str], AbstractAsyncContextManager[tuple[Evaluate, int]]]


class Fed:
    """A page with the spin view alone, fed with turning textures as fast as it takes them."""

    def __init__(self, lattice: Lattice, renderer: str) -> None:
        generator = np.random.default_rng(0)
        spin = generator.normal(size=(TEXTURES, lattice.sites, 3)).astype(np.float32)
        spin /= np.linalg.norm(spin, axis=-1, keepdims=True)
        self.frames = [Frame(k, np.zeros(1), one[None], lattice) for k, one in enumerate(spin)]
        self.view = SpinView()
        self.view.panel.renderer = renderer
        self.sent = 0

    def page(self) -> Any:
        pn.extension()
        pn.state.onload(self._start)
        return pn.Column(self.view.panel, width=WINDOW[0] - 40, height=WINDOW[1] - 40)

    def _start(self) -> None:
        send_at_once(pn.state.curdoc)
        pn.state.curdoc.add_periodic_callback(self._feed, FEED_MILLISECONDS)

    def _feed(self) -> None:
        panel = self.view.panel
        panel.send_newest()
        if panel._newest is None:
            self.view.show(self.frames[self.sent % TEXTURES])
            self.sent += 1


@asynccontextmanager
async def bare(address: str) -> Any:
    """Chromium at an address, with nothing but Runtime.evaluate."""
    with tempfile.TemporaryDirectory() as folder:
        size = f"--window-size={WINDOW[0]},{WINDOW[1]}"
        command = [chromium_path(), *ARGUMENTS, "--headless=new", size, "--remote-debugging-port=0",
                   f"--user-data-dir={folder}", address]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port_file = Path(folder) / "DevToolsActivePort"
            while not port_file.exists():
                await asyncio.sleep(0.05)
            listing = f"http://127.0.0.1:{port_file.read_text().split()[0]}/json"
            targets: list[Any] = []
            while not targets:
                await asyncio.sleep(0.1)
                answer = await AsyncHTTPClient().fetch(listing)
                targets = [one for one in json.loads(answer.body) if one["url"].startswith(address)]
            socket = await websocket_connect(targets[0]["webSocketDebuggerUrl"])
            number = 0

            async def evaluate(expression: str) -> Any:
                nonlocal number
                number += 1
                parameters = {"expression": expression, "returnByValue": True}
                await socket.write_message(
                    json.dumps({"id": number, "method": "Runtime.evaluate", "params": parameters})
                )
                while True:
                    said = json.loads(await socket.read_message())
                    if said.get("id") == number:
                        return said["result"]["result"].get("value")

            yield evaluate, process.pid
            socket.close()
        finally:
            process.terminate()
            process.wait()


@asynccontextmanager
async def watched(address: str) -> Any:
    """Chromium at an address, driven by Playwright."""
    async with async_playwright() as playwright:
        before = {child.pid for child in psutil.Process().children(recursive=True)}
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        new = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
        page = await browser.new_page(viewport={"width": WINDOW[0], "height": WINDOW[1]})
        await page.goto(address)
        yield page.evaluate, next(child.pid for child in new if "chrom" in child.name())
        await browser.close()


def processor_seconds(pid: int) -> float:
    """User and system time of a process and all that it started."""
    root = psutil.Process(pid)
    times = [one.cpu_times() for one in [root, *root.children(recursive=True)]]
    return sum(one.user + one.system for one in times)


def own_seconds() -> float:
    times = psutil.Process().cpu_times()
    return times.user + times.system


async def measured(lattice: Lattice, renderer: str, opener: Opener) -> dict[str, Any]:
    """Rates and processor milliseconds of a frame."""
    fed = Fed(lattice, renderer)
    server = pn.serve({"map": fed.page}, port=0, address="127.0.0.1", show=False, start=False, verbose=False)
    server.start()
    try:
        async with opener(f"http://127.0.0.1:{server.port}/map") as (evaluate, pid):
            deadline = time.monotonic() + 60
            while fed.view.panel.drawn < 3:
                await asyncio.sleep(0.1)
                if time.monotonic() > deadline:
                    raise RuntimeError("no frame was drawn within 60 s")
            await asyncio.sleep(WARM_UP)
            first, browser, own = await evaluate(COUNT), processor_seconds(pid), own_seconds()
            await asyncio.sleep(SECONDS)
            last, browser, own = await evaluate(COUNT), processor_seconds(pid) - browser, own_seconds() - own
            drawn = last[0] - first[0]
            canvas = await evaluate(CANVAS)
    finally:
        server.stop()
    return {
        "sites": list(lattice.shape),
        "frames_per_second": round(1000 * drawn / (last[1] - first[1]), 1),
        "server_ms": round(1000 * own / max(drawn, 1), 1),
        "browser_ms": round(1000 * browser / max(drawn, 1), 1),
        "renderer": canvas[0],
        "trial_ms": json.loads(canvas[1]),
        "canvas": canvas[2:],
        "most_in_flight": fed.view.panel.most_in_flight,
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--playwright", action="store_true", help="drive the browser with Playwright")
    parser.add_argument("--renderer", default="auto", choices=["auto", "webgl2", "canvas"])
    parser.add_argument("--sizes", default="96,256,512,1024", help="lattice lengths")
    parser.add_argument("--square", action="store_true", help="square instead of triangular lattice")
    arguments = parser.parse_args()
    make = square if arguments.square else triangular
    for size in map(int, arguments.sizes.split(",")):
        opener: Opener = watched if arguments.playwright else bare
        row = asyncio.run(measured(make(size, shells=1), arguments.renderer, opener))
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
