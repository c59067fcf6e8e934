"""Training: what it learns, that it can be interrupted, what it refuses; the command line from data to report."""

from __future__ import annotations

import json
import math
from pathlib import Path

import h5py
import pytest
import torch

from engine import ClassicalForce, HeisenbergModel, Lattice, SpinState, texture, triangular
from engine.learning.active import disagreement, most_disputed
from engine.learning.dataset import Records, read
from engine.learning.evaluate import compare, receptive_field, report, symmetry_errors
from engine.learning.network import Network
from engine.learning.run import TrainingOptions, turned
from engine.learning.sampling import Source
from engine.learning.train import epsilon, initial_network, split, train
from engine.learning.weights import read_network
from spinviz.cli import main
from spinviz.commands.learning_plots import sparkline

TINY = {"kind": "triangular", "channels": 2, "blocks": 1}
OPTIONS = TrainingOptions(steps=12, batch=4, warm_up=2, validate_every=5, checkpoint_seconds=1e9)


def exact(lattice: Lattice) -> ClassicalForce:
    return ClassicalForce(HeisenbergModel(lattice, {1: 1.0, 2: -0.3}))


@pytest.fixture(scope="module")
def groups() -> list[Records]:
    """Random spins with the fields of a Heisenberg model, in two shapes."""
    return [records((4, 4), 40), records((4, 5), 40)]


def records(shape: tuple[int, int], count: int) -> Records:
    lattice = triangular(*shape)
    spin = texture("random", lattice, replicas=count, seed=5)
    response = exact(lattice)(SpinState(spin))
    assert response.energy is not None
    kind, block = torch.zeros(count, dtype=torch.int32), torch.arange(count)
    return Records(shape, spin, response.force, response.energy, kind, block, ["{}"] * count)


def tiny(seed: int = 0) -> Network:
    return initial_network("ecnn", TINY, seed)


def weights_of(network: Network) -> list[torch.Tensor]:
    return list(network.state_dict().values())


def test_a_network_learns(groups: list[Records]) -> None:
    network, before = tiny(), torch.get_rng_state()
    options = TrainingOptions(steps=150, batch=8, rate=0.02, warm_up=10, validate_every=150, decay=0.9)
    last = list(train(network, groups, options))[-1]
    assert last.step == 150 and last.validation is not None and last.validation < 0.5
    assert epsilon(network, split(groups)[1]) == pytest.approx(last.validation)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_interrupted_training_goes_on_bit_for_bit(groups: list[Records], tmp_path: Path) -> None:
    whole, parts, path = tiny(), tiny(), tmp_path / "training.safetensors"
    list(train(whole, groups, OPTIONS, None))
    steps = train(parts, groups, OPTIONS, path)
    assert [next(steps).step for _ in range(7)][-1] == 7
    steps.close()  # type: ignore[attr-defined]
    fresh = tiny()
    assert [progress.step for progress in train(fresh, groups, OPTIONS, path)] == [8, 9, 10, 11, 12]
    assert all(torch.equal(a, b) for a, b in zip(weights_of(fresh), weights_of(whole), strict=True))


def test_the_checkpoint_of_another_training_is_refused(groups: list[Records], tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    steps = train(tiny(), groups, OPTIONS, path)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="belongs to a training with other rate, seed"):
        next(train(tiny(), groups, TrainingOptions(**{**vars(OPTIONS), "rate": 0.1}), path, seed=1))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="is not a checkpoint of a training"):
        next(train(tiny(), groups, OPTIONS, path))


def test_a_training_that_begins_with_given_weights(groups: list[Records], tmp_path: Path) -> None:
    """Its first error is theirs; an interrupted one does not go on from another beginning."""
    before, path = tiny(), tmp_path / "training.safetensors"
    list(train(before, groups, TrainingOptions(steps=60, batch=8, rate=0.02, warm_up=10, decay=0.9)))
    still = TrainingOptions(steps=1, batch=4, rate=1e-9)
    after = tiny()
    after.load_state_dict(before.state_dict())
    last = list(train(after, groups, still, path, fresh=False))[-1]
    assert last.validation == pytest.approx(epsilon(before, split(groups)[1]), rel=1e-4)  # single precision
    with pytest.raises(ValueError, match="belongs to a training with other first weights"):
        next(train(tiny(), groups, still, path, fresh=False))


def test_torque_networks_learn_too(groups: list[Records]) -> None:
    network = initial_network("cnn", {"kind": "triangular", "widths": [16], "head": 16, "kernel": 3}, 0)
    options = TrainingOptions(steps=120, batch=16, rate=0.01, warm_up=5, augment=False)
    errors = [progress.loss for progress in train(network, groups, options)]
    assert sum(errors[-10:]) < 0.8 * sum(errors[:10])


def test_turned_records_obey_the_same_model() -> None:
    group = records((4, 4), 6)
    lattice = triangular(4)
    moves = torch.stack([torch.from_numpy(moved) for _, moved in lattice.point_group()])
    spin, force = turned(group.spin, group.force, moves, torch.Generator().manual_seed(0))
    torch.testing.assert_close(exact(lattice)(SpinState(spin)).force, force, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(spin, group.spin, atol=0.1)


def test_a_tenth_of_the_blocks_of_every_kind_is_for_validation() -> None:
    count = 6000
    block, kind = torch.arange(count), torch.arange(count) % 15 // 5
    spin = torch.zeros(count, 1, 3)
    group = Records((3, 3), spin, spin, torch.zeros(count), kind, block, [""] * count)
    training, validation = split([group])
    assert not set(training[0].block.tolist()) & set(validation[0].block.tolist())
    for number in range(3):
        assert int((validation[0].kind == number).sum()) == pytest.approx(200, abs=60)


def test_a_loss_that_is_not_finite_names_the_records(groups: list[Records]) -> None:
    broken = [group.where(torch.arange(len(group))) for group in groups[:1]]
    broken[0].energy[:] *= 1e38
    with pytest.raises(ValueError, match=r"the loss became .* on training records \[\d+.*of shape 4x4, blocks \["):
        network = tiny()
        network.initialise = lambda groups: None  # type: ignore[method-assign]
        network.scale.fill_(1e38)  # type: ignore[operator]
        list(train(network, broken, OPTIONS))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"rate": 2.0}, {"batch": 0}, {"decay": 1.0}, {"device": "toaster"}])
def test_senseless_options_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingOptions(**wrong)


def test_evaluation_of_an_untrained_network(groups: list[Records]) -> None:
    network = tiny()
    found = report(compare(network, groups))
    assert set(found["by_kind"]) == {"random"} and set(found["by_shape"]) == {"4x4", "4x5"}
    assert found["all"]["records"] == 80 and found["all"]["epsilon"] == pytest.approx(
        epsilon(network, groups), rel=1e-4
    )
    spin = groups[0].spin[:2]
    errors = symmetry_errors(network, spin, (4, 4))
    assert errors["rotation"] < 1e-9 and errors["translation"] < 1e-9 and errors["point_group"] > 0.01
    field = receptive_field(network, (20, 20), samples=1)  # two convolutions of distance 2, and back
    far = [response for distance, response in zip(*field.values(), strict=True) if distance > 8]
    assert field["response"][0] > 0 and max(far) < 1e-4 * field["response"][0]


def test_networks_dispute_what_they_know_differently() -> None:
    source = Source(
        lattice=lambda shape: triangular(*shape), exact=exact, rough=exact, random="random", time_step=0.05,
        field_scale=0.1, temperature_scale=0.1,
    )  # fmt: skip
    networks = [tiny(seed) for seed in (1, 2)]
    chosen = most_disputed(source, networks, 0, (4, 4), seed=3, candidates=6)
    assert chosen.origin["disagreement"] == disagreement(networks, chosen.spin, (4, 4)) > 0
    with pytest.raises(ValueError, match="at least two networks"):
        disagreement(networks[:1], chosen.spin, (4, 4))


def test_sparkline() -> None:
    assert sparkline([1.0, 0.1, 0.01]) == "█▅▁"
    assert sparkline([math.nan, 0.0]) == ""


def test_from_data_to_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    label = "dataset skyrmion --size 6 --twists 1 --count 10 --mix random=0.5,texture=0.5 --out"
    assert main([*label.split(), "data.h5"]) == 0
    sizes = "--steps 4 --batch 2 --validate-every 2 --set channels=2 --set blocks=1"
    train_it = f"train skyrmion --network ecnn --data data.h5 {sizes} --out".split()
    for seed in ("0", "1"):
        assert main([*train_it, f"net{seed}.safetensors", "--seed", seed]) == 0
    _, card = read_network("net0.safetensors")
    assert card["preset"] == "skyrmion" and card["electrons"]["coupling"] == 0.5
    assert card["errors"]["all"]["records"] == card["records"]["validation"] == 1
    assert Path("net0.png").exists() and Path("net0.checkpoint.safetensors").exists()
    evaluate = "evaluate net0.safetensors --data data.h5 --out report.json --plots plots --size 6"
    assert main(evaluate.split()) == 0
    found = json.loads(Path("report.json").read_text())
    assert found["data"][0]["part"] == "validation" and found["all"]["epsilon"] > 0
    assert len(list(Path("plots").iterdir())) == 5
    active = "dataset skyrmion --size 6 --twists 1 --count 1 --candidates 6 --seed 7 --out more.h5 --from"
    assert main([*active.split(), "net0.safetensors,net1.safetensors"]) == 0
    assert "disagreement" in read("more.h5")[0][0].origin[0]
    further = "train skyrmion --network ecnn --data data.h5 --steps 2 --batch 2 --begin-with net0.safetensors --out"
    assert main([*further.split(), "further.safetensors"]) == 0
    parent = read_network("further.safetensors")[1]["begun_with"]
    assert parent["training"]["steps"] == 4 and parent["records"] == card["records"]
    capsys.readouterr()
    for wrong in (["--set", "channels=3"], ["--network", "bp"], ["--active"]):
        assert main([*further.split(), "no.safetensors", *wrong]) == 2
        assert "is a network 'ecnn' of its own configuration" in capsys.readouterr().err
    assert main([*further.replace("net0.safetensors", "double_exchange/best").split(), "no.safetensors"]) == 2
    assert "was trained for 'double_exchange', not for 'skyrmion'" in capsys.readouterr().err
    with h5py.File("data.h5", "a") as file:
        file["6x6/force"][3, 1, 2] = math.nan
    assert main([*train_it, "bad.safetensors"]) == 2
    assert "record 3 of group 6x6 in data.h5 has a number that is not finite" in capsys.readouterr().err
    assert main(["train", "tetrahedral", *train_it[2:], "bad.safetensors"]) == 2
