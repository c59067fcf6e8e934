"""What ``spinviz train`` and ``evaluate`` do, once their arguments are parsed (see learning_arguments.py)."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from tqdm import tqdm

from engine.dynamics import SemiImplicitLLG
from engine.learnable import electrons_of, network_configuration, source
from engine.learning.active import LABELS, ActiveOptions, learn_actively
from engine.learning.active import rounds as active_rounds
from engine.learning.dataset import Records
from engine.learning.evaluate import compare, random_spins, receptive_field, report, speed, symmetry_errors
from engine.learning.force import LearnedForce
from engine.learning.network import LATTICES, ElectronSetting, Network
from engine.learning.run import TrainingOptions, history
from engine.learning.sampling import Shape
from engine.learning.train import initial_network, joined, load, split
from engine.learning.train import train as training
from engine.learning.trajectories import energy_drift, same_starts
from engine.learning.weights import ENDING, find, network_name, read_network, save_network
from engine.presets import system
from spinviz.commands.headless import asked_to_stop, use_threads
from spinviz.commands.labelling import network_of
from spinviz.commands.learning_plots import evaluation_plots, sparkline, training_curve

ACTIVE_SEED = 10**6  # away from the seeds of data sets, whose quenches would begin with the same spins
OPTIONS = [field.name for field in dataclasses.fields(TrainingOptions)]
RECEPTIVE_SHAPE = (24, 24)
CARD_SPEED, CARD_SPEED_SITES = ((24, 24), (48, 48)), ((100, 0), (400, 0))
DYNAMICS_SHAPE, DYNAMICS_TWISTS = (12, 12), (4, 4)
DYNAMICS_STEPS = (0, 4, 8, 16, 28, 40)


def train(arguments: Namespace) -> int:
    """``spinviz train PRESET``."""
    use_threads(arguments.threads)
    out = Path(arguments.out)
    if out.suffix != ENDING:
        raise ValueError(f"--out must end in {ENDING}, got {arguments.out!r}")
    groups, settings = load(arguments.data)
    _check_presets(settings, arguments.preset, "network wanted")
    if "kind" in dict(arguments.set):
        raise ValueError(f"--set kind: the lattice is that of preset {arguments.preset!r}; leave it out")
    given = {name: value for name in OPTIONS if (value := getattr(arguments, name, None)) is not None}
    options = TrainingOptions(**given)
    potential = _mean_chemical_potential(arguments.data)
    before: dict[str, Any] = {}
    if arguments.begin_with:
        network, before = _begun_with(arguments)
    else:
        configuration = network_configuration(
            arguments.preset, arguments.network, dict(arguments.set), potential, _ranges(settings)
        )
        if arguments.active:
            return _train_actively(groups, settings, options, configuration, arguments, out)
        network = initial_network(arguments.network, configuration, arguments.seed)
    checkpoint = out.with_suffix(f".checkpoint{ENDING}")
    if not _trained(network, groups, options, checkpoint, arguments, out.with_suffix(".png")):
        print(f"spinviz: interrupted; the same command goes on from {checkpoint}", file=sys.stderr)
        return 130
    _publish(out, network, {**_card(network, groups, settings, options, arguments), **before})
    return 0


def _begun_with(arguments: Namespace) -> tuple[Network, dict[str, Any]]:
    """The network of --begin-with and, for the card of what it becomes, how it was made. Raises ValueError where it is
    of another preset, or another network is asked for."""
    network, card = network_of(arguments.preset, arguments.begin_with)
    if arguments.set or arguments.active or network_name(network) != arguments.network:
        raise ValueError(
            f"{arguments.begin_with} is a network {network_name(network)!r} of its own configuration: give --network "
            f"{network_name(network)} and neither --set nor --active, or leave --begin-with out"
        )
    told = ("command", "data", "records", "training", "begun_with")
    return network, {"begun_with": {name: card[name] for name in told if name in card}}


def _publish(out: Path, network: Network, card: dict[str, Any]) -> None:
    save_network(out, network.cpu().requires_grad_(False), card)
    errors = {kind: round(facts["epsilon"], 4) for kind, facts in card["errors"]["by_kind"].items()}
    print(f"{out}: epsilon {card['errors']['all']['epsilon']:.4f} {json.dumps(errors)}")


def _train_actively(
    groups: Sequence[Records], settings: Sequence[dict[str, Any]], options: TrainingOptions,
    configuration: Mapping[str, Any], arguments: Namespace, out: Path,
) -> int:  # fmt: skip
    """``spinviz train PRESET --active``: shapes, twists and system of the labels are those of the first data set."""
    shapes = [(int(a), int(b)) for a, b in settings[0]["size"]]
    k1, k2 = settings[0]["twists"]
    rounds = ActiveOptions(arguments.rounds, arguments.per_round, arguments.candidates)
    members = [initial_network(arguments.network, configuration, arguments.seed + n) for n in range(arguments.members)]
    folder, seed = out.with_suffix(".active"), arguments.seed + ACTIVE_SEED
    what = source(arguments.preset, (k1, k2), shapes[0])
    said = {"preset": arguments.preset, "size": shapes, "twists": [k1, k2], "mix": None}
    steps = learn_actively(what, shapes, groups, members, options, rounds, folder, said, seed)
    with asked_to_stop() as asked, tqdm(file=sys.stderr) as bar:
        for progress in steps:
            label = f"{progress.stage} round {progress.round} member {progress.member}"
            if bar.desc != f"{label}: ":
                bar.reset(progress.total)
                bar.set_description(label, refresh=False)
            bar.update(progress.done - bar.n)
            bar.set_postfix_str("" if progress.error is None else f"error {progress.error:.4f}")
            if asked:
                steps.close()  # type: ignore[attr-defined]
                print(f"spinviz: interrupted; the same command goes on from {folder}", file=sys.stderr)
                return 130
    met = active_rounds(folder, arguments.per_round)
    for row in met:
        print(f"round {row['round']}: {row['records']} records, mean disagreement {row['disagreement']:.4g}")
    more, about = load([folder / LABELS])
    for number, network in enumerate(members[::-1]):
        target = out if network is members[0] else out.with_suffix(f".member{len(members) - 1 - number}{ENDING}")
        card = _card(network, joined([*groups, *more]), [*settings, *about], options, arguments)
        _publish(target, network, {**card, "active": met})
    return 0


def evaluate(arguments: Namespace) -> int:
    """``spinviz evaluate NAME|FILE``."""
    use_threads(arguments.threads)
    network, card = read_network(find(arguments.network))
    groups, what = _unseen(arguments.data, [entry["settings"] for entry in card.get("data", [])])
    _check_presets([entry["settings"] for entry in what], card.get("preset"), "network")
    compared = compare(network, groups)
    regular = network.kind in LATTICES
    shapes = [shape if regular else (shape[0], 0) for shape in arguments.size or _usual_shapes(network)]
    tried = (12, 12) if regular else shapes[0]
    own = _of_preset(network, str(card.get("preset")))
    spin = random_spins(2, network.lattice(tried).sites, 0)
    facts = {
        "network": str(arguments.network), "card": {k: card.get(k) for k in ("network", "preset", "electrons")},
        "data": what, **report(compared), "symmetry_errors": symmetry_errors(own, spin, tried),
        "receptive_field": receptive_field(own, RECEPTIVE_SHAPE if regular else tried),
        "evaluations_per_second": _speed(own, shapes),
    }  # fmt: skip
    if arguments.dynamics:
        facts["dynamics"] = _dynamics(network, card, arguments.dynamics)
    text = json.dumps(facts, indent=1, allow_nan=False)
    if arguments.plots:
        for path in evaluation_plots(Path(arguments.plots), compared, facts):
            print(path, file=sys.stderr)
    if arguments.out:
        Path(arguments.out).write_text(text + "\n")
        print(f"{arguments.out}: epsilon {facts['all']['epsilon']:.4f} on {facts['all']['records']} records")
    else:
        print(text)
    return 0


def _check_presets(settings: Sequence[Mapping[str, Any]], preset: str | None, what: str) -> None:
    """Raises ValueError for data of another preset; None: of any."""
    foreign = [s["preset"] for s in settings if s["preset"] != preset]
    if preset is not None and foreign:
        raise ValueError(f"the data are of preset {foreign[0]!r}, the {what} is for {preset!r}")


def _dynamics(network: Network, card: Mapping[str, Any], starts: int) -> dict[str, Any]:
    """Energy drift, and quenches from the same spins on 12 x 12 by the network and by exact diagonalization."""
    what = source(str(card["preset"]), DYNAMICS_TWISTS, DYNAMICS_SHAPE)
    network = _of_preset(network, str(card["preset"]))
    lattice, force = what.lattice(DYNAMICS_SHAPE), LearnedForce(network, card, DYNAMICS_SHAPE)
    dynamics = SemiImplicitLLG(damping=1.0, time_step=what.time_step)
    compared = same_starts(force, what.exact(lattice), lattice, DYNAMICS_STEPS, starts, dynamics)
    if network.conservative:
        compared["energy_drift"] = energy_drift(force, lattice.sites, what.time_step / 2, DYNAMICS_STEPS[-1])
    return compared


def _trained(
    network: Network, groups: Sequence[Records], options: TrainingOptions, checkpoint: Path, arguments: Namespace,
    curve: Path,
) -> bool:  # fmt: skip
    """Train with a progress bar, a line of the error and a picture of the curve; False when interrupted."""
    steps = training(network, groups, options, checkpoint, arguments.seed, fresh=not arguments.begin_with)
    validations = [row[2] for row in history(checkpoint)] if checkpoint.exists() else []
    last = validations[-1] if validations else None
    bar = tqdm(total=options.steps, desc=f"train {arguments.network}", unit="step", file=sys.stderr)
    with asked_to_stop() as asked, bar:
        for progress in steps:
            if progress.validation is not None and progress.validation != last:
                last = progress.validation
                validations.append(progress.validation)
            bar.update(progress.step - bar.n)
            error = "-" if last is None else f"{last:.4f} {sparkline(validations)}"
            said = (
                "first what is not learned;" if math.isnan(progress.loss) else f"loss {progress.loss:.4g} error {error}"
            )
            bar.set_postfix_str(f"{said} {progress.seconds_left / 60:.0f} min left")
            if asked:
                steps.close()  # type: ignore[attr-defined]
                break
    if checkpoint.exists() and (table := history(checkpoint)):
        training_curve(curve, table)
    return not asked


def _card(
    network: Network, groups: Sequence[Records], settings: Sequence[dict[str, Any]], options: TrainingOptions,
    arguments: Namespace,
) -> dict[str, Any]:  # fmt: skip
    seen, unseen = split(groups)
    command = " ".join(["spinviz", *sys.argv[1:]]) if "spinviz" in Path(sys.argv[0]).name else ""
    said = {key: value for key, value in vars(arguments).items() if value not in (None, [], False)}
    files = [*arguments.data, *([LABELS] if arguments.active else [])]
    own = _of_preset(network.requires_grad_(False), arguments.preset)
    return {
        "preset": arguments.preset, "electrons": electrons_of(arguments.preset),
        **({"ranges": {key: list(ends) for key, ends in network.ranges.items()}} if network.ranges else {}),
        "data": [{"file": Path(name).name, "settings": s} for name, s in zip(files, settings, strict=True)],
        "records": {"training": sum(map(len, seen)), "validation": sum(map(len, unseen))},
        "command": command, "arguments": said, "training": dataclasses.asdict(options),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "errors": report(compare(network, unseen)), "evaluations_per_second": _speed(own, _usual_shapes(network)),
        "limits": "Errors are of validation records drawn like the training data, on lattices of these shapes; other "
        "states, other electrons and temperatures of the electrons are not covered.",
    }  # fmt: skip


def _unseen(paths: Sequence[str], seen: Sequence[dict[str, Any]]) -> tuple[list[Records], list[dict[str, Any]]]:
    """Records to test on: of data sets that the network was trained on, only the validation part."""
    groups: list[Records] = []
    about = []
    for path in paths:
        found, settings = load([path])
        trained_on = settings[0] in seen
        groups += split(found)[1] if trained_on else found
        about.append({"file": path, "settings": settings[0], "part": "validation" if trained_on else "all"})
    return joined(groups), about


def _speed(network: Network, shapes: Sequence[Shape]) -> dict[str, Any]:
    return {**speed(network, shapes), "threads": torch.get_num_threads()}


def _usual_shapes(network: Network) -> tuple[Shape, ...]:
    return CARD_SPEED if network.kind in LATTICES else CARD_SPEED_SITES


def _ranges(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Lowest and highest of what the electrons of these data have; {} where they do not vary."""
    known = [electrons for one in settings for electrons in one.get("electrons", [])]
    values = {name: [electrons[name] for electrons in known] for name in ElectronSetting._fields if known}
    return {name: [min(some), max(some)] for name, some in values.items()}


def _of_preset(network: Network, preset: str) -> Network:
    """An adjustable network at the preset's electrons; any other as it is."""
    if not network.ranges:
        return network
    chosen = system(preset)
    assert chosen.chemical_potential is not None
    return network.at(ElectronSetting(chosen.chemical_potential, chosen.coupling))


def _mean_chemical_potential(paths: Sequence[str]) -> float:
    values = []
    for path in paths:
        with h5py.File(path, "r") as file:
            values += [group["chemical_potential"][:] for group in file.values()]
    return float(np.concatenate(values).mean())
