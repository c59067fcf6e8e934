"""What ``spinviz dataset`` does, once its arguments are parsed (see learning_arguments.py)."""

from __future__ import annotations

import itertools
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from engine.learnable import source
from engine.learning import dataset as data
from engine.learning.active import label_disputed
from engine.learning.network import ElectronSetting, Network
from engine.learning.sampling import Shape, plan
from engine.learning.weights import ENDING, find, read_network
from engine.presets import PRESETS, system
from spinviz.commands.headless import asked_to_stop, use_threads

REGULAR_MIX, RANDOM_MIX = {"random": 0.4, "quench": 0.3, "texture": 0.3}, {"random": 0.4, "quench": 0.6}


def dataset(arguments: Namespace) -> int:
    """``spinviz dataset PRESET``."""
    use_threads(arguments.threads)
    shapes, twists, mix = _plan(arguments)
    what = source(arguments.preset, twists, shapes[0])
    settings = {
        "preset": arguments.preset, "size": [list(shape) for shape in shapes], "mix": mix, "twists": list(twists),
        "seed": arguments.seed,
    }  # fmt: skip
    electrons = _electrons(arguments)
    if electrons:
        settings["electrons"] = [setting._asdict() for setting in electrons]
    path, seed = Path(arguments.out), arguments.seed
    if arguments.networks:
        names = [Path(name).name if name.endswith(ENDING) else name for name in arguments.networks]  # no folders
        settings |= {"mix": None, "networks": names, "candidates": arguments.candidates}
        networks = [network_of(arguments.preset, name)[0] for name in arguments.networks]
        written: Iterator[int] = label_disputed(
            what, networks, shapes, arguments.count, arguments.candidates, seed, path, settings
        )
    else:
        blocks = plan(mix, shapes, arguments.count, electrons)
        written = data.label(what, blocks, seed, path, settings)
    done = 0
    with asked_to_stop() as asked, tqdm(total=arguments.count, desc="label", unit="record", file=sys.stderr) as bar:
        for done in written:
            bar.update(done - bar.n)
            if asked and done < arguments.count:
                print(f"{path}: {done} records; the same command goes on from here", file=sys.stderr)
                return 130
    print(f"{path}: {done} records")
    return 0


def network_of(preset: str, name: str) -> tuple[Network, dict[str, Any]]:
    """A shipped network or a file, and its card. Raises ValueError where it is of another preset."""
    network, card = read_network(find(name))
    if card["preset"] != preset:
        raise ValueError(f"{name} was trained for {card['preset']!r}, not for {preset!r}")
    return network, card


def _plan(arguments: Namespace) -> tuple[tuple[Shape, ...], tuple[int, int], dict[str, float]]:
    """Shapes, twists and mix of a data set. Raises ValueError for what only a regular lattice, or only random sites,
    have."""
    preset = PRESETS.get(arguments.preset)
    if preset is None or preset.lattice != "random_sites":
        if arguments.realizations:
            raise ValueError(f"--realizations are of random sites; preset {arguments.preset!r} has none")
        return arguments.size or ((12, 12),), arguments.twists or (8, 8), arguments.mix or REGULAR_MIX
    if arguments.mix and arguments.mix.get("texture"):
        raise ValueError("textures need a regular lattice; a mix of random sites has random=.. and quench=..")
    sites = arguments.size[0][0] if arguments.size else preset.size
    shapes = tuple((sites, seed) for seed in arguments.realizations or range(10))
    return shapes, arguments.twists or (1, 1), arguments.mix or RANDOM_MIX


def _electrons(arguments: Namespace) -> tuple[ElectronSetting, ...]:
    """All combinations of the swept values; () without --sweep. Raises ValueError for what cannot vary."""
    from spinviz.ensemble import parse_sweep  # here: what spreads ensembles takes a second to load

    swept = dict(map(parse_sweep, arguments.sweep))
    if not swept:
        return ()
    if len(swept) < len(arguments.sweep) or not set(swept) <= set(ElectronSetting._fields) or arguments.networks:
        raise ValueError(
            f"--sweep takes {' and '.join(ElectronSetting._fields)}, each once and without --from, got "
            f"{', '.join(arguments.sweep)}"
        )
    usual = system(arguments.preset)
    axes = [swept.get(name, (getattr(usual, name),)) for name in ElectronSetting._fields]
    return tuple(ElectronSetting(*values) for values in itertools.product(*axes))
