"""A real Chromium and a real server, once for all tests of this folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import panel as pn
import pytest
from bokeh.io.doc import _PATCHED_CURDOCS
from playwright.sync_api import Browser, Page, expect, sync_playwright

from spinviz.layout import LivePage, addressed
from spinviz.serving.tabs import attached
from tests.browser.waiting import PATIENCE

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
LOCAL = ("http://127.0.0.1:", "ws://127.0.0.1:", "http://localhost:", "ws://localhost:", "data:", "blob:")
expect.set_options(timeout=PATIENCE)
# Bokeh measures a figure that the browser has not laid out yet, when the page is resized while it is being furnished
# (the busier the machine the likelier); the figure is laid out right afterwards. Neither Bokeh nor Panel catches it.
HARMLESS = ("Cannot read properties of undefined (reading 'top_panel')",)
ELECTRONS = {"preset": "skyrmion", "size": 6, "force": "kpm", "texture": "random", "seed": 0}
QUICK = {"preset": "heisenberg", "size": 24, "force": "classical", "texture": "random", "seed": 0}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One more try for a test of this folder, named in the summary: the host of a small machine can stop a browser
    for many seconds, and no patience is long enough for all of them. What fails twice is wrong."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))


def chromium_path() -> str:
    """Where the system's Chromium is. Without one the browser tests fail in CI, and are left out aloud elsewhere."""
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None and not os.environ.get("CI"):
        pytest.skip(f"NOT RUN: the browser tests need one of {CHROMIUM} on the path; install chromium")
    assert path, f"the browser tests need one of {CHROMIUM} on the path; install chromium"
    return path


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a window; its event loop ends with this folder, so that others may run theirs."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def server() -> Iterator[tuple[str, list[LivePage]]]:
    """Address of a server of quick live pages, /live without and /electrons with electrons, and the pages opened."""
    opened: list[LivePage] = []

    def app(settings: dict[str, Any]) -> Any:
        pn.extension(reconnect=True)
        opened.append(addressed(settings={**settings, "speed": 100}))
        return attached(opened[-1])

    before = set(pn.state._servers)
    thread = pn.serve(
        {"live": lambda: app(QUICK), "electrons": lambda: app(ELECTRONS)}, port=0, address="127.0.0.1", show=False,
        threaded=True, verbose=False,
        check_unused_sessions_milliseconds=300, unused_session_lifetime_milliseconds=60_000,
    )  # fmt: skip
    while not (new := [s for key, s in list(pn.state._servers.items()) if key not in before]) or new[0][0].port is None:
        thread.join(0.05)
    yield f"http://127.0.0.1:{new[0][0].port}", opened
    thread.stop()
    for live in opened:
        live.close()
    _PATCHED_CURDOCS.clear()  # Bokeh leaves its patch behind where a callback of a page failed; later tests have no page


@pytest.fixture
def open_page(browser: Browser, server: tuple[str, list[LivePage]]) -> Iterator[Callable[..., tuple[Page, LivePage]]]:
    """Opens a tab; afterwards no tab may have asked for anything that is not local, nor have had an error."""
    address, opened = server
    foreign: list[str] = []
    errors: list[str] = []
    contexts = []

    def opener(name: str = "live", query: str = "", width: int = 1280, height: int = 720) -> tuple[Page, LivePage]:
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        contexts.append(context)
        context.on("request", lambda request: None if request.url.startswith(LOCAL) else foreign.append(request.url))
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: None if str(error) in HARMLESS else errors.append(str(error)))
        page.goto(f"{address}/{name}{query}", timeout=PATIENCE)
        page.wait_for_function("() => (window.__spinviz_frames ?? {}).spin > 2", timeout=PATIENCE)
        return page, opened[-1]

    yield opener
    for context in contexts:
        context.close()
    assert not foreign, f"the page asked for things outside: {foreign}"
    assert not errors, f"errors in the browser: {errors}"
