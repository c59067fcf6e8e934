"""The live page in headless Chromium: first frame, complete page, drawn frames per second, frames in flight, latency of
a slider. Rates and latency are those of a complete page: while controls and curves are still arriving, frames are fewer.

Frames are counted where they are drawn, in the browser. The force of the frame-rate runs is cheap (a field alone, on a
square lattice), so that the picture is measured and not the physics. Server, worker and browser share the machine.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import statistics
import time
from collections.abc import Mapping
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import panel as pn
from playwright.sync_api import Browser, Page, sync_playwright

import engine
from spinviz.layout import LivePage
from spinviz.running.changes import built
from spinviz.serving.tabs import attached
from tests.benchmarks.devtools import Chromium
from tests.browser.conftest import ARGUMENTS, chromium_path

SECONDS, WINDOWS = 4.0, 5  # rates are medians over windows
REST = 2.0  # until the browser has come to rest with a page that is complete
SIZES = (96, 256, 512)


def cheap(settings: Mapping[str, Any]) -> engine.Simulation:
    """The classical preset with couplings of zero and without thermal field: precession about the field."""
    simulation = built({**settings, "integrator": "heun", "temperature": 0.0, "texture": "random"})
    none = engine.ClassicalForce(engine.HeisenbergModel(simulation.lattice, {}))
    return dataclasses.replace(
        simulation, force=engine.SumForce(exchange=none, zeeman=simulation.force.terms["zeeman"])
    )


class Served:
    """A server in this process whose next page has the settings that were last asked for."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] | None = None
        self.build = built
        self.opened: list[LivePage] = []
        self.thread = pn.serve(
            {"live": self._page}, port=0, address="127.0.0.1", show=False, threaded=True, verbose=False,
            check_unused_sessions_milliseconds=1000, unused_session_lifetime_milliseconds=60_000,
        )  # fmt: skip
        while not (servers := list(pn.state._servers.values())) or servers[0][0].port is None:
            time.sleep(0.05)
        self.address = f"http://127.0.0.1:{servers[0][0].port}/live"

    def _page(self) -> Any:
        pn.extension(reconnect=True)
        self.opened.append(LivePage(self.build, self.settings))
        return attached(self.opened[-1])


def opened(browser: Browser, served: Served) -> tuple[Page, float]:
    """A page, and the seconds from going there until its first frame is drawn."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    start = time.perf_counter()
    page.goto(served.address)
    page.wait_for_function("window.__spinviz_frames && window.__spinviz_frames.spin > 0", timeout=120_000)
    return page, time.perf_counter() - start


def furnished(page: Page, live: LivePage) -> None:
    """Wait until all parts of the page are there and the browser has come to rest with them."""
    while not live.doing.bridge.place:
        page.wait_for_timeout(50)
    page.wait_for_timeout(1000 * REST)


def frame_rate(browser: Chromium, served: Served, size: int) -> dict[str, Any]:
    """Frames drawn per second of a complete page, counted by its own scripts."""
    served.settings = {"preset": "heisenberg", "size": size, "force": "classical", "seed": 0}
    served.build = cheap
    start = time.perf_counter()
    page = browser.open(served.address)
    page.wait_for("window.__spinviz_frames && window.__spinviz_frames.spin > 0")
    first, live = time.perf_counter() - start, served.opened[-1]
    while not live.doing.bridge.place:
        time.sleep(0.05)
    complete = time.perf_counter() - start
    time.sleep(REST)
    count = "[window.__spinviz_frames.spin, performance.now()]"
    marks = [page.value(count)]
    for _ in range(WINDOWS):
        time.sleep(SECONDS)
        marks.append(page.value(count))
    rates = [1000 * (b[0] - a[0]) / (b[1] - a[1]) for a, b in itertools.pairwise(marks)]
    row = {
        "size": size,
        "frames_per_second": statistics.median(rates),
        "slowest_and_fastest": [min(rates), max(rates)],
        "first_frame_s": first,
        "complete_s": complete,
        "most_in_flight": live.pictures.spin.panel.most_in_flight,
        "steps_per_second": live.session.status.steps_per_second,
    }
    page.close()
    live.close()
    return row


def slider_latency(browser: Browser, served: Served) -> dict[str, float]:
    """From the key press on a slider until the simulation has the value, median of ten, beside the time of a step."""
    served.settings = {"preset": "heisenberg", "size": 96, "force": "classical", "seed": 0}
    served.build = cheap
    page, _ = opened(browser, served)
    live = served.opened[-1]
    furnished(page, live)
    slider = page.get_by_role("slider", name="Damping α").first
    slider.focus()
    waits = []
    for press in range(10):
        before = live.session.simulation.dynamics.damping
        start = time.perf_counter()
        page.keyboard.press("End" if press % 2 == 0 else "Home")
        while live.session.simulation.dynamics.damping == before:
            if time.perf_counter() - start > 10:
                raise RuntimeError("the slider had no effect within 10 s")
            page.wait_for_timeout(2)
        waits.append(1000 * (time.perf_counter() - start))
        page.wait_for_timeout(300)
    rate = live.session.status.steps_per_second
    page.close()
    live.close()
    return {"slider_ms_median": statistics.median(waits), "slider_ms_worst": max(waits), "step_ms": 1000 / rate}


def main() -> None:
    served = Served()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        openings = []
        for _ in range(3):
            page, first = opened(browser, served)
            openings.append(first)
            page.close()
            served.opened[-1].close()
        latency = slider_latency(browser, served)
        browser.close()
    with Chromium() as chromium:
        rates = [frame_rate(chromium, served, size) for size in SIZES]
    print(json.dumps({"first_frame_s": openings, "rates": rates, **latency}), flush=True)
    served.thread.stop()


if __name__ == "__main__":
    main()
