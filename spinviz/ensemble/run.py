"""Running an ensemble: check, start or go on, keep results as they come."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.simulation import Simulation, StepFailed
from spinviz.ensemble.block import measured, move_safely
from spinviz.ensemble.plan import EnsemblePlan, blocks, first_simulation
from spinviz.ensemble.room import Shapes, check_disk, file_bytes, fitting_batch
from spinviz.ensemble.store import EnsembleStore
from spinviz.ensemble.workers import Result, cluster_client, here, spread


@dataclass(frozen=True)
class Outcome:
    """``done`` of ``total`` members are in the file, ``made`` of them by this call, in ``seconds``; ``failed``: members
    with what went wrong; ``stopped``: the call was asked to stop."""

    path: Path
    total: int
    done: int
    made: int
    seconds: float
    failed: dict[tuple[int, int], str]
    stopped: bool


def run_ensemble(
    plan: EnsemblePlan,
    out: str | os.PathLike[str],
    workers: int = 1,
    scheduler: str | None = None,
    batch: int | None = None,
    progress: Callable[[int, int], None] = lambda more, done: None,
    announce: Callable[[str], None] = lambda text: None,
    asked: Sequence[int] = (),
) -> Outcome:
    """Run all members that ``out`` does not hold yet, and write them there as they are finished.

    workers : processes on this machine (0: this process itself), unless ``scheduler`` is the address of a Dask
    scheduler. batch : members moved at once; default: what fits. progress(more, done) is called after each block;
    announce(text) is told where Dask's dashboard is; an entry in ``asked`` ends the call after the present block.

    Raises ValueError for settings that do not fit, a file of another ensemble, a scheduler that cannot be reached, and
    a full disk; MemoryError when a member does not fit.
    """
    began, path = time.perf_counter(), Path(out)
    if batch is not None and batch < 1:
        raise ValueError(f"batch must be a whole number of at least 1, got {batch}")
    simulation = _checked(plan, remote=scheduler is not None)
    fitting_batch(simulation, plan, 1 if scheduler else workers, 1, batch)
    shapes = _shapes(simulation, plan)
    check_disk(path, 0 if path.exists() else file_bytes(plan, simulation.state.sites, shapes))
    failed: dict[tuple[int, int], str] = {}
    total, made, stopped = len(plan) * plan.replicas, 0, False
    with ExitStack() as stack:
        missing = _missing(plan, path)
        size = fitting_batch(simulation, plan, 1 if scheduler else workers, len(missing), batch)
        work = blocks(plan, missing, size)
        results = _results(stack, plan, work, workers, scheduler, simulation.state.spin.device, announce)
        if path.exists():
            store = EnsembleStore.reopen(path, plan)
        else:
            lattice = simulation.lattice.description()
            store = EnsembleStore.create(path, plan, lattice, simulation.state.sites, shapes)
        stack.enter_context(store)
        for block, moved in results:
            if isinstance(moved, str):
                failed |= dict.fromkeys(block, moved)
                progress(len(block), int(store.done.sum()))
            else:
                more = store.write(moved)
                made += more
                progress(more, int(store.done.sum()))
            if asked:
                stopped = True
                break
        done = int(store.done.sum())
    return Outcome(path, total, done, made, time.perf_counter() - began, failed, stopped and done < total)


def _results(
    stack: ExitStack, plan: EnsemblePlan, work: Sequence[Any], workers: int, scheduler: str | None,
    device: torch.device, announce: Callable[[str], None],
) -> Iterator[Result]:  # fmt: skip
    """Finished blocks from wherever they are computed; what was started for it is ended with ``stack``."""
    description = plan.description()
    if not work:
        return iter(())
    if scheduler is None and workers == 0:
        return here(description, work)
    devices: Sequence[int] | None = None
    if scheduler is None and device.type == "cuda":  # every worker sees one GPU, and calls it "cuda"
        devices = range(torch.cuda.device_count()) if device.index is None else [device.index]
        description["settings"]["device"] = "cuda"
    client = cluster_client(stack, min(workers, len(work)), scheduler, devices, announce)
    results = spread(client, partial(move_safely, description), work)
    stack.callback(results.close)  # type: ignore[attr-defined]
    return results


def _missing(plan: EnsemblePlan, path: Path) -> list[tuple[int, int]]:
    """Members that are not in the file yet. Raises ValueError when it holds another ensemble."""
    if not path.exists():
        return [(point, replica) for point in range(len(plan)) for replica in range(plan.replicas)]
    with EnsembleStore.reopen(path, plan) as store:
        return store.missing()


def _checked(plan: EnsemblePlan, remote: bool) -> Simulation:
    """The first member; every group of settings is built once, so that wrong ones are refused before the start.

    ``remote``: workers are elsewhere, and this machine may lack their GPUs, so that it checks on the CPU.
    """
    if remote and "device" in plan.settings:
        plan = dataclasses.replace(plan, settings={**plan.settings, "device": "cpu"})
    seen: set[str] = set()
    first: Simulation | None = None
    for point in range(len(plan)):
        key = repr(sorted(plan.shared_settings(point).items()))
        if key not in seen:
            seen.add(key)
            made = first_simulation(plan, point, plan.seed_of(point, 0))
            first = first or made
    assert first is not None
    return first


def _shapes(simulation: Simulation, plan: EnsemblePlan) -> Shapes:
    """Shape and type of each observable of one member. Raises ValueError for those that cannot be measured."""
    try:
        values = measured(simulation, plan.observables)
    except StepFailed as error:
        raise ValueError(f"the first run cannot start: {error}") from error
    return {name: (value.shape[1:], np.asarray(value).dtype) for name, value in values.items()}
