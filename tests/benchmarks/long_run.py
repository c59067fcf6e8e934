"""How much a server grows while one page stays open for hours: memory of its process and of the page's scripts.

`spinviz serve` runs as a process of its own, one Chromium looks at the page; every minute a line of JSON is printed. The
page's history, time line and kymograph fill up at first; growth is counted from the end of that (``--settle``).
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import psutil
from playwright.sync_api import CDPSession, Page, sync_playwright

from tests.browser.conftest import ARGUMENTS, chromium_path


def served() -> tuple[subprocess.Popen[bytes], str]:
    """A server and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "spinviz.cli", "serve", "--port", str(port)])
    address = f"http://127.0.0.1:{port}"
    while True:
        try:
            urllib.request.urlopen(address, timeout=10).close()
            return process, address
        except OSError:
            time.sleep(0.2)


def looked(process: subprocess.Popen[bytes], page: Page, scripts: CDPSession) -> dict[str, Any]:
    """Memory now: of the server in MB (private and shared), of the page's scripts after a collection."""
    scripts.send("HeapProfiler.collectGarbage")
    heap = scripts.send("Runtime.getHeapUsage")["usedSize"]
    memory = psutil.Process(process.pid).memory_info().rss
    return {
        "server_mb": memory / 2**20, "page_mb": heap / 2**20, "frames": page.evaluate("() => window.__spinviz_frames.spin"),
        "step": page.locator(".value-step").inner_text(),
    }  # fmt: skip


def measured(minutes: float, settle: float, query: str) -> dict[str, Any]:
    """Look every minute; growth after ``settle`` minutes."""
    process, address = served()
    rows: list[dict[str, Any]] = []
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.goto(f"{address}/live{query}")
            page.wait_for_function("window.__spinviz_frames && window.__spinviz_frames.spin > 0", timeout=120_000)
            page.wait_for_timeout(15_000)
            scripts, begin = page.context.new_cdp_session(page), time.monotonic()
            while (passed := (time.monotonic() - begin) / 60) < minutes:
                rows.append({"minutes": round(passed, 1), **looked(process, page, scripts)})
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
                page.wait_for_timeout(60_000)
            rows.append({"minutes": round(passed, 1), **looked(process, page, scripts)})
            browser.close()
    finally:
        process.terminate()
        process.wait(20)
    settled = [row for row in rows if row["minutes"] >= settle] or rows[-1:]
    growth = {f"{what}_grew_mb": rows[-1][what] - settled[0][what] for what in ("server_mb", "page_mb")}
    return {"minutes": rows[-1]["minutes"], "settled_at": settled[0], "end": rows[-1], **growth}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--settle", type=float, default=10.0)
    parser.add_argument("--query", default="", help='set-up of the page, as in its address bar: "?size=24&speed=10"')
    chosen = parser.parse_args()
    print(json.dumps(measured(chosen.minutes, chosen.settle, chosen.query)), flush=True)
