"""Active learning round by round: it learns, it can be interrupted anywhere, it refuses what does not belong to it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine import ClassicalForce, ForceProvider, HeisenbergModel, Lattice, Response, SpinState, texture, triangular
from engine.learning.active import LABELS, ActiveOptions, disagreement, learn_actively, rounds
from engine.learning.dataset import Records, read
from engine.learning.network import Network
from engine.learning.run import TrainingOptions
from engine.learning.sampling import Source
from engine.learning.train import epsilon, initial_network
from engine.learning.weights import read_network
from spinviz.cli import main
from tests.tolerances import ACTIVE_GAIN

SHAPE = (4, 4)
TRAINING = TrainingOptions(steps=30, batch=4, rate=0.02, warm_up=5, validate_every=30, decay=0.8)
ACTIVE = ActiveOptions(rounds=1, per_round=2, candidates=6)


def exact(lattice: Lattice) -> ClassicalForce:
    return ClassicalForce(HeisenbergModel(lattice, {1: 1.0, 2: -0.3}))


SOURCE = Source(
    lattice=lambda shape: triangular(*shape), exact=exact, rough=exact, random="random", time_step=0.05,
    field_scale=0.1, temperature_scale=0.1,
)  # fmt: skip


class Answer(ForceProvider):
    """The classical model as one that labels: with the chemical potential that a data set records."""

    def __init__(self, lattice: Lattice) -> None:
        self.force = exact(lattice)

    def __call__(self, state: SpinState) -> Response:
        known = self.force(state)
        potential: Any = SimpleNamespace(chemical_potential=torch.zeros(1))
        return Response(known.force, known.energy, potential)


LABELLING = dataclasses.replace(SOURCE, exact=Answer)


def records(seed: int, count: int) -> Records:
    spin = texture("random", triangular(*SHAPE), replicas=count, seed=seed)
    response = exact(triangular(*SHAPE))(SpinState(spin))
    assert response.energy is not None
    kind, block = torch.zeros(count, dtype=torch.int32), torch.arange(count)
    return Records(SHAPE, spin, response.force, response.energy, kind, block, ["{}"] * count)


def members() -> list[Network]:
    return [initial_network("ecnn", {"kind": "triangular", "channels": 2, "blocks": 1}, seed) for seed in (1, 2)]


def run(networks: list[Network], folder: Path, stop: int | None = None, options: TrainingOptions = TRAINING) -> None:
    """All of it, or until after so many reports."""
    steps = learn_actively(LABELLING, [SHAPE], [records(5, 20)], networks, options, ACTIVE, folder, {}, seed=7)
    for number, _ in enumerate(steps):
        if number == stop:
            steps.close()  # type: ignore[attr-defined]
            return


def test_it_learns_and_goes_on_bit_for_bit_where_it_was_stopped(tmp_path: Path) -> None:
    whole = members()
    run(whole, tmp_path / "whole")
    test = records(99, 16)
    first = [read_network(tmp_path / "whole" / f"round0-member{m}.safetensors")[0] for m in (0, 1)]
    before, after = (sum(epsilon(network, [test]) for network in some) for some in (first, whole))
    assert after < ACTIVE_GAIN * before
    spread = [sum(disagreement(some, spin, SHAPE) for spin in test.spin) for some in (first, whole)]
    assert spread[1] < ACTIVE_GAIN * spread[0]
    labels = read(tmp_path / "whole" / LABELS)[0][0]
    assert sorted(labels.block.tolist()) == [0, 1]
    assert [row["records"] for row in rounds(tmp_path / "whole", ACTIVE.per_round)] == [2]
    for stop in (10, 63):  # in the first training, at a label
        run(members(), tmp_path / "parts", stop)
    parts = members()
    run(parts, tmp_path / "parts")
    for one, other in zip(whole, parts, strict=True):
        assert all(torch.equal(weight, other.state_dict()[name]) for name, weight in one.state_dict().items())


def test_what_belongs_to_another_run_is_refused(tmp_path: Path) -> None:
    run(members(), tmp_path, 40)
    with pytest.raises(ValueError, match="was trained otherwise"):
        run(members(), tmp_path, options=dataclasses.replace(TRAINING, rate=0.01))
    with pytest.raises(ValueError, match="two networks or more"):
        run(members()[:1], tmp_path)
    with pytest.raises(ValueError, match="per_round must be at least 1"):
        ActiveOptions(per_round=0)


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    label = "dataset skyrmion --size 4 --twists 1 --count 20 --mix random=1 --out data.h5"
    assert main(label.split()) == 0
    learn = "train skyrmion --network ecnn --data data.h5 --steps 2 --batch 2 --set channels=2 --set blocks=1"
    active = "--active --rounds 1 --per-round 1 --candidates 6 --out net.safetensors"
    assert main([*learn.split(), *active.split()]) == 0
    assert "round 0: 1 records, mean disagreement" in capsys.readouterr().out
    _, card = read_network("net.safetensors")
    assert card["active"][0]["records"] == 1 and card["data"][1]["file"] == LABELS
    assert Path("net.member1.safetensors").exists()
    assert main([*learn.split(), *active.split(), "--members", "1"]) == 2
