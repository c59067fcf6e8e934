"""The other pages in a real browser: front door, gallery, electrons, and the notebook's view, with nothing from outside."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import panel as pn
import pytest
from playwright.sync_api import Browser, Page, expect

import engine
import spinviz
from engine.presets import PRESETS
from spinviz.notebook import NotebookView
from spinviz.pages.electrons import ElectronsPage
from spinviz.pages.gallery import GalleryPage
from spinviz.pages.index import PAGES, index_page
from tests.browser.conftest import LOCAL
from tests.browser.test_live_page import choose
from tests.browser.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.browser
OpenPage = Callable[[str], Page]


@pytest.fixture(scope="module")
def opened() -> dict[str, Any]:
    """The pages of the tabs, by name, as the server sees them."""
    return {}


@pytest.fixture(scope="module")
def address(opened: dict[str, Any]) -> Iterator[str]:
    """A server with these pages."""

    def gallery() -> Any:
        pn.extension(reconnect=True)
        opened["gallery"] = GalleryPage()
        return opened["gallery"].page

    def electrons() -> Any:
        pn.extension(reconnect=True)
        opened["electrons"] = ElectronsPage()
        pn.state.onload(opened["electrons"].watch)
        return opened["electrons"].page

    def notebook() -> Any:
        opened["notebook"] = spinviz.show(engine.preset("heisenberg", 12, seed=1))
        return pn.Column(opened["notebook"], sizing_mode="stretch_width")

    before = set(pn.state._servers)
    thread = pn.serve(
        {"main": index_page, "gallery": gallery, "electrons": electrons, "notebook": notebook}, port=0,
        address="127.0.0.1", show=False, threaded=True, verbose=False,
    )  # fmt: skip
    while not (new := [s for key, s in list(pn.state._servers.items()) if key not in before]) or new[0][0].port is None:
        thread.join(0.05)
    yield f"http://127.0.0.1:{new[0][0].port}"
    thread.stop()
    for page in opened.values():
        page.close()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[OpenPage]:
    """Opens a page; afterwards nothing may have been asked from outside."""
    foreign: list[str] = []
    contexts = []

    def opener(name: str) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 720}, accept_downloads=True)
        contexts.append(context)
        context.on("request", lambda request: None if request.url.startswith(LOCAL) else foreign.append(request.url))
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{address}/{name}")
        return page

    yield opener
    for context in contexts:
        context.close()
    assert not foreign, f"the page asked for things outside: {foreign}"


def test_the_front_door_has_pictures_and_leads_on(visit: OpenPage) -> None:
    page = visit("main")
    loaded = "image => image.complete && image.naturalWidth > 100"
    for door in (*(f"door-{name}" for name in PAGES), *(f"system-{name}" for name in PRESETS)):
        image = page.locator(f"a.{door} img")
        expect(image).to_be_visible()
        wait_for(page, lambda image=image: image.evaluate(loaded), f"the picture of {door} is loaded")
    assert page.locator("a.system-tetrahedral").get_attribute("href") == "?page=live&preset=tetrahedral"
    page.locator("a.door-gallery").click()  # this script shows every page
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    assert page.url.endswith("?page=gallery")
    page = visit("main?page=nothing")
    expect(page.get_by_text("There is no page 'nothing'")).to_be_visible()


def test_a_recording_is_scrubbed_played_and_compared(visit: OpenPage, opened: dict[str, Any], tmp_path: Path) -> None:
    page = visit("gallery")
    gallery: GalleryPage = opened["gallery"]
    expect(page.locator(".gallery-time")).to_have_text("t = 1800 ħ/t₁")
    assert gallery.replays["A"].shown == len(gallery.replays["A"].run or []) - 1, "it opens with what became of the run"
    page.get_by_role("slider", name="Moment of the recording").first.focus()
    page.keyboard.press("Home")
    wait_for(page, lambda: gallery.slider.value == gallery.replays["A"].shown == 0, "the start is shown")
    page.keyboard.press("End")
    wait_for(page, lambda: gallery.slider.value == len(gallery.moments) - 1, "the slider is at the end")
    choose(page, "Recorded run", "chiral magnet")
    expect(page.get_by_text("spinviz run heisenberg --size 36")).to_be_visible()
    page.get_by_role("button", name="Play", exact=True).click()
    wait_for(page, lambda: 2 < gallery.slider.value < len(gallery.moments) - 1, "it plays from the start")
    page.get_by_role("button", name="Pause").click()
    wait_for(page, lambda: gallery._playing is None, "it pauses")
    choose(page, "Compare with", "skyrmion quench field")
    wait_for(page, lambda: gallery.compared.visible, "two runs are shown")
    choose(page, "Recorded run", "skyrmion quench")
    wait_for(page, lambda: (run := gallery.replays["A"].run) is not None and run.name == "skyrmion quench", "A is new")
    page.get_by_role("slider", name="Moment of the recording").first.focus()
    page.keyboard.press("End")
    wait_for(page, lambda: gallery.replays["A"].shown == gallery.replays["B"].shown == 30, "both are at the end")
    expect(page.locator(".replay-B")).to_contain_text("t = 1800")
    page.wait_for_function("() => window.__spinviz_frames.replayB > 0")
    page.get_by_role("button", name="Download the time series").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="time series as CSV").first.click()
    download.value.save_as(tmp_path / "curves.csv")
    rows = list(csv.reader((tmp_path / "curves.csv").open()))
    assert rows[0][0] == "time (hbar/t1)" and len(rows) == 32


def test_a_wrong_upload_gets_a_sentence_and_a_right_one_is_shown(
    visit: OpenPage, opened: dict[str, Any], tmp_path: Path
) -> None:
    page = visit("gallery")
    expect(page.locator(".gallery-time")).to_be_visible()
    gallery: GalleryPage = opened["gallery"]
    (tmp_path / "wrong.h5").write_bytes(b"\x80\x04not a run, not opened by pickle")
    chooser = page.locator("input[type=file]").first
    chooser.set_input_files(tmp_path / "wrong.h5")
    expect(page.get_by_text("This file cannot be shown: wrong.h5 is none of the files")).to_be_visible()
    engine.save_checkpoint(tmp_path / "mine.ckpt", engine.preset("tetrahedral", 6, force="classical", seed=5))
    chooser.set_input_files(tmp_path / "mine.ckpt")
    wait_for(page, lambda: (run := gallery.replays["A"].run) is not None and run.name == "mine.ckpt", "it is shown")
    expect(page.get_by_text("spinviz run tetrahedral --size 6")).to_be_visible()
    expect(page.get_by_text("This file cannot be shown")).to_be_hidden()


def test_pictures_explain_themselves_and_are_taken_away(
    visit: OpenPage, opened: dict[str, Any], tmp_path: Path
) -> None:
    page = visit("gallery")
    expect(page.locator(".gallery-time")).to_be_visible()
    for way, text in (("Path", "high-symmetry points"), ("History", "kymograph"), ("Zone", "hexagon")):
        page.get_by_role("radio", name=way).first.click()
        wait_for(page, lambda way=way: opened["gallery"].replays["A"].structure.tools.choice == way, f"{way} is shown")
        page.get_by_role("button", name="About the structure factor").first.click()
        expect(page.get_by_text(text).first).to_be_visible()
        page.keyboard.press("Escape")
    for name, kinds in (("structure factor", ("png", "svg", "csv")), ("scalar chirality", ("png", "svg", "csv"))):
        for kind in kinds:
            page.get_by_role("button", name=f"Download the {name}").first.click()
            with page.expect_download() as download:
                page.get_by_role("button", name=f"{name} as {kind.upper()}").first.click()
            path = tmp_path / download.value.suggested_filename
            download.value.save_as(path)
            content = path.read_bytes()
            assert path.suffix == f".{kind}" and len(content) > 500
            assert content.startswith(
                {"png": b"\x89PNG", "svg": b"<svg", "csv": b"qx" if "factor" in name else b"x"}[kind]
            )


def test_the_electrons_are_computed_beside_the_page(visit: OpenPage, opened: dict[str, Any], tmp_path: Path) -> None:
    """Tetrahedral order opens the page: sigma_xy = -1 or +1 in its title; then another texture, then a refusal."""
    page = visit("electrons")
    stage = page.locator(".electrons-stage")
    expect(stage).to_contain_text("Tetrahedral chiral order, 64 sites", timeout=60_000)
    electrons: ElectronsPage = opened["electrons"]
    title = electrons.view.figures["hall_conductivity"].title.text
    assert "1.000 e²/h" in title
    page.get_by_role("button", name="Download the hall conductivity").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="hall conductivity as CSV").click()
    download.value.save_as(tmp_path / "hall.csv")
    values = [float(row[1]) for row in list(csv.reader((tmp_path / "hall.csv").open()))[1:]]
    assert max(abs(value) for value in values) > 0.99
    choose(page, "Mesh of boundary twists", "1 × 1 (bare torus)")
    choose(page, "Texture", "Random spins (infinite temperature)")
    page.get_by_role("button", name="Compute").click()
    wait_for(
        page, lambda: electrons.view._study is not None and electrons.view._study.torque.max() > 0.01, "it is done"
    )
    choose(page, "Texture", "Antiferromagnet, two sublattices (square)")
    page.get_by_role("button", name="Compute").click()
    expect(page.locator(".spinviz-message").first).to_contain_text("square")


def test_the_notebook_view_plays(visit: OpenPage, opened: dict[str, Any]) -> None:
    page = visit("notebook")
    expect(page.locator(".notebook-time")).to_contain_text("step 0")
    view: NotebookView = opened["notebook"]
    page.get_by_role("button", name="Step").click()
    expect(page.locator(".notebook-time")).to_contain_text("step 1")
    page.get_by_role("button", name="Play", exact=True).click()
    wait_for(page, lambda: view.session.status.step > 5, "it plays")
    page.wait_for_function("() => window.__spinviz_frames.spin > 3")
    page.get_by_role("button", name="Pause").click()
    wait_for(page, lambda: not view.session.status.running, "it pauses")
