"""Active learning: label the configurations on which an ensemble of networks disagrees most.

One block is one record: ``candidates`` snapshots of quenches from random spins, moved by the networks themselves (each
block by the next one), of which the one with the largest disagreement is labelled exactly,

    disagreement = sqrt(mean over sites and networks of |h_perp - mean over networks|^2).

Everything is a pure function of (seed, block), as in :mod:`engine.learning.sampling`; use another seed than the first
data set, whose quenches start from the same spins otherwise.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from engine.forces import ForceProvider
from engine.lattice import Lattice
from engine.learning.dataset import append, labelled, opened
from engine.learning.force import LearnedForce
from engine.learning.network import Network, field_and_energy, transverse
from engine.learning.sampling import SNAPSHOT_STEPS, Block, Configuration, Shape, Source, configurations


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
    path: Path, settings: Mapping[str, Any],
) -> Iterator[int]:  # fmt: skip
    """Write ``count`` records, shapes in turns; yields the number of records after each. Goes on where it stopped."""
    if len(networks) < 2 or candidates < 1:
        raise ValueError(
            f"active learning needs two networks or more and candidates, got {len(networks)}, {candidates}"
        )
    exact: dict[Shape, ForceProvider] = {}
    with opened(path, settings) as file:
        done, written = labelled(file)
        yield written
        for number in range(count):
            if number in done:
                continue
            shape = shapes[number % len(shapes)]
            if shape not in exact:
                exact[shape] = source.exact(source.lattice(shape))
            chosen = most_disputed(source, networks, number, shape, seed, candidates)
            written += append(file, shape, [chosen], "quench", number, exact[shape])
            file.flush()
            yield written
