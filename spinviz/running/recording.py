"""Recording: frames of a run into an HDF5 trajectory, written while it runs; movies are made from it afterwards.

Sliders, ramps and the choice of a force change a run while it is recorded: every frame has the parameters that held when
it was made. A pulse of heat or field counts where it acts on the step that comes, or acted since the frame before, and
what was done to the spins by hand at the first frame after it; so nothing is lost between two frames.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoint import describe
from engine.dynamics import FieldPulse
from engine.frame import Frame
from engine.io.trajectory import TrajectoryWriter
from spinviz.controls import CONTROLS, FIELD
from spinviz.running.changes import acting_pulses, pinned_sites, value_at

WANTED_RATE = 30.0
NUMBERS = ("temperature", "electron_temperature", "damping", "time_step", "chemical_potential", "filling", "coupling")


class Recording:
    """Writes ``folder/run.h5``, that is readable after an interruption.

    ``every`` steps one frame, chosen when the recording begins so that about 30 frames are written per second of
    waiting, at most: a slow simulation is recorded step by step.
    """

    observables: tuple[str, ...] = ("magnetization", "energy")

    def __init__(self, folder: Path, every: int | None = None) -> None:
        self.path = folder / "run.h5"
        self._wanted, self.every, self.frames = every, 1, 0
        self._first = 0
        self._last: int | None = None
        self._edits: list[str] = []
        self._trajectory: TrajectoryWriter | None = None

    def begin(self, simulation: Any, steps_per_second: float) -> None:
        """Open the file for this simulation."""
        self.every = self._wanted or max(1, round(steps_per_second / WANTED_RATE))
        self._first = simulation.state.step
        if len(simulation.lattice.plaquettes):
            self.observables = ("magnetization", "energy", "topological_charge")
        self._trajectory = TrajectoryWriter(self.path, self._settings(simulation), self.observables)

    def _settings(self, simulation: Any) -> dict[str, Any]:
        """What made the run, and all its parameters as they are now."""
        parts = {name: part for name, part in describe(simulation).items() if name != "settings"}
        return {**simulation.settings, "parts": parts}

    def wants(self, step: int) -> bool:
        """True for every ``every``-th step."""
        return (step - self._first) % self.every == 0

    def note(self, word: str) -> None:
        """The spins were changed by hand: the next frame tells it, each word once."""
        if word not in self._edits:
            self._edits.append(word)

    def write(self, frame: Frame, simulation: Any) -> None:
        """Append one frame, with the parameters of the simulation that it shows."""
        if self._trajectory is None:
            raise RuntimeError("the recording was not begun; call begin(simulation, rate) first")
        parameters = {**parameters_of(simulation, self._last), "edits": ", ".join(self._edits)}
        self._trajectory.write(replace(frame, parameters=parameters))
        self._last, self._edits = simulation.state.step, []
        self.frames += 1

    def close(self) -> None:
        """Finish the file. May be called twice."""
        if self._trajectory is not None:
            self._trajectory.close()
        self._trajectory = None


def parameters_of(simulation: Any, since: int | None = None) -> dict[str, np.ndarray | str]:
    """All that a live page can change, by name: NUMBERS (), "field" (3,), "pins" () the number of pinned sites, NaN where
    there is none; "force" as text.

    "heat_pulse" () excess temperature in t1, "field_pulse" (3,) in t1, and the number of sites of each, "heat_pulse_sites"
    and "field_pulse_sites"; NaN unless one acts now or has acted since the step ``since``.
    """
    values = {name: value_at(simulation, CONTROLS[name].paths[0]) for name in NUMBERS}
    found: dict[str, np.ndarray | str] = {
        name: np.array(np.nan if value is None else value, dtype=np.float64) for name, value in values.items()
    }
    field = value_at(simulation, FIELD)
    found["field"] = np.full(3, np.nan) if field is None else np.array(field, dtype=np.float64)
    found["pins"] = np.array(float(pinned_sites(simulation).sum()) or np.nan)
    found |= {"heat_pulse": np.array(np.nan), "field_pulse": np.full(3, np.nan)}
    found |= {"heat_pulse_sites": np.array(np.nan), "field_pulse_sites": np.array(np.nan)}
    for pulse in acting_pulses(simulation, since):
        name = "field_pulse" if isinstance(pulse, FieldPulse) else "heat_pulse"
        found[name] = np.array(pulse.field if isinstance(pulse, FieldPulse) else pulse.excess, dtype=np.float64)
        found[f"{name}_sites"] = np.array(float(pulse.sites.sum()))
    return {**found, "force": str(simulation.settings.get("force", ""))}
