"""Active learning: label the configurations on which an ensemble of networks disagrees most.

One block is one record: ``candidates`` snapshots of quenches from random spins, moved by the networks themselves (each
block by the next one), of which the one with the largest disagreement is labelled exactly,

    disagreement = sqrt(mean over sites and networks of |h_perp - mean over networks|^2).

Everything is a pure function of (seed, block), as in :mod:`engine.learning.sampling`; use another seed than the first
data set, whose quenches start from the same spins otherwise.

:func:`learn_actively` goes round: train every member, label where they disagree, train on with what was labelled. All
it knows is in one folder, networks by round and member and the labels; it goes on from whatever is there.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.forces import ForceProvider
from engine.lattice import Lattice
from engine.learning.dataset import Records, append, labelled, opened, read
from engine.learning.force import LearnedForce
from engine.learning.network import Network, field_and_energy, transverse
from engine.learning.run import FREE_OPTIONS, TrainingOptions
from engine.learning.sampling import SNAPSHOT_STEPS, Block, Configuration, Shape, Source, configurations
from engine.learning.train import epsilon, joined, split, train
from engine.learning.weights import read_network, save_network

LABELS = "labels.h5"


@dataclass(frozen=True)
class ActiveOptions:
    """``rounds`` of labelling ``per_round`` records, each the most disputed of ``candidates``; a training of all
    members comes before, between and after them. Raises ValueError for numbers below 1."""

    rounds: int = 3
    per_round: int = 50
    candidates: int = 24

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


@dataclass(frozen=True)
class ActiveProgress:
    """Where active learning is: ``done`` of ``total`` steps of this "train" or records of this "label"."""

    stage: str
    round: int
    member: int
    done: int
    total: int
    error: float | None = None


def disagreement(networks: Sequence[Network], spin: torch.Tensor, shape: Shape) -> float:
    """Spread of the networks' transverse fields on one configuration (N, 3). Raises ValueError for fewer than two."""
    if len(networks) < 2:
        raise ValueError(f"disagreement needs at least two networks, got {len(networks)}")
    fields = torch.stack([transverse(field_and_energy(network, spin[None], shape)[0], spin) for network in networks])
    return float((fields - fields.mean(0)).square().sum(-1).mean().sqrt())


def most_disputed(
    source: Source, networks: Sequence[Network], number: int, shape: Shape, seed: int, candidates: int
) -> Configuration:
    """The candidate of block ``number`` on which the networks disagree most."""
    mover = number % len(networks)

    def learned(lattice: Lattice) -> ForceProvider:
        return LearnedForce(networks[mover], {}, networks[mover].place(lattice))

    moved = dataclasses.replace(source, rough=learned)
    runs = math.ceil(candidates / len(SNAPSHOT_STEPS))
    quenches = (configurations(moved, Block(number * runs + run, "quench", shape), seed) for run in range(runs))
    found = [(disagreement(networks, c.spin, shape), c) for quench in quenches for c in quench]
    value, chosen = max(found, key=lambda pair: pair[0])
    return dataclasses.replace(chosen, origin={**chosen.origin, "disagreement": value, "moved_by": mover})


def label_disputed(
    source: Source, networks: Sequence[Network], shapes: Sequence[Shape], count: int, candidates: int, seed: int,
    path: Path, settings: Mapping[str, Any], first: int = 0,
) -> Generator[int, None, None]:  # fmt: skip
    """Write ``count`` records, shapes in turns, numbered from ``first`` on; yields the number of records in the file
    after each. Goes on where it stopped."""
    if len(networks) < 2 or candidates < 1:
        raise ValueError(
            f"active learning needs two networks or more and candidates, got {len(networks)}, {candidates}"
        )
    exact: dict[Shape, ForceProvider] = {}
    with opened(path, settings) as file:
        done, written = labelled(file)
        yield written
        for number in range(first, first + count):
            if number in done:
                continue
            shape = shapes[number % len(shapes)]
            if shape not in exact:
                exact[shape] = source.exact(source.lattice(shape))
            chosen = most_disputed(source, networks, number, shape, seed, candidates)
            written += append(file, shape, [chosen], "quench", number, exact[shape])
            file.flush()
            yield written


def learn_actively(
    source: Source, shapes: Sequence[Shape], groups: Sequence[Records], members: Sequence[Network],
    training: TrainingOptions, options: ActiveOptions, folder: Path, settings: Mapping[str, Any], seed: int = 0,
) -> Generator[ActiveProgress, None, None]:  # fmt: skip
    """Train ``members`` in place on ``groups`` and, round by round, on what they dispute.

    Yields after every step of training and every label; the caller may stop at any of them and call again, with the
    same arguments, to go on. Raises ValueError for fewer than two members, and when the folder belongs to another run.
    """
    if len(members) < 2:
        raise ValueError(f"active learning needs two networks or more, got {len(members)}")
    folder.mkdir(parents=True, exist_ok=True)
    labels = folder / LABELS
    about = {**settings, "candidates": options.candidates, "seed": seed}
    for number in range(options.rounds + 1):
        known = [*groups, *_labels(labels, number * options.per_round)]
        for member, network in enumerate(members):
            yield from _trained(network, joined(known), training, folder, number, member, seed)
        if number < options.rounds:
            first = number * options.per_round
            written = label_disputed(
                source, members, shapes, options.per_round, options.candidates, seed, labels, about, first
            )
            with closing(written):
                for records in written:
                    yield ActiveProgress("label", number, 0, records - first, options.per_round)


def rounds(folder: Path, per_round: int) -> list[dict[str, float]]:
    """What every round of labelling met: its number, records, and their mean disagreement."""
    found: dict[int, list[float]] = {}
    for group in _labels(folder / LABELS, None):
        for block, text in zip(group.block.tolist(), group.origin, strict=True):
            found.setdefault(block // per_round, []).append(json.loads(text)["disagreement"])
    return [{"round": n, "records": len(v), "disagreement": sum(v) / len(v)} for n, v in sorted(found.items())]


def _trained(
    network: Network, groups: Sequence[Records], options: TrainingOptions, folder: Path, number: int, member: int,
    seed: int,
) -> Generator[ActiveProgress, None, None]:  # fmt: skip
    """One training of one member, or its result if that is there already."""
    name = f"round{number}-member{member}"
    result, checkpoint = folder / f"{name}.safetensors", folder / f"{name}.checkpoint.safetensors"
    seed = seed + 1000 * number + member
    fixed = {key: v for key, v in dataclasses.asdict(options).items() if key not in FREE_OPTIONS}
    about = {"seed": seed, "options": fixed, "records": [[*group.shape, len(group)] for group in groups]}
    if result.exists():
        before, card = read_network(result)
        same = type(before) is type(network) and before.configuration == network.configuration
        if not same or card.get("about") != json.loads(json.dumps(about)):
            raise ValueError(f"{result} was trained otherwise than asked for now; remove {folder} or use another --out")
        network.load_state_dict(before.state_dict())
    else:
        with closing(train(network, groups, options, checkpoint, seed, fresh=number == 0)) as steps:
            for progress in steps:
                yield ActiveProgress("train", number, member, progress.step, options.steps, progress.validation)
        save_network(result, network, {"about": about})
        checkpoint.unlink(missing_ok=True)
    network.requires_grad_(False).eval()
    yield ActiveProgress("train", number, member, options.steps, options.steps, epsilon(network, split(groups)[1]))


def _labels(path: Path, before: int | None) -> list[Records]:
    """Records labelled so far, of blocks below ``before``."""
    if not path.exists() or before == 0:
        return []
    groups, _ = read(path)
    chosen = [group.where(group.block < before) if before is not None else group for group in groups]
    return [group for group in chosen if len(group)]
