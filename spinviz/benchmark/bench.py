"""Measure every way to get a force on this machine, beside its floor and the published algorithm.

A row is one method at one size on one device, measured in a process of its own (peak memory). Its error is

    epsilon = rms(transverse(h - h_exact)) / rms(transverse h_exact),       transverse(h) = h - (h.S) S

on random spins, against exact forces of the same electrons: of the same periodic sample for solvers, of a mesh of twists
that makes it at least 48 sites long for learned forces (which were trained on such labels). The floor of a force is the
longer of operations / peak rate and bytes / bandwidth, both peaks measured at the start: a float32 matrix product and a
copy. It is compared with the seconds of work: on the CPU processor seconds per thread, on a GPU the time. Bytes are those
that no implementation can avoid moving. Operations: spinviz.benchmark.rows. "kpm-triton" is "kpm-coloured" by GPU kernels:
a row of GPUs only.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from engine.presets import PRESETS, learned_forces

FIELDS = (
    "method", "preset", "size", "device", "threads", "forces_per_second", "work_seconds_per_force", "steps_per_second",
    "error", "reference", "peak_memory_MiB", "operations", "bytes", "floor_seconds", "fraction_of_floor", "skipped",
)  # fmt: skip
SOLVERS = ("ed", "poles", "kpm", "kpm-coloured", "published")
GPU_SOLVERS = ("kpm-triton",)
GEMM, COPY = 1536, 2**25  # rows of the matrix product, numbers of the copy


@dataclass(frozen=True)
class Plan:
    """What to measure. seconds: for each rate; limit: seconds that one row, or one reference, may take."""

    preset: str = "skyrmion"
    sizes: tuple[int, ...] = (12, 24)
    devices: tuple[str, ...] = ("cpu",)
    methods: tuple[str, ...] = ()
    seconds: float = 2.0
    limit: float = 300.0
    moments: int = 500
    probes: int = 128
    threads: int = 1


@dataclass(frozen=True)
class Machine:
    """Peaks of a device: operations per second (float32 product), bytes per second (copy, read and written)."""

    operations: float
    bandwidth: float


def methods_of(name: str) -> tuple[str, ...]:
    """All that a preset can be measured with."""
    chosen = PRESETS[name]
    electronic = SOLVERS + GPU_SOLVERS if chosen.coupling else ()
    classical = ("classical",) if chosen.exchange or chosen.stand_in else ()
    return (*electronic, *classical, *learned_forces(name))


def refusal(method: str, device: str) -> str | None:
    """What a method lacks to run on a device, or None."""
    if method in GPU_SOLVERS and device == "cpu":
        return f"method {method!r} needs a CUDA GPU, got device 'cpu'; use --devices cuda, or kpm-coloured on the CPU"
    if method in GPU_SOLVERS and importlib.util.find_spec("triton") is None:
        return f"method {method!r} needs Triton, which is not installed; install triton>=3.1, or use kpm-coloured"
    return None


def check(plan: Plan) -> Plan:
    """The plan with its methods spelled out: those asked for, or all that can run on one of the devices.

    Raises ValueError for what is not there or cannot run, saying what can.
    """
    if plan.preset not in PRESETS:
        raise ValueError(f"unknown preset {plan.preset!r}; choose from {', '.join(PRESETS)}")
    known = methods_of(plan.preset)
    unknown = [name for name in plan.methods if name not in known]
    if unknown:
        raise ValueError(f"preset {plan.preset!r} has no method {unknown[0]!r}; choose from {', '.join(known)}")
    if not plan.seconds > 0 or not plan.limit > 0:
        raise ValueError(f"seconds and limit must be > 0, got {plan.seconds} and {plan.limit}")
    for name in plan.devices:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if name != "cpu" and int(name.partition(":")[2] or 0) >= count:
            raise ValueError(
                f"device {name!r} is not there: {name} needs {int(name.partition(':')[2] or 0) + 1} CUDA GPU(s), "
                f"{count} found; use --devices cpu"
            )
    missing = [lack for method in plan.methods for name in plan.devices if (lack := refusal(method, name))]
    if missing:
        raise ValueError(missing[0])
    everywhere = tuple(method for method in known if any(refusal(method, name) is None for name in plan.devices))
    return dataclasses.replace(plan, methods=plan.methods or everywhere)


def bench(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """All rows, each in its own process: {"machine": {device: peaks}, "plan": ..., "rows": [...]}."""
    plan = check(plan)
    peaks = {name: peak(name, plan.threads) for name in plan.devices}
    for name, found in peaks.items():
        say(
            f"{name}: {found.operations / 1e9:.0f} Gflop/s in float32 products, {found.bandwidth / 1e9:.1f} GB/s copied"
        )
    rows: list[dict[str, Any]] = []
    methods = {name: [method for method in plan.methods if refusal(method, name) is None] for name in plan.devices}
    total = len(plan.sizes) * sum(map(len, methods.values()))
    with tempfile.TemporaryDirectory() as folder:
        for device in plan.devices:
            for size in plan.sizes:
                say(f"exact forces at size {size}")
                request = {"plan": dataclasses.asdict(plan), "size": size, "device": device, "folder": folder,
                           "machine": dataclasses.asdict(peaks[device])}  # fmt: skip
                _in_own_process(request | {"method": "reference"})
                for method in methods[device]:
                    say(f"{len(rows) + 1} of {total}: {method}, size {size}, {device}")
                    rows.append(_in_own_process(request | {"method": method}))
                    say(_summary(rows[-1]))
    machine = {name: dataclasses.asdict(found) for name, found in peaks.items()}
    return {"machine": machine, "plan": dataclasses.asdict(plan), "rows": rows}


def _summary(row: dict[str, Any]) -> str:
    """What a row found, as progress: a long run that is interrupted has said it."""
    if row["skipped"]:
        return f"    left out: {row['skipped']}"
    error = "-" if row["error"] is None else f"{row['error']:.3g}"
    return f"    {row['work_seconds_per_force']:.3g} s of work a force, error {error}"


def peak(device: str, threads: int = 1) -> Machine:
    """Measured peaks of a device, the best of several runs."""
    torch.set_num_threads(threads)
    square, long = torch.randn(GEMM, GEMM, device=device), torch.zeros(COPY, device=device)
    target = torch.empty_like(long)
    product = min(_timed(lambda: square @ square, device) for _ in range(6))
    copied = min(_timed(lambda: target.copy_(long), device) for _ in range(6))
    return Machine(2 * GEMM**3 / product, 2 * 4 * COPY / copied)


def clock(device: str) -> float:
    """Seconds of this process's work: on the CPU those of its processors, so that other work counts little."""
    if device != "cpu":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time() / torch.get_num_threads()


def _timed(call: Callable[[], Any], device: str) -> float:
    start = clock(device)
    call()
    return clock(device) - start


def _in_own_process(request: dict[str, Any]) -> dict[str, Any]:
    """The row of a request, measured in a fresh interpreter."""
    command = [sys.executable, "-m", "spinviz.benchmark.rows", json.dumps(request)]
    environment = os.environ | {"OMP_NUM_THREADS": str(request["plan"]["threads"]), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
        return row(request, skipped=f"failed: {reason}")
    return json.loads(lines[-1])


def row(request: dict[str, Any], **found: Any) -> dict[str, Any]:
    plan = request["plan"]
    known = {"method": request["method"], "preset": plan["preset"], "size": request["size"],
             "device": request["device"], "threads": plan["threads"]} | found  # fmt: skip
    return {field: known.get(field) for field in FIELDS}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as aligned text."""
    head = ("method", "size", "device", "forces/s", "work s", "steps/s", "error", "MiB", "of floor", "against")
    lines = [head]
    for row in rows:
        first = (row["method"], str(row["size"]), row["device"])
        if row["skipped"]:
            lines.append((*first, *("-",) * 6, row["skipped"]))
            continue
        numbers = ("forces_per_second", "work_seconds_per_force", "steps_per_second", "error", "peak_memory_MiB",
                   "fraction_of_floor")  # fmt: skip
        shown = ("-" if row[key] is None else f"{row[key]:.3g}" for key in numbers)
        lines.append((*first, *shown, row["reference"] or ""))
    widths = [max(len(line[k]) for line in lines) for k in range(len(head) - 1)]
    return "\n".join(
        "  ".join([*(f"{a:<{w}}" for a, w in zip(line, widths, strict=False)), line[-1]]) for line in lines
    )
