"""Trajectories: what goes in comes out, whatever happens to the writer."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from engine.frame import Frame
from engine.io.trajectory import TrajectoryWriter, read_trajectory
from engine.lattice import Lattice, random_sites, square, triangular

SETTINGS = {"preset": "skyrmion", "size": 6, "field": [0.0, 0.0, 0.004], "filling": None}
ROOT = Path(__file__).resolve().parents[2]

ENDLESS_WRITER = """
import sys, numpy as np
from engine.frame import Frame
from engine.io.trajectory import TrajectoryWriter
from engine.lattice import triangular
lattice = triangular(12)
writer = TrajectoryWriter(sys.argv[1], {"preset": "skyrmion"})
step = 0
while True:
    spin = np.full((2, 144, 3), step, dtype=np.float32)
    writer.write(Frame(step, np.full(2, 0.1 * step), spin, lattice, {"energy": np.full(2, -step / 2)}))
    print(step, flush=True)
    step += 1
"""


def make_frame(lattice: Lattice, step: int, replicas: int = 2) -> Frame:
    generator = np.random.default_rng(step)
    spin = generator.normal(size=(replicas, lattice.sites, 3))
    spin = (spin / np.linalg.norm(spin, axis=-1, keepdims=True)).astype(np.float32)
    observables = {
        "energy": generator.normal(size=replicas),
        "magnetization": spin.mean(axis=1),
        "scalar_chirality": generator.normal(size=(replicas, len(lattice.plaquettes))).astype(np.float32),
    }
    return Frame(step, np.full(replicas, 0.1 * step), spin, lattice, observables)


def same(first: Frame, second: Frame) -> bool:
    arrays = [(first.spin, second.spin), (first.time, second.time)]
    arrays += [(first.observables[name], second.observables[name]) for name in first.observables]
    return (
        first.step == second.step
        and set(first.observables) == set(second.observables)
        and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in arrays)
    )


@pytest.mark.parametrize("lattice", [square(4, 3), triangular(5), random_sites(20, seed=3)], ids=lambda x: x.kind)
def test_round_trip(tmp_path: Path, lattice: Lattice) -> None:
    frames = [make_frame(lattice, step) for step in range(0, 50, 10)]
    with TrajectoryWriter(tmp_path / "run.h5", SETTINGS) as writer:
        for frame in frames:
            writer.write(frame)
    with read_trajectory(tmp_path / "run.h5") as trajectory:
        assert len(trajectory) == 5 and not trajectory.interrupted
        assert trajectory.settings == SETTINGS
        assert trajectory.lattice.description() == lattice.description()
        assert np.array_equal(trajectory.lattice.positions, lattice.positions)
        assert all(same(a, b) for a, b in zip(frames, trajectory, strict=True))
        assert same(trajectory[-1], frames[-1])
        assert trajectory.observable("energy").shape == (5, 2)
        with pytest.raises(IndexError, match="frames 0 to 4"):
            trajectory[5]
        with pytest.raises(ValueError, match="holds the observables"):
            trajectory.observable("enrgy")


def test_readable_while_it_grows(tmp_path: Path) -> None:
    lattice = triangular(4)
    with TrajectoryWriter(tmp_path / "run.h5") as writer:
        for step in range(3):
            writer.write(make_frame(lattice, step))
        with read_trajectory(tmp_path / "run.h5") as trajectory:
            assert len(trajectory) == 3
            assert same(trajectory[2], make_frame(lattice, 2))
            writer.write(make_frame(lattice, 3))
        writer.write(make_frame(lattice, 4))  # closing the reader leaves the writer alone
    with read_trajectory(tmp_path / "run.h5") as trajectory:
        assert trajectory.steps.tolist() == [0, 1, 2, 3, 4] and not trajectory.interrupted


@pytest.mark.parametrize("milliseconds", [0, 37, 150])
def test_killed_writer_leaves_every_flushed_frame(tmp_path: Path, milliseconds: int) -> None:
    path = tmp_path / "run.h5"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS_WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    process.stdout.readline()  # one frame is surely flushed
    time.sleep(milliseconds / 1000)
    process.send_signal(signal.SIGKILL)
    last = int(["0", *process.stdout.read().splitlines()][-1])
    process.wait()
    with read_trajectory(path) as trajectory:
        assert trajectory.interrupted and len(trajectory) >= last + 1
        for index in {0, last // 2, len(trajectory) - 1}:
            frame = trajectory[index]
            assert frame.step == index and (frame.spin == index).all()
            assert (frame.observables["energy"] == -index / 2).all()
        count, old = len(trajectory), trajectory[-1]
    with TrajectoryWriter(path, append=True) as writer:  # and the run can go on in the same file
        writer.write(
            Frame(count, old.time + 0.1, old.spin + 1, old.lattice, {"energy": old.observables["energy"] - 0.5})
        )
    with read_trajectory(path) as trajectory:
        assert len(trajectory) == count + 1 and not trajectory.interrupted
        assert (trajectory[-1].spin == count).all() and same(trajectory[-2], old)


def test_append_continues_and_replaces_repeated_frames(tmp_path: Path) -> None:
    path, lattice = tmp_path / "run.h5", triangular(4)
    for start in (0, 30, 20):  # the last run resumes from a checkpoint before the end of the second
        with TrajectoryWriter(path, SETTINGS, append=True) as writer:
            for step in range(start, start + 30, 10):
                writer.write(make_frame(lattice, step))
    with read_trajectory(path) as trajectory:
        assert trajectory.steps.tolist() == [0, 10, 20, 30, 40]
        assert all(same(frame, make_frame(lattice, frame.step)) for frame in trajectory)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.h5"]
    with pytest.raises(ValueError, match="write to another file"), TrajectoryWriter(path, append=True) as writer:
        writer.write(make_frame(square(4), 60))
    with pytest.raises(ValueError, match="same ones"), TrajectoryWriter(path, None, ["energy"], append=True) as writer:
        writer.write(make_frame(lattice, 60))
    with read_trajectory(path) as trajectory:
        assert len(trajectory) == 5


def test_chosen_observables_and_changed_shapes(tmp_path: Path) -> None:
    lattice = triangular(4)
    with TrajectoryWriter(tmp_path / "run.h5", SETTINGS, ("energy",)) as writer:
        writer.write(make_frame(lattice, 0))
        with pytest.raises(ValueError, match="spin of each frame must have shape"):
            writer.write(make_frame(lattice, 1, replicas=3))
        writer.write(make_frame(lattice, 1))
    with read_trajectory(tmp_path / "run.h5") as trajectory:
        assert len(trajectory) == 2 and trajectory.observables == ("energy",)
    with pytest.raises(ValueError, match="closed"):
        writer.write(make_frame(lattice, 2))
    with pytest.raises(ValueError, match="lacks the observables"):
        TrajectoryWriter(tmp_path / "other.h5", None, ("colour",)).write(make_frame(lattice, 0))
    assert not (tmp_path / "other.h5").exists()


def test_nothing_is_touched_before_the_first_frame(tmp_path: Path) -> None:
    with TrajectoryWriter(tmp_path / "run.h5"):
        pass
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="does not exist"):
        TrajectoryWriter(tmp_path / "missing" / "run.h5")
    with pytest.raises(ValueError, match="plain numbers"):
        TrajectoryWriter(tmp_path / "run.h5", {"force": object()})


def test_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    path, lattice = tmp_path / "run.h5", triangular(12)
    with TrajectoryWriter(path) as writer:
        for step in range(20):
            writer.write(make_frame(lattice, step))
    whole = path.read_bytes()
    damaged = tmp_path / "damaged.h5"
    for content, message in (
        (whole[: len(whole) // 2], "truncated"),
        (b"", "not a trajectory"),
        (b"PK\3\4" * 99, "not"),
    ):
        damaged.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_trajectory(damaged)
        with pytest.raises(ValueError, match=message):
            TrajectoryWriter(damaged, append=True)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["spin"] = np.zeros((1, 1, 4, 3))
    with pytest.raises(ValueError, match="not a trajectory of spinviz"):
        read_trajectory(tmp_path / "foreign.h5")
    with pytest.raises(FileNotFoundError, match="no trajectory"):
        read_trajectory(tmp_path / "missing.h5")


def with_parameters(step: int, **parameters: np.ndarray | str) -> Frame:
    return replace(make_frame(triangular(4), step), parameters=parameters)


def test_parameters_are_kept_of_every_frame(tmp_path: Path) -> None:
    path, none = tmp_path / "run.h5", np.full(3, np.nan)
    with TrajectoryWriter(path) as writer:
        for step in range(3):
            writer.write(with_parameters(step, field=np.array([0, 0, 0.1 * step]), force="kpm" if step < 2 else "ed"))
        writer.write(make_frame(triangular(4), 3))
        with pytest.raises(ValueError, match="parameter field must be"):
            writer.write(with_parameters(4, field=np.zeros(2)))
    for start in (4, 2):  # goes on, then repeats what was written: frames are copied
        with read_trajectory(path) as trajectory:
            assert set(trajectory.parameters) == {"field", "force"} and len(trajectory) == 4 + (start == 2)
            np.testing.assert_array_equal([f.parameters["field"][2] for f in trajectory][:3], [0, 0.1, 0.2])
            assert [frame.parameters["force"] for frame in trajectory][:4] == ["kpm", "kpm", "ed", ""]
            np.testing.assert_array_equal(trajectory[3].parameters["field"], none)
        with TrajectoryWriter(path, append=True) as writer:
            writer.write(with_parameters(start, force="poles"))
    with read_trajectory(path) as trajectory:
        assert [frame.parameters["force"] for frame in trajectory] == ["kpm", "kpm", "poles"]
        np.testing.assert_array_equal(trajectory[1].parameters["field"], [0, 0, 0.1])
        np.testing.assert_array_equal(trajectory[2].parameters["field"], none)


def test_a_file_without_parameters_is_continued_without(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    for frame in (make_frame(triangular(4), 0), with_parameters(1, force="kpm")):
        with TrajectoryWriter(path, append=True) as writer:
            writer.write(frame)
    with read_trajectory(path) as trajectory:
        assert len(trajectory) == 2 and trajectory.parameters == () and trajectory[1].parameters == {}


def test_parameters_are_small(tmp_path: Path) -> None:
    for value in (np.zeros(17), np.zeros((2, 2))):
        with pytest.raises(ValueError, match="at most 16 numbers"):
            TrajectoryWriter(tmp_path / "run.h5").write(with_parameters(0, field=value))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["numbers", "large", "object", "group", "elsewhere"])
def test_foreign_parameters_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run.h5"
    with TrajectoryWriter(path) as writer:
        writer.write(make_frame(triangular(4), 0))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["parameters"] = np.zeros(1, dtype=[("field", "f8", 3)])
    with h5py.File(path, "r+") as file:
        if kind == "numbers":
            file["parameters"] = np.zeros(3)
        elif kind == "large":
            file["parameters"] = np.zeros(1, dtype=[("field", "f8", 1000)])
        elif kind == "object":
            file.create_dataset("parameters", (1,), np.dtype([("force", h5py.string_dtype())]))
        elif kind == "group":
            file.create_group("parameters")
        else:
            file["parameters"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "parameters")
    with pytest.raises(ValueError, match=r"run\.h5.*(parameter|refused)"):
        read_trajectory(path)


def test_links_to_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with TrajectoryWriter(path) as writer:
        writer.write(make_frame(triangular(4), 0))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["spin"] = np.zeros((1, 2, 16, 3), np.float32)
    with h5py.File(path, "r+") as file:
        del file["spin"]
        file["spin"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "spin")
    with pytest.raises(ValueError, match="other files"):
        read_trajectory(path)


def test_a_lattice_that_does_not_fit_is_refused_unbuilt(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with TrajectoryWriter(path) as writer:
        writer.write(make_frame(triangular(4), 0))
    for description in (
        '{"kind": "square", "L1": 99999, "L2": 99999}',
        '{"kind": "cube", "L1": 4, "L2": 4}',
        "[1]",
        "{",
    ):
        with h5py.File(path, "r+") as file:
            file.attrs["lattice"] = description
        with pytest.raises(ValueError, match=r"run\.h5"):
            read_trajectory(path)
