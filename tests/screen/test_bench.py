"""The benchmark command: complete rows, honest errors and floors, refusals. No time is asserted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import engine
from spinviz.benchmark import bench
from spinviz.benchmark import rows as bench_rows
from spinviz.cli import main

MACHINE = bench.Machine(operations=1e11, bandwidth=1e10)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """One row of every kind, in this process."""
    folder = tmp_path_factory.mktemp("references")
    methods = ("reference", *bench.SOLVERS, "classical", "bp")
    return {name: row(name, folder) for name in methods}


def row(method: str, folder: Path, size: int = 6, **changes: Any) -> dict[str, Any]:
    plan = dataclasses.asdict(bench.Plan(seconds=0.05, moments=200, probes=16)) | changes
    request = {"plan": plan, "size": size, "device": "cpu", "folder": str(folder), "method": method}
    return bench_rows.measure(request | {"machine": dataclasses.asdict(MACHINE)})


@pytest.mark.parametrize("method", [*bench.SOLVERS, "classical", "bp"])
def test_a_row_has_all_its_fields(measured: dict[str, dict[str, Any]], method: str) -> None:
    found = measured[method]
    assert tuple(found) == bench.FIELDS and found["skipped"] is None
    assert (found["method"], found["preset"], found["size"], found["device"]) == (method, "skyrmion", 6, "cpu")
    assert found["forces_per_second"] > 0 and found["work_seconds_per_force"] > 0
    assert (found["steps_per_second"] is None) == (method == "published")
    assert found["peak_memory_MiB"] > 50  # torch alone is larger
    assert found["floor_seconds"] > 0 and 0 < found["fraction_of_floor"] < 1
    assert found["bytes"] > 0 and (found["operations"] is None) == (method == "bp")
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_errors_are_those_of_the_methods(measured: dict[str, dict[str, Any]]) -> None:
    error = {name: found["error"] for name, found in measured.items() if name != "reference"}
    assert error["ed"] < 1e-4 and error["poles"] < 10 * bench_rows.POLE_TOLERANCE  # float32; gain of a force over f
    assert error["ed"] < error["kpm"] < error["kpm-coloured"]
    assert error["published"] == pytest.approx(error["kpm-coloured"], rel=1e-3)  # the same probes
    assert 0.05 < error["bp"] < 0.6
    assert error["classical"] is None and measured["classical"]["reference"] == "a model of its own"
    assert measured["ed"]["reference"] == "exact diagonalization"
    assert measured["bp"]["reference"] == "exact diagonalization, 8 x 8 twists"


def test_floors_count_operations(measured: dict[str, dict[str, Any]]) -> None:
    assert measured["ed"]["operations"] == 16 * 72**3
    assert measured["kpm-coloured"]["operations"] == 36 * 16 * 200 * (12 * 12 + 84)
    assert measured["kpm"]["operations"] == 36 * 72 * 200 * (12 * 12 + 84)
    assert measured["ed"]["floor_seconds"] == pytest.approx(16 * 72**3 / MACHINE.operations)


def test_what_takes_too_long_or_too_much_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row("reference", tmp_path, limit=1e-9)
    slow = row("ed", tmp_path, limit=1e-9)
    assert slow["forces_per_second"] is None and "raise --limit above" in slow["skipped"]
    quick = row("bp", tmp_path)
    assert quick["error"] is None and "not affordable: about" in quick["reference"]
    monkeypatch.setattr(bench_rows, "_free_memory", lambda device: 1.0)
    assert "GiB are free on cpu" in row("ed", tmp_path)["skipped"]
    assert tuple(slow) == bench.FIELDS


def test_gpu_kernels_are_measured_on_gpus_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "kpm-triton" in bench.methods_of("skyrmion") and "kpm-triton" not in bench.methods_of("heisenberg")
    assert "kpm-triton" not in bench.check(bench.Plan()).methods  # not asked for: left out
    assert "not on a GPU; use path=" in row("kpm-triton", tmp_path)["skipped"]
    _, force = bench_rows.prepared(bench.Plan(probes=16), "kpm-triton", 6, "cpu")
    assert force.solver.path == "triton" and force.solver.probes == engine.Coloured(16)
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    assert "needs Triton, which is not installed" in bench.refusal("kpm-triton", "cuda:1")
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: name)
    assert bench.refusal("kpm-triton", "cuda") is None and bench.refusal("kpm-coloured", "cpu") is None


def test_command_prints_json_and_a_table(capsys: pytest.CaptureFixture) -> None:
    options = ["bench", "--preset", "heisenberg", "--sizes", "6", "--seconds", "0.05"]
    assert main([*options, "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    (only,) = found["rows"]
    assert tuple(only) == bench.FIELDS and only["method"] == "classical" and only["forces_per_second"] > 0
    assert 0 < only["fraction_of_floor"] < 1 and only["peak_memory_MiB"] > 50
    assert found["machine"]["cpu"]["operations"] > 1e8 and found["machine"]["cpu"]["bandwidth"] > 1e7
    assert "1 of 1: classical" in printed.err
    lines = bench.table(found["rows"] + [only | {"skipped": "no reason"}]).splitlines()
    assert len(lines) == 3 and lines[0].startswith("method") and lines[2].endswith("no reason")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--devices", "cuda:99"], "device 'cuda:99' is not there"),
        (["--devices", "tpu"], "expected cpu, cuda or cuda:NUMBER"),
        (["--methods", "magic"], "has no method 'magic'; choose from ed, poles"),
        (["--methods", "kpm-triton"], "needs a CUDA GPU, got device 'cpu'; use --devices cuda"),
        (["--preset", "nothing"], "unknown preset 'nothing'"),
        (["--sizes", "12,x"], "expected whole numbers separated by commas"),
        (["--seconds", "0"], "expected a number of seconds > 0"),
        (["--limit", "inf"], "expected a number of seconds > 0"),
    ],
)
def test_wrong_input_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", *words]) == 2
    assert said in capsys.readouterr().err
