"""``spinviz reproduce``: its arguments, and what it does (see spinviz.reproduce)."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from spinviz.commands.ensemble import check_workers


def add_reproduce(commands: Any) -> None:
    """The arguments."""
    parser = commands.add_parser("reproduce", help="make a figure of the papers, with errors", allow_abbrev=False)
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the figure; see --list")
    parser.add_argument("--list", action="store_true", help="what there is, and what each figure needs")
    parser.add_argument("--full", action="store_true", help="the papers' sizes: for a GPU, or a night")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="changes",
        help="another value of one setting (see --list), such as starts=30; may be given several times",
    )
    parser.add_argument("--workers", type=int, default=0, metavar="W",
                        help="processes that compute the figure's runs (0: none but this one)")  # fmt: skip
    parser.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="workers of this Dask scheduler instead")
    parser.add_argument("--out", default=".", metavar="FOLDER", help="gets NAME.png, NAME.svg and NAME.json (.)")
    parser.add_argument("--json", action="store_true", help="print the summary as one line of JSON")


def reproduce(arguments: Namespace) -> int:
    """``spinviz reproduce NAME``."""
    from spinviz.reproduce import reproduce as made

    if arguments.list:
        return _list(arguments.json)
    if arguments.name is None:
        raise ValueError("reproduce needs the name of a figure; 'spinviz reproduce --list' shows them")

    check_workers(arguments.workers)

    def say(text: str) -> None:
        print(f"{arguments.name}: {text}", file=sys.stderr, flush=True)

    a = arguments
    try:
        done = made(a.name, Path(a.out), a.full, a.changes, say, a.workers, a.scheduler)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on with the pieces that are ready")
        raise
    except RuntimeError as error:
        print(f"spinviz: error: {error}; the same command goes on with the pieces that are ready", file=sys.stderr)
        return 1
    if arguments.json:
        compared = [{"quantity": c.quantity, "paper": c.paper, "ours": c.ours, "error": c.error} for c in done.compared]
        print(json.dumps({"files": [str(path) for path in done.files], "seconds": round(done.seconds, 1),
                          "compared": compared, "remarks": list(done.remarks)}))  # fmt: skip
        return 0
    for one in done.compared:
        print(one.text)
    for remark in done.remarks:
        print(remark)
    print(f"{', '.join(str(path) for path in done.files)} in {done.seconds:.0f} s")
    return 0


def _list(as_json: bool) -> int:
    from spinviz.reproduce import FIGURES, missing_weights
    from spinviz.reproduce.figure import plain

    def written(value: Any) -> str:
        return ",".join(f"{one:g}" for one in value) if isinstance(value, list) else f"{value}"

    rows = [{"name": f.name, "paper": f.paper, "shows": f.shows, "full": f.full, "needs": list(f.weights),
             "missing": list(missing_weights(f)), "settings": plain(f.small), "full_settings": plain(f.large)}
            for f in FIGURES.values()]  # fmt: skip
    if as_json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        lacking = f"   [needs {', '.join(row['missing'])}, which is not there]" if row["missing"] else ""
        print(f"{row['name']:<24}{row['paper']}{lacking}\n    {row['shows']}\n    --full: {row['full']}")
        changeable = [f"{key}={written(v)}" for key, v in row["settings"].items() if not isinstance(v, dict)]
        print(f"    --set {'; '.join(changeable)}")
    return 0
