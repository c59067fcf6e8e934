"""Going back: kept states repeat the run bit for bit, and no click loses one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from engine import Simulation, snapshot
from spinviz.running.changes import built, quenched, value_at, with_values
from spinviz.running.timeline import Entry, Timeline, Undo, spin_bytes
from spinviz.running.tools import flip, insert_skyrmion, pin, returned
from spinviz.session import Session
from tests.screen.fake_simulation import FakeState, fake_build
from tests.screen.test_session import wait_for

SETTINGS = {"preset": "heisenberg", "size": 8, "texture": "random", "temperature": 0.4, "seed": 3}


def fake(step: int) -> Any:
    return replace(fake_build({}), state=FakeState(step, (0.1 * step,)))


def steps_of(timeline: Timeline) -> list[int]:
    return [stamp.step for stamp in timeline.stamps]


def test_the_last_steps_and_the_first_are_kept_and_gaps_grow_with_age() -> None:
    timeline = Timeline(most_frames=60)
    for step in range(10_001):
        timeline.keep(fake(step))
    steps = steps_of(timeline)
    assert len(steps) == 60 and steps[0] == 0 and steps[-8:] == list(range(9993, 10_001))
    gaps, ages = np.diff(steps[:-1]), 10_001 - np.array(steps[1:-1])
    assert (gaps < 0.6 * ages + 2).all(), "no gap is long for its age"
    decades = np.histogram(np.log10(ages[ages > 1]), bins=[0, 1, 2, 3, 4.01])[0]
    assert decades.min() >= 5, f"every decade of age has frames, got {decades}"


def test_memory_is_limited() -> None:
    each = spin_bytes(fake(0))
    timeline = Timeline(most_frames=100, most_bytes=10 * each)
    for step in range(50):
        timeline.keep(fake(step))
    assert timeline.bytes <= 10 * each and len(timeline.stamps) == 10
    tiny = Timeline(most_frames=100, most_bytes=1)
    for step in range(50):
        tiny.keep(fake(step))
    assert steps_of(tiny)[0] == 0 and steps_of(tiny)[-1] == 49 and len(tiny.stamps) == 3
    with pytest.raises(ValueError, match="room for 3"):
        Timeline(most_frames=2)


def test_at_finds_the_newest_not_after_and_jumps_forget_the_future() -> None:
    timeline = Timeline()
    with pytest.raises(ValueError, match="nothing is kept"):
        timeline.at(3)
    for step in (0, 5, 10):
        timeline.keep(fake(step))
    assert [timeline.at(step).state.step for step in (-1, 0, 4, 5, 9, 10, 99)] == [0, 0, 0, 5, 5, 10, 10]
    timeline.keep(fake(5))
    assert steps_of(timeline) == [0, 5]
    timeline.jump(0)
    timeline.keep(fake(7))
    timeline.jump(7, line=0)
    assert steps_of(timeline) == [0], "what was made on the other line does not belong to this one"


def test_undo_and_redo_are_stacks_with_a_bottom() -> None:
    undo, entry = Undo(most=3), lambda step: Entry(fake(step), 1, {}, None, 0)
    with pytest.raises(ValueError, match="nothing to undo"):
        undo.undo(entry(0))
    for step in range(5):
        undo.remember(entry(step))
    assert undo.counts == (3, 0)
    assert undo.undo(entry(9)).simulation.state.step == 4 and undo.undo(entry(4)).simulation.state.step == 3
    assert undo.redo(entry(3)).simulation.state.step == 4 and undo.redo(entry(4)).simulation.state.step == 9
    undo.undo(entry(9))
    undo.remember(entry(7))
    assert undo.counts == (3, 0), "a new tool forgets what was undone"


@pytest.fixture
def open_real() -> Iterator[Callable[..., Session]]:
    """Sessions of a small classical magnet at a temperature."""
    opened: list[Session] = []

    def made(**changes: Any) -> Session:
        names = {"take_up", "fallback"}
        options = {key: value for key, value in changes.items() if key in names}
        settings = SETTINGS | {key: value for key, value in changes.items() if key not in names}
        opened.append(Session(built, settings, snapshot, running=False, **{"take_up": returned} | options))
        wait_for(lambda: not opened[-1].status.building, "it is built")
        return opened[-1]

    yield made
    for session in opened:
        session.stop()


def spins(simulation: Simulation) -> torch.Tensor:
    return simulation.state.spin


def stepped(session: Session, count: int) -> None:
    target = session.simulation.state.step + count
    session.step(count)
    wait_for(lambda: session.status.step == target, f"step {target} is made")


def test_going_on_from_a_kept_state_repeats_the_run_bit_for_bit(open_real: Callable[..., Session]) -> None:
    session = open_real()
    stepped(session, 20)
    end = spins(session.simulation)
    session.look(12)
    wait_for(lambda: session.status.looking == 12 and session.status.step == 12, "step 12 is shown")
    assert spins(session.simulation) is end, "looking changes nothing"
    frame = session.take_frame()
    assert frame is not None and frame.step == 12
    session.branch()
    wait_for(lambda: session.status.looking is None and session.simulation.state.step == 12, "it goes on from there")
    stepped(session, 8)
    assert torch.equal(spins(session.simulation), end)
    assert torch.equal(end, spins(built(SETTINGS).advance(20)))


def test_a_branch_can_take_another_way_and_be_undone(open_real: Callable[..., Session]) -> None:
    session = open_real()
    stepped(session, 10)
    end = spins(session.simulation)
    session.post("damping", lambda present: with_values(present, {"dynamics.damping": 0.9}))
    session.look(4)
    session.branch()
    wait_for(lambda: session.simulation.state.step == 4, "it branches")
    assert steps_of(session.timeline) == [0, 1, 2, 3, 4]
    stepped(session, 6)
    assert not torch.equal(spins(session.simulation), end)
    wait_for(lambda: [sample["step"] for sample in session.history][-1] == 10, "the last step is observed")
    session.undo()
    wait_for(lambda: torch.equal(spins(session.simulation), end), "the first run is back")
    wait_for(lambda: steps_of(session.timeline) == [0, 1, 2, 3, 4, 10], "frames of the branch are not of this run")
    assert value_at(session.simulation, "dynamics.damping") == 0.9, "parameters stay as they are now"


def test_arrows_walk_along_the_kept_states(open_real: Callable[..., Session]) -> None:
    session = open_real()
    stepped(session, 3)
    for shown in (2, 1, 0):
        session.look_back()
        wait_for(lambda shown=shown: session.status.looking == shown, f"step {shown} is shown")
    session.look_back()
    wait_for(lambda: "oldest" in session.status.message, "there is nothing older, and it says so")
    session.look_back(-2)
    wait_for(lambda: session.status.looking == 2, "forward again")
    session.look_back(-1)
    wait_for(lambda: session.status.looking is None and session.status.step == 3, "back at the present")
    session.branch()
    wait_for(lambda: "present state already" in session.status.message, "there is nothing to branch from")


def test_tools_are_undone_and_redone_in_order(open_real: Callable[..., Session]) -> None:
    session = open_real(texture="ferromagnet", temperature=0.0, size=16)
    states = [spins(session.simulation)]
    for change in (insert_skyrmion(100, radius=3.0), flip(3, 2.0), pin(7, 1.0)):
        count = session.status.changed
        session.act(change)
        wait_for(lambda count=count: session.status.changed > count, "the tool is used")
        states.append(spins(session.simulation))
    assert session.status.undoable == 3
    for expected in (states[2], states[1], states[0]):
        session.undo()
        wait_for(lambda expected=expected: torch.equal(spins(session.simulation), expected), "it is undone")
    assert not hasattr(session.simulation.dynamics, "pinned")
    wait_for(lambda: (session.status.undoable, session.status.redoable) == (0, 3), "three can be redone")
    session.undo()
    wait_for(lambda: session.status.message == "there is nothing to undo", "it says so")
    for _ in range(3):
        session.redo()
    wait_for(lambda: session.status.undoable == 3 and session.status.redoable == 0, "all are redone")
    assert torch.equal(spins(session.simulation), states[3]) and session.simulation.dynamics.pinned.any()


def test_strokes_are_undone_whole_and_none_is_skipped(open_real: Callable[..., Session]) -> None:
    session = open_real(texture="ferromagnet", temperature=0.0)
    before = spins(session.simulation)
    for count, site in enumerate(range(0, 40, 4)):
        session.act(flip(site, 0.0), continues=count > 0)
    wait_for(lambda: int((spins(session.simulation)[..., 2] < 0).sum()) == 10, "ten spins are flipped")
    session.undo()
    wait_for(lambda: torch.equal(spins(session.simulation), before), "one undo takes all back")


def test_a_refused_tool_changes_nothing_and_says_why(open_real: Callable[..., Session]) -> None:
    session = open_real()
    before = session.simulation
    session.act(insert_skyrmion(0, radius=100.0))
    wait_for(lambda: session.status.refused == 1, "it is refused")
    assert "quarter of the sample" in session.status.message and session.simulation is before
    assert session.status.undoable == 0


def test_a_tool_on_a_kept_state_goes_on_from_there(open_real: Callable[..., Session]) -> None:
    session = open_real()
    stepped(session, 6)
    end = spins(session.simulation)
    session.look(2)
    session.act(flip(5, 1.0))
    wait_for(lambda: session.simulation.state.step == 2 and session.status.looking is None, "it goes on from step 2")
    session.undo()
    wait_for(lambda: torch.equal(spins(session.simulation), end), "the run is not lost")


def test_a_quench_and_another_system_can_be_undone(open_real: Callable[..., Session]) -> None:
    session = open_real()
    stepped(session, 5)
    end, first = spins(session.simulation), session.first
    session.restart(quenched)
    wait_for(lambda: session.status.step == 0, "it is quenched")
    stepped(session, 3)
    session.undo()
    wait_for(lambda: torch.equal(spins(session.simulation), end), "the quench is undone")
    wait_for(lambda: steps_of(session.timeline) == [5], "frames after the quench are not of this run")
    session.rebuild(SETTINGS | {"size": 10})
    wait_for(lambda: session.status.settings["size"] == 10, "another size is built")
    session.undo()
    wait_for(lambda: session.simulation.lattice.sites == 64, "the old one is back")
    assert torch.equal(spins(session.simulation), end) and session.status.settings["size"] == 8
    assert session.first is first
    stepped(session, 2)
    assert torch.equal(spins(session.simulation), spins(built(SETTINGS).advance(7)))
    session.redo()
    wait_for(lambda: session.simulation.lattice.sites == 100, "and the new one again")


def test_observables_follow_a_tool_on_a_paused_run(open_real: Callable[..., Session]) -> None:
    session = open_real(texture="ferromagnet", temperature=0.0, size=16)
    wait_for(lambda: session.take_observed() is not None, "the first is observed")
    session.act(insert_skyrmion(40, radius=3.0))
    found: list[Any] = []
    wait_for(lambda: found.append(session.take_observed()) or found[-1] is not None, "it is observed again")
    assert float(found[-1].observables["topological_charge"][0]) == pytest.approx(-1)


def test_settings_that_cannot_be_built_fall_back(open_real: Callable[..., Session]) -> None:
    session = open_real(texture="neel_120", fallback=SETTINGS)
    assert "triangular" in session.status.message and session.status.settings == SETTINGS
    assert session.simulation.lattice.sites == 64
    session.start()
    wait_for(lambda: session.status.step > 2, "it runs")
    assert "triangular" in session.status.message, "starting does not take the sentence away before it is read"


def test_kept_states_do_not_hold_their_response(open_real: Callable[..., Session]) -> None:
    session = open_real()
    for _ in range(4):
        stepped(session, 1)
    session.simulation.response()
    for stamp, following in itertools.pairwise(session.timeline.stamps):
        assert stamp.step < following.step
        assert session.timeline.at(stamp.step)._response is None
