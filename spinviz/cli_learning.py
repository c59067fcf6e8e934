"""Arguments of ``spinviz dataset``, ``train`` and ``evaluate`` (see cli.py)."""

from __future__ import annotations

import argparse
from typing import Any


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


def square_mesh(text: str) -> tuple[int, int]:
    """ "8" -> (8, 8);  "8,4" -> (8, 4)."""
    words = text.split(",")
    if len(words) > 2 or not all(word.isdecimal() and int(word) >= 1 for word in words):
        raise argparse.ArgumentTypeError(f"expected a whole number k or two, k1,k2, got {text!r}")
    return int(words[0]), int(words[-1])


def add_dataset(commands: Any) -> None:
    dataset = commands.add_parser("dataset", help="label configurations with exact forces", allow_abbrev=False)
    dataset.add_argument("preset", metavar="PRESET")
    dataset.add_argument("--size", type=shapes, default=((12, 12),), metavar="L|L1xL2,..", help="shapes, in turns (12)")
    dataset.add_argument("--twists", type=square_mesh, default=(8, 8), metavar="K",
                         help="mesh of twists of the first shape; others get as many as make the same period (8)")  # fmt: skip
    dataset.add_argument("--mix", type=mix, default={"random": 0.4, "quench": 0.3, "texture": 0.3},
                         metavar="KIND=SHARE,..", help="random=0.4,quench=0.3,texture=0.3")  # fmt: skip
    dataset.add_argument("--count", type=int, default=1000, metavar="N", help="records wanted (1000)")
    dataset.add_argument("--seed", type=int, default=0)
    dataset.add_argument("--out", required=True, metavar="DATA.h5")
    dataset.add_argument("--threads", type=int, metavar="N", help="CPU threads")
