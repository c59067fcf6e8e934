"""``spinviz ensemble``: its arguments, and what it does (see spinviz.ensemble)."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import Any

from spinviz.commands.learning_arguments import force

SETTINGS = (
    "force", "field", "temperature", "electron_temperature", "damping", "time_step", "texture", "twists", "moments",
    "probes", "chemical_potential", "filling", "coupling", "device", "dtype",
)  # fmt: skip
MOST_WORKERS = 1024


def add_ensemble(commands: Any, count: Any, vector: Any, mesh: Any, names: Any, device: Any) -> None:
    """The arguments; the types are those of cli.py."""
    parser = commands.add_parser("ensemble", help="many replicas and parameter points, one file", allow_abbrev=False)
    parser.add_argument("preset", metavar="PRESET")
    parser.add_argument("--replicas", type=count, default=1, metavar="R", help="independent runs of every point (1)")
    parser.add_argument("--sweep", action="append", default=[], metavar="NAME=FIRST:LAST:SPACING|NAME=A,B,..",
                        help="such as field_z=0:0.01:0.0005; may be repeated: all combinations")  # fmt: skip
    parser.add_argument("--steps", type=count, default=100, metavar="N", help="steps of every run (100)")
    parser.add_argument("--every", type=count, default=10, metavar="K", help="steps between kept observables (10)")
    parser.add_argument("--observables", type=names, metavar="A,B", help="default: those of the preset")
    parser.add_argument("--out", required=True, metavar="ENSEMBLE.h5", help="the same command goes on where it stopped")
    parser.add_argument("--no-spins", action="store_true", help="do not keep the last spins")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--workers", type=int, default=1, metavar="W", help="processes (1); 0: none but this one")
    parser.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="workers of this Dask scheduler instead")
    parser.add_argument("--batch", type=count, metavar="B", help="members moved at once (default: what fits)")
    parser.add_argument("--size", type=count, help="linear size L (number of sites for random sites)")
    parser.add_argument("--force", type=force, metavar="NAME")
    parser.add_argument("--field", type=vector, metavar="X,Y,Z", help="magnetic field, in t1")
    for name in ("temperature", "electron-temperature", "damping", "time-step", "chemical-potential", "filling",
                 "coupling"):  # fmt: skip
        parser.add_argument(f"--{name}", type=float, metavar="X")
    parser.add_argument("--texture", metavar="NAME", help="initial spins")
    parser.add_argument("--twists", type=mesh, metavar="K1,K2", help="mesh of boundary twists")
    parser.add_argument("--moments", type=count, metavar="M", help="Chebyshev moments (kpm)")
    parser.add_argument("--probes", type=count, metavar="R", help="columns of probes (kpm)")
    parser.add_argument("--device", type=device, metavar="NAME", help="cpu, or cuda: one GPU per worker")
    parser.add_argument("--dtype", choices=("float32", "float64"))
    parser.add_argument("--json", action="store_true", help="print the summary as one line of JSON")


def check_workers(count: int) -> None:
    """Raises ValueError for a number of processes that no machine has."""
    if not 0 <= count <= MOST_WORKERS:
        raise ValueError(f"--workers must be between 0 and {MOST_WORKERS}, got {count}")


def ensemble(arguments: Namespace) -> int:
    """``spinviz ensemble PRESET``."""
    from tqdm import tqdm

    from engine.presets import PRESETS
    from spinviz.commands.headless import asked_to_stop
    from spinviz.ensemble import EnsemblePlan, parse_sweep, run_ensemble

    check_workers(arguments.workers)
    sweep: dict[str, tuple[float, ...]] = {}
    for text in arguments.sweep:
        name, values = parse_sweep(text)
        if name in sweep:
            raise ValueError(f"--sweep {name} is given twice; give all its values in one")
        sweep[name] = values
    known = PRESETS.get(arguments.preset)
    plan = EnsemblePlan(
        arguments.preset, arguments.replicas, sweep, arguments.steps, arguments.every,
        arguments.observables or (known.observables if known else ()), arguments.seed, arguments.size,
        {name: getattr(arguments, name) for name in SETTINGS if getattr(arguments, name) is not None},
        not arguments.no_spins,
    )  # fmt: skip
    total = len(plan) * plan.replicas
    with (
        asked_to_stop() as asked,
        tqdm(total=total, desc="ensemble", unit="run", file=sys.stderr, smoothing=0.1) as bar,
    ):

        def progress(more: int, done: int) -> None:
            if bar.n == 0 and done > more:
                bar.initial = bar.n = done - more  # found in the file: not part of the speed
            bar.update(more)

        outcome = run_ensemble(
            plan, arguments.out, arguments.workers, arguments.scheduler, arguments.batch, progress,
            lambda text: bar.write(text, file=sys.stderr), asked,
        )  # fmt: skip
    return _finish(outcome, len(plan), plan.replicas, arguments.json)


def _finish(outcome: Any, points: int, replicas: int, as_json: bool) -> int:
    summary = {
        "file": str(outcome.path), "points": points, "replicas": replicas, "done": outcome.done, "made": outcome.made,
        "failed": len(outcome.failed), "seconds": round(outcome.seconds, 2),
    }  # fmt: skip
    if as_json:
        print(json.dumps(summary), flush=True)
    else:
        print(f"{outcome.path}: {outcome.done} of {outcome.total} runs ({points} points x {replicas} replicas), "
              f"{outcome.made} new in {outcome.seconds:.1f} s")  # fmt: skip
    if outcome.failed:
        (point, replica), why = next(iter(outcome.failed.items()))
        print(f"spinviz: error: {len(outcome.failed)} runs failed, the first at point {point}, replica {replica}: {why}; "
              "the same command tries them again", file=sys.stderr)  # fmt: skip
        return 1
    if outcome.stopped:
        print(f"spinviz: interrupted; the same command goes on with {outcome.path}", file=sys.stderr)
        return 130
    return 0
