"""Run all benchmarks, each in a process of its own, and print one table and one JSON line."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNS = {
    "ED force": ["tests.benchmarks.forces", "exact"],
    "KPM force": ["tests.benchmarks.forces", "chebyshev"],
    "KPM memory": ["tests.benchmarks.forces", "memory"],
    "learned forces": ["tests.benchmarks.learning"],
    "classical LLG beside spirit": ["tests.benchmarks.classical"],
    "page in Chromium": ["tests.benchmarks.page"],
}


def run(arguments: list[str]) -> dict | list | None:
    """Last JSON line that a benchmark prints, or None with its error shown."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, env=os.environ, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(("{", "["))]
    if done.returncode or not lines:
        print(done.stderr[-2000:], file=sys.stderr)
        return None
    return json.loads(lines[-1])


def main() -> None:
    argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__).parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"machine: {machine}; load {os.getloadavg()[0]:.1f}")
    results: dict[str, object] = {"machine": machine}
    for name, arguments in RUNS.items():
        if "classical" in arguments[0] and importlib.util.find_spec("spirit") is None:
            print(f"{name}: left out, PyPI's spirit is not installed (pip install '.[benchmark]')")
            continue
        results[name] = run(arguments)
        print(f"{name}: {json.dumps(results[name], indent=1)}", flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
