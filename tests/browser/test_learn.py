"""The learn page, as a reader goes through it: a whole lesson, a link into another, leaving and coming back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import panel as pn
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from spinviz.lessons import load_lessons
from spinviz.pages.learn import LearnPage
from spinviz.serving.tabs import attached
from tests.browser.conftest import LOCAL
from tests.browser.waiting import PATIENCE, settled_box, wait_for

pytestmark = pytest.mark.browser
LESSONS = load_lessons()


@pytest.fixture(scope="module")
def learning() -> Iterator[tuple[str, list[LearnPage]]]:
    """Address of a server of the learn page, and the pages opened."""
    opened: list[LearnPage] = []

    def app() -> Any:
        pn.extension("mathjax", reconnect=True)
        opened.append(LearnPage(query=pn.state.session_args or {}))
        return attached(opened[-1])

    thread = pn.serve(
        {"learn": app}, port=0, address="127.0.0.1", show=False, threaded=True, verbose=False,
        check_unused_sessions_milliseconds=300, unused_session_lifetime_milliseconds=60_000,
    )  # fmt: skip
    while thread.server_id not in pn.state._servers:
        thread.join(0.05)
    yield f"http://127.0.0.1:{pn.state._servers[thread.server_id][0].port}/learn", opened
    thread.stop()
    for learn in opened:
        learn.close()


@pytest.fixture
def reader(browser: Browser, learning: tuple[str, list[LearnPage]]) -> Iterator[BrowserContext]:
    """One browser profile, with its own storage; nothing in it may ask for anything outside, nor fail."""
    foreign: list[str] = []
    errors: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.on("request", lambda request: None if request.url.startswith(LOCAL) else foreign.append(request.url))
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context
    context.close()
    assert not foreign, f"the page asked for things outside: {foreign}"
    assert not errors, f"errors in the browser: {errors}"


def opened_at(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address, timeout=PATIENCE)
    page.wait_for_function("() => (window.__spinviz_frames ?? {}).spin > 0", timeout=PATIENCE)
    return page


def answer(page: Page, learn: LearnPage, right: bool) -> None:
    """Predict the present step, rightly or not."""
    step = learn.step
    assert step.check is not None
    if step.question is None:
        knob = learn.reader.knobs["field"]
        slider = page.get_by_role("slider", name="Field h along z").first
        slider.focus()
        for _ in range(round((step.solution["field"] - knob.value) / knob.step)):
            slider.press("ArrowRight")
        wait_for(page, lambda: knob.value == pytest.approx(step.solution["field"], abs=0.02), "the knob is turned")
    elif step.question.options:
        exact = float(step.check.exact)  # type: ignore[arg-type]
        wanted = next(option for option in step.question.options if option.holds(exact) is right)
        page.get_by_label(wanted.text).check()
    else:
        number = page.get_by_role("textbox", name="Your prediction")
        number.fill("12.57" if right else str(step.question.mistakes[0].value))
        number.press("Enter")


def test_a_whole_lesson_left_and_taken_up_again(reader: BrowserContext, learning: tuple[str, list[LearnPage]]) -> None:
    address, opened = learning
    page = opened_at(reader, address)
    learn = opened[-1]
    measure = page.get_by_role("button", name="Measure")
    expect(page.get_by_role("heading", name=LESSONS[0].steps[0].title)).to_be_visible()
    expect(measure).to_be_disabled()
    expect(page.locator("mjx-container").first).to_be_visible()
    for number, step in enumerate(LESSONS[0].steps):
        wait_for(page, lambda number=number: learn.place.step == number, "the step is there")  # type: ignore[misc]
        wait_for(page, lambda: learn.session.status.step == 0 and not learn.session.status.building, "it is built")
        learn.session.limit_speed(0)  # the reader may watch, the test need not
        answer(page, learn, right=number != 1)
        expect(measure).to_be_enabled()
        measure.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert").filter(has_text="Measured: ")).to_be_visible()
        reply = {1: "The equation has a minus sign", 4: "Solved."}.get(number, "Your prediction fits.")
        expect(page.get_by_text(reply)).to_be_visible()
        assert f"{LESSONS[0].name}/{number + 1}" in learn.done and not learn.session.status.message, step.title
        page.get_by_role("button", name="Next lesson" if number == 4 else "Next", exact=True).click()
    expect(page.get_by_role("heading", name=LESSONS[1].steps[0].title)).to_be_visible()
    page.wait_for_url("**lesson=2&step=1")

    page.close()
    wait_for(None, lambda: not learn.session.alive, "the worker ends with its tab")
    page = opened_at(reader, address)
    expect(page.get_by_role("heading", name=LESSONS[1].steps[0].title)).to_be_visible()
    expect(page.get_by_text("5 of 49 in all")).to_be_visible()


def test_a_link_leads_to_its_step_and_errors_are_sentences(
    reader: BrowserContext, learning: tuple[str, list[LearnPage]]
) -> None:
    address, opened = learning
    page = opened_at(reader, f"{address}?lesson=3&step=2")
    learn = opened[-1]
    expect(page.get_by_role("heading", name="Field against heat")).to_be_visible()
    assert (learn.place.lesson, learn.place.step) == (2, 1) and learn.session.status.settings["temperature"] == 0.5
    page.wait_for_url("**lesson=3&step=2")

    learn.session.rebuild({"preset": "heisenberg", "force": "ed"})
    expect(page.get_by_text("has no electrons; use force='classical'")).to_be_visible()
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_role("heading", name="Heat is noise")).to_be_visible()
    expect(page.get_by_text("has no electrons")).to_be_hidden()

    page.set_viewport_size({"width": 820, "height": 1180})
    text, picture = page.get_by_role("heading", name="Heat is noise"), page.locator("canvas.lattice-map").first
    wait_for(page, lambda: settled_box(picture)["y"] > settled_box(text)["y"], "pictures come below the text")
    fits = "() => document.documentElement.scrollWidth <= window.innerWidth"
    wait_for(page, lambda: page.evaluate(fits), "nothing sticks out")


def test_a_link_to_nowhere_says_so(reader: BrowserContext, learning: tuple[str, list[LearnPage]]) -> None:
    page = opened_at(reader, f"{learning[0]}?lesson=99")
    expect(page.get_by_text("This link names a place that does not exist; here is lesson 10, step 1.")).to_be_visible()
