"""The session: a worker that runs beside the page, applies changes between steps, and outlives every error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from spinviz.session import Session
from tests.screen.fake_simulation import fake_build, fake_snapshot

PATIENCE = 10.0


def wait_for(condition: Callable[[], Any], what: str) -> None:
    """Fail with ``what`` when the condition stays false for ten seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain until {what}"
        time.sleep(0.005)


@pytest.fixture
def open_session() -> Iterator[Callable[..., Session]]:
    """Makes sessions and stops them all."""
    opened: list[Session] = []

    def made(running: bool = True, **settings: Any) -> Session:
        opened.append(Session(fake_build, settings, fake_snapshot, running=running))
        return opened[-1]

    yield made
    for session in opened:
        session.stop()


def test_runs_at_once_and_leaves_frames(open_session: Callable[..., Session]) -> None:
    session = open_session()
    wait_for(lambda: session.status.step > 5, "steps are made")
    frame = session.take_frame()
    assert frame is not None and frame.observables == {}
    observed = session.take_observed()
    assert observed is not None and "energy" in observed.observables
    assert session.status.steps_per_second > 0
    assert session.history and session.history[0]["step"] <= session.history[-1]["step"]


def test_a_frame_is_taken_once_and_the_newest_wins(open_session: Callable[..., Session]) -> None:
    session = open_session()
    wait_for(lambda: session.status.step > 50, "many steps are made")
    session.pause()
    wait_for(lambda: not session.status.running, "it pauses")
    session.step()
    before = session.status.step
    wait_for(lambda: session.status.step == before + 1, "one step is made")
    wait_for(lambda: (frame := session.take_frame()) is not None and frame.step == before + 1, "its frame is there")
    assert session.take_frame() is None


def test_step_takes_exactly_that_many(open_session: Callable[..., Session]) -> None:
    session = open_session(running=False)
    wait_for(lambda: not session.status.building, "it is built")
    session.step(7)
    wait_for(lambda: session.status.step == 7, "seven steps are made")
    time.sleep(0.1)
    assert session.status.step == 7 and not session.status.running


def test_latest_change_of_a_key_wins(open_session: Callable[..., Session]) -> None:
    session = open_session(seconds=0.2)
    wait_for(lambda: session.simulation is not None, "it is built")
    applied: list[float] = []

    def change(value: float) -> Callable[[Any], Any]:
        def changed(present: Any) -> Any:
            applied.append(value)
            return replace(present, value=value)

        return changed

    for i in range(100):
        session.post("damping", change(float(i)))
    session.post("field", lambda present: replace(present, fails_at=-2))
    wait_for(lambda: session.simulation.value == 99 and session.simulation.fails_at == -2, "both changes are there")
    assert len(applied) <= 2, "a hundred slider events made more than two changes within one step"


def test_a_refused_change_keeps_the_running_simulation(open_session: Callable[..., Session]) -> None:
    session = open_session()

    def refuse(present: Any) -> Any:
        raise ValueError("damping must be >= 0,\n got -1")

    wait_for(lambda: session.simulation is not None, "it is built")
    session.post("damping", refuse)
    wait_for(lambda: session.status.refused == 1, "it is refused")
    assert session.status.message == "damping must be >= 0, got -1"
    step = session.status.step
    wait_for(lambda: session.status.step > step + 5, "it runs on")


def test_a_failed_build_keeps_the_running_simulation(open_session: Callable[..., Session]) -> None:
    session = open_session(size=5)
    wait_for(lambda: session.status.step > 2, "it runs")
    session.rebuild({"size": 2})
    wait_for(lambda: session.status.refused == 1, "the build is refused")
    assert "L1" in session.status.message and session.status.settings == {"size": 5}
    assert session.simulation.lattice.sites == 25
    step = session.status.step
    wait_for(lambda: session.status.step > step, "it runs on")
    session.rebuild({"size": 6})
    wait_for(lambda: session.simulation.lattice.sites == 36, "a good build takes its place")
    assert session.status.message == ""


def test_a_failed_step_pauses_with_the_last_good_state(open_session: Callable[..., Session]) -> None:
    session = open_session(fails_at=10)
    wait_for(lambda: session.status.refused == 1, "the step fails")
    assert session.status.message == "step 10 gave spins that are not finite"
    assert not session.status.running and session.simulation.state.step == 9
    session.post("cure", lambda present: replace(present, fails_at=-1))
    session.start()
    wait_for(lambda: session.status.step > 12, "it goes on after the cure")


def test_a_first_build_that_fails_leaves_a_session_that_can_be_used(open_session: Callable[..., Session]) -> None:
    session = open_session(size=1)
    wait_for(lambda: session.status.refused == 1, "the build is refused")
    session.post("damping", lambda present: present)
    wait_for(lambda: session.status.refused == 2, "there is nothing to change")
    session.rebuild({"size": 4})
    wait_for(lambda: session.status.step > 0, "it runs")


def test_restart_puts_clock_and_history_back(open_session: Callable[..., Session]) -> None:
    session = open_session()
    wait_for(lambda: session.status.step > 20, "it runs")
    session.pause()
    session.restart(lambda present: replace(present, state=session.first.state))
    wait_for(lambda: session.status.step == 0 and not session.status.running, "it is back")
    assert len(session.history) == 1


def test_stop_ends_the_thread(open_session: Callable[..., Session]) -> None:
    before = threading.active_count()
    session = open_session()
    assert threading.active_count() == before + 1
    session.stop()
    assert not session.alive and threading.active_count() == before
    session.post("late", lambda present: present)  # a late event of the page is no error


def test_two_sessions_do_not_disturb_each_other(open_session: Callable[..., Session]) -> None:
    one, two = open_session(), open_session(size=5)
    wait_for(lambda: one.status.step > 3 and two.status.step > 3, "both run")
    one.post("value", lambda present: replace(present, value=3.0))
    wait_for(lambda: one.simulation.value == 3.0, "one is changed")
    assert two.simulation.value == 0.0
    one.stop()
    step = two.status.step
    wait_for(lambda: two.status.step > step, "the other runs on")


def test_speed_is_limited_and_set_free(open_session: Callable[..., Session]) -> None:
    session = open_session(running=False)
    session.limit_speed(20)
    session.start()
    wait_for(lambda: session.status.step > 3, "it runs")
    begin, step = time.monotonic(), session.status.step
    wait_for(lambda: session.status.step >= step + 10, "ten more steps are made")
    assert time.monotonic() - begin > 0.4
    session.limit_speed(0)
    step = session.status.step
    wait_for(lambda: session.status.step > step + 50, "it runs freely")


class FakeRecording:
    """Counts what a session writes."""

    observables = ("magnetization",)

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.closed = False

    @property
    def frames(self) -> int:
        return len(self.steps)

    def begin(self, simulation: Any, steps_per_second: float) -> None:
        self.first = simulation.state.step

    def wants(self, step: int) -> bool:
        return (step - self.first) % 3 == 0

    def write(self, frame: Any, simulation: Any) -> None:
        assert simulation.state.step == frame.step
        if self.frames == 10:
            raise OSError("no space left on device")
        self.steps.append(frame.step)

    def close(self) -> None:
        self.closed = True


def test_recording_takes_every_wanted_step_and_is_closed(open_session: Callable[..., Session]) -> None:
    session, recording = open_session(), FakeRecording()
    session.record(recording)  # type: ignore[arg-type]
    wait_for(lambda: session.status.recorded >= 4, "frames are recorded")
    session.stop_recording()
    wait_for(lambda: not session.status.recording, "the recording ends")
    assert recording.closed
    assert {b - a for a, b in zip(recording.steps, recording.steps[1:], strict=False)} == {3}


def test_a_full_disk_ends_the_recording_not_the_run(open_session: Callable[..., Session]) -> None:
    session, recording = open_session(), FakeRecording()
    session.record(recording)  # type: ignore[arg-type]
    wait_for(lambda: session.status.refused == 1, "the disk is full")
    assert "no space" in session.status.message and recording.closed and not session.status.recording
    step = session.status.step
    wait_for(lambda: session.status.step > step, "the run goes on")


def test_a_stopped_session_closes_its_recording(open_session: Callable[..., Session]) -> None:
    session, recording = open_session(), FakeRecording()
    session.record(recording)  # type: ignore[arg-type]
    wait_for(lambda: session.status.recorded >= 1, "a frame is recorded")
    session.stop()
    assert recording.closed
