"""Two runs side by side in a real browser: one start, one clock, and a difference that one slider makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import panel as pn
import pytest
from playwright.sync_api import Browser, Page, expect

from spinviz.pages.compare import ComparePage
from spinviz.theme import LINES
from tests.browser.conftest import HARMLESS, LOCAL
from tests.browser.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.browser
SETTINGS = {"preset": "heisenberg", "size": 16, "force": "classical", "texture": "random", "seed": 2}


@pytest.fixture(scope="module")
def compared(browser: Browser) -> Iterator[tuple[Page, ComparePage]]:
    """The page as reader and server see it; afterwards it may have had no error, nor asked for anything outside."""
    opened: list[ComparePage] = []
    trouble: list[str] = []

    def app() -> Any:
        pn.extension(reconnect=True)
        opened.append(ComparePage(settings=SETTINGS))
        pn.state.onload(opened[-1].watch)
        return opened[-1].page

    before = set(pn.state._servers)
    thread = pn.serve({"compare": app}, port=0, address="127.0.0.1", show=False, threaded=True, verbose=False)
    while not (new := [s for key, s in list(pn.state._servers.items()) if key not in before]) or new[0][0].port is None:
        thread.join(0.05)
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.on("request", lambda request: None if request.url.startswith(LOCAL) else trouble.append(request.url))
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: None if str(error) in HARMLESS else trouble.append(str(error)))
    page.goto(f"http://127.0.0.1:{new[0][0].port}/compare", timeout=PATIENCE)
    page.wait_for_function(
        "() => ['spin A', 'spin B'].every(name => (window.__spinviz_frames ?? {})[name] > 2)", timeout=PATIENCE
    )
    yield page, opened[-1]
    context.close()
    thread.stop()
    for one in opened:
        one.close()
    assert not trouble, f"errors, or things asked from outside: {trouble}"


def pictures(page: Page) -> list[str]:
    """Both textures on the screen."""
    canvases = page.locator("canvas.lattice-map")
    return [str(canvases.nth(i).evaluate("canvas => canvas.toDataURL()")) for i in range(canvases.count())]


def rested(page: Page, compare: ComparePage) -> None:
    """Pause, and wait until the page shows both runs at one time."""
    page.get_by_role("button", name="Pause").click()
    wait_for(page, lambda: compare.pair.lock.paused, "the lock is closed")
    page.wait_for_timeout(500)  # a step that was under way ends, the other run follows
    wait_for(page, lambda: len({run.session.simulation.state.step for run in compare.runs}) == 1, "both rest")
    time = float(compare.runs[0].session.simulation.state.time[0])
    expect(page.locator(".value-time")).to_have_text(f"{time:,.1f}")
    page.wait_for_timeout(300)


def test_runs_from_one_start_show_the_same(compared: tuple[Page, ComparePage]) -> None:
    page, compare = compared
    first = pictures(page)
    wait_for(page, lambda: all(a != b for a, b in zip(first, pictures(page), strict=True)), "both move")
    rested(page, compare)
    expect(page.locator(".value-angle")).to_have_text("0°")
    one, two = pictures(page)
    assert one == two


def test_a_slider_of_b_makes_them_differ_at_one_time(compared: tuple[Page, ComparePage]) -> None:
    page, compare = compared
    if compare.pair.lock.paused:
        page.get_by_role("button", name="Start").click()
    page.get_by_role("slider", name="B: Damping").first.focus()
    page.keyboard.press("End")
    wait_for(page, lambda: compare.runs[1].session.simulation.dynamics.damping == 1.0, "B is damped")
    assert compare.runs[0].session.simulation.dynamics.damping < 1.0
    steps = [run.session.status.step for run in compare.runs]
    wait_for(page, lambda: all(r.session.status.step > s + 10 for r, s in zip(compare.runs, steps, strict=True)), "go")
    rested(page, compare)
    expect(page.locator(".value-angle")).not_to_have_text("0°")
    one, two = pictures(page)
    assert one != two
    page.get_by_role("button", name="Toggle theme").click()
    wait_for(page, lambda: compare._line.glyph.line_color == LINES["dark"][0], "the curve is dressed for the dark")
    assert all(run.view.panel.theme == "dark" for run in compare.runs)
