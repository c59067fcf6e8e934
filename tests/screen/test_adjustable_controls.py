"""Sliders of the electrons: live with an exact force and with an adjustable network, at rest with any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import LearnedForce, Simulation
from engine.learning import weights
from spinviz.controls import CONTROLS, Controls
from spinviz.drawing.caption import caption_of
from spinviz.running.audit import audited, electrons_of
from spinviz.running.changes import built, value_at, with_force, with_values
from spinviz.running.committee import DISAGREEMENT, Committee
from spinviz.running.recording import parameters_of
from spinviz.widgets.panels import Sidebar
from tests.screen.networks import ship, ship_adjustable
from tests.tolerances import SAME_FORCE, SAME_NETWORK

MU, COUPLING = (CONTROLS[name].paths[0] for name in ("chemical_potential", "coupling"))
SMALL = {"preset": "skyrmion", "size": 6}


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the skyrmion preset "best", "fast" and an adjustable network, none else."""
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    ship(tmp_path)
    ship_adjustable(tmp_path)


def shown(force: str, **settings: Any) -> tuple[Controls, Simulation]:
    controls, made = Controls(), built({**SMALL, "force": force, **settings})
    controls.adopt(made.settings, lambda path: value_at(made, path))
    return controls, made


def test_an_adjustable_network_keeps_the_sliders_live() -> None:
    controls, simulation = shown("adjustable")
    assert controls.settable and controls.learned
    assert controls.param.chemical_potential.bounds == (-3.8, -3.2) and controls.param.coupling.bounds == (0.3, 0.7)
    assert (controls.chemical_potential, controls.coupling) == (-3.5, 0.5)
    before = simulation.response().force
    for name, value in (("chemical_potential", -3.3), ("coupling", 0.6)):
        controls.param.update(**{name: value})
        simulation = with_values(simulation, controls.changes(name))
    term = simulation.force.terms["electrons"]  # type: ignore[attr-defined]
    assert isinstance(term, LearnedForce) and term.electrons == (-3.3, 0.6)
    assert not np.allclose(simulation.response().force, before)


def test_other_networks_leave_them_at_rest() -> None:
    controls, simulation = shown("best")
    assert not controls.settable and controls.ranges == {}
    assert (controls.chemical_potential, controls.coupling) == (-3.5, 0.5)
    assert with_values(simulation, {MU: -3.3, COUPLING: 0.6}).force is simulation.force


@pytest.mark.parametrize(("force", "disabled"), [("adjustable", False), ("best", True), ("kpm", False)])
def test_the_panel_shows_which_sliders_act(force: str, disabled: bool) -> None:
    """Made before anything runs, as on a page."""
    controls, made = Controls(), built({**SMALL, "force": force})
    panel = Sidebar(controls)
    controls.adopt(made.settings, lambda path: value_at(made, path))
    panel.arrange()
    for name in ("chemical_potential", "coupling"):
        slider = panel.widgets[name]
        assert slider.disabled == disabled and slider.visible
        assert (slider.start, slider.end) == controls.param[name].bounds and slider.value == getattr(controls, name)


def test_a_network_at_rest_says_which_one_is_not(tmp_path: Path) -> None:
    assert "choose ED, KPM or the network adjustable" in shown("best")[0].about_electrons
    assert shown("kpm")[0].about_electrons == "" and "the sliders end" in shown("adjustable")[0].about_electrons
    (tmp_path / "skyrmion" / "adjustable.safetensors").unlink()
    assert shown("best")[0].about_electrons.endswith("choose ED or KPM.")


def test_a_change_of_force_takes_the_electrons_along() -> None:
    controls, exact = shown("ed", chemical_potential=-3.4, coupling=0.65)
    controls.force = "adjustable"
    learned = with_force(exact, controls.settings())
    assert (value_at(learned, MU), value_at(learned, COUPLING)) == (-3.4, 0.65)
    controls.adopt(learned.settings, lambda path: value_at(learned, path))
    controls.param.update(coupling=0.45)
    learned = with_values(learned, controls.changes("coupling"))
    controls.force = "ed"
    again = with_force(learned, controls.settings())
    assert (value_at(again, MU), value_at(again, COUPLING)) == (-3.4, 0.45)


def test_electrons_that_the_network_does_not_know_are_refused() -> None:
    controls, exact = shown("ed", chemical_potential=-3.0)
    controls.force = "adjustable"
    with pytest.raises(ValueError, match=r"chemical_potential from -3.8 to -3.2.* not for chemical_potential -3"):
        with_force(exact, controls.settings())


@pytest.mark.parametrize("force", ["adjustable", "ed"])
def test_audit_caption_and_recording_know_the_present_electrons(force: str) -> None:
    simulation = with_values(shown(force)[1], {MU: -3.3, COUPLING: 0.6})
    assert electrons_of(simulation) == {
        "electron_temperature": 0.005, "chemical_potential": -3.3, "filling": None, "coupling": 0.6,
    }  # fmt: skip
    held = parameters_of(simulation)
    assert held["coupling"] == 0.6 and held["chemical_potential"] == -3.3
    assert "μ = -3.3" in caption_of(simulation.settings, held) and "J = 0.6" in caption_of(simulation.settings, held)


def test_a_second_adjustable_network_is_asked_for_the_same_electrons(tmp_path: Path) -> None:
    committee, (_, simulation) = Committee(), shown("adjustable")
    assert DISAGREEMENT not in committee.snapshot(simulation, (DISAGREEMENT,)).observables
    ship_adjustable(tmp_path, "adjustable_fast")
    committee = Committee()
    for changes in ({}, {MU: -3.3, COUPLING: 0.6}):
        simulation = with_values(simulation, changes)
        apart = committee.snapshot(simulation, (DISAGREEMENT,)).observables[DISAGREEMENT]
        assert float(apart.max()) < SAME_NETWORK


def test_an_audit_of_the_exact_force_at_another_coupling_finds_no_more_than_the_finite_size() -> None:
    """Exact against exact: with the coupling of the preset instead, forces would differ by half."""
    twisted = with_values(built({**SMALL, "force": "ed", "twists": (16, 16)}), {COUPLING: 0.7})
    assert audited(twisted).epsilon < SAME_FORCE
