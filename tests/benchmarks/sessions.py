"""Ten tabs at once on one server: whether all move, memory per session, how long workers live after their tabs close.

Every tab has its own seed, so that a state seen by the wrong tab would show. Server, workers and browser share the
machine; the tabs are opened one after the other, as they would be.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import psutil
from playwright.sync_api import sync_playwright

from tests.benchmarks.page import Served, opened
from tests.browser.conftest import ARGUMENTS, chromium_path

SECONDS = 10.0


def resident() -> float:
    """Memory of the server's process in MB."""
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


def measured(tabs: int) -> dict[str, Any]:
    """Open, watch and close ``tabs`` tabs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        served = Served()
        settings = {"preset": "heisenberg", "size": 24, "force": "classical", "texture": "random"}
        served.settings = {**settings, "seed": 1000}
        warm, _ = opened(browser, served)
        before, pages = resident(), [warm]
        for seed in range(1, tabs):
            served.settings = {**settings, "seed": 1000 + seed}
            pages.append(opened(browser, served)[0])
        start = [live.session.status.step for live in served.opened]
        frames = [page.evaluate("() => window.__spinviz_frames.spin") for page in pages]
        pages[0].wait_for_timeout(1000 * SECONDS)
        moved = [live.session.status.step - begin for live, begin in zip(served.opened, start, strict=True)]
        drawn = [page.evaluate("() => window.__spinviz_frames.spin") - n for page, n in zip(pages, frames, strict=True)]
        seeds = [live.session.status.settings["seed"] for live in served.opened]
        full = resident()
        for page in pages:
            page.close()
        closed = time.perf_counter()
        while any(live.session.alive for live in served.opened):
            time.sleep(0.05)
        result = {
            "tabs": tabs, "least_steps": min(moved), "least_frames": min(drawn), "seeds_kept": seeds == sorted(set(seeds)),
            "mb_per_session": (full - before) / (tabs - 1), "server_mb": full,
            "last_worker_ended_s": time.perf_counter() - closed,
        }  # fmt: skip
        browser.close()
        served.thread.stop()
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tabs", type=int, default=10)
    print(json.dumps(measured(parser.parse_args().tabs)), flush=True)
