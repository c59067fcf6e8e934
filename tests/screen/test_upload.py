"""Uploads: right files are shown as they are; wrong, damaged and greedy ones get a sentence, and nothing is executed."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from safetensors.torch import save as save_tensors

from engine import preset, save_checkpoint, snapshot
from engine.io.ovf import write_ovf
from engine.io.trajectory import TrajectoryWriter
from spinviz.serving.upload import LARGEST_UPLOAD, check_description, read_upload

OBSERVED = ("energy", "magnetization", "topological_charge")


def simulation(name: str = "heisenberg", size: int = 6) -> Any:
    return preset(name, size, force="classical", texture="random", seed=4)


def recorded(path: Path, frames: int = 3) -> bytes:
    with TrajectoryWriter(path, simulation().settings, OBSERVED) as writer:
        for frame in simulation().frames(frames, every=2, observables=OBSERVED):
            writer.write(frame)
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "uploads").mkdir()
    return tmp_path / "uploads"


def test_a_trajectory_is_shown_with_what_made_it(tmp_path: Path, folder: Path) -> None:
    run = read_upload("mine.h5", recorded(tmp_path / "run.h5"), folder)
    assert run.name == "mine.h5" and run.steps.tolist() == [0, 2, 4]
    last = simulation().advance(4)
    np.testing.assert_array_equal(run.frame(2).spin, snapshot(last).spin)
    assert "spinviz run heisenberg --size 6 --force classical" in run.command and "--steps 4 --every 2" in run.command
    run.close()


@pytest.mark.parametrize("name", ["heisenberg", "tetrahedral"])
@pytest.mark.parametrize("representation", ["text", "binary4", "binary8"])
def test_an_ovf_file_is_shown(name: str, representation: str, tmp_path: Path, folder: Path) -> None:
    frame = snapshot(simulation(name))
    write_ovf(tmp_path / "spin.ovf", frame, representation=representation)
    run = read_upload("spin.omf", (tmp_path / "spin.ovf").read_bytes(), folder)
    np.testing.assert_allclose(run.frame(0).spin, frame.spin, atol=1e-6)
    assert run.lattice.kind == frame.lattice.kind


def test_a_checkpoint_is_shown_without_building_its_force(tmp_path: Path, folder: Path) -> None:
    save_checkpoint(tmp_path / "run.ckpt", simulation("tetrahedral").advance(3))
    run = read_upload("run.safetensors", (tmp_path / "run.ckpt").read_bytes(), folder)
    np.testing.assert_array_equal(run.frame(0).spin, snapshot(simulation("tetrahedral").advance(3)).spin)
    assert run.steps.tolist() == [3] and run.settings["preset"] == "tetrahedral" and run.settings["seed"] == 4


class Bomb:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("exploded"),))


def wrong_files(tmp_path: Path) -> dict[str, tuple[bytes, str]]:
    good = recorded(tmp_path / "good.h5")
    save_checkpoint(tmp_path / "good.ckpt", simulation())
    checkpoint = (tmp_path / "good.ckpt").read_bytes()
    write_ovf(tmp_path / "good.ovf", snapshot(simulation()), representation="text")
    ovf = (tmp_path / "good.ovf").read_bytes()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(3)
    return {
        "empty": (b"", "is empty"),
        "pickle": (pickle.dumps(Bomb()), "none of the files"),
        "script": (b"#!/bin/sh\ntouch exploded\n", "none of the files"),
        "foreign HDF5": ((tmp_path / "other.h5").read_bytes(), "not a trajectory"),
        "truncated HDF5": (good[: len(good) // 2], "wrong"),
        "other safetensors": (save_tensors({}, {"format": "else"}), "not a checkpoint"),
        "truncated safetensors": (checkpoint[:-7], "not a complete"),
        "truncated OVF": (ovf[: len(ovf) // 2], "promises 36 points"),
        "words in OVF": (ovf.replace(b"# Begin: Data Text\n", b"# Begin: Data Text\nhello "), "numbers"),
        "greedy OVF": (ovf.replace(b"xnodes: 6", b"xnodes: 60000000"), "points"),
        "greedy lattice": (ovf.replace(b'"L1": 6', b'"L1": 6000000'), "sites"),
        "large": (b"\x89HDF" + bytes(LARGEST_UPLOAD), "at most 16 MB"),
    }


@pytest.mark.parametrize("name", [
    "empty", "pickle", "script", "foreign HDF5", "truncated HDF5", "other safetensors", "truncated safetensors",
    "truncated OVF", "words in OVF", "greedy OVF", "greedy lattice", "large",
])  # fmt: skip
def test_wrong_files_get_a_sentence(name: str, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content, expected = wrong_files(tmp_path)[name]
    with pytest.raises(ValueError) as caught:
        read_upload("../../evil.h5", content, folder)
    text = str(caught.value)
    assert expected == "wrong" or expected in text, text
    assert text and "\n" not in text and str(folder) not in text and not (tmp_path / "exploded").exists()
    assert not list(folder.iterdir()), "a refused file does not stay"


@pytest.mark.parametrize("change", ["sites", "random", "link", "replicas", "external"])
def test_greedy_and_redirecting_trajectories_are_refused(change: str, tmp_path: Path, folder: Path) -> None:
    recorded(tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        if change == "sites":
            file.attrs["lattice"] = json.dumps({"kind": "square", "L1": 4096, "L2": 4096, "shells": 20})
        elif change == "random":
            file.attrs["lattice"] = json.dumps({"kind": "random_sites", "n": 10**6})
        elif change == "link":
            del file["observables/energy"]
            file["observables/energy"] = h5py.SoftLink("/spin")
        elif change == "external":
            del file["spin"]
            file["spin"] = h5py.ExternalLink("/etc/passwd", "/spin")
        else:
            del file["spin"]
            file.create_dataset("spin", (3, 1000, 36, 3), "f4", chunks=(1, 1, 36, 3))
    with pytest.raises(ValueError, match=r"are shown|are taken|refused"):
        read_upload("run.h5", (tmp_path / "run.h5").read_bytes(), folder)


@pytest.mark.parametrize("description", [
    None, [], {}, {"kind": "square", "L1": "9" * 9, "L2": 3}, {"kind": "square", "L1": float("inf"), "L2": 3},
    {"kind": "square", "L1": 10**5, "L2": 10**5}, {"kind": "triangular", "L1": 6, "L2": 6, "shells": 20},
    {"kind": "random_sites", "n": 10**7}, {"kind": "square", "L1": {"a": 1}, "L2": 3},
])  # fmt: skip
def test_descriptions_are_checked_before_a_lattice_is_built(description: Any) -> None:
    with pytest.raises(ValueError):
        check_description(description)
