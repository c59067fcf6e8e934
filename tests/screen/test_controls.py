"""Controls are data: they say what they change, and show what runs."""

from __future__ import annotations

import numpy as np
import pytest

from engine import PRESETS, Simulation, snapshot
from spinviz.controls import BATH, CONTROLS, ELECTRONS, FIELD, Controls
from spinviz.running.changes import built, quenched, restarted, value_at, with_suggested_time_step, with_values

SMALL = {
    "skyrmion": 6,
    "tetrahedral": 4,
    "double_exchange": 4,
    "double_exchange_000": 4,
    "spin_glass": 10,
    "heisenberg": 6,
}


def small(name: str, **changes: object) -> dict:
    return {"preset": name, "size": SMALL[name], **changes}


@pytest.mark.parametrize(
    "name, size, force",
    [
        ("skyrmion", 48, "fast"),
        ("tetrahedral", 24, "best"),
        ("double_exchange", 24, "fast"),
        ("heisenberg", 64, "classical"),
    ],
)
def test_pages_open_with_what_the_cards_promise(name: str, size: int, force: str) -> None:
    controls = Controls()
    controls.choose(name)
    assert (controls.size, controls.force) == (size, force)


def test_every_control_is_a_parameter_with_a_doc() -> None:
    controls = Controls()
    for name, control in CONTROLS.items():
        assert controls.param[name].doc and control.label, name


def shown(name: str) -> tuple[Controls, Simulation]:
    """Controls that show a small simulation of a preset, and that simulation."""
    controls, simulation = Controls(), built(small(name))
    controls.choose(name)
    controls.adopt(small(name), lambda path: value_at(simulation, path))
    return controls, simulation


@pytest.mark.parametrize("name", list(PRESETS))
def test_adopted_values_are_those_of_the_simulation(name: str) -> None:
    controls, _ = shown(name)
    assert controls.damping == PRESETS[name].damping and controls.time_step == PRESETS[name].time_step
    assert (controls.field_x, controls.field_y, controls.field_z) == PRESETS[name].field
    assert controls.electronic == (PRESETS[name].force != "classical")
    assert controls.fixed_filling == (PRESETS[name].filling is not None)


@pytest.mark.parametrize("name", list(PRESETS))
def test_settings_build_the_simulation_that_is_shown(name: str) -> None:
    controls, first = shown(name)
    again = built(controls.settings())
    paths = [path for control in CONTROLS.values() for path in control.paths]
    assert {path: value_at(again, path) for path in paths} == {path: value_at(first, path) for path in paths}


@pytest.mark.parametrize("name", [name for name, control in CONTROLS.items() if control.live])
def test_live_controls_act_on_a_running_simulation(name: str) -> None:
    controls, simulation = Controls(), built(small("skyrmion"))
    controls.adopt(small("skyrmion"), lambda path: value_at(simulation, path))
    if name == "filling":
        with pytest.raises(ValueError, match="filling"):
            with_values(simulation, controls.changes("filling"))
        return
    if name in ("linked", "electron_temperature"):
        controls.param.update(linked=False, electron_temperature=0.0077)
    else:
        low, high = controls.param[name].bounds
        controls.param.update(**{name: 0.4 * low + 0.6 * high})
    changed = with_values(simulation, controls.changes(name))
    for path, value in controls.changes(name).items():
        assert value_at(changed, path) == value
        assert value != value_at(simulation, path) or path == ELECTRONS
    assert np.array_equal(snapshot(changed).spin, snapshot(simulation).spin)


def test_electrons_follow_the_bath_but_never_below_the_preset() -> None:
    controls = Controls()
    controls.choose("skyrmion")
    controls.temperature = 0.009
    assert controls.changes("temperature") == {BATH: 0.009, ELECTRONS: 0.009}
    controls.temperature = 0.001
    assert controls.changes("temperature")[ELECTRONS] == PRESETS["skyrmion"].electron_temperature
    controls.param.update(linked=False, electron_temperature=0.003)
    assert controls.changes("temperature")[ELECTRONS] == 0.003


def test_field_sliders_make_one_vector() -> None:
    controls = Controls()
    controls.choose("heisenberg")
    controls.param.update(field_x=0.1, field_y=-0.2, field_z=0.3)
    assert controls.changes("field_y") == {FIELD: (0.1, -0.2, 0.3)}


def test_absent_terms_are_left_out() -> None:
    simulation = built(small("heisenberg"))
    changed = with_values(simulation, {BATH: 0.3, ELECTRONS: 0.3})
    assert changed.dynamics.temperature == 0.3 and value_at(changed, ELECTRONS) is None


def test_a_slider_gives_the_number_that_it_shows() -> None:
    controls, events = Controls(), []
    controls.choose("skyrmion")
    controls.param.watch(events.append, "chemical_potential")
    controls.chemical_potential = -4.0 + 30 * 0.02 + 1e-15
    assert controls.changes("chemical_potential") == {CONTROLS["chemical_potential"].paths[0]: -3.4}
    assert controls.chemical_potential == -3.4 and len(events) == 1
    controls.field_x = 0.001 + 0.002 + 1e-18
    assert controls.changes("field_x")[FIELD][0] == 0.003


def test_values_outside_the_range_widen_it() -> None:
    controls = Controls()
    controls.show("field_z", 5.0)
    assert controls.field_z == 5.0 and controls.param.field_z.bounds[1] == 5.0


def test_quench_reset_and_suggested_time_step() -> None:
    first = built(small("heisenberg", seed=3))
    later = with_values(first.advance(3), {"dynamics.damping": 0.7})
    new = quenched(later, 1)
    assert new.state.step == 0 and new.dynamics.damping == 0.7
    assert not np.array_equal(snapshot(new).spin, snapshot(first).spin)
    assert not np.array_equal(snapshot(quenched(later, 2)).spin, snapshot(new).spin)
    back = restarted(later, first)
    assert np.array_equal(snapshot(back).spin, snapshot(first).spin) and back.dynamics.damping == 0.7
    assert 0 < with_suggested_time_step(later).dynamics.time_step < 1


def test_a_refused_choice_is_taken_back_also_when_settings_are_few() -> None:
    controls, simulation = Controls(), built(small("spin_glass"))
    controls.choose("spin_glass")
    controls.force = "classical"
    controls.adopt({"preset": "spin_glass"}, lambda path: value_at(simulation, path))
    assert controls.force == "ed"
