"""Views show what a frame says, without a browser; messages to the browser are small and newest wins."""

from __future__ import annotations

import numpy as np
import pytest

from engine import Frame, Lattice, preset, snapshot, square, triangular
from spinviz.components import LatticeMap
from spinviz.components.lattice_map import ANSWER_TIMEOUT, FRAMES_IN_FLIGHT
from spinviz.session import EVERYWHERE, ON_TRIANGLES
from spinviz.views import ChiralityView, DomainView, SpinView, StructureFactorView, TimeSeriesView
from spinviz.views.structure_factor_view import nearest_momentum
from spinviz.views.view import map_message, octahedral
from tests.tolerances import OCTAHEDRAL_DEGREES, PICTURE_VALUE


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
    assert view.panel._newest is None or view.panel._newest["high"] == "+1"
    assert "mean" in view.panel.label
