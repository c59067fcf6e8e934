"""The command line: what it makes, what it says, how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest

from engine.checkpoint import load_checkpoint
from engine.io import read_ovf, read_trajectory
from engine.simulation import Simulation, StepFailed
from spinviz.cli import main

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["run", "heisenberg", "--size", "8", "--seed", "3"]


def spinviz(*words: str | Path) -> int:
    return main([str(word) for word in words])


def summary(text: str) -> dict:
    lines = text.strip().splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])


def test_run_records_everything(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out, movie = tmp_path / "run.h5", tmp_path / "run.mp4"
    options = ["--field", "0,0,0.3", "--temperature", "0.1", "--damping", "0.2", "--time-step", "0.05"]
    options += ["--replicas", "2", "--dtype", "float64", "--steps", "25", "--every", "10", "--height", "120", "--json"]
    assert spinviz(*SMALL, *options, "--out", out, "--movie", movie) == 0
    printed = capsys.readouterr()
    result = summary(printed.out)
    assert "25/25" in printed.err  # the progress bar
    assert (result["preset"], result["size"], result["steps"], result["stopped"]) == ("heisenberg", 8, 25, None)
    assert result["steps_per_second"] == pytest.approx(25 / result["seconds"], rel=0.01)
    assert result["time"] == pytest.approx([1.25, 1.25])
    assert len(result["observables"]["energy"]) == 2 and np.shape(result["observables"]["magnetization"]) == (2, 3)
    assert result["files"] == {"trajectory": str(out), "movie": str(movie), "checkpoint": str(tmp_path / "run.ckpt")}
    with read_trajectory(out) as trajectory:
        assert trajectory.steps.tolist() == [0, 10, 20, 25]
        assert trajectory.settings["damping"] == 0.2 and trajectory.settings["field"] == [0, 0, 0.3]
        dynamics = trajectory.settings["parts"]["dynamics"]["fields"]
        assert (dynamics["temperature"], dynamics["time_step"]) == (0.1, 0.05)
        assert trajectory.observable("energy")[-1].tolist() == pytest.approx(result["observables"]["energy"])
    with av.open(str(movie)) as container:
        assert len(list(container.decode(video=0))) == 4


def test_resume_continues_bit_for_bit(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    whole, half = tmp_path / "whole.h5", tmp_path / "half.h5"
    assert spinviz(*SMALL, "--steps", "20", "--every", "5", "--out", whole) == 0
    assert spinviz(*SMALL, "--steps", "10", "--every", "5", "--out", half) == 0
    assert spinviz("resume", tmp_path / "half.ckpt", "--steps", "10", "--every", "5", "--out", half) == 0
    with read_trajectory(whole) as first, read_trajectory(half) as second:
        assert first.steps.tolist() == second.steps.tolist() == [0, 5, 10, 15, 20]
        assert all(np.array_equal(a.spin, b.spin) for a, b in zip(first, second, strict=True))
        assert np.array_equal(first.observable("energy"), second.observable("energy"))
    assert load_checkpoint(tmp_path / "half.ckpt").state.step == 20
    assert "10 steps in" in capsys.readouterr().out


def test_movie_export_and_start_from_ovf(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "run.h5"
    assert spinviz(*SMALL, "--steps", "4", "--out", out) == 0
    assert spinviz("movie", out, tmp_path / "run.gif", "--height", "120", "--every", "2") == 0
    with av.open(str(tmp_path / "run.gif")) as container:
        assert len(list(container.decode(video=0))) == 3
    for view, name in (("all", "all.webm"), ("scene", "scene.mp4")):
        assert spinviz("movie", out, tmp_path / name, "--height", "160", "--view", view, "--plain") == 0
        with av.open(str(tmp_path / name)) as container:
            assert len(list(container.decode(video=0))) == 5
    assert spinviz("export", out, tmp_path / "spin.ovf", "--frame", "2", "--representation", "text") == 0
    assert spinviz("export", out, tmp_path / "spin.vtk") == 0
    assert (tmp_path / "spin.vtk").read_bytes().startswith(b"# vtk DataFile")
    assert spinviz(*SMALL, "--steps", "1", "--texture", tmp_path / "spin.ovf", "--out", tmp_path / "next.h5") == 0
    with read_trajectory(out) as first, read_trajectory(tmp_path / "next.h5") as second:
        np.testing.assert_allclose(second[0].spin, first[2].spin, atol=1e-6)
        assert np.array_equal(read_ovf(tmp_path / "spin.ovf").spin, second[0].spin)
    capsys.readouterr()
    assert spinviz("info", tmp_path / "spin.ovf") == 0
    assert "OVF 2.0" in capsys.readouterr().out


def test_info(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert spinviz("info", "--json") == 0
    facts = summary(capsys.readouterr().out)
    assert "skyrmion" in facts["presets"] and "torch" in facts["versions"] and facts["devices"][0] == "cpu"
    assert spinviz(*SMALL, "--steps", "2", "--out", tmp_path / "run.h5") == 0
    capsys.readouterr()
    for name, kind in (("run.h5", "trajectory"), ("run.ckpt", "checkpoint")):
        assert spinviz("info", tmp_path / name, "--json") == 0
        facts = summary(capsys.readouterr().out)
        assert facts["kind"] == kind and facts["settings"]["preset"] == "heisenberg"
        assert facts["settings"]["seed"] == 3 and facts["lattice"]["L1"] == 8
    assert spinviz("info", tmp_path / "run.h5") == 0
    assert "frames: 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "COMMAND"),
        (["fly"], "invalid choice"),
        (["run", "skyrmoin"], "did you mean 'skyrmion'"),
        ([*SMALL, "--size", "2"], "L1 >= 3"),
        ([*SMALL, "--size", "big"], "whole number"),
        ([*SMALL, "--steps", "0"], "whole number of at least 1"),
        ([*SMALL, "--steps", "-5"], "--steps"),
        ([*SMALL, "--field", "1,2"], "three numbers"),
        ([*SMALL, "--field", "0,0,nan"], "field"),
        ([*SMALL, "--temperature", "-1"], "temperature"),
        ([*SMALL, "--temperature", "nan"], "temperature"),
        ([*SMALL, "--time-step", "0"], "time_step"),
        ([*SMALL, "--damping", "much"], "--damping"),
        ([*SMALL, "--seed", "-1"], "seed"),
        ([*SMALL, "--force", "ed"], "no electrons"),
        ([*SMALL, "--force", "magic"], "invalid choice"),
        ([*SMALL, "--texture", "helx"], "helix"),
        ([*SMALL, "--texture", "missing.ovf"], "no OVF file"),
        ([*SMALL, "--device", "cuda:99"], "cuda"),
        ([*SMALL, "--device", "toaster"], "toaster"),
        ([*SMALL, "--observables", "enrgy"], "did you mean 'energy'"),
        ([*SMALL, "--twists", "0,1"], "k1,k2"),
        ([*SMALL, "--out", "missing/run.h5"], "does not exist"),
        ([*SMALL, "--movie", "run.avi"], "must end in"),
        ([*SMALL, "--checkpoint", "missing/run.ckpt"], "existing folder"),
        (["run", "skyrmion", "--size", "6", "--filling", "1.5"], "filling"),
        (["run", "skyrmion", "--size", "6", "--filling", "0.3", "--chemical-potential", "-3"], "not allowed"),
        (["run", "skyrmion", "--size", "500", "--force", "ed"], "smaller size"),
        ([*SMALL, "--out", "a.ckpt"], "written over --out a.ckpt"),
        ([*SMALL, "--out", "a.h5", "--checkpoint", "./a.h5"], "written over --out a.h5"),
        ([*SMALL, "--movie", "a.mp4", "--checkpoint", "a.mp4"], "written over --movie a.mp4"),
        ([*SMALL, "--filling", "0.3", "--probes", "7"], "--probes, --filling: force 'classical' has no use"),
        (
            ["run", "skyrmion", "--size", "6", "--force", "fast", "--twists", "8,8"],
            "--twists: force 'fast' has no use",
        ),
        (["run", "skyrmion", "--size", "6", "--force", "ed", "--moments", "64"], "--moments: force 'ed' has no use"),
        (["dataset", "skyrmion", "--mix", "foo=1", "--out", "e.h5"], "shares >= 0 of random"),
        (["dataset", "skyrmion", "--mix", "random=nan", "--out", "e.h5"], "shares >= 0 of random"),
        (["dataset", "skyrmion", "--seed", "-1", "--out", "e.h5"], "not negative"),
        (["dataset", "skyrmion", "--count", "0", "--out", "e.h5"], "at least 1"),
        (["dataset", "skyrmion", "--threads", "-1", "--out", "e.h5"], "at least 1"),
        (
            ["dataset", "skyrmion", "--from", "skyrmion/fast,tetrahedral/fast", "--out", "e.h5"],
            "tetrahedral/fast was trained for 'tetrahedral'",
        ),
        (["dataset", "tetrahedral", "--sweep", "coupling=2,3", "--out", "e.h5"], "have a fixed filling"),
        (["dataset", "skyrmion", "--sweep", "filling=0.1,0.2", "--out", "e.h5"], "--sweep takes chemical_potential"),
        (
            ["dataset", "skyrmion", "--sweep", "coupling=0.1,0.2", "--sweep", "coupling=0.3", "--out", "e.h5"],
            "each once",
        ),
        (["run", "skyrmion", "--size", "6", "--force", "adjustable", "--coupling", "0.9"], "coupling from 0.3 to 0.7"),
        (["run", "skyrmion", "--size", "6", "--force", "best", "--coupling", "0.4"], "not for coupling 0.4"),
        ([*SMALL, "--coupling", "0.4"], "--coupling: force 'classical' has no use"),
        (["evaluate", "skyrmion/fast", "--data", "e.h5", "--dynamics", "-1"], "at least 1"),
        (["ensemble", "heisenberg", "--scheduler", "nonsense", "--out", "e.h5"], "address such as tcp://"),
        (["resume", "missing.ckpt"], "no checkpoint"),
        (["movie", "missing.h5", "a.mp4"], "no trajectory"),
        (["info", "missing.h5"], "no file"),
        (["export", "missing.h5", "a.png"], "ovf"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    printed = capsys.readouterr()
    said = [
        line
        for line in printed.err.replace("\r", "\n").splitlines()
        if not re.search(r"/s[,\]]", line) and line.strip()
    ]
    assert len(said) == 1 and said[0].startswith("spinviz: error: ") and message in said[0]
    assert "Traceback" not in printed.err and not printed.out
    assert not list(tmp_path.iterdir())


def test_foreign_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "foreign.h5").write_bytes(b"not one of ours" * 10)
    for words in (["resume"], ["info"], ["movie"], ["export"]):
        target = {"movie": ["a.mp4"], "export": ["a.ovf"]}.get(words[0], [])
        assert spinviz(*words, tmp_path / "foreign.h5", *target) == 2
        assert "foreign.h5" in capsys.readouterr().err


def test_resume_does_not_write_over_another_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for seed in ("0", "9"):
        assert spinviz(*SMALL, "--seed", seed, "--steps", "3", "--out", tmp_path / f"{seed}.h5") == 0
    capsys.readouterr()
    assert spinviz("resume", tmp_path / "9.ckpt", "--steps", "2", "--out", tmp_path / "0.h5") == 2
    assert "another run (seed differ)" in capsys.readouterr().err
    with read_trajectory(tmp_path / "0.h5") as trajectory:
        assert trajectory.steps.tolist() == [0, 1, 2, 3] and trajectory.settings["seed"] == 0


def test_negative_numbers_are_not_options(capsys: pytest.CaptureFixture) -> None:
    assert spinviz(*SMALL, "--steps", "1", "--field", "-0.1,0,-0.2") == 0
    words = ["run", "skyrmion", "--size", "6", "--force", "ed", "--steps", "1", "--chemical-potential", "-1e-3"]
    assert spinviz(*words) == 0


def test_version(capsys: pytest.CaptureFixture) -> None:
    assert main(["--version"]) == 0 and capsys.readouterr().out.startswith("spinviz 0.")


def test_help_names_every_command(capsys: pytest.CaptureFixture) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("run", "resume", "movie", "export", "info", "serve"))


def test_failed_step_keeps_the_last_good_state(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Simulation.advance

    def failing(self: Simulation, n: int = 1) -> Simulation:
        if self.state.step + n > 6:
            raise StepFailed("spins are not finite", self)
        return advance(self, n)

    monkeypatch.setattr(Simulation, "advance", failing)
    assert spinviz(*SMALL, "--steps", "20", "--every", "2", "--out", tmp_path / "run.h5", "--json") == 1
    printed = capsys.readouterr()
    assert "spins are not finite" in printed.err and summary(printed.out)["stopped"] == "spins are not finite"
    with read_trajectory(tmp_path / "run.h5") as trajectory:
        assert trajectory.steps[-1] == load_checkpoint(tmp_path / "run.ckpt").state.step <= 6


def test_interrupted_run_leaves_everything_readable(tmp_path: Path) -> None:
    out, movie = tmp_path / "run.h5", tmp_path / "run.mp4"
    command = [sys.executable, "-m", "spinviz.cli", *SMALL, "--steps", "1000000", "--every", "5", "--height", "120"]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--movie", str(movie), "--json", "--threads", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    deadline = time.monotonic() + 40
    while not out.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in errors
    assert f"go on with 'spinviz resume {tmp_path / 'run.ckpt'}'" in errors
    result = summary(printed)
    assert result["stopped"] == "interrupted" and result["steps"] > 0
    assert load_checkpoint(tmp_path / "run.ckpt").state.step == result["step"]
    with read_trajectory(out) as trajectory:
        assert not trajectory.interrupted and 0 <= result["step"] - trajectory.steps[-1] <= 5
        with av.open(str(movie)) as container:
            assert abs(len(list(container.decode(video=0))) - len(trajectory)) <= 1
    assert spinviz("resume", tmp_path / "run.ckpt", "--steps", "5", "--every", "5", "--out", out) == 0


def test_serve_shows_the_apps_and_prints_the_address() -> None:
    """`make app` is this command: every file of apps/ answers, on 127.0.0.1 only."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "spinviz.cli", "serve", "--port", str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == f"spinviz: http://127.0.0.1:{port}/\n"
        answers = {}
        for page in ("", "live", "main", "gallery", "electrons"):
            for _ in range(600):
                with suppress(OSError):
                    answers[page] = urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=30).status
                    break
                time.sleep(0.1)
        assert answers == dict.fromkeys(("", "live", "main", "gallery", "electrons"), 200)
    finally:
        server.terminate()
        server.wait(20)
