"""The live page, driven as a reader would: start, move a slider, see the frame change, record, download."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from engine.io.trajectory import read_trajectory
from spinviz.layout import LivePage
from tests.browser.waiting import wait_for

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
OpenPage = Callable[[], tuple[Page, LivePage]]


def picture(page: Page) -> str:
    """The texture on the screen."""
    return str(page.locator("canvas.lattice-map").first.evaluate("canvas => canvas.toDataURL()"))


def frames(page: Page) -> int:
    return int(page.evaluate("() => window.__spinviz_frames.spin"))


def test_opens_running_and_follows_its_buttons(open_page: OpenPage) -> None:
    page, live = open_page()
    status = lambda: live.session.status  # noqa: E731
    assert status().running
    for name in ("time", "step", "rate", "charge"):
        expect(page.locator(f".value-{name}")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    wait_for(page, lambda: not status().running, "it pauses")
    page.wait_for_timeout(300)
    before, step = picture(page), status().step
    page.wait_for_timeout(300)
    assert picture(page) == before, "a paused picture stands still"
    page.get_by_role("button", name="Step", exact=True).click()
    wait_for(page, lambda: status().step == step + 1, "one step is made")
    page.get_by_role("button", name="Quench").click()
    wait_for(page, lambda: status().running and picture(page) != before, "a quench runs")
    page.get_by_role("button", name="Pause").click()
    wait_for(page, lambda: not status().running, "it pauses")
    page.get_by_role("button", name="Reset").click()
    wait_for(page, lambda: status().step == 0, "it is back at the start")
    expect(page.locator(".value-step")).to_have_text("0")
    page.get_by_role("button", name="Start").click()
    drawn = frames(page)
    wait_for(page, lambda: frames(page) > drawn + 5, "frames are drawn again")
    assert live.pictures.spin.panel.most_in_flight <= 2
    label = page.locator("canvas.lattice-map").first.get_attribute("aria-label") or ""
    assert "24 × 24 square lattice" in label and "topological charge" in label


def test_sliders_act_on_the_running_simulation(open_page: OpenPage) -> None:
    page, live = open_page()
    first = live.session.simulation
    slider = page.get_by_role("slider", name="Damping α").first
    slider.focus()
    slider.press("End")
    wait_for(page, lambda: live.session.simulation.dynamics.damping == 1.0, "the damping is changed")
    page.get_by_role("slider", name="Field along z").first.focus()
    page.keyboard.press("Home")
    field = lambda: live.session.simulation.force.zeeman.model.field  # noqa: E731
    wait_for(page, lambda: field()[2] == -1.0, "the field is turned")
    before = picture(page)
    wait_for(page, lambda: picture(page) != before, "the picture changes")
    assert live.session.simulation.state.step > first.state.step, "a live change does not start anew"
    page.get_by_role("button", name="Suggested time step").click()
    wait_for(
        page, lambda: live.session.simulation.dynamics.time_step != first.dynamics.time_step, "a step is suggested"
    )
    wait_for(page, lambda: live.controls.time_step == live.session.simulation.dynamics.time_step, "the slider shows it")


def choose(page: Page, name: str, option: str) -> None:
    """Pick an entry of a drop-down list."""
    page.get_by_role("combobox", name=name).first.click()
    page.get_by_role("menuitem", name=option, exact=True).click()


def test_wrong_input_is_explained_and_the_run_goes_on(open_page: OpenPage) -> None:
    page, live = open_page()
    choose(page, "Force", "Exact diagonalization (ED)")
    expect(page.get_by_text("has no electrons; use force='classical'")).to_be_visible(timeout=60_000)
    assert live.session.status.running and live.session.simulation.lattice.shape == (24, 24)
    wait_for(page, lambda: live.controls.force == "classical", "the control shows what runs")
    step = live.session.status.step
    wait_for(page, lambda: live.session.status.step > step, "the run goes on")
    choose(page, "Size", "36")
    wait_for(page, lambda: live.session.simulation.lattice.shape == (36, 36), "a good choice is built")
    expect(page.get_by_text("has no electrons")).to_be_hidden()


def test_another_system_is_one_click_away(open_page: OpenPage) -> None:
    page, live = open_page()
    choose(page, "System", "Spin glass in an amorphous metal")
    wait_for(page, lambda: live.session.simulation.lattice.kind == "random_sites", "the spin glass is built")
    drawn = frames(page)
    wait_for(page, lambda: frames(page) > drawn, "it is drawn")
    expect(page.get_by_text("Scalar chirality")).to_be_hidden()
    expect(page.get_by_role("slider", name="Filling").first).to_be_visible()


def test_a_recording_can_be_downloaded(open_page: OpenPage, tmp_path: Path) -> None:
    page, live = open_page()
    page.get_by_role("button", name="Record", exact=True).click()
    wait_for(page, lambda: live.session.status.recorded >= 6, "frames are recorded")
    page.get_by_role("button", name="Stop recording").click()
    page.get_by_role("button", name="Make the movie").click()
    for label, path in (("Download data (HDF5)", tmp_path / "run.h5"), ("Download movie (MP4)", tmp_path / "run.mp4")):
        button = page.get_by_role("button", name=label).or_(page.get_by_role("link", name=label)).first
        expect(button).to_be_enabled(timeout=60_000)
        with page.expect_download(timeout=60_000) as download:
            button.click()
        download.value.save_as(path)
    with read_trajectory(tmp_path / "run.h5") as run:
        assert len(run) >= 6 and not run.interrupted and run.settings["preset"] == "heisenberg"
        assert len(set(np.diff(run.steps).tolist())) == 1
        count = len(run)
    with av.open(str(tmp_path / "run.mp4")) as movie:
        assert sum(1 for _ in movie.decode(video=0)) == count


def test_two_tabs_are_independent_and_closing_one_frees_its_worker(open_page: OpenPage) -> None:
    one, first = open_page()
    one.get_by_role("button", name="Pause").click()
    wait_for(one, lambda: not first.session.status.running, "the first pauses")
    two, second = open_page()
    assert second.session.status.running and not first.session.status.running
    folder = first._folder
    one.close()
    wait_for(two, lambda: not first.session.alive and not folder.exists(), "the first worker is freed")
    step = second.session.status.step
    wait_for(two, lambda: second.session.status.step > step, "the second runs on")


@pytest.mark.parametrize("what, address", [("apps/", "/apps"), ("apps/live.py", "/live")])
def test_panel_serves_folder_and_file(what: str, address: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "panel", "serve", what, "--port", str(port), "--address", "127.0.0.1"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(None, lambda: _title(f"http://127.0.0.1:{port}{address}") == "spinviz", "the page is served")
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(10)


def _title(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            text = answer.read().decode()
    except OSError:  # not there yet, or too slow
        return ""
    return text.partition("<title>")[2].partition("</title>")[0].strip()
