"""The audit: epsilon as defined, patch and full lattice, one thread that takes the newest; committee and change of force."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import ForceProvider, LearnedForce, Response, SpinState, SumForce, triangular
from engine.learning import weights
from spinviz.controls import BATH, ELECTRONS, Controls
from spinviz.running.audit import PATCH, Audit, Auditor, audited, error_share, transverse, window
from spinviz.running.changes import built, value_at, with_force, with_values
from spinviz.running.committee import DISAGREEMENT, REST, Committee, absence, disagreement
from spinviz.views import AuditView, DisagreementView, SpinView
from tests.screen.fake_simulation import FakeSimulation, fake_build
from tests.screen.networks import ship
from tests.screen.test_session import wait_for

SMALL = {"preset": "skyrmion", "size": 6, "force": "kpm"}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two networks for the skyrmion preset, none else."""
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    ship(tmp_path)
    return tmp_path


@dataclass(frozen=True, eq=False)
class Factor(ForceProvider):
    """Another force times a number, plus a part along the spins."""

    force: ForceProvider
    factor: float

    def __call__(self, state: SpinState) -> Response:
        answer = self.force(state)
        return Response(self.factor * answer.force + state.spin, answer.energy)


def outcome(step: int) -> Audit:
    force = np.ones((4, 3))
    return Audit(step, 0.5, "kpm", "whole lattice", force, 1.1 * force, np.arange(4), 0.1, 2, None, 0.0)


@pytest.fixture
def open_auditor() -> Iterator[Callable[..., Auditor]]:
    """Makes auditors and stops them all."""
    opened: list[Auditor] = []

    def made(audit: Callable[[Any], Audit]) -> Auditor:
        opened.append(Auditor(audit, prepare=lambda: None))
        return opened[-1]

    yield made
    for auditor in opened:
        auditor.stop()


def test_epsilon_is_the_rms_error_by_the_rms_force() -> None:
    exact = np.array([[3.0, 0, 0], [0, 4.0, 0]])
    assert error_share(exact, exact) == 0
    assert error_share(exact, exact + [[0, 0, 1.0], [0, 0, -1.0]]) == pytest.approx(np.sqrt(2 / 25))
    assert np.isnan(error_share(0 * exact, exact))


def test_the_part_along_the_spin_does_not_count() -> None:
    random = np.random.default_rng(0)
    spin, field = random.normal(size=(2, 5, 3))
    spin /= np.linalg.norm(spin, axis=1)[:, None]
    assert np.allclose(transverse(field + 7 * spin, spin), transverse(field, spin))
    assert np.allclose((transverse(field, spin) * spin).sum(1), 0)


def test_a_force_that_is_a_tenth_too_large_has_epsilon_a_tenth() -> None:
    simulation = built({**SMALL, "force": "ed", "twists": (16, 16)})
    force = simulation.force.with_term("electrons", Factor(simulation.force.electrons, 1.1))  # type: ignore[attr-defined]
    result = audited(replace(simulation, force=force))
    assert result.epsilon == pytest.approx(0.1, rel=1e-3)
    assert result.region == "whole lattice, 6 × 6" and result.exact.shape == (36, 3)
    assert result.energy_error == pytest.approx(0, abs=1e-6)
    assert result.worst == int(np.linalg.norm(result.running - result.exact, axis=1).argmax())


def test_large_lattices_are_audited_on_a_patch_with_both_forces(shipped: Path) -> None:
    simulation = built({**SMALL, "size": 30, "force": "best"})
    result = audited(simulation)
    assert result.exact.shape == result.running.shape == (PATCH**2, 3) and result.force == "best"
    assert "patch closed periodically" in result.region and result.worst in result.sites
    part = simulation.state.spin[:, torch.as_tensor(result.sites)]
    small = built({**SMALL, "size": PATCH, "force": "best"}).force.electrons(SpinState(part))  # type: ignore[attr-defined]
    assert np.allclose(result.running, transverse(small.force[0].numpy(), part[0].numpy()), atol=1e-6)


def test_a_window_keeps_its_neighbours_and_moves() -> None:
    lattice = triangular(25, 30)
    sites = window(lattice, 3).reshape(PATCH, PATCH)
    first, second = lattice.cells[sites].transpose(2, 0, 1)
    assert np.all(np.diff(first, axis=0) % 25 == 1) and np.all(np.diff(second, axis=1) % 30 == 1)
    assert len({int(window(lattice, step)[0]) for step in range(5)}) > 1


def test_a_system_without_electrons_has_nothing_to_audit() -> None:
    with pytest.raises(ValueError, match="no electrons"):
        audited(built({"preset": "heisenberg", "size": 6}))


def test_the_newest_waits_and_older_ones_are_dropped(open_auditor: Callable[..., Auditor]) -> None:
    gate, seen = threading.Event(), []

    def audit(simulation: FakeSimulation) -> Audit:
        gate.wait(10)
        seen.append(simulation.state.step)
        return outcome(simulation.state.step)

    auditor, simulation = open_auditor(audit), fake_build({"seconds": 0.0})
    begin = time.perf_counter()
    for step in range(5):
        auditor.post(simulation.advance(step))
        wait_for(lambda: auditor._waiting is None or auditor._last > 0, "the first is under way")
    assert time.perf_counter() - begin < 5 and auditor.busy
    gate.set()
    wait_for(lambda: not auditor.busy, "all is done")
    result = auditor.take()
    assert seen == [0, 4] and result is not None and result.step == 4 and auditor.take() is None


def test_every_n_steps_also_after_a_reset(open_auditor: Callable[..., Auditor]) -> None:
    auditor, simulation = open_auditor(lambda present: outcome(present.state.step)), fake_build({"seconds": 0.0})
    steps = []
    for step in [*range(25), *range(12)]:
        auditor.post_every(10, simulation.advance(step))
        wait_for(lambda: not auditor.busy, "the audit is done")
        result = auditor.take()
        steps += [result.step] if result is not None else []
    auditor.post_every(0, simulation.advance(99))
    assert steps == [10, 20, 10] and not auditor.busy


def test_a_failed_audit_is_explained_and_the_next_one_works(open_auditor: Callable[..., Auditor]) -> None:
    def audit(simulation: FakeSimulation) -> Audit:
        if simulation.state.step == 1:
            raise ValueError("no electrons\nhere")
        return outcome(simulation.state.step)

    auditor, simulation = open_auditor(audit), fake_build({})
    auditor.post(simulation.advance(1))
    wait_for(lambda: not auditor.busy, "it fails")
    assert auditor.message == "no electrons here" and auditor.take() is None
    auditor.post(simulation.advance(2))
    wait_for(lambda: not auditor.busy, "it works")
    assert auditor.message == "" and auditor.take() is not None
    auditor.stop()
    assert not auditor.alive


def test_the_outcome_is_shown() -> None:
    view, result = AuditView(), outcome(7)
    view.show(result)
    assert len(view._all.data["exact"]) == 12 and "ε = 0.1" in view._plot.title.text
    assert "step 7" in view.caption.object and "0.5 ħ/t₁" in view.caption.object
    assert "(t₁)" in view._plot.xaxis[0].axis_label and "(t₁)" in view._plot.yaxis[0].axis_label


def test_marked_sites_travel_with_the_texture(shipped: Path) -> None:
    view, frame = SpinView(), Committee().snapshot(built(SMALL))
    sent: list[dict] = []
    view.panel._send_msg = sent.append  # type: ignore[method-assign]
    view.show(frame)
    view.mark([3, 99])
    assert [message["marks"] for message in sent] == [[], [3]]


def test_another_force_acts_on_the_running_state(shipped: Path) -> None:
    controls = Controls()
    first = with_values(built(SMALL).advance(2), {BATH: 0.001})
    controls.adopt(SMALL, lambda path: value_at(first, path))
    controls.force = "best"
    other = with_force(first, controls.settings())
    assert isinstance(other.force.electrons, LearnedForce)  # type: ignore[attr-defined]
    assert other.state is first.state and other.dynamics is first.dynamics and other.noise is first.noise
    assert other.force.zeeman is first.force.zeeman and other.settings["force"] == "best"  # type: ignore[attr-defined]
    assert other.advance(1).state.step == 3 and value_at(other, ELECTRONS) is None
    assert with_values(other, {BATH: 0.002, ELECTRONS: 0.002}).dynamics.temperature == 0.002
    controls.adopt(other.settings, lambda path: value_at(other, path))
    assert controls.learned and controls.chemical_potential == -3.5
    controls.force = "kpm"
    assert value_at(with_force(other, controls.settings()), ELECTRONS) == controls.followed_temperature()


def test_a_force_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="would take minutes"):
        with_force(built({**SMALL, "size": 48, "force": "classical"}), {**SMALL, "size": 48, "force": "ed"})


def test_the_page_opens_with_the_best_network(shipped: Path) -> None:
    controls = Controls()
    assert (controls.preset, controls.size, controls.force) == ("skyrmion", 48, "best")
    assert list(controls.param.force.names.values()) == ["ed", "poles", "kpm", "classical", "best", "fast"]
    controls.choose("tetrahedral")
    assert controls.force == "kpm" and list(controls.param.force.names.values()) == ["ed", "poles", "kpm", "classical"]


def test_the_page_opens_with_a_network_only_if_it_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forces per second on 48 x 48 sites, by the card: at 24 x 24 four times as many, where it says nothing of these."""
    for best, fast, size, force in (
        (20.0, 60.0, 48, "best"), (6.0, 60.0, 48, "fast"), (6.0, 9.0, 24, "best"), (3.0, 9.0, 24, "fast"),
        (3.0, 3.0, 24, "best"), (1.5, 1.5, 24, "kpm"),
    ):  # fmt: skip
        rates = {("best", 48): best, ("fast", 48): fast}
        monkeypatch.setattr("spinviz.controls.learned_rate", lambda _, *of, rates=rates: rates.get(of))
        controls = Controls()
        controls.choose("double_exchange")
        assert (controls.size, controls.force) == (size, force)


def test_disagreement_at_rest_is_told_in_units_of_the_forces_of_the_data(shipped: Path) -> None:
    simulation = built({**SMALL, "force": "best"})
    up = SpinState(torch.tensor([0.0, 0.0, 1.0]).repeat(1, 36, 1))  # no force can act across these spins

    class Constant(ForceProvider):
        def __call__(self, state: SpinState) -> Response:
            return Response(torch.tensor([1e-3, 0.0, 0.0]).expand_as(state.spin))

    usual = 0.008
    electrons = simulation.force.terms["electrons"]  # type: ignore[attr-defined]
    known = replace(electrons, card={**electrons.card, "errors": {"all": {"rms_field": usual}}})
    terms = {**simulation.force.terms, "electrons": known}  # type: ignore[attr-defined]
    resting = replace(simulation, state=up, force=SumForce(terms))
    assert np.allclose(disagreement(resting, Constant()).numpy(), 1e-3 / (REST * usual), rtol=1e-3)


def test_the_page_opens_as_ever_without_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    controls = Controls()
    assert (controls.preset, controls.size, controls.force) == ("skyrmion", 24, "kpm")


def test_two_networks_make_a_warning(shipped: Path) -> None:
    simulation, committee, view = built({**SMALL, "force": "best"}), Committee(), DisagreementView()
    assert absence("skyrmion", "best") == "" and "second network" in absence("tetrahedral", "kpm")
    frame = committee.snapshot(simulation, ("energy", DISAGREEMENT))
    values = frame.observables[DISAGREEMENT]
    assert values.shape == (1, 36) and values.max() > 0.1 and "energy" in frame.observables
    assert np.all(disagreement(simulation, simulation.force.electrons).numpy() < 1e-4)  # type: ignore[attr-defined]
    view.explain(absence("skyrmion", "best"))
    view.show(frame)
    assert view.map.visible and view.chip == ("outside its data", True)
    soon = committee.snapshot(simulation, ("energy", DISAGREEMENT))
    view.show(soon)  # the other member has had its share of the time: the last answer stays
    assert DISAGREEMENT not in soon.observables and view.chip == ("outside its data", True)
    alone = committee.snapshot(built(SMALL), ("energy", DISAGREEMENT))
    view.explain(absence("skyrmion", "kpm"))
    view.show(alone)
    assert DISAGREEMENT not in alone.observables and view.chip is None and not view.map.visible
    assert DISAGREEMENT not in committee.snapshot(simulation, ()).observables
