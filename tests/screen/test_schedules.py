"""Schedules: parameters follow their plan exactly, a magnet shows the loop it must, and all can be stopped."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from engine import preset
from spinviz.controls import BATH, ELECTRONS, FIELD
from spinviz.running.changes import built, value_at
from spinviz.running.schedules import MOST_POINTS, Hysteresis, Ramp, Running, field_ramp, temperature_ramp
from spinviz.session import Session
from tests.screen.test_session import wait_for
from tests.screen.test_timeline import open_real  # noqa: F401 - a fixture

OpenReal = Callable[..., Session]


def test_a_ramp_is_a_straight_line_with_both_ends() -> None:
    ramp = Ramp({BATH: (0.1, 0.5), FIELD: ((0, 0, 1), (0, 2, -1))}, 8.0)
    for elapsed, share in ((-1, 0), (0, 0), (2, 0.25), (8, 1), (99, 1)):
        values = ramp.values(elapsed)
        assert values[BATH] == pytest.approx(0.1 + 0.4 * share) and ramp.progress(elapsed) == share
        assert values[FIELD] == pytest.approx((0, 2 * share, 1 - 2 * share))
    assert ramp.values(8.0) == {BATH: 0.5, FIELD: (0.0, 2.0, -1.0)}, "the end is exact"


def test_electrons_follow_a_temperature_ramp_above_their_floor() -> None:
    ramp = temperature_ramp(0.02, 0.0, 10.0, ELECTRONS, floor=0.005)
    assert ramp.values(10.0) == {BATH: 0.0, ELECTRONS: 0.005}


def test_a_loop_is_a_triangle_wave_along_its_direction() -> None:
    loop = Hysteresis(largest=2.0, duration=40.0, direction=(0, 3, 4), loops=2)
    assert [loop.along(t) for t in (0, 5, 10, 15, 20, 30, 40)] == pytest.approx([2, 0, -2, 0, 2, -2, 2])
    assert loop.values(10.0)[FIELD] == pytest.approx((0, -1.2, -1.6))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Ramp({BATH: (0, 1)}, 0.0), "time > 0"), (lambda: Ramp({BATH: (0, 1)}, math.inf), "time > 0"),
        (lambda: Ramp({BATH: (0, math.nan)}, 1.0), "finite"), (lambda: Ramp({FIELD: ((0, 0, 1), 2)}, 1.0), "one kind"),
        (lambda: Hysteresis(0.0, 1.0), "> 0"), (lambda: Hysteresis(1.0, 1.0, (0, 0, 0)), "not all zero"),
        (lambda: Hysteresis(1.0, 1.0, loops=0), "loops >= 1"), (lambda: Hysteresis(1.0, -1.0), "time > 0"),
    ],
)  # fmt: skip
def test_senseless_plans_are_refused(make: Callable, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_a_run_under_a_ramp_is_the_run_with_those_values_set_by_hand() -> None:
    settings = {"preset": "heisenberg", "size": 6, "temperature": 0.5, "seed": 2}
    first = built(settings)
    running, present = Running.of(temperature_ramp(0.5, 0.1, 0.4), first), first
    temperatures = []
    for _ in range(4):
        present = running.before(present)
        temperatures.append(present.dynamics.temperature)
        present = present.advance(1)
    assert temperatures == pytest.approx([0.45, 0.35, 0.25, 0.15]), "values at the middle of the steps"
    assert running.done(present) and running.progress(present) == pytest.approx(1)


def test_a_single_domain_switches_at_the_anisotropy_field() -> None:
    """Stoner-Wohlfarth: uniform easy-axis spins, E = -K Sz^2 - H Sz per site, jump at H = -2 K, nearly square loop."""
    anisotropy, largest, duration = 0.2, 1.0, 400.0
    simulation = preset(
        "heisenberg", 4, texture="ferromagnet", texture_options={"direction": (0.02, 0.0, 1.0)}, temperature=0.0,
        dmi_bulk=0.0, anisotropy=anisotropy, damping=1.0, time_step=0.2, field=(0.0, 0.0, 1.0),
    )  # fmt: skip
    # seen a little from the side: exactly along the axis an ideal spin never leaves its unstable pole
    running = Running.of(Hysteresis(largest, duration, (0.001, 0.0, 1.0)), simulation)
    while not running.done(simulation):
        simulation = running.before(simulation).advance(1)
        running.after(simulation)
    h, m = np.array(running.points).T
    assert len(h) <= MOST_POINTS and h.min() < -0.98 and m[0] > 0.99
    down, up = np.split(np.arange(len(h)), [int(h.argmin())])
    switch_down, switch_up = h[down][np.argmax(m[down] < 0)], h[up][np.argmax(m[up] > 0)]
    rate = 4 * largest / duration
    delay = 12 / (2 * anisotropy) * rate  # some growth times of the unstable pole
    assert -2 * anisotropy - delay < switch_down <= -2 * anisotropy * 0.95
    assert switch_up == pytest.approx(-switch_down, abs=0.02), "the loop is symmetric"


def test_the_worker_follows_a_plan_to_its_end(open_real: OpenReal) -> None:  # noqa: F811
    session = open_real()
    session.follow(temperature_ramp(0.4, 0.05, 3.0))
    seen = []
    wait_for(lambda: seen.append(session.status.progress) or session.status.step >= 15, "half of it is made")
    wait_for(lambda: session.status.schedule == "" and session.status.changed > 0, "it ends")
    assert 0 < max(seen) <= 1
    assert value_at(session.simulation, BATH) == 0.05, "the last value stays"
    assert session.status.running, "the run goes on"


def test_a_plan_is_stopped_where_it_is(open_real: OpenReal) -> None:  # noqa: F811
    session = open_real()
    session.follow(Hysteresis(1.0, 1000.0))
    wait_for(lambda: len(session.curve) > 3 and session.status.schedule == "Hysteresis loop", "it measures")
    session.stop_schedule()
    wait_for(lambda: session.status.schedule == "", "it stops")
    field = value_at(session.simulation, FIELD)
    step = session.status.step
    wait_for(lambda: session.status.step > step + 3, "the run goes on")
    assert value_at(session.simulation, FIELD) == field and 0.5 < field[2] < 1.0
    assert len(session.curve) > 3, "what was measured stays"


def test_a_plan_that_cannot_be_is_refused_and_the_run_goes_on(open_real: OpenReal) -> None:  # noqa: F811
    session = open_real()
    session.start()
    session.follow(Ramp({"dynamics.damping": (0.5, -1.0)}, 5.0))
    wait_for(lambda: session.status.refused == 1, "the damping becomes negative")
    assert "damping" in session.status.message and session.status.schedule == "" and not session.status.running
    assert value_at(session.simulation, "dynamics.damping") >= 0
    session.follow(field_ramp((0, 0, 0.1), (0, 0, 0.2), 0.5))
    session.start()
    wait_for(lambda: value_at(session.simulation, FIELD) == (0.0, 0.0, 0.2), "another plan works")
