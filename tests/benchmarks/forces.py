"""Electronic forces: evaluations per second, memory, error against exact diagonalization. Run in a process of its own.

Floors (operations, counted with a multiply-add as 2):
* exact: reduction to tridiagonal form (4/3 n^3) and back-transformation of the eigenvectors (2 n^3), times 4 for complex
  numbers, plus the real divide-and-conquer: about 16 n^3 per matrix of size n = 2N;
* Chebyshev: M products of (12 neighbours + 4 on-site numbers) * 2 flops on 4 N S real numbers, and M/2 outer products.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

import engine
from engine.forces import ForceProvider


def rate(force: ForceProvider, state: engine.SpinState, seconds: float = 3.0) -> float:
    """Evaluations per second, after one warm-up."""
    force(state)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        force(state)
        count += 1
    return count / (time.perf_counter() - start)


def transverse(force: torch.Tensor, spin: torch.Tensor) -> torch.Tensor:
    return force - (force * spin).sum(-1, keepdim=True) * spin


def error(force: torch.Tensor, exact: torch.Tensor, spin: torch.Tensor) -> float:
    """Transverse error relative to the transverse rms."""
    reference = transverse(exact, spin)
    return float((transverse(force, spin) - reference).norm() / reference.norm())


def measure_exact() -> dict:
    simulation = engine.preset("skyrmion", size=12, force="ed", twists=(4, 4))
    per_second = rate(simulation.force, simulation.state)
    flops = 16 * 16 * 288**3  # 16 twists
    return {"name": "ED 12x12, 4x4 twists, complex64", "per_second": per_second, "gflops": per_second * flops / 1e9}


def measure_chebyshev() -> dict:
    simulation = engine.preset("skyrmion", size=24, force="kpm", moments=512, probes=32)
    per_second = rate(simulation.force, simulation.state)
    flops = 512 * 4 * 576 * 32 * 32 + 256 * 2 * 16 * 576 * 32
    exact = engine.preset("skyrmion", size=24, force="ed")
    spin = exact.state.spin
    epsilon = error(simulation.response().force, exact.response().force, spin)
    return {
        "name": "KPM 24x24, M=512, 32 coloured columns",
        "per_second": per_second,
        "gflops": per_second * flops / 1e9,
        "error_against_exact": epsilon,
    }


def measure_memory() -> dict:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    simulation = engine.preset("skyrmion", size=48, force="kpm", moments=512, probes=32)
    start = time.perf_counter()
    simulation.response()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "name": "KPM 48x48, M=512, 32 coloured columns",
        "seconds": seconds,
        "peak_process_MiB": peak / 1024,
        "before_MiB": before / 1024,
    }


MEASURES = {"exact": measure_exact, "chebyshev": measure_chebyshev, "memory": measure_memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measure", choices=MEASURES)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(json.dumps(MEASURES[arguments.measure]()))


if __name__ == "__main__":
    main()
