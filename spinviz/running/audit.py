"""Audit: the force that moves the spins against the exact one, at one configuration of the run, in the background.

Parity of the transverse forces h_perp = h - (h.S) S of all electrons and couplings (the field is the same on both
sides and left out), and epsilon = rms(h_perp running - h_perp exact) / rms(h_perp exact).

Exact is exact diagonalization with so many boundary twists that the sample has a period of about EXTENT sites: a run
by ED on the bare torus differs from it by its own finite size. Lattices of at most WHOLE sites are audited whole. Of
larger ones a PATCH x PATCH window is cut out at a place that changes with
the step, and closed periodically; *both* forces are computed on that patch, so the comparison is exact for a
configuration that differs from the run's in that one seam. The seam is rougher than anything in the run, and a
network may be worse there: the patch's epsilon is of the patch, not of the whole lattice.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine import PRESETS, Simulation, SpinState, SumForce, preset
from engine.lattice import Lattice
from engine.presets import FORCES
from spinviz.running.worker import sentence

WHOLE = 24 * 24
PATCH = 12
EXTENT = 96
PATIENCE = 10  # niceness of the audit's thread: the run comes first
STOP_TIMEOUT = 1.0


@dataclass(frozen=True, eq=False)
class Audit:
    """Outcome. ``exact``, ``running`` (n, 3) transverse forces in t1; ``sites`` (n,) where they are on the full lattice;
    ``worst`` the site with the largest difference, ``worst_row`` its row; ``energy_error`` per site, or None where a
    force has no energy."""

    step: int
    time: float
    force: str
    region: str
    exact: np.ndarray
    running: np.ndarray
    sites: np.ndarray
    epsilon: float
    worst_row: int
    energy_error: float | None
    seconds: float

    @property
    def worst(self) -> int:
        return int(self.sites[self.worst_row])


def audited(simulation: Simulation) -> Audit:
    """Compare the force of a simulation (its first replica) with the exact one. Raises ValueError without electrons."""
    begin = time.perf_counter()
    name, state, lattice = simulation.settings["preset"], simulation.state, simulation.lattice
    if not PRESETS[name].coupling:
        raise ValueError(
            f"{PRESETS[name].title!r} has no electrons: its force is exact already, there is nothing to audit"
        )
    whole = lattice.sites <= WHOLE
    sites = np.arange(lattice.sites) if whole else window(lattice, state.step)
    size = simulation.settings["size"] if whole else PATCH
    mesh = (max(1, round(EXTENT / size)),) * 2 if lattice.is_regular else (1, 1)
    electrons = electrons_of(simulation)
    kept = {key: simulation.settings[key] for key in ("exchange",) if key in simulation.settings}
    exact = without_field(preset(name, size, force="ed", twists=mesh, **kept, **electrons))
    force = simulation.settings.get("force", PRESETS[name].force)
    own = electrons if force in FORCES else electrons | {"electron_temperature": None}  # a network has its own
    running = simulation if whole else preset(name, size, force=force, **kept, **own)
    part = SpinState(state.spin[:1, torch.as_tensor(sites)].clone())
    true, used = exact(part), without_field(running)(part)
    spin = part.spin[0].numpy()
    right, taken = transverse(true.force[0].numpy(), spin), transverse(used.force[0].numpy(), spin)
    energy = None
    if true.energy is not None and used.energy is not None:
        energy = float(used.energy - true.energy) / len(sites)
    shape = lattice_size(lattice) if whole else f"{PATCH} × {PATCH}"
    region = f"whole lattice, {shape}" if whole else f"{shape} patch closed periodically, both forces on it"
    return Audit(
        state.step, float(state.time[0]), force, region, right, taken, sites, error_share(right, taken),
        int(np.linalg.norm(taken - right, axis=1).argmax()), energy, time.perf_counter() - begin,
    )  # fmt: skip


def lattice_size(lattice: Lattice) -> str:
    """For example "24 × 24", or "100 sites"."""
    return " × ".join(map(str, lattice.shape)) if lattice.is_regular else f"{lattice.sites} sites"


def electrons_of(simulation: Simulation) -> dict[str, Any]:
    """Electrons of the exact force: the run's own; those of the preset where a stand-in runs, or a network that knows no
    others."""
    term: Any = simulation.force.terms.get("electrons")  # type: ignore[attr-defined]
    system: Any = PRESETS[simulation.settings["preset"]]
    ensemble = getattr(term, "ensemble", None)
    if ensemble is None:
        temperature, mu, filling = system.electron_temperature, system.chemical_potential, system.filling
        coupling = simulation.settings.get("coupling", system.coupling)
    else:
        temperature, mu, filling = ensemble.temperature, ensemble.chemical_potential, ensemble.filling
        coupling = term.model.coupling
    return {"electron_temperature": temperature, "chemical_potential": mu, "filling": filling, "coupling": coupling}


def without_field(simulation: Simulation) -> SumForce:
    """The force without its Zeeman term."""
    terms = simulation.force.terms  # type: ignore[attr-defined]
    return SumForce({name: term for name, term in terms.items() if name != "zeeman"})


def window(lattice: Lattice, step: int) -> np.ndarray:
    """Sites of a PATCH x PATCH window of a regular lattice, in the order of a PATCH x PATCH lattice; the corner is drawn
    from ``step``."""
    corner = np.random.default_rng(step).integers(0, lattice.shape)
    first, second = ((corner[axis] + np.arange(PATCH)) % lattice.shape[axis] for axis in (0, 1))
    return (first[:, None] * lattice.shape[1] + second[None, :]).ravel()


def transverse(field: np.ndarray, spin: np.ndarray) -> np.ndarray:
    """The part of ``field`` (N, 3) perpendicular to ``spin``."""
    return field - (field * spin).sum(-1, keepdims=True) * spin


def error_share(exact: np.ndarray, running: np.ndarray) -> float:
    """epsilon = rms(running - exact) / rms(exact); NaN where the exact force vanishes."""
    size = float(np.sqrt(np.mean(exact**2)))
    return float(np.sqrt(np.mean((running - exact) ** 2))) / size if size > 0 else float("nan")


class Auditor:
    """One thread that audits the newest simulation it was given; one that waits is replaced by a newer one.

    Parameters
    ----------
    audit : simulation -> result (may take long or raise). prepare : called once in the thread.
    """

    def __init__(self, audit: Callable[[Any], Audit] = audited, prepare: Callable[[], None] | None = None) -> None:
        self._audit, self._prepare = audit, prepare or stand_back
        self._wake = threading.Condition()
        self._waiting: Any = None
        self._result: Audit | None = None
        self._stopping = False
        self._last = 0
        self.busy, self.message = False, ""
        self._thread = threading.Thread(target=self._work, name="spinviz-audit", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """True while the thread lives."""
        return self._thread.is_alive()

    def post(self, simulation: Any) -> None:
        """Audit this simulation as soon as the present audit is done."""
        with self._wake:
            self._waiting, self.busy, self._last = simulation, True, simulation.state.step
            self._wake.notify()

    def post_every(self, steps: int, simulation: Any) -> None:
        """Post it when ``steps`` (0: never) have gone since the last one and no audit is under way."""
        self._last = min(self._last, simulation.state.step)  # a reset puts the clock back
        if steps > 0 and not self.busy and simulation.state.step >= self._last + steps:
            self.post(simulation)

    def take(self) -> Audit | None:
        """The newest result, once."""
        result, self._result = self._result, None
        return result

    def stop(self) -> None:
        """End the thread; an audit under way is not waited for."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(STOP_TIMEOUT)

    def _work(self) -> None:
        self._prepare()
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._waiting is not None)
                if self._stopping:
                    return
                simulation, self._waiting = self._waiting, None
            try:
                self._result, self.message = self._audit(simulation), ""
            except Exception as error:  # shown beside the plot; the run goes on
                self.message = sentence(error)
            with self._wake:
                self.busy = self._waiting is not None


def stand_back() -> None:
    """One processor for the audit's thread and, on Linux, only when the run leaves it free."""
    torch.set_num_threads(1)
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PATIENCE)
