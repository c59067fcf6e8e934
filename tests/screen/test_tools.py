"""Tools: the charge changes as it must, nothing is lost, and everything can be taken back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine import Simulation, SpinState, preset, square, topological_charge, triangular, updated
from engine.dynamics import HeatedDynamics
from engine.edits import disc, dragged, offsets_from, with_skyrmion
from engine.textures import ferromagnet, perturbed, random_spins, single_skyrmion
from spinviz.running.changes import built, pinned_sites, quenched, restarted, value_at, with_force, with_values
from spinviz.running.tools import drag, field_pulse, flip, heat, insert_skyrmion, paint, pin, returned, unpin_all
from tests.tolerances import EXACT_SINGLE, INTEGER_CHARGE

LATTICES = {"square": square(24), "triangular": triangular(24)}
UP, DOWN, TILTED = (0.0, 0.0, 1.0), (0.0, 0.0, -1.0), (0.6, -0.3, 0.4)


def charge(spin: torch.Tensor, lattice) -> float:
    return float(topological_charge(spin, lattice)[0])


def magnet(**changes) -> Simulation:
    return built({"preset": "heisenberg", "size": 24, "texture": "ferromagnet", "temperature": 0.0, **changes})


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
@pytest.mark.parametrize("vorticity", [1, -1])
@pytest.mark.parametrize("background", [UP, DOWN, TILTED], ids=["up", "down", "tilted"])
def test_a_skyrmion_changes_the_charge_by_its_vorticity(lattice, vorticity: int, background) -> None:
    """By -vorticity where the magnet points up (core down), by +vorticity where it points down."""
    for radius in (1.0, 1.7, 2.5, 4.0, 5.0):
        for helicity in (0.0, 0.4, math.pi / 2, math.pi, -1.9):
            spin = with_skyrmion(ferromagnet(lattice, background), lattice, 30, vorticity, helicity, radius)
            sign = -1 if background[2] > 0 else 1
            assert charge(spin, lattice) == pytest.approx(sign * vorticity, abs=INTEGER_CHARGE), (radius, helicity)
            assert float((spin.norm(dim=-1) - 1).abs().max()) < EXACT_SINGLE


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_in_a_ferromagnet_it_is_the_single_skyrmion(lattice) -> None:
    for background, polarity in ((UP, -1), (DOWN, 1)):
        spin = with_skyrmion(ferromagnet(lattice, background), lattice, 300, 1, 0.7, 4.0)
        exact = single_skyrmion(lattice, 4.0, 0.7, 1, lattice.positions[300], polarity)
        assert float((spin - exact).abs().max()) < 3 * EXACT_SINGLE


def test_skyrmions_add_up_also_across_the_edge_and_on_rough_ground() -> None:
    lattice = LATTICES["triangular"]
    spin = perturbed(ferromagnet(lattice, replicas=2), 0.1, seed=4)
    for count, site in enumerate((0, 12 * 24 + 12, 12), start=1):
        spin = with_skyrmion(spin, lattice, site, radius=2.5)
        assert topological_charge(spin, lattice).tolist() == pytest.approx([-count, -count], abs=INTEGER_CHARGE)
    far = np.linalg.norm(offsets_from(lattice, 0), axis=1)
    assert far.max() < 24 / math.sqrt(3) + 1e-9, "the farthest point of a periodic triangular sample"


def test_inserting_leaves_what_is_far_away() -> None:
    lattice = LATTICES["square"]
    spin = random_spins(lattice, seed=2)
    outside = ~disc(lattice, 77, 2 * 3.0)
    assert torch.equal(with_skyrmion(spin, lattice, 77, radius=3.0)[:, outside], spin[:, outside])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"radius": 7.0}, "quarter of the sample"), ({"radius": 0.5}, "between 1"), ({"vorticity": 0}, "but 0"),
        ({"helicity": math.inf}, "finite"), ({"site": 576}, "from 0 to 575"), ({"site": -1}, "from 0 to 575"),
    ],
)  # fmt: skip
def test_senseless_skyrmions_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        insert_skyrmion(**{"site": 3, **options})(magnet())


def test_flip_twice_is_nothing_and_once_is_a_reversed_disc() -> None:
    first = magnet()
    once = flip(100, 4.0)(first)
    inside = disc(first.lattice, 100, 4.0)
    assert int(inside.sum()) == 49, "lattice points of the square lattice within 4 of one of them"
    assert torch.equal(once.state.spin[:, inside], -first.state.spin[:, inside])
    assert torch.equal(flip(100, 4.0)(once).state.spin, first.state.spin)
    assert torch.equal(once.state.spin[:, ~inside], first.state.spin[:, ~inside])


def test_paint_turns_a_disc() -> None:
    painted = paint(5, 1.0, (3.0, 0.0, 4.0))(magnet())
    inside = disc(painted.lattice, 5, 1.0)
    assert int(inside.sum()) == 5
    assert torch.allclose(painted.state.spin[0, inside], torch.tensor([0.6, 0.0, 0.8]))
    with pytest.raises(ValueError, match="not all zero"):
        paint(5, 1.0, (0.0, 0.0, 0.0))(magnet())


@pytest.mark.parametrize("to", [31, 30 + 24 * 3, 30 - 24, 0, 30 + 12])
def test_drag_is_a_permutation_and_moves_the_disc(to: int) -> None:
    lattice = LATTICES["triangular"]
    spin = random_spins(lattice, seed=9)
    moved = dragged(spin, lattice, 30, to, 3.0)
    order = lambda s: s[0][np.lexsort(s[0].numpy().T)]  # noqa: E731
    assert torch.equal(order(moved), order(spin)), "no spin is lost or made"
    shift = lattice.cells[to] - lattice.cells[30]
    for site in np.flatnonzero(disc(lattice, 30, 3.0).numpy()):
        n1, n2 = (lattice.cells[site] + shift) % np.array(lattice.shape)
        assert torch.equal(moved[0, n1 * 24 + n2], spin[0, site])


def test_a_dragged_skyrmion_is_the_skyrmion_elsewhere() -> None:
    lattice = LATTICES["square"]
    here = with_skyrmion(ferromagnet(lattice), lattice, 10 * 24 + 10, radius=2.0)
    there = with_skyrmion(ferromagnet(lattice), lattice, 12 * 24 + 13, radius=2.0)
    assert torch.equal(dragged(here, lattice, 10 * 24 + 10, 12 * 24 + 13, 4.0), there)


def test_pins_hold_through_sliders_quench_and_reset_and_come_off() -> None:
    first = pin(40, 2.0)(magnet(texture="random", temperature=0.3))
    held = pinned_sites(first)
    assert int(held.sum()) == 13
    assert value_at(first, "dynamics.damping") == 0.3
    hotter = with_values(first, {"dynamics.temperature": 0.9, "dynamics.damping": 0.5})
    assert value_at(hotter, "dynamics.temperature") == 0.9 and hotter.dynamics.time_step == first.dynamics.time_step
    assert torch.equal(hotter.advance(5).state.spin[:, held], first.state.spin[:, held])
    new = quenched(hotter)
    assert torch.equal(new.state.spin[:, held], first.state.spin[:, held])
    assert not torch.equal(new.state.spin[:, ~held], first.state.spin[:, ~held])
    assert torch.equal(pinned_sites(restarted(new, first)), held)
    assert not pinned_sites(pin(40, 2.0, on=False)(first)).any()
    free = unpin_all(pin(200, 1.0)(first))
    plain = magnet(texture="random", temperature=0.3)
    assert torch.equal(free.advance(4).state.spin, plain.advance(4).state.spin)


def test_heat_and_field_pulse_begin_now_and_end() -> None:
    first = magnet(temperature=0.0).advance(3)
    calm = first.advance(10).state.spin
    hot = heat(50, 2.0, excess=5.0, duration=0.5)(first)
    assert isinstance(hot.dynamics, HeatedDynamics) and hot.dynamics.first == 3 and hot.dynamics.steps == 5
    assert value_at(hot, "dynamics.damping") == 0.3
    moved = (hot.advance(10).state.spin - calm).norm(dim=-1)[0]
    assert float(moved[50]) > 0.1 > float(moved[50 + 12 * 24 - 576])
    twice = heat(3, 1.0, 1.0, 1.0)(hot)
    assert isinstance(twice.dynamics, HeatedDynamics) and not isinstance(twice.dynamics.inner, HeatedDynamics)
    pulsed = field_pulse((0.5, 0.0, 0.0), duration=0.4)(first)
    assert float(pulsed.advance(4).state.spin[0, :, 0].mean()) > 0.01
    assert with_force(pulsed, {**pulsed.settings, "force": "classical"}).force.pulse is pulsed.force.pulse
    ended = restarted(pin(4, 1.0)(twice), first)
    assert not isinstance(ended.dynamics, HeatedDynamics) and pinned_sites(ended).any()
    for wrong in (0.0, -1.0, math.nan, 1e9):
        with pytest.raises(ValueError, match="pulse must last"):
            heat(50, 2.0, 5.0, wrong)(first)
    with pytest.raises(ValueError, match="damping"):
        heat(50, 2.0, 5.0, 1.0)(updated(first, {"dynamics.damping": 0.0}))


def test_heat_on_pinned_dynamics_and_pins_on_heated_dynamics_are_the_same() -> None:
    first = magnet(temperature=0.1)
    one = pin(3, 1.0)(heat(3, 4.0, 2.0, 1.0)(first)).advance(6)
    two = heat(3, 4.0, 2.0, 1.0)(pin(3, 1.0)(first)).advance(6)
    assert torch.equal(one.state.spin, two.state.spin)


def test_returned_takes_back_spins_pins_and_pulses_but_not_parameters() -> None:
    first = magnet(texture="random", temperature=0.2)
    touched = field_pulse((1, 0, 0), 1.0)(pin(3, 2.0)(insert_skyrmion(9, radius=3.0)(first))).advance(4)
    back = returned(with_values(touched, {"dynamics.damping": 0.6}), first)
    assert torch.equal(back.state.spin, first.state.spin) and back.state.step == 0
    assert value_at(back, "dynamics.damping") == 0.6
    assert not pinned_sites(back).any() and "pulse" not in back.force.terms
    again = returned(with_values(back, {"dynamics.damping": 0.3}), touched)
    assert torch.equal(again.advance(3).state.spin, touched.advance(3).state.spin)
    with pytest.raises(ValueError, match="another lattice"):
        returned(first, preset("heisenberg", 6))


def test_random_sites_can_be_painted_and_pinned_but_not_dragged() -> None:
    glass = built({"preset": "spin_glass", "size": 12})
    assert disc(glass.lattice, 0, 0.0).sum() == 1
    assert pinned_sites(pin(0, 1.5)(glass)).any()
    assert torch.allclose(paint(0, 0.0, UP)(glass).state.spin[0, 0], torch.tensor(UP))
    for tool in (drag(0, 1, 1.0), insert_skyrmion(0)):
        with pytest.raises(ValueError, match="random_sites"):
            tool(glass)


def test_tools_keep_time_step_noise_and_the_given_simulation() -> None:
    first = magnet(texture="random").advance(4)
    before = first.state.spin.clone()
    tools = (insert_skyrmion(9, radius=2.0), flip(3, 2.0), paint(3, 2.0, UP), drag(3, 90, 2.0), pin(5, 1.0))
    for tool in tools:
        after = tool(first)
        assert torch.equal(first.state.spin, before)
        assert (after.state.step, float(after.state.time)) == (4, float(first.state.time))
        assert after.noise is first.noise and isinstance(after.state, SpinState)
        assert after.advance(2).state.step == 6
