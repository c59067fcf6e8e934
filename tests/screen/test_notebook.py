"""spinviz.show: the live picture in a notebook, tried without one; limits of a public server; the front door's links."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import panel as pn
import pytest

import engine
import spinviz
from engine.presets import PRESETS
from spinviz.cli import build_parser
from spinviz.commands.serve import serve_options
from spinviz.pages.index import PAGES, address_of, front, page_function
from spinviz.running.changes import built
from spinviz.serving.admission import Admission
from spinviz.serving.limits import SESSIONS_VARIABLE, SIZE_VARIABLE, check_size, limit


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def simulation() -> engine.Simulation:
    return engine.preset("heisenberg", 6, seed=2)


def test_a_simulation_is_shown_played_and_left_as_it_was() -> None:
    first = simulation()
    view = spinviz.show(first)
    assert isinstance(view.__panel__(), pn.viewable.Viewable) and view._polling is not None
    until(lambda: view.simulation is not None)
    view.step.clicks += 1
    until(lambda: view.session.status.step == 1)
    view.poll()
    assert "step 1" in view.numbers.object and "36" not in view.message.object
    np.testing.assert_array_equal(view.simulation.state.spin, first.advance(1).state.spin)
    assert first.state.step == 0 and "6 × 6 square lattice" in view.spin.panel.label
    view.play.clicks += 1
    until(lambda: view.session.status.step > 3)
    view.poll()
    assert view.play.label == "Pause"
    view.play.clicks += 1
    until(lambda: not view.session.status.running)
    view.reset.clicks += 1
    until(lambda: view.session.status.step == 0)
    view.close()
    assert not view.session.alive and view._polling is None


def test_running_starts_at_once_and_ends_with_close() -> None:
    view = spinviz.show(simulation(), running=True)
    until(lambda: view.session.status.step > 2)
    view.close()
    assert not view.session.alive


@pytest.mark.parametrize("thing", [None, "skyrmion", simulation().state])
def test_only_simulations_are_shown(thing: Any) -> None:
    with pytest.raises(ValueError, match=r"needs a Simulation.*engine\.preset"):
        spinviz.show(thing)


def arguments(*words: str) -> Namespace:
    return build_parser().parse_args(["serve", *words])


def test_the_server_listens_here_and_checks_origins() -> None:
    options, variables = serve_options(arguments())
    assert options[options.index("--address") + 1] == "127.0.0.1" and not variables
    origins = [options[i + 1] for i, word in enumerate(options) if word == "--allow-websocket-origin"]
    assert origins == ["127.0.0.1:5006", "localhost:5006"]


def test_a_public_server_has_limits(tmp_path: Any) -> None:
    words = ("--public", "--address", "0.0.0.0", "--origin", "spins.example.org", "--sessions", "7")
    options, variables = serve_options(arguments(*words, "--recordings", str(tmp_path)))
    origins = [options[i + 1] for i, word in enumerate(options) if word == "--allow-websocket-origin"]
    assert origins == ["spins.example.org"] and options[options.index("--setup") + 1].endswith("public.py")
    assert variables[SESSIONS_VARIABLE] == "7" and variables[SIZE_VARIABLE] == "128"
    assert "--websocket-max-message-size" in options


@pytest.mark.parametrize("words, sentence", [
    (("--address", "0.0.0.0"), "--origin"), (("--origin", "*"), "let any page in"),
    (("--recordings", "/nowhere/at/all"), "must be a folder"),
])  # fmt: skip
def test_unsafe_servers_are_refused(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        serve_options(arguments(*words))


def test_large_lattices_are_refused_where_a_limit_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    check_size({"size": 10**6}, {})
    check_size({"preset": "spin_glass", "size": 100}, {SIZE_VARIABLE: "64"})
    with pytest.raises(ValueError, match="up to 64 × 64"):
        check_size({"size": 65}, {SIZE_VARIABLE: "64"})
    monkeypatch.setenv(SIZE_VARIABLE, "8")
    with pytest.raises(ValueError, match="choose a smaller size"):
        built({"preset": "heisenberg", "size": 9})
    assert built({"preset": "heisenberg", "size": 8}).lattice.shape == (8, 8)


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_senseless_limits_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        limit(SIZE_VARIABLE, {SIZE_VARIABLE: text})


def test_seats_are_counted_and_given_back() -> None:
    admission = Admission(2)
    first, second = SimpleNamespace(id="a"), SimpleNamespace(id="b")
    admission.came(first)
    assert admission.admitted(None)
    admission.came(second)
    assert not admission.admitted(None)
    admission.went(first)
    admission.went(first)
    assert admission.admitted(None)


@pytest.mark.parametrize("path, live, home", [
    ("/", "live", "./"), ("/gallery", "live", "./"), ("/apps", "?page=live", "?"), ("/main", "?page=live", "?"),
    ("/prefix/apps", "?page=live", "?"),
])  # fmt: skip
def test_links_work_wherever_the_page_is_served(path: str, live: str, home: str) -> None:
    assert address_of("live", path) == live and address_of("", path) == home


def test_the_front_door_leads_to_every_page_with_a_picture() -> None:
    html = front()
    assert all(f'href="{name}"' in html for name in PAGES) and html.count("data:image/jpeg") == len(PAGES) + len(
        PRESETS
    )
    assert all(f'href="live?preset={name}"' in html for name in PRESETS)
    assert "http" not in html, "nothing from outside"
    assert all(callable(page_function(name)) for name in PAGES)
