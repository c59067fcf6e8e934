"""What ``spinviz dataset``, ``train`` and ``evaluate`` do, once their arguments are parsed (see cli_learning.py)."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import torch
from tqdm import tqdm

from engine.learning import dataset as data
from engine.learning.sampling import plan
from engine.presets import source


def dataset(arguments: Namespace) -> int:
    """``spinviz dataset PRESET``."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    what = source(arguments.preset, arguments.twists, arguments.size[0])
    blocks = plan(arguments.mix, arguments.size, arguments.count)
    settings = {
        "preset": arguments.preset, "size": [list(shape) for shape in arguments.size], "mix": arguments.mix,
        "twists": list(arguments.twists), "seed": arguments.seed,
    }  # fmt: skip
    path = Path(arguments.out)
    written = 0
    with tqdm(total=arguments.count, desc="label", unit="record", file=sys.stderr) as bar:
        try:
            for written in data.label(what, blocks, arguments.seed, path, settings):
                bar.update(written - bar.n)
        except KeyboardInterrupt:
            print(f"{path}: {written} records; the same command goes on from here", file=sys.stderr)
            return 130
    print(f"{path}: {written} records")
    return 0
