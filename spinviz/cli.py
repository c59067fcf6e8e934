"""The ``spinviz`` command: run, resume, movie, export, info, serve; dataset, train, evaluate.

Exit codes: 0 done, 1 a step failed, 2 wrong input (one sentence on stderr), 130 interrupted (files are readable and a
checkpoint is there).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from spinviz.commands.bench import add_bench
from spinviz.commands.ensemble import add_ensemble
from spinviz.commands.learning_arguments import add_learning, count, force
from spinviz.commands.reproduce import add_reproduce

VIEWS = ("texture", "chirality", "charge", "structure", "curves", "all", "scene")
DTYPES = ("float32", "float64")
MAYBE_NEGATIVE = (
    "--field",
    "--chemical-potential",
    "--temperature",
    "--damping",
    "--time-step",
    "--coupling",
)  # -1e-3, say


class WrongInputError(Exception):
    """A command line that cannot be obeyed; the message says what was expected, what came, what to do."""


class Parser(argparse.ArgumentParser):
    """Errors are one sentence, raised instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise WrongInputError(f"{message}; see '{self.prog} --help'")


class Version(argparse.Action):
    """--version, looked up only when asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(
            option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help="print the version"
        )

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from spinviz.commands.running import installed_version

        print(f"spinviz {installed_version()}")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        settings = build_parser().parse_args(_with_negative_values(words))
        from spinviz.commands.running import COMMANDS  # heavy imports come after the arguments are known to be right

        return int(COMMANDS[settings.command](settings))
    except SystemExit as leaving:  # --help and --version
        return int(leaving.code or 0)
    except (WrongInputError, ValueError, OSError, MemoryError, IndexError) as error:
        print(f"spinviz: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("spinviz: interrupted", file=sys.stderr)
        return 130


def build_parser() -> Parser:
    """The command line as data."""
    parser = Parser(prog="spinviz", description="Itinerant magnets: run, record, look.", allow_abbrev=False)
    parser.add_argument("--version", action=Version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    _add_run(commands)
    _add_resume(commands)
    _add_others(commands)
    add_learning(commands)
    add_ensemble(commands, count, vector, mesh, names, device)
    add_reproduce(commands)
    add_bench(commands, count, names, device)
    return parser


def vector(text: str) -> tuple[float, ...]:
    """ "0,0,0.01" -> (0.0, 0.0, 0.01)."""
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise argparse.ArgumentTypeError(f"expected three numbers x,y,z without spaces, got {text!r}")
    return numbers


def mesh(text: str) -> tuple[int, ...]:
    """ "4,4" -> (4, 4)."""
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 2 or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"expected two whole numbers k1,k2 of at least 1, got {text!r}")
    return numbers


def names(text: str) -> tuple[str, ...]:
    """ "energy,magnetization" -> ("energy", "magnetization")."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def device(text: str) -> str:
    """ "cpu", "cuda" or "cuda:1"."""
    kind, _, number = text.partition(":")
    if text != "cpu" and not (kind == "cuda" and (number.isdecimal() or text == "cuda")):
        raise argparse.ArgumentTypeError(f"expected cpu, cuda or cuda:NUMBER, got {text!r}")
    return text


def _add_run(commands: Any) -> None:
    run = commands.add_parser("run", help="run a preset, record it", allow_abbrev=False)
    run.add_argument("preset", metavar="PRESET", help="name of the system; 'spinviz info' lists them")
    run.add_argument("--size", type=count, help="linear size L (number of sites for random sites)")
    run.add_argument(
        "--force", type=force, metavar="NAME", help="ed, poles, kpm, classical, a network (best) or its file"
    )
    run.add_argument("--field", type=vector, metavar="X,Y,Z", help="magnetic field, in t1")
    run.add_argument("--temperature", type=float, metavar="T", help="of the bath, in t1")
    run.add_argument("--electron-temperature", type=float, metavar="T", help="default: the bath's; at 0, the preset's")
    run.add_argument("--damping", type=float, metavar="A")
    run.add_argument("--time-step", type=float, metavar="DT", help="in hbar/t1")
    run.add_argument("--seed", type=int, metavar="S")
    run.add_argument("--replicas", type=count, metavar="B", help="independent runs at once, with seeds S, S+1, ...")
    run.add_argument("--texture", metavar="NAME", help="initial spins: a name, or an OVF file")
    run.add_argument("--twists", type=mesh, metavar="K1,K2", help="mesh of boundary twists")
    run.add_argument("--moments", type=count, metavar="M", help="Chebyshev moments (kpm)")
    run.add_argument("--probes", type=count, metavar="R", help="columns of probes (kpm)")
    filling = run.add_mutually_exclusive_group()
    filling.add_argument("--chemical-potential", type=float, metavar="MU", help="in t1")
    filling.add_argument("--filling", type=float, metavar="N", help="electrons per spin-orbital, between 0 and 1")
    run.add_argument("--coupling", type=float, metavar="J", help="of electrons and spins, in t1")
    run.add_argument("--device", type=device, metavar="NAME", help="cpu or cuda")
    run.add_argument("--dtype", choices=DTYPES)
    _add_recording(run)


def _add_resume(commands: Any) -> None:
    resume = commands.add_parser("resume", help="continue from a checkpoint", allow_abbrev=False)
    resume.add_argument("file", metavar="CHECKPOINT")
    _add_recording(resume)


def _add_recording(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=count, default=100, metavar="N", help="steps to make (100)")
    parser.add_argument("--every", type=count, default=1, metavar="K", help="steps between frames (1)")
    parser.add_argument("--observables", type=names, metavar="A,B", help="what is measured at each frame")
    parser.add_argument("--out", metavar="RUN.h5", help="trajectory; 'resume' appends to an existing one")
    parser.add_argument("--movie", metavar="RUN.mp4", help=".mp4, .webm or .gif")
    parser.add_argument("--checkpoint", metavar="RUN.ckpt", help="default: beside --out")
    parser.add_argument("--threads", type=count, metavar="N", help="CPU threads")
    parser.add_argument("--json", action="store_true", help="print the summary as one line of JSON")
    _add_movie_options(parser)


def _add_movie_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames-per-second", type=count, default=25, metavar="F", help="of the movie (25)")
    parser.add_argument("--height", type=count, default=544, metavar="PIXELS", help="of the movie (544)")
    parser.add_argument("--view", choices=VIEWS, default="texture", help="what the movie shows (texture)")
    parser.add_argument("--plain", action="store_true", help="no text and no colour key in the movie")


def _add_others(commands: Any) -> None:
    movie = commands.add_parser("movie", help="make a movie of a trajectory", allow_abbrev=False)
    movie.add_argument("file", metavar="RUN.h5")
    movie.add_argument("out", metavar="OUT.mp4")
    movie.add_argument("--every", type=count, default=1, metavar="K", help="take each K-th frame (1)")
    movie.add_argument("--replica", type=int, default=0, metavar="R")
    movie.add_argument("--caption", default="", metavar="TEXT")
    _add_movie_options(movie)
    export = commands.add_parser("export", help="write one frame as OVF 2.0 or VTK", allow_abbrev=False)
    export.add_argument("file", metavar="RUN.h5")
    export.add_argument("out", metavar="OUT.ovf|OUT.vtk")
    export.add_argument("--frame", type=int, default=-1, metavar="I", help="negative: from the end (-1)")
    export.add_argument("--replica", type=int, default=0, metavar="R")
    export.add_argument("--representation", choices=("text", "binary4", "binary8"), default="binary8")
    info = commands.add_parser("info", help="versions, devices, presets; or what is in a file", allow_abbrev=False)
    info.add_argument("file", nargs="?", metavar="FILE", help="trajectory, checkpoint or OVF file")
    info.add_argument("--json", action="store_true")
    serve = commands.add_parser("serve", help="open the apps on 127.0.0.1", allow_abbrev=False)
    serve.add_argument("--port", type=count, default=5006)
    serve.add_argument("--show", action="store_true", help="open a browser")
    serve.add_argument("--recordings", metavar="FOLDER", help="own recordings (.h5), offered in the gallery")
    serve.add_argument("--address", default="127.0.0.1", metavar="HOST", help="where to listen (this machine only)")
    serve.add_argument("--origin", action="append", default=[], metavar="HOST[:PORT]", help="name that browsers use")
    serve.add_argument("--public", action="store_true", help="limit lattice size, open pages and uploads")
    serve.add_argument("--largest-size", type=count, default=128, metavar="L", help="with --public: of a lattice (128)")
    serve.add_argument("--sessions", type=count, default=20, metavar="N", help="with --public: pages open at once (20)")


def _with_negative_values(words: list[str]) -> list[str]:
    """Join '--field' and '-1,0,0', or '--chemical-potential' and '-1e-3', which would look like two options."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in MAYBE_NEGATIVE and word.startswith("-") and not word.startswith("--"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _one_line(error: BaseException) -> str:
    if isinstance(error, MemoryError) and not str(error):
        return "not enough memory; use a smaller size, fewer replicas or fewer twists"
    return " ".join(str(error).split())


if __name__ == "__main__":
    raise SystemExit(main())
