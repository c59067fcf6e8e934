"""What a reader can do on the live page: tools, undo, time line, plans, keys, links, theme."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
import torch
from playwright.sync_api import Page, expect

from engine import topological_charge
from spinviz.controls import FIELD
from spinviz.layout import LivePage
from spinviz.running.changes import pinned_sites, value_at
from spinviz.serving.address import parse_query, query
from tests.browser.test_live_page import choose
from tests.browser.waiting import settled_box, wait_for

pytestmark = pytest.mark.browser
OpenPage = Callable[..., tuple[Page, LivePage]]
MAGNET = {"preset": "heisenberg", "size": 24, "force": "classical", "texture": "ferromagnet", "seed": 1,
          "temperature": 0.0, "speed": 100}  # fmt: skip


def address(**changes: object) -> str:
    return "?" + urlencode(query({**MAGNET, **changes}))


def furnished(page: Page, live: LivePage) -> None:
    """All parts of the page are there."""
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    wait_for(page, lambda: live.doing.bridge.place, "the browser has built the page")


def open_section(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def take(page: Page, live: LivePage, tool: str, name: str) -> None:
    """Choose a tool and wait until the texture has it in hand."""
    choose(page, "Tool", name)
    wait_for(page, lambda: live.pictures.spin.panel.tool == tool, f"{name} is in hand")
    page.wait_for_timeout(1000)  # the browser has no word for having heard of it


def pause(page: Page, live: LivePage) -> None:
    page.get_by_role("button", name="Pause").click()
    wait_for(page, lambda: not live.session.status.running, "it pauses")


def point(page: Page, x: float, y: float, shift: bool = False) -> None:
    """Click the texture at a share of its width and height."""
    box = settled_box(page.locator("canvas.lattice-map").first)
    if shift:
        page.keyboard.down("Shift")
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    if shift:
        page.keyboard.up("Shift")


def stroke(page: Page, *places: tuple[float, float]) -> None:
    """Draw with the pointer from place to place."""
    box = settled_box(page.locator("canvas.lattice-map").first)
    for count, (x, y) in enumerate(places):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=1 if count == 0 else 6)
        if count == 0:
            page.mouse.down()
    page.mouse.up()


def charge(live: LivePage) -> int:
    simulation = live.session.simulation
    return round(float(topological_charge(simulation.state.spin, simulation.lattice)[0]))


def test_tools_change_the_texture_and_are_undone(open_page: OpenPage) -> None:
    page, live = open_page("live", address())
    furnished(page, live)
    pause(page, live)
    spins = lambda: live.session.simulation.state.spin  # noqa: E731
    before = spins()
    assert charge(live) == 0
    open_section(page, "Tools on the texture")
    take(page, live, "skyrmion", "Insert a skyrmion")
    expect(page.get_by_text("Click puts one skyrmion in")).to_be_visible()
    point(page, 0.3, 0.3)
    wait_for(page, lambda: charge(live) == -1, "a skyrmion is there")
    expect(page.locator(".value-charge")).to_have_text("−1")
    point(page, 0.7, 0.7, shift=True)
    wait_for(page, lambda: charge(live) == 0, "and an antiskyrmion")
    both = spins()
    for _ in range(2):
        page.get_by_role("button", name="Undo").click()
    wait_for(page, lambda: torch.equal(spins(), before), "both are taken back")
    for _ in range(2):
        page.get_by_role("button", name="Redo").click()
    wait_for(page, lambda: torch.equal(spins(), both), "and put back")

    take(page, live, "paint", "Paint")
    choose(page, "Direction of paint", "−z (black)")
    page.wait_for_timeout(1000)  # the closing list still covers the page
    stroke(page, (0.1, 0.9), (0.5, 0.9), (0.9, 0.9))
    wait_for(page, lambda: float(spins()[0, :, 2].mean()) < float(both[0, :, 2].mean()) - 0.2, "a stripe is painted")
    page.get_by_role("button", name="Undo").click()
    wait_for(page, lambda: torch.equal(spins(), both), "the whole stroke is taken back")

    take(page, live, "drag", "Drag the texture")
    stroke(page, (0.3, 0.3), (0.45, 0.3))
    wait_for(page, lambda: not torch.equal(spins(), both), "the skyrmion is dragged")
    assert sorted(spins()[0, :, 2].tolist()) == sorted(both[0, :, 2].tolist()), "no spin is lost"

    take(page, live, "pin", "Pin sites")
    point(page, 0.5, 0.5)
    wait_for(page, lambda: pinned_sites(live.session.simulation).any(), "sites are pinned")
    held = pinned_sites(live.session.simulation)
    wait_for(page, lambda: len(live.pictures.spin.marks) == int(held.sum()), "they are ringed")
    fixed = spins()[:, held].clone()
    page.get_by_role("button", name="Give the field pulse").click()
    page.get_by_role("button", name="Start", exact=True).click()
    step = live.session.status.step
    wait_for(page, lambda: live.session.status.step > step + 10, "it runs")
    assert torch.equal(spins()[:, held], fixed)
    page.get_by_role("button", name="Set all sites free").click()
    wait_for(page, lambda: not pinned_sites(live.session.simulation).any(), "they are free")
    take(page, live, "skyrmion", "Insert a skyrmion")
    page.get_by_role("slider", name="Radius").first.focus()
    page.keyboard.press("End")
    point(page, 0.5, 0.5)
    expect(page.get_by_text("quarter of the sample")).to_be_visible()
    assert live.session.status.running, "a refused tool does not stop the run"


def test_a_link_reproduces_the_set_up(open_page: OpenPage) -> None:
    link = address(size=18, seed=77, texture="random", temperature=0.123, field=(0.0, 0.1, 0.2), damping=0.45)
    one, first = open_page("live", link + "&theme=dark&view=domains")
    furnished(one, first)
    assert first.page.dark_theme and first.pictures.view == "domains"
    slider = one.get_by_role("slider", name="Damping α").first
    slider.focus()
    slider.press("ArrowRight")
    wait_for(one, lambda: first.session.simulation.dynamics.damping == pytest.approx(0.46), "the damping is changed")
    wait_for(one, lambda: "damping=0.46" in one.url, "the address bar follows")
    assert "seed=77" in one.url and "theme=dark" in one.url
    assert parse_query(dict(pair.split("=") for pair in one.url.partition("?")[2].split("&")))[1] == []
    two, second = open_page("live", "?" + one.url.partition("?")[2])
    assert second.controls.settings() == first.controls.settings()
    assert second.session.simulation.dynamics.damping == first.session.simulation.dynamics.damping
    here, there = first.session.first, second.session.first
    assert torch.equal(here.state.spin, there.state.spin)
    damping = first.session.simulation.dynamics
    here = first.session.first.__class__(here.state, first.session.simulation.force, damping, here.noise)
    assert torch.equal(here.advance(5).state.spin, there.advance(5).state.spin)
    furnished(two, second)
    expect(two.get_by_role("slider", name="Damping α").first).to_have_attribute("aria-valuenow", "0.46")


def test_a_wrong_link_is_explained_and_the_rest_of_it_used(open_page: OpenPage) -> None:
    page, live = open_page("live", address() + "&damping=fast&colour=red&force=/etc/passwd")
    expect(page.get_by_text("is not a number; it is left out")).to_be_visible()
    expect(page.get_by_text("colour, which this page does not know")).to_be_visible()
    assert live.session.status.running and live.session.simulation.lattice.shape == (24, 24)
    other, fallen = open_page("live", address(texture="neel_120"))
    expect(other.get_by_text("neel_120 lives on the triangular lattice")).to_be_visible()
    wait_for(other, lambda: fallen.session.status.step > 2, "the preset runs in its place")


def test_keys_do_what_their_list_says(open_page: OpenPage) -> None:
    page, live = open_page("live", address(texture="random"))
    furnished(page, live)
    status = lambda: live.session.status  # noqa: E731
    page.locator("body").click(position={"x": 250, "y": 30})  # beside the links
    page.keyboard.press("Space")
    wait_for(page, lambda: not status().running, "space pauses")
    step = status().step
    page.keyboard.press("ArrowRight")
    wait_for(page, lambda: status().step == step + 1, "the right arrow steps")
    page.keyboard.press("ArrowLeft")
    wait_for(page, lambda: status().looking == step, "the left arrow looks one kept state back")
    expect(page.locator(".value-state")).to_have_text("looking back")
    page.keyboard.press("r")
    wait_for(page, lambda: status().step == 0, "r resets")
    page.keyboard.press("z")
    wait_for(page, lambda: status().step == step + 1, "z takes the reset back")
    page.keyboard.press("y")
    wait_for(page, lambda: status().step == 0, "y resets again")
    page.keyboard.press("q")
    wait_for(page, lambda: status().running, "q quenches")
    page.keyboard.press("4")
    wait_for(page, lambda: live.pictures.view == "audit" and live.pictures.checks.active == 1, "4 shows the audit")
    page.keyboard.press("?")
    expect(page.get_by_text("one kept state back")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_text("one kept state back")).to_be_hidden()
    field = page.get_by_role("textbox", name="Seed").or_(page.get_by_role("spinbutton", name="Seed")).first
    field.focus()
    running = status().running
    page.keyboard.type("q r")
    page.wait_for_timeout(500)
    assert status().running == running and status().step > 0, "keys that are typed into a field do nothing else"


def test_the_run_is_rewound_and_branched(open_page: OpenPage) -> None:
    page, live = open_page("live", address(texture="random", temperature=0.2))
    furnished(page, live)
    wait_for(page, lambda: len(live.session.timeline.stamps) > 12, "states are kept")
    pause(page, live)
    end = live.session.simulation
    slider = page.get_by_role("slider", name="Time line").first
    slider.focus()
    slider.press("Home")
    wait_for(page, lambda: live.session.status.looking == 0, "the first kept state is shown")
    expect(page.locator(".value-step")).to_have_text("0")
    assert live.session.simulation is end, "looking changes nothing"
    page.get_by_role("button", name="Present", exact=True).click()
    wait_for(page, lambda: live.session.status.looking is None, "back at the present")
    expect(page.get_by_role("button", name="Go on from here")).to_be_hidden()
    slider.focus()
    slider.press("Home")
    page.get_by_role("button", name="Go on from here").click()
    wait_for(page, lambda: live.session.simulation.state.step == 0, "it goes on from the beginning")
    again = live.session.simulation.advance(end.state.step)
    assert torch.equal(again.state.spin, end.state.spin), "and would repeat itself"
    page.get_by_role("button", name="Undo").click()
    wait_for(page, lambda: torch.equal(live.session.simulation.state.spin, end.state.spin), "the run is not lost")


def test_a_hysteresis_loop_is_run_and_taken_away(open_page: OpenPage, tmp_path: Path) -> None:
    page, live = open_page("live", address(size=12))
    furnished(page, live)
    open_section(page, "Ramps and loops")
    choose(page, "Plan", "Hysteresis loop M(H)")
    page.get_by_role("button", name="Start the plan").click()
    wait_for(page, lambda: live.session.status.schedule and len(live.session.curve) > 20, "the loop is measured")
    wait_for(page, lambda: live.controls.field_z == pytest.approx(value_at(live.session.simulation, FIELD)[2], abs=0.1),
             "the slider follows")  # fmt: skip
    page.get_by_role("button", name="Stop the plan").click()
    wait_for(page, lambda: not live.session.status.schedule, "it stops")
    assert live.session.status.running
    button = page.get_by_role("button", name="Download M(H)").or_(page.get_by_role("link", name="Download M(H)")).first
    with page.expect_download() as download:
        button.click()
    download.value.save_as(tmp_path / "loop.csv")
    rows = list(csv.DictReader((tmp_path / "loop.csv").open()))
    assert len(rows) > 20 and float(rows[0]["field_t1"]) == pytest.approx(1.0, abs=0.01)
    assert float(rows[0]["magnetization_per_site"]) == pytest.approx(1.0, abs=0.01)


def test_theme_tablet_and_copied_link(open_page: OpenPage) -> None:
    page, live = open_page("live", address(), 820, 1180)
    furnished(page, live)
    wait_for(page, lambda: not live.page.sidebar_open, "on a narrow screen the controls are put away")
    texture = page.locator("canvas.lattice-map").first
    wait_for(page, lambda: settled_box(texture)["width"] > 300, "the texture takes the room of the controls")
    for name in ("Pause", "Step", "Reset", "Quench", "Undo", "Redo"):
        place = settled_box(page.get_by_role("button", name=name, exact=True))
        assert place["x"] + place["width"] <= 820, f"{name} is on the screen"
    background = lambda: page.evaluate("() => getComputedStyle(document.body).backgroundColor")  # noqa: E731
    light = background()
    page.get_by_role("button", name="Toggle theme").click()
    wait_for(page, lambda: live.page.dark_theme and "theme=dark" in page.url, "the dark theme is in the address")
    wait_for(page, lambda: background() != light, "the page is dark")
    assert live.pictures.spin.panel.theme == "dark"
    page.get_by_role("button", name="Open drawer").click()
    open_section(page, "Link and keys")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("textbox", name="Link")).to_have_value(page.url)


def test_every_control_has_a_name(open_page: OpenPage) -> None:
    page, live = open_page()
    furnished(page, live)
    for section in ("Tools on the texture", "Ramps and loops", "Link and keys"):
        open_section(page, section)
    expect(page.get_by_role("button", name="Copy link")).to_be_visible()
    for role in ("button", "slider", "combobox", "textbox", "spinbutton"):
        for element in page.get_by_role(role).all():
            name = element.evaluate(
                "e => e.getAttribute('aria-label') || e.innerText || (e.labels && e.labels[0]?.innerText) || e.title"
                " || (e.getAttribute('aria-labelledby') || '').split(' ').map(i =>"
                " e.getRootNode().getElementById(i)?.innerText).join('')"
            )
            assert name and name.strip(), f"a {role} has no name: {element.evaluate('e => e.outerHTML')[:300]}"
