"""One row of the benchmark: python -m spinviz.benchmark.rows REQUEST, in a process of its own (see spinviz.benchmark.bench).

Operations of one force, a multiply-add counted as 2:

    diagonalization    16 n^3, n = 2 N:  reduction 4/3 n^3 and back-transformation 2 n^3, in complex numbers (times 4)
    pole expansion     P times those of selected inversion (engine.electrons.dissection)
    Chebyshev          N R M (12 z + 84): z neighbours, R columns, M moments, the forward vectors recomputed
    classical          18 per bond: one product of a 3 x 3 matrix
    learned            not counted; only bytes (spins, weights, force)

The two floors of the preset "skyrmion" (z = 12) and what one busy core made of them, 70 to 126 Gflop/s and 10 GB/s:

                                   24 x 24            48 x 48             96 x 96
    diagonalization, complex64     24.5 Gop, 21 MB    1.57 Top, 340 MB    100 Top, 5.4 GB
        reached                    37 %               -                   refused: use poles
    Chebyshev, M = 500, R = 128    8.4 Gop, 2.4 MB    33.6 Gop, 9.4 MB    134 Gop, 38 MB
        reached                    31 %               32 %                38 %

so that operations are the floor everywhere; bytes are those that have to pass through main memory.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.electrons import ElectronSolver, ExactDiagonalization, KernelPolynomial
from engine.electrons.dissection import dissect
from engine.electrons.poles import PoleExpansion
from engine.electrons.rational import fermi_poles
from engine.electrons.series import spectral_bounds
from engine.forces import ElectronicForce, ForceProvider, SumForce
from engine.learning.force import LearnedForce
from engine.presets import PRESETS, preset
from engine.simulation import Simulation
from engine.state import SpinState
from spinviz.benchmark.bench import GPU_SOLVERS, SOLVERS, Machine, Plan, clock, row
from spinviz.benchmark.published_kpm import published_force

POLE_TOLERANCE = 1e-3
REFERENCE_LENGTH = 48  # sites: learned forces are compared with a sample repeated to at least this length
LARGEST_DIAGONALIZED = 1200  # 2 N of a reference by diagonalization in double precision; beyond, by poles to 1e-8
DOUBLE = 4  # operations in double precision count so many times in the estimate of a reference
SLACK = 20  # a row is not begun when its floor alone takes more than limit / SLACK


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """One row (see FIELDS), here and now; ``skipped`` says why when there is nothing else in it."""
    given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in request["plan"].items()}
    plan = Plan(**given)
    torch.set_num_threads(plan.threads)
    try:
        if request["method"] == "reference":
            return write_references(plan, request["size"], Machine(**request["machine"]), Path(request["folder"]))
        return _measure(request, plan, Machine(**request["machine"]))
    except (ValueError, MemoryError) as error:
        return row(request, skipped=" ".join(str(error).split()))


def _measure(request: dict[str, Any], plan: Plan, machine: Machine) -> dict[str, Any]:
    method, device = request["method"], request["device"]
    simulation, force = prepared(plan, method, request["size"], device)
    operations, moved, needed = work(method, simulation, force, plan)
    floor = max((operations or 0) / machine.operations, moved / machine.bandwidth)
    if floor * SLACK > plan.limit:
        raise ValueError(f"its floor alone is {floor:.0f} s a force; raise --limit above {floor * SLACK:.0f} s to try")
    free = _free_memory(device)
    if needed > free:
        raise MemoryError(f"needs {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free on {device}")
    if method == "published":
        if device != "cpu":
            raise ValueError("the published algorithm is written for the CPU")
        rate, work_time, answer = _rate(lambda: published_force(simulation, plan.moments, plan.probes)[0], plan, device)
        steps, field = None, torch.as_tensor(answer)[None]
    else:
        rate, work_time, answer = _rate(lambda: force(simulation.state).force, plan, device)
        steps, field = _rate(lambda: simulation.advance(1), plan, device)[0], answer
    error, reference = _error(field.cpu(), simulation.state.spin.cpu(), method, Path(request["folder"]))
    return row(
        request, forces_per_second=rate, work_seconds_per_force=work_time, steps_per_second=steps, error=error,
        reference=reference, peak_memory_MiB=_peak_memory(device) / 2**20, operations=operations, bytes=moved,
        floor_seconds=floor, fraction_of_floor=floor / work_time,
    )  # fmt: skip


def prepared(plan: Plan, method: str, size: int, device: str) -> tuple[Simulation, ForceProvider]:
    """The simulation, and its force without exchange and field (the classical force: with them)."""
    kpm = {"force": "kpm", "moments": plan.moments, "texture": "random", "device": device}
    if method == "poles":
        simulation = _solved_by(PoleExpansion(POLE_TOLERANCE), preset(plan.preset, size, **kpm))
    elif method == "kpm":
        simulation = preset(plan.preset, size, **kpm, probes="identity")
    elif method in ("kpm-coloured", "published"):
        simulation = preset(plan.preset, size, **kpm, probes=plan.probes)
    elif method in GPU_SOLVERS:
        solver = KernelPolynomial(plan.moments, plan.probes, path="triton")
        simulation = _solved_by(solver, preset(plan.preset, size, **kpm))
    else:
        simulation = preset(plan.preset, size, force=method, texture="random", device=device)
    return simulation, _terms(simulation).get("electrons", simulation.force)


def _solved_by(solver: ElectronSolver, simulation: Simulation) -> Simulation:
    """The simulation with another solver for its electrons."""
    electrons = dataclasses.replace(_electrons(simulation), solver=solver)
    return dataclasses.replace(simulation, force=SumForce(_terms(simulation) | {"electrons": electrons}))


def _terms(simulation: Simulation) -> dict[str, ForceProvider]:
    force = simulation.force
    return force.terms if isinstance(force, SumForce) else {}


def _electrons(simulation: Simulation) -> ElectronicForce:
    found = _terms(simulation)["electrons"]
    assert isinstance(found, ElectronicForce)
    return found


def work(method: str, simulation: Simulation, force: ForceProvider, plan: Plan) -> tuple[float | None, float, float]:
    """Operations of one force (None: not counted), bytes it has to move, bytes of memory it needs."""
    spin, lattice = simulation.state.spin, simulation.lattice
    spins = 2.0 * spin.numel() * spin.element_size()
    n, item = 2 * lattice.sites, 2 * spin.element_size()
    if isinstance(force, LearnedForce):
        weights = sum(p.numel() * p.element_size() for p in force.network.parameters())
        return None, spins + weights, spins + weights
    if not isinstance(force, ElectronicForce):
        return 18.0 * len(lattice.bonds), spins, 4 * spins
    matrix = force.model.matrix(spin)
    assert matrix is not None
    if isinstance(force.solver, ExactDiagonalization):
        return 16.0 * n**3, 2.0 * n**2 * item, 8.0 * n**2 * item
    if isinstance(force.solver, PoleExpansion):
        tree, (low, high) = dissect(matrix), spectral_bounds(matrix)
        mu, t = force.ensemble.chemical_potential, force.ensemble.temperature
        if t == 0:
            raise ValueError("a pole expansion needs electrons at a temperature > 0")
        middle = (low + high) / 2 if mu is None else mu
        poles = len(fermi_poles((low - middle) / t, (high - middle) / t, POLE_TOLERANCE).poles)
        numbers = float(tree.numbers(matrix.components))
        return poles * tree.operations(matrix.components), spins, numbers * item
    assert isinstance(force.solver, KernelPolynomial)
    columns = n if method == "kpm" else plan.probes
    neighbours = 2.0 * int((matrix.bond.flatten(1).any(1) if matrix.bond.ndim > 1 else matrix.bond != 0).sum())
    sites = lattice.sites
    history = 4 * sites * columns * (plan.moments // 2 + 16) * spin.element_size()
    operations = sites * columns * plan.moments * (12 * neighbours / sites + 84)
    return operations, 8.0 * sites * columns * spin.element_size(), float(min(force.solver.memory, history))


def write_references(plan: Plan, size: int, machine: Machine, folder: Path) -> dict[str, Any]:
    """Exact forces of the electrons on the same spins: reference.npz with "plain" and "twisted", and how they were made.

    What would take longer than the limit is left out.
    """
    found: dict[str, Any] = {}
    if PRESETS[plan.preset].coupling:
        simulation = preset(plan.preset, size, force="kpm", texture="random")
        electrons = _electrons(simulation)
        flat = len(simulation.lattice.shape) == 2
        mesh = tuple(max(1, -(-REFERENCE_LENGTH // n)) for n in simulation.lattice.shape) if flat else (1, 1)
        for name, twists in (("plain", (1, 1)), ("twisted", mesh)):
            if name == "twisted" and mesh == (1, 1):
                found |= {key.replace("plain", "twisted"): value for key, value in found.items()}
                break
            said, seconds, solver = _reference(electrons, simulation.state, twists, machine)
            found[f"{name}_said"] = said
            if seconds <= plan.limit:
                state = SpinState(simulation.state.spin.double())
                exact = dataclasses.replace(electrons, solver=solver)(state).force
                found[name] = exact.numpy()
            else:
                found[f"{name}_said"] = f"not affordable: about {seconds:.0f} s, the limit is {plan.limit:.0f} s"
    np.savez(folder / "reference.npz", **found)
    return {"method": "reference"}


def _reference(
    electrons: ElectronicForce, state: SpinState, twists: tuple[int, ...], machine: Machine
) -> tuple[str, float, ExactDiagonalization | PoleExpansion]:
    """What it is, about how many seconds it takes, and the solver, all in double precision."""
    matrix = electrons.model.matrix(state.spin)
    assert matrix is not None
    count, size = int(np.prod(twists)), matrix.size
    mesh = f", {' x '.join(map(str, twists))} twists" if count > 1 else ""
    if size <= LARGEST_DIAGONALIZED or electrons.ensemble.temperature == 0:
        seconds = DOUBLE * 2 * count * 16 * size**3 / machine.operations
        return f"exact diagonalization{mesh}", seconds, ExactDiagonalization(twists)
    poles = 20 * (1 if electrons.ensemble.filling is None else 8)  # rounds of Newton's method for mu
    seconds = DOUBLE * count * poles * dissect(matrix).operations(matrix.components) / machine.operations
    return f"poles to 1e-8{mesh}", seconds, PoleExpansion(1e-8, twists)


def _error(field: torch.Tensor, spin: torch.Tensor, method: str, folder: Path) -> tuple[float | None, str | None]:
    """epsilon, and what it is against; None where there is nothing to compare with."""
    if method == "classical":
        return None, "a model of its own"
    with np.load(folder / "reference.npz") as file:
        name = "plain" if method in SOLVERS + GPU_SOLVERS else "twisted"
        if name not in file:
            return None, str(file[f"{name}_said"])
        exact, said = torch.from_numpy(file[name]), str(file[f"{name}_said"])
    unit, field = spin.double(), field.double()
    exact = exact - (exact * unit).sum(-1, keepdim=True) * unit
    field = field - (field * unit).sum(-1, keepdim=True) * unit
    return float((field - exact).norm() / exact.norm()), said


def _rate(call: Callable[[], Any], plan: Plan, device: str) -> tuple[float, float, Any]:
    """Calls per second, seconds of work per call (see clock), and the answer, after one call that is not counted."""
    answer = call()
    count, begun, start = 0, clock(device), time.perf_counter()
    while count == 0 or time.perf_counter() - start < plan.seconds:
        answer = call()
        count += 1
    used = clock(device) - begun  # waits for the device
    return count / (time.perf_counter() - start), used / count, answer


def _free_memory(device: str) -> float:
    if device != "cpu":
        return float(torch.cuda.mem_get_info(device)[0])
    return float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")


def _peak_memory(device: str) -> float:
    """Of this process, or of the device's allocator."""
    if device != "cpu":
        return float(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.exists():
        return float(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
