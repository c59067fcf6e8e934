"""Changes of a running simulation: pure functions Simulation -> Simulation, run by the worker between two steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from engine import LearnedForce, Simulation, SpinState, SumForce, preset, suggest_time_step, updated
from engine.dynamics import FieldPulse, HeatedDynamics, Integrator, PinnedDynamics
from engine.dynamics.pinned import ModifiedDynamics
from engine.textures import random_spins
from spinviz.serving.limits import check_size

SEED_STRIDE = 7919
ADJUSTABLE = ("force.electrons.ensemble.chemical_potential", "force.electrons.model.coupling")
PULSE = "pulse"  # term of the force that lasts for some steps
LARGEST_LIVE_MATRIX = 2 * 36**2  # of exact diagonalization; a step takes some 20 s


def built(settings: Mapping[str, Any]) -> Simulation:
    """The simulation of ``settings``: "preset", "size" and any other keyword of :func:`engine.preset`."""
    check_size(settings)
    changes = dict(settings)
    made = preset(changes.pop("preset"), changes.pop("size", None), **changes)
    if settings.get("force") == "ed" and 2 * made.lattice.sites > LARGEST_LIVE_MATRIX:
        raise ValueError(
            f"exact diagonalization of {made.lattice.sites} sites would take minutes for one step; the page takes at "
            f"most {LARGEST_LIVE_MATRIX // 2} sites. Choose a smaller size, KPM or a network"
        )
    return made


def with_force(present: Simulation, settings: Mapping[str, Any]) -> Simulation:
    """The running state under the force that ``settings`` ask for.

    Spins, time, step, dynamics, noise and field stay; everything else of the force is that of the settings. The new
    force is computed once here, so that one that cannot be is refused.
    """
    terms = {name: term for name, term in built(settings).force.terms.items() if name != "zeeman"}  # type: ignore[attr-defined]
    kept = {name: term for name, term in present.force.terms.items() if name in ("zeeman", PULSE)}  # type: ignore[attr-defined]
    candidate = replace(
        present, force=SumForce(terms | kept), settings={**present.settings, "force": settings["force"]}
    )
    candidate.response()
    return candidate


def with_values(present: Simulation, values: Mapping[str, Any]) -> Simulation:
    """Set every dotted path that this simulation has; a classical one has no electrons to change."""
    return updated(present, {inner_path(present, p): value for p, value in values.items() if has_path(present, p)})


def has_path(present: Simulation, path: str) -> bool:
    """False when the path leads through a term of the force that is absent, or to electrons that a network knows only as
    they are."""
    parts = path.split(".")
    if parts[0] != "force":
        return True
    term = getattr(present.force, "terms", {}).get(parts[1])
    if parts[1] == "electrons" and isinstance(term, LearnedForce):
        return term.electrons is not None and path in ADJUSTABLE
    return term is not None


def inner_path(present: Simulation, path: str) -> str:
    """The path with the way through pins and pulses to the dynamics inside: "dynamics.inner.damping"."""
    first, _, rest = path.partition(".")
    if first != "dynamics":
        return path
    depth = len(list(modifications(present.dynamics)))
    return ".".join([first, *["inner"] * depth, rest])


def modifications(dynamics: Integrator) -> Iterator[ModifiedDynamics]:
    """What is wound around the dynamics (pins, heat), from outside to inside."""
    while isinstance(dynamics, ModifiedDynamics):
        yield dynamics
        dynamics = dynamics.inner


def inner_dynamics(dynamics: Integrator) -> Integrator:
    """The dynamics without pins and pulses."""
    for around in modifications(dynamics):
        dynamics = around.inner
    return dynamics


def pinned_sites(present: Simulation) -> torch.Tensor:
    """Sites that are pinned, (N,) bool."""
    pins = [m.pinned for m in modifications(present.dynamics) if isinstance(m, PinnedDynamics)]
    return pins[0] if pins else torch.zeros(present.state.sites, dtype=torch.bool)


def acting_pulses(present: Simulation, since: int | None = None) -> list[HeatedDynamics | FieldPulse]:
    """Pulses that act on the step that comes, or have acted since the step ``since``; one of each kind at most."""
    step = present.state.step
    begin = step if since is None else min(since, step)
    terms = getattr(present.force, "terms", {})
    heat = [around for around in modifications(present.dynamics) if isinstance(around, HeatedDynamics)]
    known = [*heat, *([terms[PULSE]] if PULSE in terms else [])]
    return [pulse for pulse in known if pulse.first <= step and begin < pulse.first + pulse.steps]


def value_at(present: Simulation, path: str) -> Any:
    """Value at a dotted path; None where the term is absent."""
    if not has_path(present, path):
        return None
    value: Any = present
    for part in inner_path(present, path).split("."):
        value = getattr(value, part)
    return value


def quenched(present: Simulation, count: int = 1) -> Simulation:
    """New random spins at time 0, but pinned ones; pulses end, else all is as it is. ``count`` numbers the quenches."""
    seeds = [seed + SEED_STRIDE * count for seed in present.noise.seeds]
    old = present.state.spin
    new = random_spins(present.lattice, replicas=len(old), seed=seeds[0], dtype=old.dtype, device=old.device)
    held = pinned_sites(present).to(old.device)[:, None]
    return replace(without_pulses(present), state=SpinState(torch.where(held, old, new)))


def restarted(present: Simulation, first: Simulation) -> Simulation:
    """Back to the spins of ``first`` with the present parameters; pulses end."""
    return replace(without_pulses(present), state=first.state)


def without_pulses(present: Simulation) -> Simulation:
    """The same simulation without heat and field pulses; pins stay."""
    dynamics = inner_dynamics(present.dynamics)
    for around in reversed([m for m in modifications(present.dynamics) if not isinstance(m, HeatedDynamics)]):
        dynamics = replace(around, inner=dynamics)
    terms = {name: term for name, term in present.force.terms.items() if name != PULSE}  # type: ignore[attr-defined]
    return replace(present, dynamics=dynamics, force=SumForce(terms))


def with_suggested_time_step(present: Simulation) -> Simulation:
    """The time step that the spins' present motion calls for."""
    damping = float(getattr(inner_dynamics(present.dynamics), "damping", 0.1))
    step = suggest_time_step(present.state, present.force, damping=damping)
    return with_values(present, {"dynamics.time_step": float(f"{step:.2g}")})
