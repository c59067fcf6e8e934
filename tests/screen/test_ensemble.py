"""Ensembles: the numbers do not depend on how the work is spread, survive interruptions, and are counted once."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from engine.presets import preset
from engine.simulation import snapshot
from spinviz.cli import main
from spinviz.ensemble import EnsemblePlan, local_cluster, parse_sweep, read_ensemble, run_ensemble
from spinviz.ensemble import room as ensemble_room
from spinviz.ensemble.block import move_block
from spinviz.ensemble.plan import blocks
from spinviz.ensemble.store import EnsembleStore
from tests.tolerances import COVARIANCE

OBSERVABLES = ("magnetization", "energy", "topological_charge")


def plan(**changes) -> EnsemblePlan:
    settings = {"replicas": 3, "sweep": {"field_z": (0.0, 0.3), "damping": (0.1, 0.4)}, "steps": 12, "every": 5,
                "observables": OBSERVABLES, "size": 6, "seed": 4}  # fmt: skip
    return EnsemblePlan(**{"preset": "heisenberg", **settings, **changes})


def contents(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path, "r") as file:
        assert file["done"][:].all()
        found = {name: file["observables"][name][:] for name in file["observables"]}
        return {**found, "spin": file["spin"][:], "time": file["time"][:]}


def same(first: Path, second: Path) -> None:
    one, other = contents(first), contents(second)
    for name, values in one.items():
        assert np.allclose(values, other[name], atol=COVARIANCE, rtol=COVARIANCE), name


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ensemble") / "reference.h5"
    outcome = run_ensemble(plan(), path, workers=0, batch=1)
    assert (outcome.done, outcome.made, outcome.total) == (12, 12, 12)
    return path


@pytest.fixture(scope="module")
def cluster():
    with local_cluster(2) as two_processes:
        yield two_processes


def test_a_member_is_the_run_that_the_preset_makes(reference):
    chosen = plan()
    with read_ensemble(reference) as ensemble:
        for point, settings in enumerate(ensemble.plan.points):
            run = preset("heisenberg", 6, seed=chosen.seed_of(point, 2), field=(0, 0, settings["field_z"]),
                         damping=settings["damping"])  # fmt: skip
            frame = snapshot(run.advance(12), OBSERVABLES)
            for name in OBSERVABLES:
                kept = ensemble.observable(name, point)[2, -1]
                assert np.allclose(kept, frame.observables[name][0], atol=COVARIANCE, rtol=COVARIANCE), name
            assert np.allclose(ensemble.spin(point)[2], frame.spin[0], atol=COVARIANCE)
        assert ensemble.steps.tolist() == [0, 5, 10, 12]
        assert np.allclose(ensemble.time, 0.1 * ensemble.steps)


def test_batches_do_not_change_the_numbers(reference, tmp_path):
    run_ensemble(plan(), tmp_path / "batched.h5", workers=0, batch=4)
    same(reference, tmp_path / "batched.h5")


def test_one_and_two_workers_give_the_same_numbers(reference, cluster, tmp_path):
    told = []
    run_ensemble(plan(), tmp_path / "two.h5", scheduler=cluster.scheduler_address, batch=2, announce=told.append)
    same(reference, tmp_path / "two.h5")
    assert told and "http://" in told[0]


def test_a_killed_worker_costs_nothing_and_nothing_counts_twice(reference, cluster, tmp_path):
    from distributed import Client

    with Client(cluster.scheduler_address, set_as_default=False) as client:
        processes = client.run(os.getpid)
    long, counted, killed = plan(steps=120, every=60), [], []

    def kill_one(more: int, done: int) -> None:
        counted.append(more)
        if not killed:
            killed.append(next(iter(processes.values())))
            os.kill(killed[0], signal.SIGKILL)

    outcome = run_ensemble(
        long, tmp_path / "killed.h5", scheduler=cluster.scheduler_address, batch=1, progress=kill_one
    )
    assert killed and not outcome.failed
    assert outcome.made == outcome.done == outcome.total == sum(counted) == 12
    run_ensemble(long, tmp_path / "calm.h5", workers=0, batch=1)
    one, other = contents(tmp_path / "killed.h5"), contents(tmp_path / "calm.h5")
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_an_interrupted_ensemble_goes_on_and_repeats_nothing(reference, tmp_path):
    path, asked, seen = tmp_path / "part.h5", [], []

    def stop_soon(more: int, done: int) -> None:
        seen.append(done)
        if len(seen) == 2:
            asked.append(1)

    first = run_ensemble(plan(), path, workers=0, batch=2, progress=stop_soon, asked=asked)
    assert first.stopped and first.made == first.done == 4
    with read_ensemble(path) as ensemble:
        before = {member: ensemble.done[member] for member in np.ndindex(ensemble.done.shape)}
        assert sum(before.values()) == 4
    with h5py.File(path, "r+") as file:  # a mark on what is done already
        member = next(m for m, done in before.items() if done)
        file["observables/energy"][member] = 77.0
    second = run_ensemble(plan(), path, workers=0, batch=3)
    assert second.made == 8 and second.done == 12 and not second.stopped
    with h5py.File(path, "r+") as file:
        assert (file["observables/energy"][member] == 77.0).all()
        with h5py.File(reference, "r") as right:
            file["observables/energy"][member] = right["observables/energy"][member]
    same(reference, path)
    assert run_ensemble(plan(), path, workers=0).made == 0


def test_a_block_that_comes_twice_is_counted_once(tmp_path):
    small = plan(sweep={}, replicas=2)
    moved = move_block(small.description(), ((0, 0), (0, 1)))
    shapes = {name: (value.shape[2:], value.dtype) for name, value in moved.observables.items()}
    with EnsembleStore.create(tmp_path / "twice.h5", small, {"kind": "square"}, 36, shapes) as store:
        assert store.missing() == [(0, 0), (0, 1)]
        assert store.write(moved) == 2 and store.write(moved) == 0
        assert store.missing() == []


def test_seeds_are_different_and_points_share_batches_where_only_the_field_differs():
    chosen = plan()
    seeds = {chosen.seed_of(point, replica) for point in range(4) for replica in range(3)}
    assert len(seeds) == 12 and seeds.isdisjoint({plan(seed=5).seed_of(p, r) for p in range(4) for r in range(3)})
    everything = [(point, replica) for point in range(4) for replica in range(3)]
    cut = blocks(chosen, everything, 6)
    assert sorted(member for block in cut for member in block) == everything
    for block in cut:
        assert len(block) == 6 and len({chosen.points[point]["damping"] for point, _ in block}) == 1
    noisy = EnsemblePlan("skyrmion", 4, settings={"force": "kpm"})
    assert all(len(block) == 1 for block in blocks(noisy, [(0, r) for r in range(4)], 4))


def test_mean_and_error_over_replicas(reference):
    with read_ensemble(reference) as ensemble:
        mean, error = ensemble.mean("energy")
        values = ensemble.observable("energy", 1)
        assert np.allclose(mean[1], values.mean(0)) and np.allclose(error[1], values.std(0, ddof=1) / np.sqrt(3))
        assert ensemble.parameter("damping").tolist() == [0.1, 0.4, 0.1, 0.4]
        with pytest.raises(ValueError, match="not 'temperature'"):
            ensemble.parameter("temperature")


def test_sweeps_as_text():
    assert parse_sweep("field_z=0:0.01:0.0025") == ("field_z", (0.0, 0.0025, 0.005, 0.0075, 0.01))
    assert parse_sweep("damping=0.3,0.1") == ("damping", (0.3, 0.1))
    assert len(parse_sweep("field_z=0:0.01:0.0005")[1]) == 21
    for text, word in (("fild_z=0,1", "did you mean 'field_z'"), ("field_z=0:1", "first:last:spacing"),
                       ("field_z=0:1:-0.1", "leads from"), ("field_z=a", "value"), ("field_z", "value"),
                       ("field_z=0:1:0", "leads from"), ("field_z=0:1:1e-9", "wider"),
                       ("field_z=nan", "value")):  # fmt: skip
        with pytest.raises(ValueError, match=word):
            parse_sweep(text)


@pytest.mark.parametrize("changes, word", [
    ({"preset": "hysenberg"}, "did you mean 'heisenberg'"), ({"replicas": 0}, "replicas"), ({"steps": 1.5}, "steps"),
    ({"sweep": {"colour": (1,)}}, "unknown sweep parameter"), ({"sweep": {"damping": (0.1, 0.1)}}, "each once"),
    ({"settings": {"damping": 0.2}}, "both"), ({"settings": {"replicas": 3}}, "unknown setting"),
    ({"replicas": 10**6}, "more than"),
])  # fmt: skip
def test_plans_that_make_no_sense(changes, word):
    with pytest.raises(ValueError, match=word):
        plan(**changes)


def test_wrong_input_is_refused_before_anything_runs(tmp_path, monkeypatch):
    path = tmp_path / "no.h5"
    for changes, word in (({"observables": ("volume",)}, "unknown observable"), ({"sweep": {"damping": (-1.0,)}}, "damping"),
                          ({"observables": ("local_density",)}, "electrons"),
                          ({"preset": "skyrmion", "settings": {"force": "best"}, "observables": (),
                            "sweep": {"chemical_potential": (-3.5, -3.0)}}, "trained for")):  # fmt: skip
        with pytest.raises(ValueError, match=word):
            run_ensemble(plan(**changes), path, workers=0)
    with pytest.raises(ValueError, match="existing folder"):
        run_ensemble(plan(), tmp_path / "nowhere" / "no.h5", workers=0)
    with pytest.raises(ValueError, match="GiB are free"):
        run_ensemble(plan(size=256, sweep={}, replicas=10**6), path, workers=0)
    monkeypatch.setattr(ensemble_room, "free_bytes", lambda device: 2**30)
    with pytest.raises(MemoryError, match="fewer twists"):
        run_ensemble(plan(preset="skyrmion", size=24, sweep={}, settings={"force": "ed", "twists": (4, 4)},
                          observables=()), path, workers=0)  # fmt: skip
    assert not path.exists()


def test_another_ensemble_in_the_file_is_refused(reference, tmp_path):
    with pytest.raises(ValueError, match="steps: 12 there, 13 now"):
        run_ensemble(plan(steps=13), reference, workers=0)
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(ValueError, match="not"):
        run_ensemble(plan(), tmp_path / "text.h5", workers=0)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="not an ensemble"):
        read_ensemble(tmp_path / "other.h5")
    with pytest.raises(FileNotFoundError):
        read_ensemble(tmp_path / "absent.h5")


def test_a_failed_step_is_told_and_tried_again(tmp_path, capsys):
    words = ["ensemble", "heisenberg", "--size", "6", "--steps", "30", "--every", "30", "--workers", "0"]
    path = str(tmp_path / "failing.h5")
    code = main([*words, "--out", path, "--sweep", "time_step=0.1,1e30", "--observables", "magnetization", "--json"])
    printed = capsys.readouterr()
    summary = json.loads(printed.out.splitlines()[-1])
    assert code == 1 and summary["done"] == 1 and summary["failed"] == 1 and "smaller time step" in printed.err


def test_command_line(tmp_path, capsys):
    path = str(tmp_path / "swept.h5")
    words = ["ensemble", "heisenberg", "--size", "6", "--steps", "4", "--every", "2", "--out", path, "--replicas", "2",
             "--sweep", "field_z=0:0.2:0.1", "--workers", "0", "--json"]  # fmt: skip
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["made"] == 6
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["made"] == 0
    with read_ensemble(path) as ensemble:
        assert ensemble.observables == ("energy", "magnetization", "topological_charge")
    with socket.socket() as taken:  # a port where nobody answers
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        other = str(tmp_path / "other.h5")
        assert main([*words[:8], "--out", other, "--scheduler", address]) == 2
    assert "dask scheduler" in capsys.readouterr().err and not Path(other).exists()
    for more, word in ((["--sweep", "fild_z=1"], "field_z"), (["--workers", "-1"], "--workers"),
                       (["--sweep", "field_z=1"], "twice")):  # fmt: skip
        assert main([*words, *more]) == 2
        assert word in capsys.readouterr().err


def test_a_script_that_every_worker_would_start_again_is_told_how(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("from spinviz.ensemble import local_cluster\nwith local_cluster(1):\n    print('here')\n")
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ran.returncode == 1 and "here" not in ran.stdout
    assert "ValueError: 1 worker processes could not be started" in ran.stderr and "__main__" in ran.stderr
