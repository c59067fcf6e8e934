"""Tools on the texture: what a reader does with the mouse, as functions Simulation -> Simulation for the worker.

Spins, pins and pulses change; time, step, noise and parameters do not. Tools act on pinned spins too: a pin holds
against the dynamics, not against the hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from engine import Lattice, Simulation, SumForce
from engine.dynamics import FieldPulse, HeatedDynamics, PinnedDynamics
from engine.edits import disc, dragged, flipped, painted, with_skyrmion
from spinviz.running.changes import PULSE, inner_dynamics, modifications, pinned_sites

Change = Callable[[Simulation], Simulation]
LONGEST_PULSE = 1_000_000  # steps


@dataclass(frozen=True)
class Edit:
    """A :data:`Change` of the spins by hand: ``turned(spin, lattice)`` are the new ones; recordings tell the ``word``."""

    word: str
    turned: Callable[[torch.Tensor, Lattice], torch.Tensor]

    def __call__(self, present: Simulation) -> Simulation:
        return replace(present, state=present.state.with_spin(self.turned(present.state.spin, present.lattice)))


def insert_skyrmion(site: int, vorticity: int = 1, helicity: float = 0.0, radius: float = 4.0) -> Edit:
    """One skyrmion more at ``site``; the charge changes by -vorticity in a magnet that points up (see engine.edits)."""
    return Edit("skyrmion", lambda spin, lattice: with_skyrmion(spin, lattice, site, vorticity, helicity, radius))


def flip(site: int, radius: float) -> Edit:
    """Reverse all spins within ``radius`` of ``site``."""
    return Edit("flip", lambda spin, lattice: flipped(spin, disc(lattice, site, radius)))


def paint(site: int, radius: float, direction: Sequence[float]) -> Edit:
    """Turn all spins within ``radius`` of ``site`` along ``direction``."""
    return Edit("paint", lambda spin, lattice: painted(spin, disc(lattice, site, radius), direction))


def drag(site: int, to: int, radius: float) -> Edit:
    """Move the texture within ``radius`` of ``site`` so that its centre comes to ``to``."""
    return Edit("drag", lambda spin, lattice: dragged(spin, lattice, site, to, radius))


def pin(site: int, radius: float, on: bool = True) -> Change:
    """Pin (or set free) all sites within ``radius`` of ``site``."""

    def change(present: Simulation) -> Simulation:
        chosen = disc(present.lattice, site, radius)
        pinned = pinned_sites(present)
        return _with_pins(present, pinned | chosen if on else pinned & ~chosen)

    return change


def unpin_all(present: Simulation) -> Simulation:
    """Set every site free."""
    return _with_pins(present, torch.zeros(present.state.sites, dtype=torch.bool))


def heat(site: int, radius: float, excess: float, duration: float) -> Change:
    """Raise the bath temperature within ``radius`` of ``site`` by ``excess`` (t1) for ``duration`` (hbar/t1) from now on.

    The duration is rounded to whole steps of the present length. A heat pulse that still lasts is replaced. Raises
    ValueError without damping.
    """

    def change(present: Simulation) -> Simulation:
        inner = _without_heat(present)
        steps = _steps(duration, present.dynamics.time_step)
        sites = disc(present.lattice, site, radius)
        heated = HeatedDynamics(inner=inner, sites=sites, excess=excess, first=present.state.step, steps=steps)
        return replace(present, dynamics=heated)

    return change


def field_pulse(field: Sequence[float], duration: float, site: int | None = None, radius: float = 0.0) -> Change:
    """An extra field (Hx, Hy, Hz) in t1 for ``duration`` (hbar/t1) from now on, everywhere or around ``site``."""

    def change(present: Simulation) -> Simulation:
        everywhere = torch.ones(present.state.sites, dtype=torch.bool)
        sites = everywhere if site is None else disc(present.lattice, site, radius)
        steps = _steps(duration, present.dynamics.time_step)
        x, y, z = field
        pulse = FieldPulse((x, y, z), sites, present.state.step, steps)
        terms = present.force.terms  # type: ignore[attr-defined]
        return replace(present, force=SumForce({**terms, PULSE: pulse}))

    return change


def returned(present: Simulation, kept: Simulation) -> Simulation:
    """Spins, time, step, pins and pulses of ``kept`` with the parameters, force and noise of ``present``.

    Raises ValueError when the two are of different lattices.
    """
    if kept.state.sites != present.state.sites:
        raise ValueError("the kept state belongs to another lattice; it cannot be taken up in this simulation")
    dynamics = inner_dynamics(present.dynamics)
    for around in reversed(list(modifications(kept.dynamics))):
        dynamics = replace(around, inner=dynamics)
    terms = {name: term for name, term in present.force.terms.items() if name != PULSE}  # type: ignore[attr-defined]
    pulse = {name: term for name, term in kept.force.terms.items() if name == PULSE}  # type: ignore[attr-defined]
    same = dynamics is present.dynamics and terms | pulse == present.force.terms  # type: ignore[attr-defined]
    return replace(
        present, state=kept.state, dynamics=dynamics, force=present.force if same else SumForce(terms | pulse)
    )


def _with_pins(present: Simulation, pinned: torch.Tensor) -> Simulation:
    """Pins are always outermost but for heat, of which there is one at most."""
    heat_around = [m for m in modifications(present.dynamics) if isinstance(m, HeatedDynamics)]
    dynamics = inner_dynamics(present.dynamics)
    if bool(pinned.any()):
        dynamics = PinnedDynamics(inner=dynamics, pinned=pinned)
    for around in heat_around:
        dynamics = replace(around, inner=dynamics)
    return replace(present, dynamics=dynamics)


def _without_heat(present: Simulation):
    return present.dynamics.inner if isinstance(present.dynamics, HeatedDynamics) else present.dynamics


def _steps(duration: float, time_step: float) -> int:
    if not duration > 0 or duration / time_step > LONGEST_PULSE:
        raise ValueError(
            f"a pulse must last between 0 and {LONGEST_PULSE * time_step:.3g} (time, in hbar/t1), got {duration}"
        )
    return max(1, round(duration / time_step))
