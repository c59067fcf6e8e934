"""What an ensemble consists of: points of a sweep, replicas, seeds; and how they are cut into blocks.

A member is (point, replica). Its seed is a function of (seed of the plan, point, replica) alone, so that its numbers do
not depend on which worker computes it, nor beside which others. Members that differ in the seed and in the magnetic
field only can move in one batch; a block is such a batch.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.presets import CHANGES, PRESETS
from engine.simulation import Simulation

FIELDS = ("field_x", "field_y", "field_z")
SWEEPABLE = (
    *FIELDS, "temperature", "electron_temperature", "damping", "time_step", "chemical_potential", "filling", "coupling",
    "dmi_bulk", "anisotropy",
)  # fmt: skip
MOST_MEMBERS = 1_000_000
MOST_VALUES = 100_000
NOT_A_SETTING = {"seed", "replicas"}
SEED_BITS = 62


@dataclass(frozen=True)
class EnsemblePlan:
    """All that decides the numbers of an ensemble; ``workers`` and batches do not, and are no part of it.

    preset : name. replicas : per point. sweep : {parameter: values}; the points are all combinations, the last
    parameter running fastest. steps, every : steps of each run, and between kept frames (the start and the last are
    kept). observables : measured at each. seed. size, settings : as of :func:`engine.presets.preset`. spins : keep
    the last spins of every member.

    Raises ValueError for unknown parameters, senseless numbers and empty sweeps.
    """

    preset: str
    replicas: int = 1
    sweep: Mapping[str, Sequence[float]] = field(default_factory=dict)
    steps: int = 100
    every: int = 10
    observables: tuple[str, ...] = ("magnetization",)
    seed: int = 0
    size: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    spins: bool = True

    def __post_init__(self) -> None:
        _known("preset", self.preset, list(PRESETS))
        for name in ("replicas", "steps", "every", "seed"):
            least = 0 if name == "seed" else 1
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
        sweep = {name: tuple(float(v) for v in values) for name, values in dict(self.sweep).items()}
        for name, values in sweep.items():
            _known("sweep parameter", name, SWEEPABLE)
            if not values or not all(map(math.isfinite, values)) or len(set(values)) != len(values):
                raise ValueError(f"the sweep of {name} needs finite values, each once, got {values[:8]}")
        object.__setattr__(self, "sweep", sweep)
        object.__setattr__(self, "settings", dict(self.settings))
        object.__setattr__(self, "observables", tuple(self.observables))
        for name in self.settings:
            _known("setting", name, sorted(CHANGES - NOT_A_SETTING))
        if twice := [name for name in sweep if name in self.settings]:
            raise ValueError(f"{twice[0]} is both swept and set; give it once")
        if len(self) * self.replicas > MOST_MEMBERS:
            raise ValueError(
                f"{len(self)} points x {self.replicas} replicas are more than {MOST_MEMBERS:,} runs; cut it"
            )

    def __len__(self) -> int:
        """Points of the sweep (1 without one)."""
        return math.prod(len(values) for values in self.sweep.values())

    @property
    def points(self) -> list[dict[str, float]]:
        """Parameters of every point."""
        return [dict(zip(self.sweep, values, strict=True)) for values in itertools.product(*self.sweep.values())]

    @property
    def kept_steps(self) -> np.ndarray:
        """Steps at which observables are kept: 0, every, 2 every, ... and the last."""
        return np.unique(np.append(np.arange(0, self.steps + 1, self.every), self.steps))

    def seed_of(self, point: int, replica: int) -> int:
        """Seed of spins and noise of a member, from a hash of (seed, point, replica)."""
        words = np.random.SeedSequence([self.seed, point, replica]).generate_state(1, np.uint64)
        return int(words[0]) >> (64 - SEED_BITS)

    def field_of(self, point: int) -> tuple[float, float, float]:
        """(Hx, Hy, Hz) at a point."""
        given = self.settings.get("field") or PRESETS[self.preset].field
        swept = self.points[point]
        x, y, z = (float(swept.get(name, value)) for name, value in zip(FIELDS, given, strict=True))
        return x, y, z

    def shared_settings(self, point: int) -> dict[str, Any]:
        """Settings of :func:`preset` at a point but for the magnetic field: equal ones may share a batch."""
        swept = {name: value for name, value in self.points[point].items() if name not in FIELDS}
        return {name: value for name, value in self.settings.items() if name != "field"} | swept

    @property
    def own_probes(self) -> bool:
        """True when the force draws random probes; then every member has its own, and moves alone."""
        force = str(self.settings.get("force", PRESETS[self.preset].force)).lower()
        return force == "kpm" and self.settings.get("probes") != "identity"

    def description(self) -> dict[str, Any]:
        """JSON-ready; two plans with equal descriptions give equal numbers."""
        return {
            "preset": self.preset, "size": self.size, "replicas": int(self.replicas),
            "sweep": {name: list(values) for name, values in self.sweep.items()}, "steps": int(self.steps),
            "every": int(self.every), "observables": list(self.observables), "seed": int(self.seed),
            "settings": {n: list(v) if isinstance(v, tuple) else v for n, v in self.settings.items()},
            "spins": bool(self.spins),
        }  # fmt: skip

    @staticmethod
    def from_description(said: Mapping[str, Any]) -> EnsemblePlan:
        """The plan of :meth:`description`."""
        settings = {n: tuple(v) if isinstance(v, list) else v for n, v in said["settings"].items()}
        return EnsemblePlan(**{**said, "settings": settings, "observables": tuple(said["observables"])})


Block = tuple[tuple[int, int], ...]


def blocks(plan: EnsemblePlan, missing: Sequence[tuple[int, int]], batch: int) -> list[Block]:
    """The ``missing`` members in blocks of at most ``batch`` that can move together."""
    groups: dict[str, list[tuple[int, int]]] = {}
    keys = [repr(sorted(plan.shared_settings(point).items())) for point in range(len(plan))]
    for point, replica in missing:
        groups.setdefault(keys[point], []).append((point, replica))
    batch = 1 if plan.own_probes else batch
    return [tuple(group[i : i + batch]) for group in groups.values() for i in range(0, len(group), batch)]


def parse_sweep(text: str) -> tuple[str, tuple[float, ...]]:
    """ "field_z=0:0.01:0.0005" (first:last:spacing, last included) or "temperature=0.01,0.02".

    Raises ValueError that says what was expected.
    """
    name, equals, what = text.partition("=")
    _known("sweep parameter", name, SWEEPABLE)
    try:
        parts = [float(word) for word in what.split(":" if ":" in what else ",")]
    except ValueError:
        parts = []
    if not equals or not parts or not all(map(math.isfinite, parts)):
        raise ValueError(f"expected {name}=first:last:spacing or {name}=value,value,..., got {text!r}")
    if ":" not in what:
        return name, tuple(parts)
    if len(parts) != 3 or parts[2] == 0 or (parts[1] - parts[0]) / parts[2] < 0:
        raise ValueError(
            f"expected {name}=first:last:spacing with a spacing that leads from first to last, got {text!r}"
        )
    count = math.floor((parts[1] - parts[0]) / parts[2] + 1e-6) + 1
    if count > MOST_VALUES:
        raise ValueError(f"{text!r} are {count:,} values, more than {MOST_VALUES:,}; choose a wider spacing")
    return name, tuple(float(f"{parts[0] + i * parts[2]:.12g}") for i in range(count))


def check_same(plan: EnsemblePlan, recorded: Mapping[str, Any], path: Any) -> None:
    """Raises ValueError, naming what differs, when a file holds another plan."""
    wanted = plan.description()
    different = [name for name in wanted if wanted[name] != recorded.get(name)]
    if different:
        shown = ", ".join(f"{n}: {_short(recorded.get(n))} there, {_short(wanted[n])} now" for n in different)
        raise ValueError(f"{path} holds another ensemble ({shown}); repeat its settings or write to another file")


def first_simulation(plan: EnsemblePlan, point: int, seed: int) -> Simulation:
    """One member as :func:`preset` makes it. Raises ValueError for settings that do not fit."""
    from engine.presets import preset

    settings = plan.shared_settings(point) | {"seed": seed, "replicas": 1, "field": plan.field_of(point)}
    return preset(plan.preset, plan.size, **settings)


def _known(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown {what} {name!r}{hint} Known: {', '.join(known)}")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
