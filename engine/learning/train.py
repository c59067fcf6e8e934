r"""Training: networks learn the exact fields, and energies, of data sets (loss and steps: :mod:`engine.learning.run`).

What is validated and kept is the exponential moving average of the weights. A tenth of all blocks is for validation.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.learning.dataset import Records, read
from engine.learning.network import Network, field_and_energy, transverse, transverse_rms
from engine.learning.networks import NETWORKS
from engine.learning.run import Loss, TrainingOptions, TrainingRun
from engine.learning.weights import network_name

AT_ONCE = 8  # records whose rest is computed together


@dataclass(frozen=True)
class Progress:
    """After ``step`` steps: the loss of the last batch; the last validation error epsilon, None before the first.

    Before the first step loss is nan: a network computes what it leaves to its taught part, if it has one.
    """

    step: int
    loss: float
    validation: float | None
    seconds_left: float


def load(paths: Sequence[Path | str]) -> tuple[list[Records], list[dict[str, Any]]]:
    """Records of several data sets, one group per shape, and the settings of each. Raises ValueError as ``read``."""
    files = [read(path) for path in paths]
    return joined([group for groups, _ in files for group in groups]), [settings for _, settings in files]


def joined(groups: Sequence[Records]) -> list[Records]:
    """The same records with one group per shape and setting of the electrons."""
    alike: dict[Any, list[Records]] = {}
    for group in groups:
        alike.setdefault((group.shape, group.electrons), []).append(group)
    return [_joined(some) for some in alike.values()]


def split(groups: Sequence[Records]) -> tuple[list[Records], list[Records]]:
    """Training and validation records: a tenth of the blocks, drawn by a hash of their number.

    Not every tenth one: the kinds of a data set come in turns, and some would never be among them.
    """
    mixed = [_is_validation(group.block) for group in groups]
    validation = [group.where(chosen) for group, chosen in zip(groups, mixed, strict=True) if chosen.any()]
    training = [group.where(~chosen) for group, chosen in zip(groups, mixed, strict=True) if not chosen.all()]
    if not training or not validation:
        blocks = sum(len(group.block.unique()) for group in groups)
        raise ValueError(f"{blocks} blocks of data cannot be split into training and validation; label 20 or more")
    return training, validation


def initial_network(name: str, configuration: Mapping[str, Any], seed: int) -> Network:
    """A new network by name; its first weights depend on the seed alone. Raises ValueError for a wrong configuration."""
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; there are {', '.join(NETWORKS)}")
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        try:
            return NETWORKS[name](**configuration)
        except (TypeError, RuntimeError) as error:
            raise ValueError(f"network {name!r} cannot be made of {dict(configuration)}: {error}") from error


def train(
    network: Network, groups: Sequence[Records], options: TrainingOptions, path: Path | None = None, seed: int = 0,
    fresh: bool = True,
) -> Generator[Progress, None, None]:  # fmt: skip
    """Train in place; yields after every step. At the end the network has the averaged weights and is on the CPU, wherever
    it was trained. ``fresh`` False: it begins with the weights and scales that it has, not with those that fit the data.

    ``path``: checkpoint, written now and then and when the caller stops asking; if it is there, training goes on from
    it exactly. Raises ValueError when it belongs to another training, or when the loss is not finite.
    """
    training, validation = split(groups)
    device = torch.device(options.device)
    network.cpu()  # where everything but the taught part is computed
    about = {"network": network_name(network), "configuration": network.configuration, "seed": seed,
             "records": [[*group.shape, len(group)] for group in groups]}  # fmt: skip
    if not fresh:
        about["first weights"] = _digest(network)
    network.requires_grad_(True).train()
    resumed = path is not None and path.exists()
    taught, share = network.taught, 1.0
    if fresh and not (resumed and taught is network):
        network.initialise(training)
    if taught is not network:
        whole = transverse_rms(validation)
        training = yield from _remaining(network, training)
        validation = yield from _remaining(network, validation)
        share = transverse_rms(validation) / whole
        if fresh and not resumed:
            taught.initialise(training)
    run = TrainingRun(taught, options, seed, about)
    if path is not None and resumed:
        run.restore(path)
    else:
        run.begin()
    training, validation = ([_moved(group, device) for group in part] for part in (training, validation))
    loss = Loss(training, options)
    few = _thinned(validation, options.validation_records)
    saved = time.monotonic()
    try:
        while run.step < options.steps and not run.is_over:
            began = time.monotonic()
            value = run.advance(training, loss)
            run.recent.append(value)
            if run.step % options.validate_every == 0 or run.step == options.steps:
                error = epsilon(run.average, few) * share
                run.validation = error
                run.history.append([run.step, sum(run.recent) / len(run.recent), error])
                run.recent = []
            run.seconds += time.monotonic() - began
            if path is not None and time.monotonic() - saved > options.checkpoint_seconds:
                run.store(path)
                saved = time.monotonic()
            yield Progress(run.step, value, run.validation, run.seconds_left)
    except GeneratorExit:  # between two steps: all is consistent
        if path is not None:
            run.store(path)
        raise
    if path is not None:
        run.store(path)
    taught.load_state_dict(run.average.state_dict())
    network.cpu().eval()


def _remaining(network: Network, groups: Sequence[Records]) -> Generator[Progress, None, list[Records]]:
    """What these records leave to the taught part of the network."""
    total, done, began, found = sum(map(len, groups)), 0, time.monotonic(), []
    for group in groups:
        for index in torch.arange(len(group)).split(AT_ONCE):
            found.append(network.remaining(group.where(index)))
            done += len(index)
            yield Progress(0, math.nan, None, (time.monotonic() - began) * (total / done - 1))
    return joined(found)


def epsilon(network: Network, groups: Sequence[Records]) -> float:
    """rms(transverse learned - exact) / rms(transverse exact) over all sites of these records."""
    wrong, all_of_it = 0.0, 0.0
    for group in groups:
        here = network.at(group.electrons)
        for spin, force in zip(group.spin.split(8), group.force.split(8), strict=True):
            exact = transverse(force, spin)
            learned = transverse(field_and_energy(here, spin, group.shape)[0].detach(), spin)
            wrong += float((learned - exact).square().sum())
            all_of_it += float(exact.square().sum())
    return math.sqrt(wrong / all_of_it)


def _digest(network: Network) -> str:
    """A name for these weights."""
    digest = hashlib.sha256()
    for name, array in sorted(network.state_dict().items()):
        digest.update(name.encode() + array.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _is_validation(block: torch.Tensor) -> torch.Tensor:
    """True for a tenth of the block numbers; the constants scatter them over the kinds of the usual mixes."""
    hashed = (block + 570) * 0x45D9F3B % 2**32
    hashed = (hashed ^ (hashed >> 16)) * 0x45D9F3B % 2**32
    return (hashed ^ (hashed >> 16)) % 10 == 0


def _joined(groups: Sequence[Records]) -> Records:
    names = ("spin", "force", "energy", "kind", "block")
    parts: dict[str, Any] = {name: torch.cat([getattr(group, name) for group in groups]) for name in names}
    origin = [text for group in groups for text in group.origin]
    return dataclasses.replace(groups[0], **parts, origin=origin)


def _moved(group: Records, device: torch.device) -> Records:
    names = ("spin", "force", "energy", "kind", "block")
    return dataclasses.replace(group, **{name: getattr(group, name).to(device) for name in names})


def _thinned(groups: Sequence[Records], most: int) -> list[Records]:
    """Evenly spaced records, about ``most`` in all."""
    total = sum(len(group) for group in groups)
    stride = max(1, math.ceil(total / most))
    return [group.where(torch.arange(0, len(group), stride)) for group in groups]
