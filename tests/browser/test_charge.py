"""Charge density and correlation length on the live page: looked at, read, taken away; a pulse in a recording of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from engine.io.trajectory import read_trajectory
from spinviz.layout import LivePage
from spinviz.running.tools import field_pulse
from tests.browser.waiting import settled_box, wait_for
from tests.tolerances import INTEGER_CHARGE

pytestmark = pytest.mark.browser
WRITTEN = 1e-4  # nine digits of some thousand numbers


def taken(page: Page, picture: str, folder: Path) -> list[str]:
    """Lines of the CSV of a picture."""
    page.get_by_role("button", name=f"Download the {picture}").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=f"{picture} as CSV").click()
    download.value.save_as(folder / "picture.csv")
    return (folder / "picture.csv").read_text(encoding="utf-8").splitlines()


def test_charge_density_and_correlation_length(open_page: Callable[..., tuple[Page, LivePage]], tmp_path: Path) -> None:
    page, live = open_page(query="?view=charge&preset=heisenberg&size=24&force=classical&texture=random&seed=0")
    charge = page.get_by_role("radio", name="Charge density ρ")
    expect(charge).to_have_attribute("aria-checked", "true")
    chosen = page.locator("canvas.lattice-map").nth(1)
    wait_for(page, lambda: "charge density" in (chosen.get_attribute("aria-label") or ""), "the density is drawn")
    wait_for(page, lambda: len(live.pictures.domains._source.data["time"]) > 2, "lengths are measured")
    live.session.pause()
    wait_for(page, lambda: not live.session.status.running, "it pauses")
    page.wait_for_timeout(1000)  # what was measured last arrives
    columns = np.array(
        [line.split(",") for line in taken(page, "topological charge density", tmp_path)[1:]], dtype=float
    )
    assert len(columns) == 2 * 24**2
    assert abs(columns[:, 2].sum() - round(columns[:, 2].sum())) < WRITTEN + INTEGER_CHARGE
    box = settled_box(chosen)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".lattice-reading").nth(1)).to_contain_text("ρ = ")
    page.get_by_role("radio", name="Chirality χ").click()
    expect(page.get_by_role("button", name="About the scalar chirality")).to_be_visible()
    wait_for(page, lambda: "chirality" in (chosen.get_attribute("aria-label") or "").lower(), "chirality is drawn")

    names, *lengths = taken(page, "domain size", tmp_path)
    assert names.split(",")[-1] == "correlation length xi (a)" and all(
        float(line.split(",")[-1]) > 0 for line in lengths
    )

    page.get_by_role("button", name="Record", exact=True).click()
    wait_for(page, lambda: live.session.status.recorded == 1, "the beginning is recorded")
    live.session.act(field_pulse((0.0, 0.0, -0.5), 0.2))
    live.session.start()
    wait_for(page, lambda: live.session.status.recorded > 5, "the pulse is recorded")
    page.get_by_role("button", name="Stop recording").click()
    wait_for(page, lambda: live.sidebar.downloads is not None, "the recording is offered")
    with read_trajectory(live.sidebar.downloads._trajectory) as run:
        acting = np.isfinite(run.parameter("field_pulse")[:, 2])
    assert acting.any() and not acting[0] and not acting[-1]
