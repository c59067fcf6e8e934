"""The force on the live page: exchanged on the running state, audited at a click, watched by a second network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from engine import LearnedForce
from engine.learning import weights
from spinviz.layout import LivePage
from tests.browser.test_live_page import choose
from tests.browser.waiting import wait_for
from tests.screen.networks import ship, ship_adjustable

pytestmark = pytest.mark.browser
OpenPage = Callable[[str], tuple[Page, LivePage]]


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where shipped networks are looked for; empty."""
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    return tmp_path


def electrons_of(live: LivePage) -> Any:
    """The electrons' force of the run."""
    return live.session.simulation.force.electrons


def moving(open_page: OpenPage) -> tuple[Page, LivePage]:
    """A page whose run has begun."""
    page, live = open_page("electrons")
    wait_for(page, lambda: live.session.status.step > 3, "some steps are made")
    return page, live


def drive_with(page: Page, live: LivePage, network: str) -> None:
    """Choose this network and wait until it drives the run."""
    choose(page, "Force", f"Network: {network}")
    wait_for(page, lambda: isinstance(electrons_of(live), LearnedForce), "the network drives the run")


def test_force_is_exchanged_and_audited_on_the_running_state(open_page: OpenPage, shelf: Path) -> None:
    ship(shelf)
    page, live = moving(open_page)
    first, step = live.session.first, live.session.status.step
    drive_with(page, live, "best")
    assert live.session.simulation.state.step >= step and live.session.first is first
    expect(page.get_by_role("slider", name="Chemical potential μ").first).to_be_disabled()
    expect(page.get_by_text("A network has learned the electrons")).to_be_visible()
    expect(page.locator(".value-chip")).to_have_text("outside its data")

    page.get_by_role("button", name="Audit", exact=True).click()
    expect(page.get_by_text("ring: worst site")).to_be_visible()
    audit = live.pictures.audit
    assert len(audit._all.data["exact"]) == 3 * 36 and audit._plot.title.text.startswith("best: ε = ")
    assert len(live.pictures.spin.marks) == 1

    page.get_by_role("tab", name="Disagreement").click()
    wait_for(page, lambda: page.evaluate("() => window.__spinviz_frames.disagreement") > 0, "the map is drawn")
    choose(page, "Force", "Kernel polynomial (KPM)")
    wait_for(page, lambda: live.controls.force == "kpm" and not live.controls.learned, "KPM drives the run")
    assert live.session.simulation.state.step > step and live.session.first is first
    expect(page.get_by_role("slider", name="Chemical potential μ").first).to_be_enabled()
    expect(page.get_by_text("Shown while one of the networks")).to_be_visible()


def test_sliders_of_the_electrons_act_on_an_adjustable_network(open_page: OpenPage, shelf: Path) -> None:
    ship_adjustable(shelf)
    page, live = moving(open_page)
    drive_with(page, live, "adjustable")
    expect(page.get_by_text("the sliders end where it does")).to_be_visible()
    for name, low, high in (("Coupling J", "0.3", "0.7"), ("Chemical potential μ", "-3.8", "-3.2")):
        slider = page.get_by_role("slider", name=name).first
        expect(slider).to_have_attribute("aria-valuemin", low)
        expect(slider).to_have_attribute("aria-valuemax", high)
        slider.focus()
        slider.press("ArrowRight")
    wait_for(page, lambda: electrons_of(live).electrons.coupling > 0.5, "the coupling is that of the slider")
    wait_for(page, lambda: electrons_of(live).electrons.chemical_potential > -3.5, "and so is the chemical potential")
    step = live.session.status.step
    wait_for(page, lambda: live.session.status.step > step, "the run goes on")
