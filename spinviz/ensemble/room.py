"""Room for an ensemble: memory of a member, batch sizes, and the size of the file. Refuses before anything is started."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import psutil
import torch

from engine.electrons import ExactDiagonalization, KernelPolynomial
from engine.electrons.exact import WORKSPACE_MATRICES
from engine.electrons.recursion import SparseRecursion
from engine.forces import ElectronicForce
from engine.learning.force import LearnedForce
from engine.simulation import Simulation
from spinviz.ensemble.plan import EnsemblePlan

PROCESS_BYTES = 400 * 2**20  # Python and torch with nothing to do
SHARE_OF_MEMORY = 0.7
VECTORS_OF_A_STEP = 24  # (3, N) arrays that an integrator and a classical force hold at once
LEARNED_BYTES_PER_SITE = 20_000
LARGEST_BATCH = {"cpu": 16}
LARGEST_BATCH_ELSEWHERE = 4096
GIBIBYTE = 2**30

Shapes = Mapping[str, tuple[tuple[int, ...], np.dtype]]


def member_bytes(simulation: Simulation) -> int:
    """Memory that one more member of a batch takes, estimated from its force."""
    state = simulation.state
    total = VECTORS_OF_A_STEP * 3 * state.sites * state.spin.element_size()
    electrons = getattr(simulation.force, "terms", {}).get("electrons")
    if isinstance(electrons, LearnedForce):
        return total + LEARNED_BYTES_PER_SITE * state.sites
    if isinstance(electrons, ElectronicForce):
        number = 2 * state.spin.element_size()
        solver = electrons.solver
        if isinstance(solver, ExactDiagonalization):
            matrices = math.prod(solver.twists) * WORKSPACE_MATRICES * (2 * state.sites) ** 2 * number
            return total + min(matrices, solver.memory)
        if isinstance(solver, KernelPolynomial):
            columns = solver.family.columns(simulation.lattice, 2) * solver.family.draws * math.prod(solver.twists)
            vectors = (
                SparseRecursion.vectors * columns * 2 * state.sites * number
            )  # of the path that holds most of them
            return total + int(min(vectors, solver.memory))
    return total


def free_bytes(device: torch.device) -> int:
    """Free memory where the spins live."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def fitting_batch(simulation: Simulation, plan: EnsemblePlan, workers: int, members: int, wanted: int | None) -> int:
    """Members to move at once. Raises MemoryError when one member, or the batch that was asked for, does not fit."""
    device, one = simulation.state.spin.device, member_bytes(simulation)
    sharing = max(1, workers) if device.type == "cpu" else 1
    room = SHARE_OF_MEMORY * free_bytes(device) / sharing - (PROCESS_BYTES if device.type == "cpu" else 0)
    if one * (wanted or 1) > room:
        raise MemoryError(
            f"{wanted or 1} member(s) at once need about {one * (wanted or 1) / GIBIBYTE:.2g} GiB for each of {sharing} "
            f"worker(s), {max(0.0, room) / GIBIBYTE:.2g} GiB are free; use a smaller size, fewer twists or moments, "
            "fewer --workers or a smaller --batch"
        )
    if wanted is not None:
        return wanted
    moving = torch.device(plan.settings.get("device", "cpu"))
    most = LARGEST_BATCH.get(moving.type, LARGEST_BATCH_ELSEWHERE)
    return max(1, min(most, int(room // one), math.ceil(members / max(1, workers))))


def file_bytes(plan: EnsemblePlan, sites: int, shapes: Shapes) -> int:
    """Size of the file when all members are done."""
    frames = len(plan.kept_steps)
    each = sum(int(np.prod(shape, dtype=np.int64)) * kind.itemsize for shape, kind in shapes.values()) * frames
    return len(plan) * (plan.replicas * (each + (12 * sites if plan.spins else 0) + 17) + 8 * frames)


def check_disk(path: Path, needed: int) -> None:
    """Raises ValueError when the folder is missing or has no room for ``needed`` bytes."""
    if not path.parent.is_dir() or path.is_dir():
        raise ValueError(f"the ensemble needs a file name in an existing folder, got {str(path)!r}")
    free = shutil.disk_usage(path.parent).free
    if needed > 0.95 * free:
        raise ValueError(
            f"the ensemble would take {needed / GIBIBYTE:.3g} GiB, {free / GIBIBYTE:.3g} GiB are free in {path.parent}; "
            "keep fewer steps (--every) or observables, leave out the spins (--no-spins), or cut the sweep"
        )
