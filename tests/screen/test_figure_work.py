"""Figures that are interrupted, changed and made in batches: nothing is computed twice, mixed or lost."""

import json
import math
from functools import partial

import numpy as np
import pytest
import torch

from engine.dynamics import SemiImplicitLLG
from engine.forces import ClassicalForce
from engine.lattice import triangular
from engine.learning import weights
from engine.models import HeisenbergModel
from engine.noise import Noise
from engine.state import SpinState
from engine.textures import texture
from spinviz.cli import main
from spinviz.ensemble.workers import connected, local_cluster
from spinviz.reproduce import FIGURES, Compared, Figure, Made, reproduce
from spinviz.reproduce.figure import panels
from spinviz.reproduce.registry import networks_read
from spinviz.reproduce.runs import Runs, visited
from spinviz.reproduce.settings import changed
from spinviz.reproduce.work import Work, batches, in_words, pieces_folder

SETTINGS = {"starts": 3, "sizes": (4, 6), "width": 0.5, "network": "skyrmion/fast", "table": {1: (2, 3)}}
LATTICE = triangular(6, 6)


class Computed:
    """Counts what is computed; is interrupted at the piece ``fails``."""

    def __init__(self, fails: int | None = None) -> None:
        self.pieces: list[int] = []
        self.fails = fails

    def make(self, settings, work: Work) -> Made:
        sheet, _ = panels(1, 1)
        pieces = {f"piece {n}": partial(self.piece, n) for n in range(settings["starts"])}
        found = [one["square"] for one in work.all("pieces", pieces).values()]
        return Made(sheet, {"squares": np.array(found)}, [Compared("sum", "-", float(np.sum(found)))], settings)

    def piece(self, number: int) -> dict[str, np.ndarray]:
        if number == self.fails:
            raise KeyboardInterrupt
        self.pieces.append(number)
        return {"square": np.array(number**2)}


def one(work: Work, compute) -> dict[str, np.ndarray]:
    return work.all("one", {"a": compute})["a"]


@pytest.fixture
def figure(monkeypatch):
    def registered(computed: Computed) -> Computed:
        monkeypatch.setitem(
            FIGURES, "fake", Figure("fake", "F", "none", "x", computed.make, SETTINGS, SETTINGS, full="same")
        )
        return computed

    return registered


def test_an_interrupted_figure_goes_on_where_it_was(figure, tmp_path, capsys):
    first = figure(Computed(fails=2))
    assert main(["reproduce", "fake", "--out", str(tmp_path)]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert first.pieces == [0, 1] and not (tmp_path / "fake.json").exists()
    second = figure(Computed())
    assert main(["reproduce", "fake", "--out", str(tmp_path)]) == 0
    assert "goes on with the 2 pieces" in capsys.readouterr().err
    assert second.pieces == [2]
    record = json.loads((tmp_path / "fake.json").read_text())
    assert record["numbers"]["squares"] == [0, 1, 4]
    assert {path.name for path in tmp_path.iterdir()} == {"fake.png", "fake.svg", "fake.json"}


def test_pieces_of_other_settings_are_not_taken_over(figure, tmp_path):
    figure(Computed(fails=2))
    with pytest.raises(KeyboardInterrupt):
        reproduce("fake", tmp_path)
    other = figure(Computed())
    reproduce("fake", tmp_path, changes=["width=0.25"])
    assert other.pieces == [0, 1, 2]
    assert len(list(tmp_path.glob("*.pieces"))) == 1, "those of the interrupted one are still there"
    record = json.loads((tmp_path / "fake.json").read_text())
    assert record["command"] == "spinviz reproduce fake --set width=0.25" and record["settings"]["width"] == 0.25


def test_the_folder_of_pieces_knows_settings_version_and_networks(tmp_path):
    network = tmp_path / "net.safetensors"
    network.write_bytes(b"one")
    folders = {pieces_folder(tmp_path, "f", SETTINGS, "1", [network])}
    assert pieces_folder(tmp_path, "f", dict(reversed(SETTINGS.items())), "1", [network]) in folders
    folders.add(pieces_folder(tmp_path, "f", {**SETTINGS, "starts": 4}, "1", [network]))
    folders.add(pieces_folder(tmp_path, "f", SETTINGS, "2", [network]))
    network.write_bytes(b"two")
    folders.add(pieces_folder(tmp_path, "f", SETTINGS, "1", [network]))
    assert len(folders) == 4


def test_networks_of_a_figure_are_the_needed_the_optional_and_the_chosen(tmp_path, monkeypatch):
    other = tmp_path / "other.safetensors"
    other.write_bytes(weights.find("skyrmion/fast").read_bytes())
    healing, glass = FIGURES["skyrmion-healing"], FIGURES["spin-glass"]
    assert other in networks_read(healing, {**healing.small, "network": str(other)})
    assert networks_read(glass, glass.small) == [weights.find("spin_glass/best")]
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    assert networks_read(glass, glass.small) == [], "it is made without"


@pytest.mark.parametrize("broken", [b"", b"no zip", None])
def test_a_piece_that_cannot_be_read_is_made_again(tmp_path, broken):
    said: list[str] = []
    work = Work(said.append, tmp_path / "pieces")
    one(work, lambda: {"x": np.arange(3)})
    path = tmp_path / "pieces" / "a.npz"
    path.write_bytes(path.read_bytes()[:-30] if broken is None else broken)
    assert (one(work, lambda: {"x": np.arange(4)})["x"] == np.arange(4)).all()
    assert any("made again" in text for text in said)
    assert (one(work, lambda: {"x": np.arange(5)})["x"] == np.arange(4)).all()


def test_what_kept_pieces_cost_is_counted(tmp_path):
    folder = tmp_path / "pieces"
    first, second = Work(folder=folder), Work(folder=folder)
    one(first, lambda: {"x": np.linalg.svd(np.ones((200, 200)))[1]})
    assert (first.before == 0).all()
    one(second, lambda: pytest.fail("it is there"))
    assert second.before[0] > 0 and second.before[1] > 0
    second.finished()
    assert not folder.exists()
    second.finished()


def test_time_left_is_told_from_what_the_others_took(monkeypatch):
    clock = iter([0.0, 60.0, 100.0, 120.0])
    monkeypatch.setattr("spinviz.reproduce.work.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("spinviz.reproduce.work.clocks", lambda: np.zeros(2))
    said: list[str] = []
    Work(said.append).all("points", {name: lambda: {"x": 1} for name in "abc"})
    assert said == ["points: 0 of 3 ready", "points: 1 of 3 ready, about 2 min left",
                    "points: 2 of 3 ready, about 50 s left", "points: 3 of 3 ready"]  # fmt: skip
    assert [in_words(seconds) for seconds in (12.3, 89.0, 600.0, 7200.0)] == ["12 s", "89 s", "10 min", "2.0 h"]


def test_settings_are_changed_to_values_of_their_own_kind():
    found = changed("fake", SETTINGS, ["starts=10", "sizes=8,12,16", "width=2", "network=c/d"])
    assert found == {"starts": 10, "sizes": (8, 12, 16), "width": 2.0, "network": "c/d", "table": {1: (2, 3)}}
    assert isinstance(found["width"], float) and SETTINGS["starts"] == 3


@pytest.mark.parametrize("change, said", [
    ("stars=3", "did you mean 'starts'"), ("starts", "KEY=VALUE"), ("starts=many", "positive whole number, got 'many'"),
    ("starts=2.5", "positive whole number"), ("starts=-2", "positive whole number"), ("sizes=4,x", "positive whole number"),
    ("width=nan", "a positive number"), ("width=inf", "a positive number"), ("width=0", "a positive number"),
    ("table=3", "cannot be changed"), ("starts=1", "at least 2, for a standard error"),
])  # fmt: skip
def test_wrong_changes_are_refused_before_anything_runs(figure, tmp_path, capsys, change, said):
    computed = figure(Computed())
    assert main(["reproduce", "fake", "--set", change, "--out", str(tmp_path / "new")]) == 2
    assert said in capsys.readouterr().err and not computed.pieces and not (tmp_path / "new").exists()


def test_fields_without_followed_states_are_refused(tmp_path, capsys):
    assert main(["reproduce", "skyrmion-phases", "--set", "fields=0.003,0.02", "--out", str(tmp_path)]) == 2
    assert "between 0.003 and 0.008" in capsys.readouterr().err


def test_batches_hold_every_run_once():
    assert [list(part) for part in batches(5, 2)] == [[0, 1], [2, 3], [4]] and batches(3, 9) == [range(0, 3)]


def means(spin: torch.Tensor) -> dict[str, np.ndarray]:
    return {"mean": spin.mean(1).numpy()}


def runs() -> Runs:
    force = ClassicalForce(HeisenbergModel(LATTICE, {1: 1.0}))
    dynamics = SemiImplicitLLG(damping=0.2, temperature=0.1, time_step=0.05)
    return Runs("r", LATTICE, force, dynamics, [0, 3, 7], means, seed=4)


def test_runs_do_not_depend_on_their_batches(tmp_path):
    start = texture("random", LATTICE, replicas=5, seed=1)
    whole, parts = runs().made(start, 5, Work()), runs().made(start, 2, Work(folder=tmp_path / "p"))
    assert whole["mean"].shape == (5, 3, 3)
    for name in ("mean", "first", "last"):
        assert np.array_equal(whole[name], parts[name]), name
    assert np.array_equal(whole["first"], start[0].numpy())


def test_states_visited_are_those_of_the_run():
    force, dynamics = (
        ClassicalForce(HeisenbergModel(LATTICE, {1: 1.0})),
        SemiImplicitLLG(damping=0.2, temperature=0.1, time_step=0.05),
    )
    state = SpinState(texture("random", LATTICE, seed=1))
    expected, noise = [state.spin], Noise([3])
    for _ in range(5):
        state, _ = dynamics.step(state, force, noise)
        expected.append(state.spin)
    found = [one.spin for one in visited(SpinState(expected[0]), dynamics, force, Noise([3]), [0, 1, 1, 4])]
    assert all(torch.equal(a, expected[step]) for a, step in zip(found, [0, 1, 1, 4], strict=True))
    assert math.isclose(float(found[-1].norm(dim=-1).mean()), 1, abs_tol=1e-6)


@pytest.fixture(scope="module")
def client():
    with local_cluster(2) as two, connected(two.scheduler_address) as found:
        yield found


def test_workers_compute_the_same_and_each_piece_once(client, tmp_path):
    start, said = texture("random", LATTICE, replicas=5, seed=1), []
    here, there = Work(), Work(said.append, tmp_path / "p", client)
    expected, found = runs().made(start, 2, here), runs().made(start, 2, there)
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
    assert len(said) == 4 and "3 of 3 ready" in said[-1] and there.before[1] > 0
    assert len(list((tmp_path / "p").glob("*.npz"))) == 3


def test_what_goes_wrong_elsewhere_is_told_and_the_rest_is_kept(client, tmp_path):
    def fails() -> dict:
        raise ValueError("this piece is wrong")

    work = Work(folder=tmp_path / "p", client=client)
    work.all("good", {"a": partial(dict, x=1)})
    with pytest.raises(RuntimeError, match=r"piece 'b' .* this piece is wrong"):
        work.all("all", {"a": partial(dict, x=2), "b": fails})
    assert one(work, partial(dict, x=3))["x"] == 1


def test_figures_are_made_by_workers_and_refuse_what_is_not_there(figure, tmp_path, capsys):
    arguments = ["reproduce", "skyrmion-quench", "--workers", "2", "--out", str(tmp_path)]
    for change in (
        "size=6",
        "starts=2",
        "steps=4",
        "twists=1",
        "large=12",
        "large_starts=3",
        "large_steps=8",
        "batch=1",
    ):
        arguments += ["--set", change]
    assert main(arguments) == 0
    record = json.loads((tmp_path / "skyrmion-quench.json").read_text())
    assert np.array(record["numbers"]["large"]["M"]).shape[0] == 3 and record["processor_seconds"] > 0
    assert "Dask dashboard" in capsys.readouterr().err
    figure(Computed())
    assert main(["reproduce", "fake", "--scheduler", "tcp://127.0.0.1:9", "--out", str(tmp_path)]) == 2
    assert "no scheduler answers" in capsys.readouterr().err
    assert main(["reproduce", "fake", "--workers", "-1", "--out", str(tmp_path)]) == 2
    assert "--workers must be between" in capsys.readouterr().err
