"""A recorded run: frames that can be looked at in any order, wherever they come from, and how they were made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine import SpinState, observe
from engine.frame import Frame
from engine.io.trajectory import Trajectory, read_trajectory
from engine.lattice import Lattice
from engine.observables import structure_factor
from spinviz.pages.parameter_changes import changes_told

SEEN = ("topological_charge", "scalar_chirality", "topological_charge_density", "structure_factor", "magnetization")
CURVES = {
    "charge": "topological_charge",
    "energy": "energy",
    "chirality": "domain_length",
    "spin": "domain_length_spin",
    "ξ": "correlation_length",
}
LARGEST_SURVEY = 2_000_000  # spins that are read at once for the curves of a whole run; some 0.3 s
FLAGS = ("force", "field", "temperature", "electron_temperature", "damping", "time_step", "seed", "texture", "twists",
         "moments", "probes", "chemical_potential", "filling", "coupling")  # fmt: skip


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """Frames of one run. ``read(i)`` -> Frame; ``steps``, ``times`` (F,) of the first replica, times ascending;
    ``settings`` what made it; ``curves`` name -> (F,) of what the file measured; ``parameters`` name -> (F,) or (F, n) of
    what held at each frame, where the file notes it."""

    name: str
    lattice: Lattice
    steps: np.ndarray
    times: np.ndarray
    read: Callable[[int], Frame]
    settings: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    parameters: Mapping[str, np.ndarray] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self.times)

    def index_at(self, time: float) -> int:
        """The last frame at or before ``time`` (the first one before the beginning)."""
        return max(0, int(np.searchsorted(self.times, time * (1 + 1e-12), side="right")) - 1)

    def frame(self, index: int) -> Frame:
        """One frame with everything that can be measured of its spins; the file's own energy where it has one."""
        read = self.read(index)
        names = SEEN if len(self.lattice.plaquettes) else ("magnetization",)
        seen = observe(names, SpinState(torch.from_numpy(np.array(read.spin[:1]))), self.lattice)
        kept = {name: read.observables[name][:1] for name in ("energy",) if name in read.observables}
        return Frame(read.step, read.time[:1], read.spin[:1], self.lattice, seen | kept, read.parameters)

    def survey(self) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """Curves of the whole run (name -> (F,), NaN where unknown) and S(q) of every frame (F, N).

        Spins are read for it only where they are few; S(q) is None otherwise, and on random sites.
        """
        none = np.full(len(self), np.nan)
        curves = {"time": self.times, "magnetization": none, "along_field": none}
        curves |= {name: self.curves.get(source, none) for name, source in CURVES.items()}
        if len(self) * self.lattice.sites > LARGEST_SURVEY:
            return curves, None
        spin = np.stack([self.read(i).spin[0] for i in range(len(self))])
        mean = spin.mean(axis=1)
        curves |= {"magnetization": np.linalg.norm(mean, axis=1), "along_field": mean[:, 2]}
        if not self.lattice.is_regular:
            return curves, None
        missing = {name: source for name, source in CURVES.items() if source not in self.curves and name != "energy"}
        measured = observe(missing.values(), SpinState(torch.from_numpy(spin)), self.lattice)
        curves |= {name: measured[source] for name, source in missing.items()}
        return curves, structure_factor(spin, self.lattice)[1].numpy()

    @property
    def command(self) -> str:
        """The command line that makes this run again, with the parameters of the first frame; "" where the settings do
        not say."""
        settings = {**self.settings, **self._begun_with()}
        if "preset" not in settings:
            return ""
        words = ["spinviz run", str(settings["preset"]), f"--size {settings.get('size')}"]
        for name in FLAGS:
            if settings.get(name) is not None:
                words.append(f"--{name.replace('_', '-')} {_word(settings[name])}")
        if len(self) > 1:
            words.append(f"--steps {self.steps[-1]} --every {self.steps[1] - self.steps[0]}")
        return " ".join(words)

    @property
    def reservations(self) -> str:
        """What the command does not do again: changes during the run, and all that was before the first frame."""
        told = changes_told(self.times, self.parameters)
        if self.steps[0] > 0:
            told += (
                f" The recording begins at step {self.steps[0]}, the command at step 0 with the parameters of that moment; "
                "what was done before is not in the file."
            )
        return told.strip()

    def _begun_with(self) -> dict[str, Any]:
        """Parameters of the first frame that a command line can say."""
        first = {name: self.parameters[name][0] for name in FLAGS if name in self.parameters}
        said = {
            name: bool(value) if value.dtype.kind == "U" else np.isfinite(value).all() for name, value in first.items()
        }
        return {name: value.tolist() for name, value in first.items() if said[name]}

    @property
    def made(self) -> str:
        """How it was made, as HTML: command, settings, seed, size."""
        kind = f"{self.lattice.sites} random sites"
        if self.lattice.is_regular:
            kind = f"{' × '.join(map(str, self.lattice.shape))} {self.lattice.kind} lattice"
        facts = {"frames": f"{len(self)}, steps {self.steps[0]} to {self.steps[-1]}", "lattice": kind}
        facts |= {
            name.replace("_", " "): _word(value) for name, value in self.settings.items() if not isinstance(value, dict)
        }
        rows = "".join(f"<tr><td>{escape(k)}</td><td>{escape(str(v))}</td></tr>" for k, v in facts.items())
        command = f"<code>{escape(self.command)}</code>" if self.command else "The file does not say which command."
        if self.command and self.reservations:
            command += f'<p class="run-reservations" style="margin:4px 0">{escape(self.reservations)}</p>'
        return f'{command}<table class="run-settings">{rows}</table>'


def run_of_trajectory(path: Path, name: str | None = None) -> RecordedRun:
    """A trajectory as a run; the file stays open until ``close``. Raises ValueError for a file that is not one."""
    trajectory = read_trajectory(path)
    try:
        return _run(trajectory, name or path.stem.replace("-", " ").replace("_", " "))
    except BaseException:
        trajectory.close()
        raise


def run_of_frame(frame: Frame, name: str, settings: Mapping[str, Any]) -> RecordedRun:
    """A single frame as a run."""
    return RecordedRun(
        name, frame.lattice, np.array([frame.step]), np.asarray(frame.time[:1]), lambda index: frame, settings
    )


def _run(trajectory: Trajectory, name: str) -> RecordedRun:
    if not len(trajectory):
        raise ValueError(f"{name} has no frames; record some with 'spinviz run --out'")
    times = trajectory.times[:, 0]
    if not (np.isfinite(times).all() and (np.diff(times) >= 0).all()):
        raise ValueError(f"the times of {name} do not ascend; a run that goes back in time cannot be replayed")
    known = [source for source in CURVES.values() if source in trajectory.observables]
    curves = {source: trajectory.observable(source)[:, 0].astype(np.float64) for source in known}
    parameters = {parameter: trajectory.parameter(parameter) for parameter in trajectory.parameters}
    return RecordedRun(
        name, trajectory.lattice, trajectory.steps, times, trajectory.__getitem__, trajectory.settings, curves,
        parameters, trajectory.close,
    )  # fmt: skip


def _word(value: Any) -> str:
    """A value as the command line reads it, with all digits."""
    if isinstance(value, list | tuple):
        return ",".join(map(_word, value))
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return value if isinstance(value, str) else json.dumps(value)
