"""A page whose network fails: it says so, takes the run up again where it is, or begins anew when the server gave it up."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_live_page import _title
from tests.browser.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]


class Cable:
    """Connects a port of its own with the server's: can be pulled out and plugged in again."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.server, self.plugged, self._pairs = self.listener.getsockname()[1], 0, True, []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                if not self.plugged:
                    raise ConnectionRefusedError
                far = socket.create_connection(("127.0.0.1", self.server))
            except OSError:
                near.close()
                continue
            self._pairs.append((near, far))
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        try:
            while True:
                for ready in select.select([near, far], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    other[ready].sendall(data)
        except (OSError, ValueError):
            return
        finally:
            for end in (near, far):
                end.close()

    def pull(self) -> None:
        """Every connection ends, none is made."""
        self.plugged = False
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._pairs = []

    def plug(self) -> None:
        self.plugged = True


class Served:
    """`spinviz serve` in a process of its own, behind a cable; may be started again."""

    def __init__(self) -> None:
        self.cable = Cable()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.cable.server = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.cable.port}/live"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "spinviz.cli", "serve", "--port", str(self.cable.server)]
        self.process = subprocess.Popen(
            [*command, "--origin", f"127.0.0.1:{self.cable.port}"],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(20)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    wait_for(None, lambda: _title(served.address) == "spinviz", "the page is served")
    yield served
    served.stop()
    served.cable.listener.close()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(PATIENCE)
    page.goto(f"{served.address}?preset=heisenberg&size=24&force=classical&seed=7&speed=100")
    page.wait_for_function("() => (window.__spinviz_frames ?? {}).spin > 2", timeout=PATIENCE)
    yield page
    served.cable.plug()
    page.close()


def step(page: Page) -> int:
    return int(page.locator(".value-step").inner_text().replace(",", "").replace("\u202f", "").replace(" ", "") or 0)


def frames(page: Page) -> int:
    return int(page.evaluate("() => window.__spinviz_frames.spin"))


def test_after_a_moment_without_network_the_run_goes_on(page: Page, served: Served) -> None:
    wait_for(page, lambda: step(page) > 100, "the run is under way")
    served.cable.pull()
    expect(page.get_by_text("connection to the server is lost")).to_be_visible()
    before = step(page)
    served.cable.plug()
    expect(page.get_by_text("the run went on")).to_be_visible()
    wait_for(page, lambda: step(page) > before, "the run is seen to go on")
    seen = frames(page)
    wait_for(page, lambda: frames(page) > seen + 5, "frames are drawn again")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".value-state")).to_have_text("paused")


def test_a_page_whose_server_was_killed_begins_anew_with_its_set_up(page: Page, served: Served) -> None:
    page.get_by_role("slider", name="Damping α").first.focus()
    page.keyboard.press("End")
    page.wait_for_url("**damping=**")
    page.evaluate("() => { window.__first = true; }")  # goes with the page
    served.stop()
    expect(page.get_by_text("connection to the server is lost")).to_be_visible()
    served.start()
    page.wait_for_function("() => !window.__first && (window.__spinviz_frames ?? {}).spin > 2", timeout=PATIENCE)
    assert "damping=" in page.url and "seed=7" in page.url
    expect(page.locator(".network-banner")).to_have_count(0)
