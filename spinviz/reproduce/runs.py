"""Quenches and relaxations that figures are made of: the same measurements along many independent runs, in kept batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from engine.dynamics import SemiImplicitLLG
from engine.forces import ClassicalForce, ForceProvider, SumForce
from engine.lattice import Lattice
from engine.models import Zeeman
from engine.noise import Noise
from engine.state import SpinState
from spinviz.reproduce.work import Work, batches

Measure = Callable[[torch.Tensor], Mapping[str, np.ndarray]]


def visited(
    state: SpinState, dynamics: SemiImplicitLLG, force: ForceProvider, noise: Noise, steps: Sequence[int]
) -> Iterator[SpinState]:
    """The states of a run at these ascending steps."""
    done = 0
    for step in steps:
        for _ in range(step - done):
            state, _ = dynamics.step(state, force, noise)
        done = step
        yield state


def in_field(electrons: ForceProvider, field: float) -> SumForce:
    """Electrons and a magnetic field along z."""
    return SumForce(electrons=electrons, zeeman=ClassicalForce(Zeeman((0.0, 0.0, float(field)))))


@dataclass(frozen=True)
class Runs:
    """Runs of the LLG equation, measured at ascending ``steps``. Run k has the noise of seed ``seed`` + k, whatever its
    batch. ``measure(spin)`` turns spins (R, N, 3), on the CPU, into arrays (R, ...)."""

    name: str
    lattice: Lattice
    force: ForceProvider
    dynamics: SemiImplicitLLG
    steps: Sequence[int]
    measure: Measure
    seed: int = 0

    def made(self, start: torch.Tensor, batch: int, work: Work) -> dict[str, np.ndarray]:
        """Measurements (R, T, ...) along the runs from ``start`` (R, N, 3), and "first" and "last", spins of the first run
        (N, 3)."""
        sites = " x ".join(str(length) for length in self.lattice.shape)
        parts = {
            f"{self.name}-{runs.start}": partial(self._batch, start[runs.start : runs.stop], runs.start)
            for runs in batches(len(start), batch)
        }
        found = list(work.all(f"{self.name}, {sites}, batches", parts).values())
        ends = {name: found[0][name] for name in ("first", "last")}
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]} | ends

    def _batch(self, start: torch.Tensor, first: int) -> dict[str, np.ndarray]:
        spin = start.to("cuda" if torch.cuda.is_available() else "cpu")
        noise, rows = Noise([self.seed + first + run for run in range(len(start))]), []
        for state in visited(SpinState(spin), self.dynamics, self.force, noise, self.steps):
            rows.append(self.measure(state.spin.cpu()))
        ends = {"first": spin[0].cpu().numpy(), "last": state.spin[0].cpu().numpy()}
        return {name: np.stack([row[name] for row in rows], 1) for name in rows[0]} | ends
