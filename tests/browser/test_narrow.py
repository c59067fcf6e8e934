"""Every page in the window of a phone: controls are put away, nothing is cut off, all pictures can be reached."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import panel as pn
import pytest
from playwright.sync_api import Browser, Page, expect

from spinviz.pages.index import PAGES, page_function
from tests.browser.waiting import PATIENCE, settled_box, wait_for

pytestmark = pytest.mark.browser
WIDTH, HEIGHT = 390, 844
LAST = {"live": "canvas", "gallery": ".paper-figure img"}  # the last picture; elsewhere a curve
CUT_OFF = """width => {
  const found = [];
  const walk = node => {
    for (const child of node.children ?? []) {
      const box = child.getBoundingClientRect();
      if (box.width > 0 && box.left < width && box.right > width + 1 && child.tagName === "DIV")
        found.push(`${child.className} ${box.left} to ${box.right}`);
      if (child.className === "bk-Figure") continue; // it clips its curves itself
      if (child.shadowRoot) walk(child.shadowRoot);
      walk(child);
    }
  };
  walk(document.body);
  return found;
}"""


def working() -> set[threading.Thread]:
    """Threads of simulations and studies."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("spinviz-")}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server with all pages."""
    before, others = set(pn.state._servers), working()
    pages = {name: page_function(name) for name in PAGES}
    thread = pn.serve(pages, port=0, address="127.0.0.1", show=False, threaded=True, verbose=False)
    while not (new := [s for key, s in list(pn.state._servers.items()) if key not in before]) or new[0][0].port is None:
        thread.join(0.05)
    yield f"http://127.0.0.1:{new[0][0].port}"
    wait_for(None, lambda: not working() - others, "no worker is left")
    thread.stop()


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.set_default_timeout(PATIENCE)
    yield page
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_shows_everything(address: str, phone: Page, name: str) -> None:
    phone.goto(f"{address}/{name}", timeout=PATIENCE)
    texture = phone.locator("canvas.lattice-map").first
    expect(texture).to_be_visible()
    wait_for(phone, lambda: not phone.evaluate(CUT_OFF, WIDTH), f"nothing of {name} is cut off at the side")
    wait_for(phone, lambda: settled_box(texture)["width"] > WIDTH / 2, "the texture takes the room of the controls")
    last = phone.locator(LAST.get(name, ".bk-Figure")).last
    last.scroll_into_view_if_needed()
    wait_for(
        phone, lambda: settled_box(last)["y"] < HEIGHT and settled_box(last)["height"] > 40, "the last one is reached"
    )
