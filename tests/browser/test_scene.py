"""The scene in three dimensions on the live page: made when its section is opened, drawn beside the running page."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from spinviz.layout import LivePage
from spinviz.views.scene_view import SIZE, SceneView
from tests.browser.waiting import wait_for

pytestmark = pytest.mark.browser


def test_the_present_texture_is_drawn_turned_and_taken_away(
    open_page: Callable[..., tuple[Page, LivePage]], tmp_path: Path
) -> None:
    page, live = open_page()
    section = page.get_by_role("button", name="Three dimensions")
    expect(section).to_be_visible()
    assert live.doing.scene is None, "nothing is made before it is asked for"
    section.click()
    button = page.get_by_role("button", name="Draw this moment")
    expect(button).to_be_visible()
    step = live.session.status.step
    button.click()
    picture = page.get_by_role("img", name="Arrows on the 24 × 24 square lattice")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == SIZE[0]
    assert live.session.status.step > step, "the run went on meanwhile"
    assert live.doing.scene is not None
    first = live.doing.scene.file("png")
    slider = page.get_by_role("slider", name="Azimuth").first
    slider.focus()
    slider.press("Home")
    expect(page.get_by_role("img", name="azimuth -180°")).to_be_visible()
    assert live.doing.scene.file("png") != first
    enlarged_and_put_back(page, live.doing.scene)
    page.get_by_role("button", name="Download the scene").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="scene as PNG").click()
    download.value.save_as(tmp_path / "scene.png")
    image = Image.open(io.BytesIO((tmp_path / "scene.png").read_bytes()))
    assert image.size == SIZE and np.asarray(image).std() > 10
    page.wait_for_timeout(300)
    wait_for(page, lambda: live.session.status.running, "the run goes on")


def enlarged_and_put_back(page: Page, scene: SceneView) -> None:
    """Larger than on the page, whole, turned there too; by keyboard alone."""
    picture = page.get_by_role("img", name="Arrows on the 24 × 24 square lattice")
    before = picture.bounding_box()
    button = page.get_by_role("button", name="Enlarge the scene")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Scene")
    expect(dialog).to_be_visible()
    large = dialog.get_by_role("img", name="Arrows on the 24 × 24 square lattice")
    expect(large).to_be_visible()
    wait_for(page, lambda: (large.bounding_box() or {"width": 0})["width"] > 600, "the picture has its size")
    after = large.bounding_box()
    assert before is not None and after is not None and after["width"] > 2 * before["width"]
    window = page.viewport_size or {"width": 0, "height": 0}
    assert after["y"] + after["height"] <= window["height"] and after["x"] + after["width"] <= window["width"]
    drawn = scene.file("png")
    slider = dialog.get_by_role("slider", name="Elevation").first
    slider.focus()
    slider.press("End")
    expect(dialog.get_by_role("img", name="elevation 90°")).to_be_visible()
    assert scene.file("png") != drawn
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    wait_for(
        page, lambda: (picture.bounding_box() or {"width": 999})["width"] < after["width"] / 2, "it is small again"
    )
    expect(button).to_be_focused()
