"""Waiting for a browser on a machine under load: no test asserts a time, all of them wait equally long."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import FloatRect, Locator, Page

SECONDS = 60.0  # two loaded cores serve, compute and draw
PATIENCE = 1000 * SECONDS  # the same in Playwright's milliseconds


def wait_for(page: Page | None, condition: Callable[[], object], what: str) -> None:
    """Let the page run until the condition holds. Without a page (all closed) only wait."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {SECONDS:g} s in vain until {what}"
        if page is None:
            time.sleep(0.05)
        else:
            page.wait_for_timeout(50)


def settled_box(element: Locator) -> FloatRect:
    """Where the element is once the layout has come to rest: the same place in three looks, 0.1 s apart."""
    looks: list[FloatRect | None] = []

    def at_rest() -> bool:
        looks.append(element.bounding_box())
        element.page.wait_for_timeout(100)
        return looks[-1] is not None and looks[-3:] == 3 * [looks[-1]]

    wait_for(element.page, at_rest, "the layout is at rest")
    box = looks[-1]
    assert box is not None
    return box
