"""``spinviz bench``: its arguments, and what it does (see spinviz.benchmark.bench)."""

from __future__ import annotations

import argparse
import json
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any


def sizes(text: str) -> tuple[int, ...]:
    """ "12,24" -> (12, 24)."""
    words = text.split(",")
    if not all(word.isdecimal() and int(word) >= 1 for word in words):
        raise argparse.ArgumentTypeError(f"expected whole numbers separated by commas such as 12,24, got {text!r}")
    return tuple(int(word) for word in words)


def seconds(text: str) -> float:
    """A time > 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds > 0, got {text!r}")
    return value


def add_bench(commands: Any, count: Callable, names: Callable, device: Callable) -> None:
    """The arguments."""

    def devices(text: str) -> tuple[str, ...]:
        return tuple(device(word) for word in names(text))

    parser = commands.add_parser("bench", help="speed, error and memory of every force", allow_abbrev=False)
    parser.add_argument("--preset", default="skyrmion", metavar="NAME", help="the system (skyrmion)")
    parser.add_argument("--sizes", type=sizes, default=(12, 24), metavar="L,..", help="linear sizes (12,24)")
    parser.add_argument("--devices", type=devices, default=("cpu",), metavar="NAME,..", help="cpu, cuda, cuda:1 (cpu)")
    parser.add_argument("--methods", type=names, default=(), metavar="A,B",
                        help="of ed, poles, kpm, kpm-coloured, published, kpm-triton (GPUs), classical, learned ones (all)",
    )  # fmt: skip
    parser.add_argument("--seconds", type=seconds, default=2.0, metavar="S", help="spent on each rate (2)")
    parser.add_argument("--limit", type=seconds, default=300.0, metavar="S", help="a row may take at most (300)")
    parser.add_argument("--moments", type=count, default=500, metavar="M", help="of Chebyshev rows (500)")
    parser.add_argument("--probes", type=count, default=128, metavar="R", help="columns of stochastic rows (128)")
    parser.add_argument("--threads", type=count, default=1, metavar="N", help="CPU threads (1)")
    parser.add_argument("--json", action="store_true", help="print all rows as one line of JSON")


def bench(arguments: Namespace) -> int:
    """``spinviz bench``."""
    from spinviz.benchmark.bench import Plan, table
    from spinviz.benchmark.bench import bench as measured

    chosen = {key: value for key, value in vars(arguments).items() if key not in ("command", "json")}

    def say(text: str) -> None:
        print(f"bench: {text}", file=sys.stderr, flush=True)

    found = measured(Plan(**chosen), say)
    print(json.dumps(found, allow_nan=False) if arguments.json else table(found["rows"]))
    return 0
