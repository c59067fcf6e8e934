"""Changes of a running simulation: pure functions Simulation -> Simulation, run by the worker between two steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine import ElectronicForce, Simulation, SpinState, SumForce, preset, suggest_time_step, updated
from engine.textures import random_spins

SEED_STRIDE = 7919
LARGEST_LIVE_MATRIX = 2 * 36**2  # of exact diagonalization; a step takes some 20 s


def built(settings: Mapping[str, Any]) -> Simulation:
    """The simulation of ``settings``: "preset", "size" and any other keyword of :func:`engine.preset`."""
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
    field = {"zeeman": present.force.zeeman}  # type: ignore[attr-defined]
    candidate = replace(
        present, force=SumForce(terms | field), settings={**present.settings, "force": settings["force"]}
    )
    candidate.response()
    return candidate


def with_values(present: Simulation, values: Mapping[str, Any]) -> Simulation:
    """Set every dotted path that this simulation has; a classical one has no electrons to change."""
    return updated(present, {path: value for path, value in values.items() if has_path(present, path)})


def has_path(present: Simulation, path: str) -> bool:
    """False when the path leads through a term of the force that is absent, or into electrons that a network
    stands for."""
    parts = path.split(".")
    if parts[0] != "force":
        return True
    term = getattr(present.force, "terms", {}).get(parts[1])
    return isinstance(term, ElectronicForce) if parts[1] == "electrons" else term is not None


def value_at(present: Simulation, path: str) -> Any:
    """Value at a dotted path; None where the term is absent."""
    if not has_path(present, path):
        return None
    value: Any = present
    for part in path.split("."):
        value = getattr(value, part)
    return value


def quenched(present: Simulation, count: int = 1) -> Simulation:
    """New random spins at time 0, everything else as it is; ``count`` numbers the quenches of a run."""
    seeds = [seed + SEED_STRIDE * count for seed in present.noise.seeds]
    old = present.state
    spin = random_spins(
        present.lattice, replicas=old.replicas, seed=seeds[0], dtype=old.spin.dtype, device=old.spin.device
    )
    return replace(present, state=SpinState(spin))


def restarted(present: Simulation, first: Simulation) -> Simulation:
    """Back to the spins of ``first`` with the present parameters."""
    return replace(present, state=first.state)


def with_suggested_time_step(present: Simulation) -> Simulation:
    """The time step that the spins' present motion calls for."""
    damping = float(getattr(present.dynamics, "damping", 0.1))
    step = suggest_time_step(present.state, present.force, damping=damping)
    return updated(present, {"dynamics.time_step": float(f"{step:.2g}")})
