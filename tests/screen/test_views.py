"""Views show what a frame says, without a browser; messages to the browser are small and newest wins."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from engine import Frame, Lattice, preset, snapshot, square, triangular
from engine.observables import ring_average
from spinviz.components import LatticeMap
from spinviz.components.lattice_map import ANSWER_TIMEOUT, FRAMES_IN_FLIGHT
from spinviz.components.picture_tools import PictureTools
from spinviz.running.stepping import EVERYWHERE, ON_TRIANGLES
from spinviz.theme import CHIRALITY_MAP, LINES, PAGE
from spinviz.views import ChiralityView, DomainView, SpinView, StructureFactorView, TimeSeriesView
from spinviz.views.domain_view import with_error
from spinviz.views.download import csv_bytes
from spinviz.views.explanations import EXPLANATIONS
from spinviz.views.lattice_picture import PNG_WIDTH, STRIP
from spinviz.views.structure_curves import ROWS, History, Rings, nearest_momentum
from spinviz.views.view import dress_curves, map_message, octahedral
from tests.tolerances import OCTAHEDRAL_DEGREES, PICTURE_VALUE, ROUNDING, SIGMAS


class Sent:
    """A map whose browser is the test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sent: list[dict] = []
        self.map = LatticeMap(clock=lambda: self.now)
        self.map._send_msg = self.sent.append  # type: ignore[method-assign]


def observed(name: str = "tetrahedral", **changes: object) -> Frame:
    simulation = preset(name, **{"size": 4, "force": "classical", "texture": "random", **changes})  # type: ignore[arg-type]
    names = EVERYWHERE + ON_TRIANGLES if len(simulation.lattice.plaquettes) else EVERYWHERE
    return snapshot(simulation.advance(1), names)


def test_at_most_two_frames_are_in_flight_and_the_newest_wins() -> None:
    browser = Sent()
    for value in range(10):
        browser.map.push({"value": value})
    assert [message["value"] for message in browser.sent] == [0, 1]
    browser.map._handle_msg({"drawn": browser.sent[1]["frame"]})
    assert [message["value"] for message in browser.sent] == [0, 1, 9]
    assert browser.map.most_in_flight == FRAMES_IN_FLIGHT


def test_a_lost_frame_is_given_up_after_a_second() -> None:
    browser = Sent()
    for value in range(4):
        browser.map.push({"value": value})
    browser.now = 0.9 * ANSWER_TIMEOUT
    browser.map.send_newest()
    assert len(browser.sent) == 2
    browser.now = 1.1 * ANSWER_TIMEOUT
    browser.map.send_newest()
    assert browser.sent[-1]["value"] == 3


def test_a_picture_that_comes_late_gets_the_last_frame() -> None:
    browser = Sent()
    browser.map.push({"value": 1})
    browser.map._handle_msg({"ready": True})
    assert [message["value"] for message in browser.sent] == [1, 1]


def test_spins_travel_as_two_bytes_a_site() -> None:
    frame = observed()
    message = map_message(frame.lattice, "spin", frame.spin[0])
    assert len(message["data"]) == 2 * frame.lattice.sites
    assert octahedral_error(frame.spin[0]) <= OCTAHEDRAL_DEGREES


def octahedral_error(spin: np.ndarray) -> float:
    """Largest angle in degrees between spins and what the browser makes of their two bytes."""
    u, v = ((octahedral(spin)[:, None] >> np.array([0, 8])) & 255).T / 127.5 - 1
    z = 1 - np.abs(u) - np.abs(v)
    below = z < 0
    x = np.where(below, (1 - np.abs(v)) * np.sign(u), u)
    y = np.where(below, (1 - np.abs(u)) * np.sign(v), v)
    seen = np.stack((x, y, z), -1) / np.linalg.norm((x, y, z), axis=0)[:, None]
    return float(np.degrees(np.arccos(np.clip((seen * spin).sum(-1), -1, 1))).max())


def test_the_two_bytes_are_right_in_every_octant() -> None:
    spin = np.random.default_rng(0).normal(size=(20_000, 3))
    spin = np.concatenate((spin / np.linalg.norm(spin, axis=1, keepdims=True), np.eye(3), -np.eye(3)))
    assert octahedral_error(spin) <= OCTAHEDRAL_DEGREES


@pytest.mark.parametrize("lattice", [square(5, 7), triangular(6), triangular(4, 9)], ids=str)
def test_allowed_momenta_are_found_in_every_reciprocal_cell(lattice: Lattice) -> None:
    reciprocal = lattice.brillouin_zone().reciprocal
    for shift in ((0, 0), (1, 0), (-2, 1)):
        momenta = lattice.momenta() + np.array(shift) @ reciprocal + 1e-6
        assert np.array_equal(nearest_momentum(momenta, lattice), np.arange(lattice.sites))


@pytest.mark.parametrize("view", [SpinView, ChiralityView, StructureFactorView, TimeSeriesView, DomainView])
@pytest.mark.parametrize("name", ["tetrahedral", "heisenberg", "spin_glass"])
def test_every_view_shows_every_kind_of_lattice(view: type, name: str) -> None:
    frame = observed(name, force="ed", size=10) if name == "spin_glass" else observed(name)
    view().show(frame)


def test_peaks_of_tetrahedral_order_are_at_the_three_m_points() -> None:
    view, frame = StructureFactorView(), observed(texture="tetrahedral", time_step=1e-6)
    view.show(frame)
    image = view._image.data["image"][0]
    shown = np.unique(np.round(image[np.isfinite(image)], 2))
    assert np.allclose(shown[[0, -1]], [0, np.sqrt(1 / 3)], atol=PICTURE_VALUE)


def test_curves_start_anew_when_time_runs_back() -> None:
    view, domains, frame = TimeSeriesView(), DomainView(), observed()
    for time in (1.0, 2.0, 2.0, 3.0, 0.5):
        again = Frame(frame.step, np.array([time]), frame.spin, frame.lattice, frame.observables)
        view.show(again)
        domains.show(again)
    assert list(view._source.data["time"]) == [0.5] and list(domains._source.data["time"]) == [0.5]


def test_chirality_has_a_range_that_fits() -> None:
    view, frame = ChiralityView(), observed(texture="tetrahedral", time_step=1e-6)
    view.show(frame)
    assert view.map._newest is None or view.map._newest["high"] == "+1"
    assert "mean" in view.map.label


def table(content: bytes) -> dict[str, np.ndarray]:
    """Columns of a CSV as numbers, read by NumPy."""
    names = content.decode().splitlines()[0].split(",")
    rows = np.genfromtxt(content.decode().splitlines(), delimiter=",", skip_header=1).reshape(-1, len(names))
    return dict(zip(names, rows.T, strict=True))


@pytest.mark.parametrize("name", ["tetrahedral", "heisenberg"])
def test_ring_averages_are_those_of_the_engine(name: str) -> None:
    frame = observed(name, size=9)
    structure = frame.observables["structure_factor"]
    radius, values = ring_average(torch.as_tensor(structure), frame.lattice)
    rings = Rings(frame.lattice)
    np.testing.assert_allclose(rings.radius, radius, atol=ROUNDING)
    np.testing.assert_allclose(rings.average(structure[0]), values[0], rtol=ROUNDING)


def test_the_path_meets_the_peaks_of_tetrahedral_order() -> None:
    """S = 1/3 at M, nothing elsewhere; the table says where."""
    view, frame = StructureFactorView(), observed(texture="tetrahedral", size=12, time_step=1e-6)
    view.show(frame)
    view.choose("Path")
    columns = table(view.file("csv"))
    zone = frame.lattice.brillouin_zone()
    high = columns["S(q)"] > 0.1
    assert high.sum() == 1 and np.allclose(columns["S(q)"][high], 1 / 3, atol=PICTURE_VALUE)
    q = np.array([columns["qx (1/a)"][high][0], columns["qy (1/a)"][high][0]])
    assert min(np.linalg.norm(zone.equivalents["M"] - q, axis=1)) < 1e-8, "nine digits are written"
    corner = np.linalg.norm(zone.points["K"]) + np.linalg.norm(zone.points["K"] - zone.points["M"])
    spacing = np.linalg.norm(zone.reciprocal, axis=1).max() / 12
    assert abs(columns["path length (1/a)"][high][0] - corner) < spacing / 2


@pytest.mark.parametrize("name", ["tetrahedral", "heisenberg"])
@pytest.mark.parametrize("choice", ["Zone", "Path", "Rings", "History"])
def test_structure_factor_is_shown_in_every_way(name: str, choice: str) -> None:
    view, frame = StructureFactorView(), observed(name, size=6)
    view.choose(choice)
    for time in (1.0, 2.0):
        view.show(Frame(1, np.array([time]), frame.spin, frame.lattice, frame.observables))
    view.tools.switched = True
    columns = table(view.file("csv"))
    total = {"Zone": 1.0, "History": None}.get(choice)
    values = next(values for key, values in columns.items() if key.startswith("S("))
    assert (values >= 0).all() and (total is None or np.isclose(values.sum(), total))
    with pytest.raises(ValueError, match="one of"):
        view.choose("Γ")


def test_history_stays_small_and_even() -> None:
    history = History()
    for step in range(4 * ROWS):
        history.add(float(step), np.full(3, step))
    steps = np.diff(history.times)
    assert len(history.times) <= ROWS and np.ptp(steps) == 0 and history.times[0] == 0
    assert [row[0] for row in history.rows] == history.times
    history.add(1.0, np.zeros(3))
    assert history.times == [1.0]


@pytest.mark.parametrize("exponent", [1.0, 0.5, 1 / 3])
def test_growth_exponents_are_fitted_within_their_error(exponent: float) -> None:
    view = DomainView()
    time = np.geomspace(1, 1000, 200)
    noise = np.exp(0.02 * np.random.default_rng(1).normal(size=(3, 200)))
    curves = {name: size * time**exponent * noise[size - 1] for size, name in enumerate(("spin", "chirality", "ξ"), 1)}
    view.show_all({"time": time, **curves})
    assert set(view.fits) == set(curves)
    for name, fit in view.fits.items():
        assert abs(fit.exponent - exponent) < SIGMAS * fit.uncertainty
        assert f"{name.replace('chirality', 'χ')} {with_error(fit.exponent, fit.uncertainty)}" in view._exponents.text
    columns = table(view.file("csv"))
    np.testing.assert_allclose(columns["correlation length xi (a)"], curves["ξ"], rtol=1e-8)  # nine digits are written
    assert len(view._guides.data["x"]) == 3
    view.tools.switched = False
    assert not len(view._guides.data["x"])


def test_too_few_points_give_no_exponent() -> None:
    view = DomainView()
    view.show_all({name: np.array([0.0, 1.0, 2.0]) for name in ("time", "spin", "chirality", "ξ")})
    assert not view.fits and not view._exponents.text.strip()


@pytest.mark.parametrize("number, error, text", [
    (0.341, 0.02, "0.34(2)"), (-0.3412, 0.0004, "−0.3412(4)"), (1.0, 0.3, "1.00(30)"), (0.5, 0.0, "0.50(1)"),
])  # fmt: skip
def test_errors_stand_in_the_last_digit(number: float, error: float, text: str) -> None:
    assert with_error(number, error) == text


def test_one_sample_is_the_lengths_of_the_frame() -> None:
    view, frame = DomainView(), observed(texture="tetrahedral", size=6, time_step=0.1)
    view.show(frame)
    sources = {"spin": "domain_length_spin", "chirality": "domain_length", "ξ": "correlation_length"}
    for name, source in sources.items():
        assert view._source.data[name].tolist() == [frame.observables[source][0]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_curves_and_their_names_take_the_colours_of_the_theme(theme: str) -> None:
    view = DomainView()
    for one in ("dark", "light", theme):
        dress_curves(view.panel, one)
    colours = [getattr(renderer.glyph, "line_color", None) or renderer.glyph.text_color
               for renderer in view._plot.renderers]  # fmt: skip
    assert colours == [colour for colour in LINES[theme][:3] for _ in range(2)] + 2 * [PAGE[theme]["muted"]]


@pytest.mark.parametrize("view", [ChiralityView, StructureFactorView, TimeSeriesView, DomainView])
def test_nothing_shown_is_nothing_to_download(view: type) -> None:
    with pytest.raises(ValueError, match="wait until something is shown"):
        view().file("csv")


def test_chirality_is_taken_away_as_it_is_shown() -> None:
    view, frame = ChiralityView(), observed(texture="tetrahedral", time_step=1e-6)
    view.show(frame)
    columns = table(view.file("csv"))
    np.testing.assert_allclose(columns["chirality"], frame.observables["scalar_chirality"][0], atol=1e-6)
    drawing = view.file("svg").decode()
    assert drawing.count("<polygon") >= len(frame.lattice.plaquettes)
    image = np.asarray(Image.open(io.BytesIO(view.file("png"))))
    map_of, key = image[: -round(STRIP * PNG_WIDTH)], image[-round(STRIP * PNG_WIDTH) :]
    assert np.ptp(map_of.reshape(-1, 3), axis=0).max() <= 2, "tetrahedral order is uniformly chiral"
    for text in (f"χ:  −{view._limit:g}", f"+{view._limit:g}"):
        assert f">{text}</text>" in drawing
    shown = {tuple(colour) for colour in key.reshape(-1, 3).tolist()}
    assert shown >= {tuple(colour) for colour in CHIRALITY_MAP[[0, 64, 128, 191, 255]].tolist()}


def test_charge_density_is_chosen_in_the_place_of_chirality() -> None:
    """One skyrmion: the table sums to its charge, the map has the letter and range of what it shows."""
    sent: list[dict] = []
    view, frame = ChiralityView(), observed("heisenberg", size=24, texture="single_skyrmion", time_step=1e-6)
    view.map.push = sent.append  # type: ignore[method-assign]
    view.choose("Charge density ρ")
    view.show(frame)
    columns = table(view.file("csv"))
    assert columns["charge density (1/triangle)"].sum() == pytest.approx(-1, abs=1e-5)  # nine digits are written
    assert sent[-1]["symbol"] == "ρ" and sent[-1]["caption"] == "ρ per △" and "sum −1.0" in view.map.label
    shown = np.frombuffer(sent[-1]["data"], dtype=np.int8) / 127 * float(sent[-1]["high"])
    exact = frame.observables["topological_charge_density"][0]
    assert np.abs(shown - exact)[np.abs(exact) < float(sent[-1]["high"])].max() < float(sent[-1]["high"]) / 200
    assert "Berg" in view.tools.help or "Lüscher" in view.tools.help
    view.choose("Chirality χ")
    assert sent[-1]["symbol"] == "χ" and "chirality" in table(view.file("csv"))
    with pytest.raises(ValueError, match="one of"):
        view.choose("S(q)")


def test_tables_keep_their_numbers_and_quote_commas() -> None:
    content = csv_bytes({"a, b": [1 / 3, np.nan], "name": ["x", "y,z"]}).decode()
    assert content.splitlines() == ['"a, b",name', "0.333333333,x", ',"y,z"']


@pytest.mark.parametrize("name", list(EXPLANATIONS))
def test_every_explanation_has_a_formula_and_a_source(name: str) -> None:
    explained = EXPLANATIONS[name]
    assert all(len(text) > 8 for text in (explained.title, explained.text, explained.formula, explained.source))


def test_tools_answer_requests_with_a_file_or_a_sentence() -> None:
    sent: list[dict] = []
    tools = PictureTools(lambda kind: csv_bytes({"a": [1.0]} if kind == "csv" else {"a": []}), title="small table")
    tools._send_msg = sent.append  # type: ignore[method-assign]
    for wanted in ({"wanted": "csv"}, {"wanted": "png"}, {"wanted": "../x"}, "nonsense"):
        tools._handle_msg(wanted)
    assert sent[0]["name"] == "small-table.csv" and base64.b64decode(sent[0]["content"]) == b"a\n1\n"
    assert "nothing to download" in sent[1]["sentence"] and len(sent) == 2
