"""Reproduced figures: numbers judged where the answer is known, refusals, files, and no exponent from thin statistics."""

import json
import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure as Sheet

from engine.lattice import triangular
from engine.learning import weights
from engine.observables import fold_to_zone
from engine.statistics import growth_exponent
from spinviz.cli import main
from spinviz.reproduce import (
    FIGURES,
    Compared,
    Figure,
    Made,
    locality,
    missing_weights,
    phase_separation,
    reproduce,
    scaling,
    skyrmion_healing,
    skyrmion_quench,
    spin_glass,
    tetrahedral_coarsening,
)
from spinviz.reproduce.figure import panels, plain, with_error
from spinviz.reproduce.pictures import _pixels, compared_growth, draw_fit, draw_structure, kept_steps
from spinviz.reproduce.registry import KINDS
from tests.screen.networks import ship
from tests.tolerances import HALL_TETRAHEDRAL

ISSUED = {
    "skyrmion-phases", "skyrmion-healing", "skyrmion-quench", "locality", "tetrahedral-coarsening", "phase-separation",
    "spin-glass", "scaling", "hall", "equivariance",
}  # fmt: skip
TIME = np.geomspace(1, 100, 12)
LITTLE = {"starts": 2, "sizes": (4, 6), "network": "skyrmion/fast"}
MUCH = {"starts": 30, "sizes": (4, 60), "network": "skyrmion/fast"}


def simple(settings, work) -> Made:
    sheet, axes = panels(1, 1)
    axes[0, 0].plot([0, 1], [0, 1])
    work.say("drawing")
    rows = [
        Compared("slope", "1", 1.02, 0.03, "straight"),
        Compared("curvature", "0", None, None, "statistics too thin: 2 runs"),
    ]
    return Made(sheet, {"x": np.array([1.0, np.nan])}, rows, settings, ["a remark"])


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setitem(
        FIGURES, "fake", Figure("fake", "A line", "none", "a straight line", simple, LITTLE, MUCH, full="the same")
    )


@pytest.fixture
def untrained(tmp_path, monkeypatch):
    """Networks with random weights as if they were shipped."""
    monkeypatch.setattr(weights, "SHIPPED", tmp_path / "weights")
    for preset in ("tetrahedral", "double_exchange", "skyrmion"):
        ship(tmp_path / "weights", preset)


def test_every_figure_is_there_and_described():
    assert set(FIGURES) >= ISSUED
    for name, figure in FIGURES.items():
        assert figure.name == name and figure.paper and figure.shows and (figure.full or name == "fake")


def test_files_and_their_numbers(fake, tmp_path, capsys):
    assert main(["reproduce", "fake", "--out", str(tmp_path / "figures"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    record = json.loads((tmp_path / "figures" / "fake.json").read_text())
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"fake.png", "fake.svg", "fake.json"}
    assert (tmp_path / "figures" / "fake.png").read_bytes().startswith(b"\x89PNG")
    assert record["compared"][0] == {
        "quantity": "slope",
        "paper": "1",
        "ours": 1.02,
        "error": 0.03,
        "remark": "straight",
    }
    assert record["compared"][1]["ours"] is None and "too thin" in record["compared"][1]["remark"]
    assert record["numbers"] == {"x": [1.0, None]} and record["settings"] == {
        "starts": 2,
        "sizes": [4, 6],
        "network": "skyrmion/fast",
    }
    assert record["seconds"] >= 0 and record["processor_seconds"] >= 0 and record["version"] == "small"
    assert printed["compared"][0]["ours"] == 1.02 and len(printed["files"]) == 3


def test_sentences_stand_on_the_figure(fake, tmp_path, monkeypatch):
    kept: list[Sheet] = []
    monkeypatch.setitem(
        FIGURES,
        "fake",
        Figure("fake", "A line", "none", "x", lambda *a: kept.append(simple(*a)) or kept[0], LITTLE, MUCH),
    )
    reproduce("fake", tmp_path)
    shown = " ".join(text.get_text() for text in kept[0].sheet.texts)
    assert "slope: paper 1, here 1.020 ± 0.030 (straight)" in shown
    assert "curvature: paper 0, here none: statistics too thin: 2 runs" in shown and "a remark" in shown


def test_the_advice_for_missing_networks_names_what_they_are() -> None:
    for name in {name for figure in FIGURES.values() for name in figure.weights}:
        short = name.split("/")[1]
        assert weights.read_network(weights.find(name))[1]["network"] == KINDS.get(short, short)


def test_wrong_input_is_refused(fake, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    assert main(["reproduce", "skyrmion-fases"]) == 2
    assert "did you mean 'skyrmion-phases'" in capsys.readouterr().err
    assert main(["reproduce"]) == 2
    assert "--list" in capsys.readouterr().err
    assert main(["reproduce", "fake", "--out", str(tmp_path / "file")]) == 2
    assert "must be a folder" in capsys.readouterr().err
    monkeypatch.setattr(weights, "SHIPPED", tmp_path / "none")
    assert missing_weights(FIGURES["tetrahedral-coarsening"]) == ("tetrahedral/best",)
    assert main(["reproduce", "tetrahedral-coarsening", "--out", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert "needs the network tetrahedral/best" in error and "spinviz train tetrahedral" in error
    assert not (tmp_path / "new").exists()
    assert main(["reproduce", "--list"]) == 0
    assert "needs skyrmion/best" in capsys.readouterr().out


def test_a_network_of_other_electrons_is_refused_by_name(tmp_path, capsys):
    command = ["reproduce", "skyrmion-healing", "--out", str(tmp_path / "new"), "--set"]
    assert main([*command, "network=tetrahedral/best"]) == 2
    error = capsys.readouterr().err
    assert "tetrahedral/best" in error and "was trained for" in error
    assert main([*command, "network=nonsense"]) == 2
    assert "unknown network 'nonsense'" in capsys.readouterr().err
    assert not list(tmp_path.glob("new/*.p*"))


@pytest.mark.parametrize("value, error, text", [
    (0.00331, 0.00021, "0.00331 ± 0.00021"), (1.0234, 0.03, "1.023 ± 0.030"), (57.84, 0.36, "57.84 ± 0.36"),
    (-1.0, 4e-9, "-1 ± 4e-09"), (4.8e-16, 9e-17, "(4.80 ± 0.90)e-16"), (3.0, None, "3"), (0.0, 0.5, "0.00 ± 0.50"),
    (1234567.0, 89000.0, "(1.235 ± 0.089)e+6"),
])  # fmt: skip
def test_numbers_with_errors(value, error, text):
    assert with_error(value, error) == text


def test_plain_numbers():
    assert plain({1: np.float32(0.5), "a": (np.inf, True, np.int64(3), "x", None, np.bool_(False))}) == {
        "1": 0.5,
        "a": [None, True, 3, "x", None, False],
    }


def test_thin_statistics_give_a_sentence_and_no_exponent():
    draw = np.random.default_rng(1)
    lengths = TIME**0.5 * (1 + 0.05 * draw.normal(size=(8, 12)))
    good, thin = growth_exponent(TIME, lengths, (2, 80)), growth_exponent(TIME, lengths[:3], (2, 80))
    row, *halves = compared_growth("n", "1/2", good)
    assert (row.ours, row.error) == (good.exponent, good.error)
    assert [(half.ours, half.error) for half in halves] == [(half.value, half.error) for half in good.halves]
    said = compared_growth("n", "1/2", thin)[0]
    assert said.ours is None and said.error is None and "too thin" in said.text
    for growth, lines, texts in ((good, 1, 0), (thin, 0, 1)):
        _, axes = panels(1, 1)
        draw_fit(axes[0, 0], growth, "#000000")
        assert (len(axes[0, 0].lines), len(axes[0, 0].texts)) == (lines, texts)


def test_a_bent_or_short_curve_carries_no_exponent():
    draw = np.random.default_rng(3)
    noise = 1 + 0.01 * draw.normal(size=(8, 12))
    for curve, window, said in ((TIME**0.7, (1, 100), None), (TIME**0.5 * (1 + (TIME / 30) ** 2), (1, 100), "no power law"),
                                (TIME**0.1, (1, 100), "factor of 1.59 only")):  # fmt: skip
        found = growth_exponent(TIME, curve * noise, window)
        assert found.refused is None if said is None else said in found.refused, found.refused


def test_hall_plateaus(tmp_path):
    done = reproduce("hall", tmp_path, changes=["tetrahedral_twists=4,6", "crystal_twists=1,1", "points=7"])
    signs = [row.ours for row in done.compared if "filling 1/4" in row.quantity]
    assert np.allclose(np.abs(signs), 1, atol=HALL_TETRAHEDRAL) and np.sign(signs).sum() == 0


def test_exponents_of_times():
    sites = np.array([64, 144, 256, 400, 576])
    exponent, error, _ = scaling._exponent(sites, np.tile(1e-9 * sites**3.0, (4, 1)))
    assert math.isclose(exponent, 3, rel_tol=1e-9) and error < 1e-6


def test_floor_of_the_error_is_that_of_a_linear_force():
    draw = np.random.default_rng(2)
    strength = np.array([1.0, 0.5, 0.25])  # of 2, 3, 4 unknown unit spins; h = sum of strength * spin
    shells = [np.arange(9) < 2, (np.arange(9) >= 2) & (np.arange(9) < 5), np.arange(9) >= 5]
    counts = np.array([2, 3, 4])
    first, second = (draw.normal(size=(200_000, 3)) for _ in range(2))
    turned = first / np.linalg.norm(first, axis=1)[:, None] - second / np.linalg.norm(second, axis=1)[:, None]
    response = strength**2 * (turned**2).sum(1).mean()  # mean square change when one of them is new: 2 strength^2
    expected = [(counts * strength**2)[i + 1 :].sum() for i in range(3)]  # variance of the sum of the unknown
    assert np.allclose(locality._floor(response, shells), expected, atol=0.02)


def test_order_of_walls_tells_straight_from_round():
    lattice = triangular(24, 24)
    along = torch.from_numpy(np.sign(np.sin(2 * np.pi * (lattice.cells[:, 0] + 0.5) / 24)))[None]
    middle = lattice.positions[12 * 24 + 12]
    round_ = torch.from_numpy(np.where(np.hypot(*(lattice.positions - middle).T) < 6.5, 1.0, -1.0))[None]
    assert tetrahedral_coarsening._wall_order(along, lattice)[0] > 0.95
    assert tetrahedral_coarsening._wall_order(round_, lattice)[0] < 0.3


def test_steps_are_spread_evenly_in_the_logarithm():
    steps = kept_steps(160, 24)
    assert steps[0] == 0 and steps[-1] == 160 and len(steps) > 12 and (np.diff(steps) > 0).all()


def test_growth_of_clusters_begins_with_the_smallest_ones() -> None:
    time = np.array([0.0, *np.geomspace(1, 10_000, 25)])
    size = np.where(time < 30, 2 - time / 60, 1.5 * (np.maximum(time, 1) / 30) ** (1 / 3))
    windows = phase_separation.growth_windows(time, size)
    assert 30 < windows["early"][0] < 50 and windows["early"][1] <= 10 * windows["early"][0] < windows["late"][0] * 1.01
    assert windows["late"][1] == 10_000
    assert "late" not in phase_separation.growth_windows(time[:-5], size[:-5])
    falling = phase_separation.growth_windows(time, 2 - time / 10_000)
    assert falling == {"early": (time[-5], time[-1])}


def test_arrest_of_clusters_is_the_mean_slope_of_the_runs_at_late_times() -> None:
    time = np.geomspace(1, 10_000, 25)
    size = np.array([[2.0], [3.0], [4.0]]) * time ** np.array([[0.01], [0.02], [0.06]])
    late = phase_separation._arrested(time, size, (500.0, 10_000.0))
    assert late.ours == pytest.approx(0.03) and late.error == pytest.approx(np.std([0.01, 0.02, 0.06], ddof=1) / 3**0.5)
    assert phase_separation._arrested(time, size, None).ours is None


def test_figures_of_dynamics_are_drawn(untrained, tmp_path):
    tiny = {
        tetrahedral_coarsening: {"size": 8, "starts": 2, "steps": 12},
        phase_separation: {"size": 4, "starts": 2, "steps": 8, "large": 6, "large_starts": 2, "large_steps": 16},
        skyrmion_healing: {
            "size": 12,
            "starts": 2,
            "steps": 8,
            "exact_steps": 2,
            "exact_starts": 2,
            "twists": 1,
            "network": "skyrmion/fast",
        },
        skyrmion_quench: {
            "size": 12,
            "starts": 3,
            "steps": 4,
            "twists": 1,
            "large": 12,
            "large_starts": 3,
            "large_steps": 16,
        },
        spin_glass: {"sites": 20, "realizations": 3, "starts": 1, "steps": 12, "spectra": 3},
    }
    for module, settings in tiny.items():
        done = reproduce(module.FIGURE.name, tmp_path / "figures", changes=[f"{k}={v}" for k, v in settings.items()])
        thin = [row for row in done.compared if row.ours is None]
        grown = [row for row in done.compared if "∝" in row.quantity]
        assert all(row in thin for row in grown), module.FIGURE.name  # two runs of a moment carry no exponent
        record = json.loads((tmp_path / "figures" / f"{module.FIGURE.name}.json").read_text())
        assert {key: record["settings"][key] for key in settings} == settings
    assert not list((tmp_path / "figures").glob("*.pieces")), "what is finished keeps no pieces"


def test_domains_are_followed_from_where_they_are_wider_than_walls_to_a_fifth_of_the_sample() -> None:
    time, length = np.arange(12) * 10.0, np.array([2.5, 2.5, 2.6, 3.0, 3.9, 4.1, 5.0, 6.0, 7.0, 9.0, 9.7, 12.0])
    lattice = triangular(48, 48)  # a fifth of the square root of its area is 8.93
    first, last = tetrahedral_coarsening._window(time, np.stack([length, length]), lattice)
    assert (first, last) == (50.0, 80.0)
    first, last = tetrahedral_coarsening._window(time, np.full((2, 12), 2.5), lattice)  # no domains yet
    assert (first, last) == (time[8], time[11])


def test_times_at_which_correlations_pass_a_level() -> None:
    time, counts = np.array([0.0, 10.0, 20.0, 30.0]), np.full((4, 2), 5)
    curve = np.array([[0.0, -0.1], [0.1, -0.3], [-0.1, -0.5], [0.3, -0.6]])  # of the two bins at the four times
    rows = np.tile(np.stack([curve * counts, counts])[None], (12, 1, 1, 1))
    value, error, _ = spin_glass._passing(rows, time, lambda c: -0.4 - c[:, 1])
    assert value == pytest.approx(15) and error == pytest.approx(0, abs=1e-12)
    assert spin_glass._passing(rows, time, lambda c: c[:, 0])[0] == pytest.approx(22.5), "the last time that it turns"
    assert spin_glass._passing(rows, time, lambda c: 1 + c[:, 0])[0] == 0
    assert spin_glass._passing(rows, time, lambda c: c[:, 1]) == (None, None, "not until t = 30")
    assert "too thin" in spin_glass._passing(rows[:3], time, lambda c: c[:, 0])[2]


def test_large_maps_of_the_zone_are_images_with_every_momentum_in_its_place() -> None:
    lattice = triangular(60, 60)
    momenta = fold_to_zone(lattice.momenta(), lattice)
    vertices = lattice.brillouin_zone().vertices
    low, high = vertices.min(0), vertices.max(0)
    peak = int(np.linalg.norm(momenta - [np.pi / 3, 0.0], axis=1).argmin())
    pixels = _pixels(lattice, np.eye(lattice.sites)[peak], low, high)
    rows, columns = np.nonzero(pixels)
    at = np.stack([np.linspace(low[0], high[0], 300)[columns], np.linspace(low[1], high[1], 300)[rows]], 1)
    inside = np.linalg.norm(at - momenta[peak], axis=1) < 0.2
    assert np.allclose(at[inside].mean(0), momenta[peak], atol=(high - low).max() / 300) and inside.sum() > 10
    _, axes = panels(1, 1)
    draw_structure(axes[0, 0], lattice, np.ones(lattice.sites), "all", 1.0)
    assert len(axes[0, 0].images) == 1 and not axes[0, 0].collections
