"""Arguments of ``spinviz dataset``, ``train`` and ``evaluate`` (see cli.py)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

NETWORKS = ("ecnn", "cnn", "bp", "rings", "adjustable", "poles", "messages", "moments", "acsf", "medium")
FORCES = ("ed", "poles", "kpm", "classical")
WEIGHTS = Path(__file__).resolve().parents[2] / "assets" / "weights"


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def whole(text: str) -> int:
    """A whole number, 0 among them."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number that is not negative, got {text!r}")
    return int(text)


def shapes(text: str) -> tuple[tuple[int, int], ...]:
    """ "12" -> ((12, 12),);  "12x12,9x16" -> ((12, 12), (9, 16))."""
    found = []
    for word in text.split(","):
        lengths = word.split("x") if "x" in word else [word, word]
        if len(lengths) != 2 or not all(length.isdecimal() and int(length) >= 3 for length in lengths):
            raise argparse.ArgumentTypeError(f"expected sizes of at least 3 such as 12 or 12x12,9x16, got {text!r}")
        found.append((int(lengths[0]), int(lengths[1])))
    return tuple(found)


def mix(text: str) -> dict[str, float]:
    """ "random=0.5,quench=0.5" -> {"random": 0.5, "quench": 0.5}."""
    try:
        return {kind.strip(): float(share) for kind, share in (word.split("=") for word in text.split(","))}
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected shares such as random=0.4,quench=0.3,texture=0.3, got {text!r}"
        ) from None


def span(text: str) -> range:
    """ "0:10" -> range(0, 10);  "10:13" -> range(10, 13)."""
    words = text.split(":")
    if len(words) != 2 or not all(word.isdecimal() for word in words) or int(words[0]) >= int(words[1]):
        raise argparse.ArgumentTypeError(f"expected first:last such as 0:10, got {text!r}")
    return range(int(words[0]), int(words[1]))


def square_mesh(text: str) -> tuple[int, int]:
    """ "8" -> (8, 8);  "8,4" -> (8, 4)."""
    words = text.split(",")
    if len(words) > 2 or not all(word.isdecimal() and int(word) >= 1 for word in words):
        raise argparse.ArgumentTypeError(f"expected a whole number k or two, k1,k2, got {text!r}")
    return int(words[0]), int(words[-1])


def force(text: str) -> str:
    """ "ed", "kpm", "classical", a shipped network ("best", "skyrmion/best") or a .safetensors file."""
    shipped = {path.stem for path in WEIGHTS.glob("*/*.safetensors")}
    if text.lower() in FORCES or text in shipped or "/" in text or text.endswith(".safetensors"):
        return text
    names = ", ".join([*FORCES, *sorted(shipped)])
    raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {names}, or a .safetensors file)")


def files(text: str) -> tuple[str, ...]:
    """ "a.h5,b.h5" -> ("a.h5", "b.h5")."""
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"expected files separated by commas, got {text!r}")
    return found


def setting(text: str) -> tuple[str, Any]:
    """ "channels=8" -> ("channels", 8); the value is JSON, or else text."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"expected key=value such as channels=8, got {text!r}")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def add_learning(commands: Any) -> None:
    """All of them."""
    add_dataset(commands)
    add_train(commands)
    add_evaluate(commands)


def add_dataset(commands: Any) -> None:
    dataset = commands.add_parser("dataset", help="label configurations with exact forces", allow_abbrev=False)
    dataset.add_argument("preset", metavar="PRESET")
    dataset.add_argument("--size", type=shapes, metavar="L|L1xL2,..",
                         help="shapes, in turns (12); of random sites: their number (the preset's)")  # fmt: skip
    dataset.add_argument("--realizations", type=span, metavar="FIRST:LAST",
                         help="seeds of random sites, in turns, without the last (0:10)")  # fmt: skip
    dataset.add_argument("--twists", type=square_mesh, metavar="K",
                         help="mesh of twists of the first shape; others get as many as make the same period (8)",
    )  # fmt: skip
    dataset.add_argument("--mix", type=mix, metavar="KIND=SHARE,..",
                         help="random=0.4,quench=0.3,texture=0.3; late: ends of long quenches; of random sites: "
                         "random=0.4,quench=0.6")  # fmt: skip
    dataset.add_argument("--sweep", action="append", default=[], metavar="NAME=FIRST:LAST:SPACING|NAME=A,B,..",
                         help="other electrons, in turns: chemical_potential, coupling or both; for networks that know "
                         "them all")  # fmt: skip
    dataset.add_argument("--count", type=count, default=1000, metavar="N", help="records wanted (1000)")
    dataset.add_argument("--seed", type=whole, default=0)
    dataset.add_argument("--out", required=True, metavar="DATA.h5")
    dataset.add_argument("--from", dest="networks", type=files, metavar="A.safetensors,B.safetensors",
                         help="active learning: label where these networks disagree most, on their own quenches",
    )  # fmt: skip
    dataset.add_argument(
        "--candidates", type=count, default=24, metavar="K", help="looked at per record, with --from (24)"
    )
    dataset.add_argument("--threads", type=count, metavar="N", help="CPU threads")


def add_train(commands: Any) -> None:
    train = commands.add_parser("train", help="train a network on a data set", allow_abbrev=False)
    train.add_argument("preset", metavar="PRESET")
    train.add_argument("--network", choices=NETWORKS, default="ecnn")
    train.add_argument("--data", type=files, required=True, metavar="DATA.h5,..")
    train.add_argument("--out", required=True, metavar="NET.safetensors",
                       help="beside it: NET.json, NET.png, NET.checkpoint.safetensors; the same command goes on",
    )  # fmt: skip
    train.add_argument("--steps", type=count, metavar="N")
    train.add_argument("--batch", type=count, metavar="B", help="records of one shape in a step")
    train.add_argument("--batches", type=count, metavar="K", help="of each step; more where electrons vary (1)")
    train.add_argument("--rate", type=float, metavar="LR", help="largest learning rate")
    train.add_argument("--energy-weight", type=float, metavar="W")
    train.add_argument("--full-field", action="store_true", default=None, help="learn the longitudinal field too")
    train.add_argument("--warm-up", type=whole, metavar="N", help="steps")
    train.add_argument("--decay", type=float, metavar="D", help="of the average of the weights (0.999)")
    train.add_argument("--validate-every", type=count, metavar="N", help="steps")
    train.add_argument("--minutes", type=float, metavar="M", help="end then at the latest")
    train.add_argument("--seed", type=whole, default=0)
    train.add_argument("--set", type=setting, action="append", default=[], metavar="KEY=VALUE",
                       help="configuration of the network, values in JSON; may be repeated")  # fmt: skip
    train.add_argument("--begin-with", metavar="NAME|FILE", help="train this network on, instead of a new one")
    train.add_argument("--active", action="store_true", help="then label what an ensemble disputes and train on")
    train.add_argument("--rounds", type=count, default=3, metavar="R", help="of labelling, with --active (3)")
    train.add_argument("--per-round", type=count, default=50, metavar="K", help="records, with --active (50)")
    train.add_argument("--members", type=count, default=2, metavar="M", help="networks of the ensemble (2)")
    train.add_argument(
        "--candidates", type=count, default=24, metavar="C", help="looked at per record, with --active (24)"
    )
    train.add_argument("--device", help="cpu (default) or cuda")
    train.add_argument("--threads", type=count, metavar="N", help="CPU threads")


def add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="errors of a trained network", allow_abbrev=False)
    evaluate.add_argument("network", metavar="NAME|FILE", help="skyrmion/best, or a .safetensors file")
    evaluate.add_argument("--data", type=files, required=True, metavar="DATA.h5,..",
                          help="of data it was trained on, only the validation part is used")  # fmt: skip
    evaluate.add_argument("--out", metavar="REPORT.json")
    evaluate.add_argument("--plots", metavar="FOLDER", help="write pictures there")
    evaluate.add_argument("--size", type=shapes, metavar="L,..",
                          help="sizes at which the speed is measured (24,48; numbers of random sites: 100,400)",
    )  # fmt: skip
    evaluate.add_argument("--dynamics", type=count, metavar="STARTS",
                          help="also compare quenches from so many starts with exact ones (minutes)")  # fmt: skip
    evaluate.add_argument("--threads", type=count, metavar="N", help="CPU threads")
