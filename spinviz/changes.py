"""Changes of a running simulation: pure functions Simulation -> Simulation, run by the worker between two steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine import Simulation, SpinState, preset, suggest_time_step, updated
from engine.textures import random_spins

SEED_STRIDE = 7919


def built(settings: Mapping[str, Any]) -> Simulation:
    """The simulation of ``settings``: "preset", "size" and any other keyword of :func:`engine.preset`."""
    changes = dict(settings)
    return preset(changes.pop("preset"), changes.pop("size", None), **changes)


def with_values(present: Simulation, values: Mapping[str, Any]) -> Simulation:
    """Set every dotted path that this simulation has; a classical one has no electrons to change."""
    return updated(present, {path: value for path, value in values.items() if has_path(present, path)})


def has_path(present: Simulation, path: str) -> bool:
    """False when the path leads through a term of the force that is absent."""
    parts = path.split(".")
    return parts[0] != "force" or parts[1] in getattr(present.force, "terms", {})


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
