"""Moving one block of members: what a worker does. A pure function of the plan and the members' numbers."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine.forces import ForceProvider, Response, SumForce
from engine.noise import Noise
from engine.observables import OBSERVABLES, observe
from engine.presets import PRESETS
from engine.simulation import Simulation, StepFailed
from engine.state import SpinState
from engine.textures import texture
from spinviz.ensemble.plan import Block, EnsemblePlan, first_simulation


@dataclass(frozen=True, eq=False)
class FieldOfMembers(ForceProvider):
    """Zeeman term with its own uniform field (B, 3) for every member: force H_b, energy -H_b . sum_i S_i."""

    field: torch.Tensor

    def __call__(self, state: SpinState) -> Response:
        field = self.field.to(state.spin)
        force = field[:, None].expand_as(state.spin)
        return Response(force, lambda: -(state.spin.sum(1, dtype=torch.float64) * field.double()).sum(-1))


@dataclass(frozen=True)
class Moved:
    """Result of a block: ``observables`` name -> (members, frames, ...), ``time`` (frames,), ``spin`` (members, N, 3)
    float32 or None, wall ``seconds``."""

    members: Block
    observables: dict[str, np.ndarray]
    time: np.ndarray
    spin: np.ndarray | None
    seconds: float


def move_block(description: dict[str, Any], members: Block) -> Moved:
    """Run all members of a block to the end of the plan.

    Raises StepFailed when the spins of one of them do not stay finite.
    """
    began = time.perf_counter()
    plan = EnsemblePlan.from_description(description)
    simulation = together(plan, members)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in plan.observables}
    times = []
    steps = plan.kept_steps
    for step in steps:
        simulation = simulation.advance(int(step) - simulation.state.step)
        times.append(float(simulation.state.time[0]))
        for name, value in measured(simulation, plan.observables).items():
            rows[name].append(value)
    spin = simulation.state.spin.detach().to("cpu", torch.float32).numpy().copy() if plan.spins else None
    stacked = {name: np.stack(values, 1) for name, values in rows.items()}
    return Moved(members, stacked, np.array(times), spin, time.perf_counter() - began)


def move_safely(description: dict[str, Any], members: Block) -> Moved | str:
    """:func:`move_block` with one thread; a failed step or a lack of memory is answered as text, not raised."""
    torch.set_num_threads(1)
    try:
        return move_block(description, members)
    except (StepFailed, MemoryError, RuntimeError) as error:
        return " ".join(str(error).split()) or type(error).__name__


def together(plan: EnsemblePlan, members: Block) -> Simulation:
    """All members of a block as one simulation with a batch axis."""
    seeds = [plan.seed_of(*member) for member in members]
    first = first_simulation(plan, members[0][0], seeds[0])
    known, given = PRESETS[plan.preset], plan.settings
    name = given.get("texture", known.texture)
    options = given.get("texture_options", {} if "texture" in given else known.texture_options)
    spin, like = [first.state.spin], first.state.spin
    spin += [texture(name, first.lattice, seed=s, dtype=like.dtype, device=like.device, **options) for s in seeds[1:]]
    force = first.force
    if not isinstance(force, SumForce):
        raise ValueError(f"an ensemble needs the sum of forces that presets make, got {type(force).__name__}")
    fields = torch.tensor([plan.field_of(point) for point, _ in members], dtype=torch.float64, device=like.device)
    force = force.with_term("zeeman", FieldOfMembers(fields))
    return dataclasses.replace(first, state=SpinState(torch.cat(spin)), force=force, noise=Noise(seeds))


def measured(simulation: Simulation, observables: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Observables (members, ...); the force is evaluated only where one of them needs it."""
    needing = any(
        OBSERVABLES[n].needs_response or OBSERVABLES[n].needs_electrons for n in observables if n in OBSERVABLES
    )
    return observe(observables, simulation.state, simulation.lattice, simulation.response() if needing else None)
