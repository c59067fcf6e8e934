"""Two runs: locked in time, the same as long as nothing differs, and compared by exact numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import SpinState, snapshot
from spinviz.pages.compare import ComparePage, read_out
from spinviz.running.changes import built, with_values
from spinviz.running.pair import Lockstep, difference
from tests.screen.test_session import wait_for

SETTINGS = {"preset": "heisenberg", "size": 8, "force": "classical", "texture": "random", "seed": 3, "temperature": 0.2}


@pytest.fixture
def compared() -> Iterator[ComparePage]:
    page = ComparePage(settings=SETTINGS)
    for run in page.runs:
        wait_for(lambda run=run: not run.session.status.building, "both are built")
    yield page
    page.close()


def simulations(page: ComparePage) -> list:
    return [run.session.simulation for run in page.runs]


def begun(page: ComparePage) -> None:
    page.pair.start()


def test_equal_runs_stay_equal_bit_for_bit(compared: ComparePage) -> None:
    begun(compared)
    wait_for(lambda: compared.runs[0].session.status.step > 30, "both run")
    compared.pair.lock.pause()
    wait_for(lambda: len({s.state.step for s in simulations(compared)}) == 1, "they rest at one time")
    one, two = simulations(compared)
    assert torch.equal(one.state.spin, two.state.spin)
    found = difference(one, two)
    assert found is not None and found.angle == 0 and found.charges is not None and len(set(found.charges)) == 1


def test_a_slow_run_is_waited_for(compared: ComparePage) -> None:
    compared.runs[1].session.limit_speed(40)
    begun(compared)
    apart = []
    wait_for(lambda: apart.append(abs(np.subtract(*[s.state.step for s in simulations(compared)])))
             or compared.runs[1].session.status.step > 20, "the slow one runs")  # fmt: skip
    assert max(apart) <= 2, "one step, and one more that ends between two looks"


def test_a_small_difference_grows(compared: ComparePage) -> None:
    compared.runs[1].session.post("damping", lambda present: with_values(present, {"dynamics.damping": 0.301}))
    begun(compared)
    wait_for(lambda: compared.runs[0].session.status.step > 40, "both run")
    compared.pair.lock.pause()
    wait_for(lambda: len({s.state.step for s in simulations(compared)}) == 1, "they rest at one time")
    found = difference(*simulations(compared))
    assert found is not None and 0 < found.angle < 90
    assert "mean angle" in read_out(found)


def test_a_single_step_is_one_of_both(compared: ComparePage) -> None:
    compared.pair.step()
    wait_for(lambda: [s.state.step for s in simulations(compared)] == [1, 1], "each makes one step")
    compared.pair.step()
    wait_for(lambda: [s.state.step for s in simulations(compared)] == [2, 2], "and another")


def test_quench_reset_and_meeting_give_both_the_same_spins(compared: ComparePage) -> None:
    begun(compared)
    compared.runs[1].session.post("damping", lambda present: with_values(present, {"dynamics.damping": 0.9}))
    wait_for(lambda: compared.runs[0].session.status.step > 5, "both run")
    compared.pair.lock.pause()
    first = compared.runs[0].session.first.state.spin
    compared.pair.quench()
    wait_for(lambda: [s.state.step for s in simulations(compared)] == [0, 0], "both are quenched")
    one, two = simulations(compared)
    assert torch.equal(one.state.spin, two.state.spin) and not torch.equal(one.state.spin, first)
    compared.pair.reset()
    wait_for(lambda: all(torch.equal(s.state.spin, first) for s in simulations(compared)), "both are at the start")
    compared.pair.step()
    wait_for(lambda: [s.state.step for s in simulations(compared)] == [1, 1], "they part")
    compared.pair.meet()
    wait_for(lambda: torch.equal(*[s.state.spin for s in simulations(compared)]), "B is where A is")


def test_the_angle_between_textures_is_exact() -> None:
    one = built(SETTINGS)
    spin = one.state.spin.double()
    turn = np.radians(1e-3)
    rotation = torch.tensor([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    two = replace(one, state=SpinState(spin @ rotation.T))
    across = np.hypot(*snapshot(one).spin[0, :, :2].astype(float).T)
    expected = np.degrees(2 * np.arcsin(across * np.sin(turn / 2))).mean()  # chord of a turn about z
    found = difference(replace(one, state=SpinState(spin)), two)
    assert found is not None and found.angle == pytest.approx(expected, rel=1e-3)
    opposite = difference(one, replace(one, state=SpinState(-one.state.spin)))
    assert opposite is not None and opposite.angle == pytest.approx(180.0)
    assert opposite.charges is not None and opposite.charges[0] == pytest.approx(-opposite.charges[1])


def test_other_times_or_sites_are_not_compared() -> None:
    one = built(SETTINGS)
    assert difference(one, one.advance(1)) is None
    assert difference(one, built({**SETTINGS, "size": 6})) is None


def test_the_lock_lets_the_one_behind_go_first() -> None:
    lock, here = Lockstep(2), built(SETTINGS)
    there = here.advance(1)
    assert not lock.may_step(0, here), "it begins paused"
    lock.start()
    assert lock.may_step(0, here) and not lock.may_step(0, there) and lock.may_step(1, here)
    assert lock.may_step(1, there) is True
    lock.reset()
    assert lock.may_step(0, here), "the first of two equal ones goes"
    lock.pause()
    assert not lock.may_step(0, there) and lock.may_step(1, here), "the other follows, to rest at the same time"
    assert not lock.may_step(1, there)
    lock.run_to(float(there.state.time[0]) + 0.1)
    assert lock.may_step(0, there)
    lock.pause()
    lock.reset()
    assert lock.paused and not lock.may_step(0, here)
