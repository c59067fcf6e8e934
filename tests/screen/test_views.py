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
from spinviz.views.view import map_message
from tests.tolerances import PICTURE_VALUE, SIGNED_BYTE


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


def test_spins_travel_as_three_bytes_a_site() -> None:
    frame = observed()
    message = map_message(frame.lattice, "spin", frame.spin[0])
    values = np.frombuffer(message["data"], np.int8).reshape(-1, 3) / 127
    assert len(message["data"]) == 3 * frame.lattice.sites
    assert np.abs(values - frame.spin[0]).max() <= SIGNED_BYTE


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
