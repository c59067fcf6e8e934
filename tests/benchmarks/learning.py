"""Learned forces of the preset skyrmion beside exact diagonalization and KPM: evaluations per second, time per site, memory.

All rates are taken in one process with the same threads, first and later calls apart: the first one makes the tables of
a shape. Floor of a ring network: 12 real Fourier transforms of N numbers and about 60 N multiplications for each of its
bonds, so that the time per site is constant but for log N and the caches. Floor of a pole: the operations of selected
inversion (engine.electrons.dissection), 6 Gflop at 48 x 48, as L^3.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

import engine
from engine.learning.weights import shipped
from tests.benchmarks.forces import rate

PRESET, FAST = "skyrmion", "skyrmion/fast"
SIZES, SIZES_OF_FAST, SIZES_OF_MEMORY = (12, 24, 48, 96), (128, 192, 256), (24, 96, 256)
EXACT: dict[str, tuple[int, dict[str, Any]]] = {
    "ED 12x12, 4x4 twists": (12, {"force": "ed", "twists": (4, 4)}),
    "KPM 24x24": (24, {"force": "kpm"}),
    "KPM 48x48": (48, {"force": "kpm"}),
}
SECONDS = 1.5  # for each rate, but at least one call


def timed(size: int, **options: Any) -> dict[str, float]:
    """One force on size x size random spins."""
    simulation = engine.preset(PRESET, size=size, **options)
    start = time.perf_counter()
    simulation.force(simulation.state)
    first = time.perf_counter() - start
    per_second = rate(simulation.force, simulation.state, SECONDS)
    return {"per_second": per_second, "us_per_site": 1e6 / per_second / size**2, "first_call_s": first}


def learned(name: str, file: str) -> dict[str, dict[str, float]]:
    """All sizes of one network; only the fast one is taken beyond 96."""
    sizes = SIZES + (SIZES_OF_FAST if name == FAST else ())
    return {str(size): timed(size, force=file) for size in sizes}


def peak_of_this_process() -> float:
    """MiB. getrusage would count the process that started this one."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def memory(file: str, size: int) -> dict[str, float]:
    """Peak of this process before and after one force."""
    simulation = engine.preset(PRESET, size=size, force=file)
    before = peak_of_this_process()
    simulation.force(simulation.state)
    return {"before_MiB": before, "peak_process_MiB": peak_of_this_process()}


def memory_of_its_own(file: str, size: int, threads: int) -> dict[str, float]:
    """The same in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.learning", "--threads", str(threads)]
    command += ["--memory", file, str(size)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(threads: int) -> dict:
    networks = {name: str(path) for name, path in shipped().items() if name.startswith(f"{PRESET}/")}
    exact = {name: {"size": size, **timed(size, **options)} for name, (size, options) in EXACT.items()}
    rates = {name: learned(name, file) for name, file in networks.items()}
    ratios = {
        f"{network} / {name}": found[str(row["size"])]["per_second"] / row["per_second"]
        for network, found in rates.items()
        for name, row in exact.items()
    }
    fast = networks.get(FAST) if Path("/proc/self/status").exists() else None
    peaks = {str(size): memory_of_its_own(fast, size, threads) for size in SIZES_OF_MEMORY} if fast else {}
    return {"threads": threads, "exact": exact, "learned": rates, "faster": ratios, "memory": {FAST: peaks}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", nargs=2, metavar=("FILE", "SIZE"), help="only the peak memory of one force")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.memory:
        file, size = arguments.memory
        print(json.dumps(memory(file, int(size))))
    else:
        print(json.dumps(measure(arguments.threads)))


if __name__ == "__main__":
    main()
