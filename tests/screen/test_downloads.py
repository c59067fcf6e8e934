"""A recording is offered as data and as movies, made from its frames without the page waiting."""

from __future__ import annotations

import asyncio
from pathlib import Path

import av
import pytest

import engine
from engine import snapshot
from engine.io.trajectory import read_trajectory
from spinviz.running.recording import Recording
from spinviz.widgets.downloads import FORMATS, SHOWN, Downloads, write_movie


@pytest.fixture
def recorded(tmp_path: Path) -> Recording:
    recording, simulation = Recording(tmp_path, every=2), engine.preset("heisenberg", 6, force="classical", seed=3)
    with pytest.raises(RuntimeError, match="begin"):
        recording.write(snapshot(simulation), simulation)
    recording.begin(simulation, 100.0)
    for _ in range(9):
        if recording.wants(simulation.state.step):
            recording.write(snapshot(simulation, recording.observables), simulation)
        simulation = simulation.advance(1)
    recording.close()
    return recording


def test_every_second_step_is_in_the_file(recorded: Recording) -> None:
    with read_trajectory(recorded.path) as run:
        assert run.steps.tolist() == [0, 2, 4, 6, 8] and not run.interrupted
        assert set(run.observables) == {"magnetization", "energy", "topological_charge"}


@pytest.mark.parametrize("kind", FORMATS.values())
def test_a_movie_is_made_when_asked_for(recorded: Recording, kind: str) -> None:
    downloads = Downloads(recorded.path)
    folder = recorded.path.parent
    assert [path.name for path in folder.iterdir()] == ["run.h5"], "nothing is made before"
    downloads.format.value, downloads.view.value = kind, SHOWN["All of them"]
    asyncio.run(downloads.produce())
    with av.open(str(folder / f"all.{kind}")) as movie:
        assert sum(1 for _ in movie.decode(video=0)) == 5
    assert downloads.message.object.startswith("5 frames")
    assert downloads._room.objects[0].filename == f"all.{kind}"


def test_a_closed_page_makes_no_movie_and_errors_are_said(recorded: Recording) -> None:
    assert write_movie(recorded.path, recorded.path.with_name("none.mp4"), "texture", True, lambda: True) == 0
    recorded.path.unlink()
    downloads = Downloads(recorded.path)
    asyncio.run(downloads.produce())
    assert "cannot be made" in downloads.message.object
