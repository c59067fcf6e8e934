"""Data sets: the mix of configurations, labels that can be interrupted, exact forces that agree between shapes."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from engine import ClassicalForce, HeisenbergModel, SpinState, texture
from engine.learnable import source
from engine.learning.dataset import Records, label, opened, read
from engine.learning.sampling import KINDS, LATE_STEPS, LATE_STRIDE, SNAPSHOT_STEPS, Block, Source, configurations, plan
from tests import tolerances

MIX = {"random": 0.2, "quench": 0.5, "texture": 0.3}
SHAPES = [(4, 4), (4, 6)]
SETTINGS = {"preset": "skyrmion", "size": [[4, 4], [4, 6]], "mix": MIX, "seed": 5}
SEED = 5


@pytest.fixture(scope="module")
def cheap() -> Source:
    """Electrons at Gamma; quenches are moved by an exchange."""
    made = source("skyrmion", (1, 1), SHAPES[0])
    return dataclasses.replace(made, rough=lambda lattice: ClassicalForce(HeisenbergModel(lattice, {1: 0.004})))


@pytest.fixture(scope="module")
def whole(cheap: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled without a break."""
    path = tmp_path_factory.mktemp("labelled") / "whole.h5"
    list(label(cheap, blocks(), SEED, path, SETTINGS))
    return path


def blocks():
    return plan(MIX, SHAPES, 30)


def same(first: list[Records], second: list[Records]) -> None:
    for one, other in zip(first, second, strict=True):
        assert one.shape == other.shape and one.origin == other.origin
        for name in ("spin", "force", "energy", "kind", "block"):
            assert torch.equal(getattr(one, name), getattr(other, name))


# Plans and configurations


@pytest.mark.parametrize("mix", [MIX, {"random": 1.0}, {"quench": 3, "texture": 1, "random": 0}])
def test_every_prefix_of_a_plan_has_the_mix(mix: dict[str, float]) -> None:
    listed = list(plan(mix, SHAPES, 400))
    assert [block.number for block in listed] == list(range(len(listed)))
    few = list(plan(mix, SHAPES, 30))
    assert listed[: len(few)] == few
    assert 400 <= sum(block.records for block in listed) < 400 + len(SNAPSHOT_STEPS)
    done: Counter[str] = Counter()
    for block in listed:
        done[block.kind] += block.records
        for kind, share in mix.items():
            assert abs(done[kind] - share / sum(mix.values()) * done.total()) <= len(SNAPSHOT_STEPS)
    for kind in done:
        shapes = [block.shape for block in listed if block.kind == kind]
        assert shapes == list(itertools.islice(itertools.cycle(SHAPES), len(shapes)))


@pytest.mark.parametrize(
    ("mix", "shapes", "count"),
    [
        ({"rnadom": 1.0}, SHAPES, 5), ({"random": -1.0, "texture": 2.0}, SHAPES, 5), ({"random": 0.0}, SHAPES, 5),
        ({}, SHAPES, 5), ({"random": 1.0}, [], 5), ({"random": 1.0}, SHAPES, 0),
    ],
)  # fmt: skip
def test_senseless_plans_are_refused(mix: dict, shapes: list, count: int) -> None:
    with pytest.raises(ValueError, match=r"mix needs shares >= 0 of random, quench|needs shapes and count >= 1"):
        list(plan(mix, shapes, count))


@pytest.mark.parametrize("kind", KINDS)
def test_configurations_are_functions_of_seed_and_block(cheap: Source, kind: str) -> None:
    block = Block(7, kind, (4, 6))
    before = torch.get_rng_state()
    first = configurations(cheap, block, SEED)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3), np.random.default_rng().random()
    configurations(cheap, Block(8, kind, (4, 6)), SEED)
    again = configurations(cheap, block, SEED)
    assert len(first) == block.records
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.spin, other.spin) and one.origin == other.origin
        assert one.spin.shape == (24, 3) and one.spin.dtype == torch.float32
        lengths = torch.linalg.vector_norm(one.spin, dim=-1)
        torch.testing.assert_close(lengths, torch.ones(24), rtol=0, atol=tolerances.UNIT_LENGTH_SINGLE)
        assert json.loads(json.dumps(one.origin)) == one.origin
    for changed in (configurations(cheap, block, SEED + 1), configurations(cheap, Block(8, kind, (4, 6)), SEED)):
        assert not torch.equal(changed[0].spin, first[0].spin)


@pytest.mark.parametrize("shape", [(4, 4), (3, 4)])
def test_small_lattices_have_textures_too(cheap: Source, shape: tuple[int, int]) -> None:
    for number in range(12):
        assert torch.isfinite(configurations(cheap, Block(number, "texture", shape), SEED)[0].spin).all()


def test_late_states_are_those_of_longer_quenches(cheap: Source) -> None:
    """Five times as many steps of four times the length; some have a field, some none."""
    runs = [configurations(cheap, Block(number, "late", (4, 4)), SEED) for number in range(8)]
    for found in runs:
        assert [one.origin["step"] for one in found] == list(LATE_STEPS)
        assert {one.origin["time_step"] for one in found} == {LATE_STRIDE * cheap.time_step}
    assert LATE_STEPS[-1] == 5 * SNAPSHOT_STEPS[-1]
    fields = [found[0].origin["field_z"] for found in runs]
    assert 0 < sum(field == 0 for field in fields) < 8


# Files


def test_labels_are_the_exact_answers(whole: Path, cheap: Source) -> None:
    groups, settings = read(whole)
    assert settings == json.loads(json.dumps(SETTINGS)) and {group.shape for group in groups} == set(SHAPES)
    assert sum(map(len, groups)) == sum(block.records for block in blocks())
    for group in groups:
        response = cheap.exact(cheap.lattice(group.shape))(SpinState(group.spin[-1:]))
        assert torch.equal(response.force[0], group.force[-1]) and response.energy is not None
        assert float(response.energy[0]) == pytest.approx(float(group.energy[-1]), rel=tolerances.ROUNDING)
        assert (group.origin[0][0], group.origin[0][-1]) == ("{", "}")


@pytest.mark.parametrize("breaks", [[1], [0, 3, 4]])
def test_an_interrupted_labelling_goes_on(whole: Path, cheap: Source, tmp_path: Path, breaks: list[int]) -> None:
    path, counts = tmp_path / "parts.h5", [0]
    for stop in breaks:
        written = label(cheap, blocks(), SEED, path, SETTINGS)
        assert next(written) == counts[-1]  # what was there
        counts += [next(written) for _ in range(stop)]
        written.close()  # type: ignore[attr-defined]
    rest = list(label(cheap, blocks(), SEED, path, SETTINGS))
    assert rest[0] == counts[-1] and rest == sorted(rest)
    same(read(path)[0], read(whole)[0])
    assert list(label(cheap, blocks(), SEED, path, SETTINGS)) == [rest[-1]]  # nothing is left to do


def test_a_half_written_row_is_cut_off(whole: Path, cheap: Source, tmp_path: Path) -> None:
    path = tmp_path / "cut.h5"
    first = plan(MIX, SHAPES, 6)
    list(label(cheap, first, SEED, path, SETTINGS))
    with h5py.File(path, "a") as file:
        group = file["4x4"]
        group["spin"].resize(len(group["spin"]) + 6, 0)
        group["energy"].resize(len(group["energy"]) + 2, 0)
    list(label(cheap, blocks(), SEED, path, SETTINGS))
    same(read(path)[0], read(whole)[0])


def test_another_run_or_another_file_is_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"was begun with other settings \(mix, seed\); give another --out"):
        opened(whole, {**SETTINGS, "seed": 6, "mix": {"random": 1.0}})
    with pytest.raises(ValueError, match=r"other settings \(twists\)"):
        opened(whole, {**SETTINGS, "twists": [2, 2]})
    opened(whole, SETTINGS).close()
    (tmp_path / "text.h5").write_text("spins")
    with pytest.raises(ValueError, match="is not a readable data set"):
        read(tmp_path / "text.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["spin"] = np.zeros(3)
    with pytest.raises(ValueError, match="is not a data set of spinviz"):
        read(tmp_path / "foreign.h5")
    opened(tmp_path / "empty.h5", SETTINGS).close()
    with pytest.raises(ValueError, match="has no records yet"):
        read(tmp_path / "empty.h5")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("spin", (2, 1, 0)), math.nan, "has a number that is not finite"),
        (("force", (2, 3, 2)), math.inf, "has a number that is not finite"),
        (("energy", 2), math.nan, "has a number that is not finite"),
        (("spin", (2, 1)), 2.0, "has spins that are not of length 1"),
    ],
)
def test_broken_records_are_named(whole: Path, tmp_path: Path, place: tuple, value: float, message: str) -> None:
    path = tmp_path / "broken.h5"
    path.write_bytes(whole.read_bytes())
    with h5py.File(path, "a") as file:
        name, index = place
        file["4x6"][name][index] = value
    with pytest.raises(ValueError, match=rf"record 2 of group 4x6 in .*broken.h5 {message}"):
        read(path)


def test_records_are_chosen_by_truth_or_number(whole: Path) -> None:
    group = read(whole)[0][0]
    chosen = group.kind == 1
    some = group.where(chosen)
    assert len(some) == int(chosen.sum()) and (some.kind == 1).all()
    backwards = group.where(torch.arange(len(group) - 1, -1, -1))
    assert torch.equal(backwards.spin[0], group.spin[-1]) and backwards.origin[0] == group.origin[-1]


# Exact forces


@pytest.mark.parametrize(
    ("shape", "twists", "rough"),
    [((12, 12), (4, 4), (1, 1)), ((6, 12), (8, 4), (3, 1)), ((24, 24), (2, 2), (1, 1)), ((48, 16), (1, 3), (1, 1))],
)
def test_twists_keep_the_periodic_sample(shape: tuple, twists: tuple, rough: tuple) -> None:
    made = source("skyrmion", (4, 4), (12, 12))
    lattice = made.lattice(shape)
    assert lattice.shape == shape and lattice.kind == "triangular"
    exact, cheaper = made.exact(lattice), made.rough(lattice)
    assert exact.solver.twists == twists and cheaper.solver.twists == rough  # type: ignore[attr-defined]
    assert [k * length for k, length in zip(twists, shape, strict=True)] == [48, 48]
    assert source("skyrmion", (1, 1), (12, 12)).exact(lattice).solver.twists == (1, 1)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "small", "times"), [("skyrmion", (4, 4), (2, 2)), ("double_exchange", (3, 4), (1, 2))]
)
def test_labels_of_a_repeated_configuration_agree(name: str, small: tuple, times: tuple) -> None:
    """k1 x k2 twists are the (k1 L1) x (k2 L2) lattice with antiperiodic boundaries, in whatever pieces it is cut."""
    made = source(name, (4, 4), small)
    large = (small[0] * times[0], small[1] * times[1])
    spin = texture("random", made.lattice(small), seed=2, dtype=torch.float64)
    repeated = spin.unflatten(1, small).repeat(1, *times, 1).flatten(1, 2)
    one, other = (made.exact(made.lattice(s))(SpinState(v)) for s, v in ((small, spin), (large, repeated)))
    assert one.energy is not None and other.energy is not None
    copies = math.prod(times)
    assert float(other.energy[0]) == pytest.approx(copies * float(one.energy[0]), rel=tolerances.ROUNDING)
    force = other.force.unflatten(1, large)[:, : small[0], : small[1]].flatten(1, 2)
    torch.testing.assert_close(force, one.force, rtol=0, atol=tolerances.ROUNDING)


def test_presets_without_electrons_are_refused() -> None:
    with pytest.raises(ValueError, match="has no electrons to learn from"):
        source("heisenberg", (1, 1), (4, 4))


def test_random_sites_are_realizations_without_twists() -> None:
    made = source("spin_glass", (1, 1), (12, 3))
    lattice = made.lattice((12, 3))
    assert lattice.sites == 12 and lattice.options["seed"] == 3
    with pytest.raises(ValueError, match="know no twists"):
        source("spin_glass", (2, 2), (12, 3))
