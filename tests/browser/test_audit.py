"""The force on the live page: exchanged on the running state, audited at a click, watched by a second network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from engine import LearnedForce
from engine.learning import weights
from spinviz.layout import LivePage
from tests.browser.test_live_page import choose
from tests.browser.waiting import wait_for
from tests.screen.networks import ship, ship_adjustable

pytestmark = pytest.mark.browser


def test_force_is_exchanged_and_audited_on_the_running_state(
    open_page: Callable[[str], tuple[Page, LivePage]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    ship(tmp_path)
    page, live = open_page("electrons")
    wait_for(page, lambda: live.session.status.step > 3, "some steps are made")
    first, step = live.session.first, live.session.status.step
    choose(page, "Force", "Network: best")
    electrons = lambda: live.session.simulation.force.electrons  # noqa: E731
    wait_for(page, lambda: isinstance(electrons(), LearnedForce), "the network drives the run")
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


def test_sliders_of_the_electrons_act_on_an_adjustable_network(
    open_page: Callable[[str], tuple[Page, LivePage]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    ship_adjustable(tmp_path)
    page, live = open_page("electrons")
    wait_for(page, lambda: live.session.status.step > 3, "some steps are made")
    choose(page, "Force", "Network: adjustable")
    electrons = lambda: live.session.simulation.force.electrons  # noqa: E731
    wait_for(page, lambda: isinstance(electrons(), LearnedForce), "the network drives the run")
    expect(page.get_by_text("the sliders end where it does")).to_be_visible()
    for name, low, high in (("Coupling J", "0.3", "0.7"), ("Chemical potential μ", "-3.8", "-3.2")):
        slider = page.get_by_role("slider", name=name).first
        expect(slider).to_have_attribute("aria-valuemin", low)
        expect(slider).to_have_attribute("aria-valuemax", high)
        slider.focus()
        slider.press("ArrowRight")
    wait_for(page, lambda: electrons().electrons.coupling > 0.5, "the coupling is that of the slider")
    wait_for(page, lambda: electrons().electrons.chemical_potential > -3.5, "and so is the chemical potential")
    step = live.session.status.step
    wait_for(page, lambda: live.session.status.step > step, "the run goes on")
