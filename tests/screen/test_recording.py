"""A recording says of every frame which parameters held, and the line below the picture says it too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from engine import Simulation, snapshot
from engine.checkpoint import describe
from engine.frame import Frame
from engine.io.trajectory import TrajectoryWriter, read_trajectory
from spinviz.cli import main
from spinviz.controls import FIELD
from spinviz.drawing.caption import caption_of, captions_of
from spinviz.drawing.film import VIEWS, picture_of
from spinviz.movie import MovieWriter
from spinviz.pages.parameter_changes import changes_told
from spinviz.running.changes import built, with_force, with_values
from spinviz.running.recording import Recording, parameters_of
from spinviz.running.schedules import field_ramp
from spinviz.running.tools import drag, field_pulse, flip, heat, insert_skyrmion, paint, pin
from spinviz.session import Session
from tests.screen.test_session import wait_for

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "gallery"
CLASSICAL = {"preset": "heisenberg", "size": 6, "force": "classical", "seed": 3}
SLIDERS: dict[str, Any] = {FIELD: (0.1, 0.0, -0.25), "dynamics.temperature": 0.075, "dynamics.damping": 0.5}


def recorded(folder: Path, simulations: list[Simulation]) -> Path:
    """One frame of each."""
    recording = Recording(folder, every=1)
    recording.begin(simulations[0], 100.0)
    for simulation in simulations:
        recording.write(snapshot(simulation, recording.observables), simulation)
    recording.close()
    return recording.path


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """Field, temperature and damping are set by hand between the second frame and the third."""
    before = [built(CLASSICAL)]
    before.append(before[0].advance(1))
    return recorded(tmp_path, [*before, with_values(before[1], SLIDERS).advance(1)])


def test_every_frame_says_what_held(moved: Path) -> None:
    first = built(CLASSICAL)
    with read_trajectory(moved) as run:
        fields = np.array([frame.parameters["field"] for frame in run])
        np.testing.assert_array_equal(fields, [first.force.zeeman.model.field] * 2 + [SLIDERS[FIELD]])
        dampings = [float(frame.parameters["damping"]) for frame in run]
        assert dampings == [first.dynamics.damping] * 2 + [0.5]
        assert run[2].parameters["force"] == "classical" and np.isnan(run[0].parameters["chemical_potential"])
        captions = [captions_of(run.settings)(frame) for frame in run]
    assert captions[0] == captions[1] == caption_of(first.settings | {"parts": describe(first)})
    assert all(word in captions[2] for word in ("H = (0.1, 0, -0.25)", "T = 0.075", "α = 0.5", "seed 3"))
    assert "μ" not in captions[2] and "nan" not in captions[2]


@pytest.mark.parametrize("view", VIEWS)
def test_the_pictures_show_it(moved: Path, view: str) -> None:
    """Two frames that differ in their parameters alone look different."""
    with read_trajectory(moved) as run:
        frame, later, settings = run[1], run[2], run.settings
    same = Frame(frame.step, frame.time, frame.spin, frame.lattice, frame.observables, later.parameters)
    images = []
    for one in (frame, same):
        picture = picture_of(view, frame.lattice, 240, captions_of(settings))
        images.append(picture.image(one))
        getattr(picture, "close", lambda: None)()
    assert (images[0] != images[1]).any()


def test_the_command_line_shows_it_too(moved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []

    def write(self: MovieWriter, frame: Frame) -> None:
        assert callable(self._caption)
        captions.append(self._caption(frame))

    monkeypatch.setattr(MovieWriter, "write", write)
    assert main(["movie", str(moved), str(moved.with_name("run.mp4"))]) == 0
    assert len(captions) == 3 and "α = 0.5" in captions[2] and "α = 0.5" not in captions[1]


def test_files_that_do_not_say_have_the_parameters_of_their_beginning() -> None:
    for path in sorted(SHIPPED.glob("*.h5")):
        with read_trajectory(path) as run:
            assert run.parameters == () and run[-1].parameters == {}
            assert captions_of(run.settings)(run[-1]) == caption_of(run.settings) != ""


def test_a_ramp_is_recorded_as_it_goes(tmp_path: Path) -> None:
    """H = (t - dt/2 - t0) / duration along z at the frame of time t: the field in the middle of the step that led to it."""
    session, duration = Session(built, CLASSICAL, snapshot, running=False), 2.0
    wait_for(lambda: session.simulation is not None, "it is built")
    session.record(recording := Recording(tmp_path, every=1))
    wait_for(lambda: session.status.recorded == 1, "the beginning is recorded")
    began, step = float(session.simulation.state.time[0]), session.simulation.dynamics.time_step
    session.follow(field_ramp((0, 0, 0), (0, 0, 1), duration))
    wait_for(lambda: session.status.step > duration / step + 3, "the ramp is over")
    session.stop()
    with read_trajectory(recording.path) as run:
        frames = list(run)
    assert [frame.step for frame in frames] == list(range(len(frames)))
    fields = np.array([frame.parameters["field"][2] for frame in frames[1:]])
    times = np.array([frame.time[0] for frame in frames[1:]])
    expected = np.clip((times - step / 2 - began) / duration, 0, 1)
    expected[times > began + duration - step / 2] = 1.0  # at the end of the plan its last values are set
    np.testing.assert_allclose(fields, expected, atol=1e-9)  # rounding of a few hundred additions


@pytest.mark.parametrize("force, has_electrons", [("ed", True), ("best", False)])
def test_another_force_is_another_caption(tmp_path: Path, force: str, has_electrons: bool) -> None:
    settings = {"preset": "skyrmion", "size": 6, "force": "kpm", "seed": 0}
    present = built(settings)
    exchanged = with_force(present, {**settings, "force": force})
    with read_trajectory(recorded(tmp_path, [present, exchanged])) as run:
        one, two = (captions_of(run.settings)(frame) for frame in run)
    assert "kpm" in one and "μ = -3.5" in one and "Tₑ = " in one
    assert force in two and "kpm" not in two and ("μ = -3.5" in two) == has_electrons == ("Tₑ = " in two)


def pulsed(present: Simulation, **options: Any) -> Simulation:
    """Heat on 5 sites for two steps and a field everywhere for one, from now on."""
    step = present.dynamics.time_step
    return field_pulse((0.5, 0.0, 0.0), step)(heat(0, 1.0, 0.25, 2 * step)(present))


def test_pulses_are_noted_at_the_frames_on_which_they_act(tmp_path: Path) -> None:
    """From step 1 on: heat acts on the steps that begin at 1 and 2, the field on the first of these. The frame at the end
    of a pulse tells it too: it has acted since the frame before."""
    runs = [built(CLASSICAL)]
    runs.append(pulsed(runs[0].advance(1)))
    for _ in range(4):
        runs.append(runs[-1].advance(1))
    with read_trajectory(recorded(tmp_path, runs)) as run:
        excess, field = run.parameter("heat_pulse"), run.parameter("field_pulse")
        np.testing.assert_array_equal(excess, [np.nan, 0.25, 0.25, 0.25, np.nan, np.nan])
        np.testing.assert_array_equal(field[:, 0], [np.nan, 0.5, 0.5, np.nan, np.nan, np.nan])
        captions = [captions_of(run.settings)(frame) for frame in run]
    told = [("heat pulse ΔT = 0.25 on 5 sites" in text, "field pulse ΔH = (0.5, 0, 0) on 36 sites" in text)
            for text in captions]  # fmt: skip
    assert told == [(False, False), (True, True), (True, True), (True, False), (False, False), (False, False)]
    assert "nan" not in "".join(captions)


def test_a_pulse_between_two_frames_is_not_lost(tmp_path: Path) -> None:
    first = built(CLASSICAL)
    pinned = pin(3, 1.0)(first)
    later = pulsed(pinned).advance(8)
    with read_trajectory(recorded(tmp_path, [first, later, later.advance(1)])) as run:
        np.testing.assert_array_equal(run.parameter("heat_pulse"), [np.nan, 0.25, np.nan])
        np.testing.assert_array_equal(run.parameter("heat_pulse_sites"), [np.nan, 5, np.nan])


def test_what_the_hand_did_is_told_by_the_next_frame(tmp_path: Path) -> None:
    session = Session(built, CLASSICAL, snapshot, running=False)
    wait_for(lambda: session.simulation is not None, "it is built")
    session.act(flip(1, 1.0))  # before the recording: not in the file
    session.record(recording := Recording(tmp_path, every=2))
    wait_for(lambda: session.status.recorded == 1, "the beginning is recorded")
    for change in (paint(3, 1.0, (1, 0, 0)), insert_skyrmion(8, radius=1.0), paint(9, 0.0, (0, 1, 0)), pin(3, 1.0)):
        session.act(change)
    session.act(insert_skyrmion(0, radius=100.0))  # refused
    session.step(4)
    wait_for(lambda: session.status.recorded == 3, "two frames more")
    session.act(drag(3, 4, 1.0))
    session.step(2)
    wait_for(lambda: session.status.recorded == 4, "the last frame")
    session.stop()
    with read_trajectory(recording.path) as run:
        assert run.parameter("edits").tolist() == ["", "paint, skyrmion", "", "drag"]
        np.testing.assert_array_equal(run.parameter("pins"), [np.nan, 5, 5, 5])
        captions = [captions_of(run.settings)(frame) for frame in run]
        times = np.array([frame.time[0] for frame in run])
        told = changes_told(times, {name: run.parameter(name) for name in run.parameters})
    assert (
        "by hand" not in captions[0] and "by hand: paint, skyrmion" in captions[1] and "5 sites pinned" in captions[3]
    )
    parts = (
        f"pins at t = {times[1]:.4g}",
        f"paint by hand at t = {times[1]:.4g}",
        f"drag by hand at t = {times[3]:.4g}",
    )
    assert all(part in told for part in parts) and "flip" not in told


def test_a_recording_that_does_not_know_pulses_still_opens(tmp_path: Path) -> None:
    present = pulsed(built(CLASSICAL))
    known = {name: value for name, value in parameters_of(present).items() if "pulse" not in name}
    frame = snapshot(present, ())
    with TrajectoryWriter(tmp_path / "old.h5", present.settings) as writer:
        writer.write(Frame(frame.step, frame.time, frame.spin, frame.lattice, {}, known))
    with read_trajectory(tmp_path / "old.h5") as run:
        assert "heat_pulse" not in run.parameters and "pulse" not in captions_of(run.settings)(run[0])
        with pytest.raises(ValueError, match="not 'heat_pulse'"):
            run.parameter("heat_pulse")
        assert run.parameter("force").tolist() == ["classical"]


def test_the_caption_says_the_parameters() -> None:
    simulation = engine.preset("heisenberg", 6, force="classical", seed=4, damping=0.125, temperature=0.02)
    words = ("heisenberg", "classical", "α = 0.125", "T = 0.02", "H = (0, 0, 0.289)", "seed 4")
    for present, pins in ((simulation, ""), (pin(0, 1.5)(simulation), "9 sites pinned   ")):
        text = caption_of(simulation.settings | {"parts": describe(present)})
        assert all(word in text for word in words)
        assert caption_of(simulation.settings, parameters_of(present)) == text.replace("seed", f"{pins}seed")
    assert "μ = -3.5" in caption_of({"parts": describe(engine.preset("skyrmion", 6))})
    assert caption_of({}) == ""


@pytest.mark.parametrize("parameters", [
    {"heat_pulse": "hot"}, {"field_pulse": np.full(3, np.nan), "field_pulse_sites": np.array(3.0)},
    {"temperature": "hot"}, {"temperature": np.ones(3)}, {"field": "up"}, {"field": np.full(3, np.nan)}, {"force": ""},
    {"pins": np.array(np.nan)}, {"edits": ""}, {"edits": np.array(3.0)},
])  # fmt: skip
def test_what_is_no_parameter_is_left_out(parameters: dict[str, Any]) -> None:
    assert caption_of({}, parameters) == ""
