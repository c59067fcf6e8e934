"""Configurations on which forces are learned: random spins, snapshots of quenches, perturbed textures, late states.

Late states are snapshots of quenches in steps ``LATE_STRIDE`` times as long, half of them without a field: what a network
meets in long runs is ordered otherwise than anything early, and unknown to it if it has seen only the beginnings.

Everything is a pure function of (seed, block): a block is one configuration, or one quench with several snapshots.
Which block has which kind and shape follows from the wanted mix alone, so that labelling can stop and go on anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine.dynamics import SemiImplicitLLG
from engine.forces import ClassicalForce, ForceProvider, SumForce
from engine.lattice import Lattice
from engine.learning.network import ElectronSetting
from engine.models import Zeeman
from engine.noise import Noise
from engine.state import SpinState
from engine.textures import perturbed, texture

KINDS = ("random", "quench", "texture", "late")
SNAPSHOT_STEPS = (3, 7, 13, 22, 36, 60)
LATE_STEPS, LATE_STRIDE = (40, 80, 120, 180, 240, 300), 4
LEAST_PERTURBATION, LARGEST_PERTURBATION = 0.02, 0.8
Shape = tuple[int, int]


@dataclass(frozen=True)
class Source:
    """A system to be learned. ``exact``: lattice -> the force that labels; ``rough``: a cheaper one that moves quenches.

    ``random`` is the texture of random spins; dynamics uses ``time_step``, fields up to ``field_scale`` along z and
    temperatures up to a quarter of ``temperature_scale``. ``at``: the same system with other electrons.
    """

    lattice: Callable[[Shape], Lattice]
    exact: Callable[[Lattice], ForceProvider]
    rough: Callable[[Lattice], ForceProvider]
    random: str
    time_step: float
    field_scale: float
    temperature_scale: float
    at: Callable[[ElectronSetting], Source] | None = None


@dataclass(frozen=True)
class Block:
    """What is drawn as one piece: its number, kind and shape of the lattice, and its electrons (None: the system's)."""

    number: int
    kind: str
    shape: Shape
    electrons: ElectronSetting | None = None

    @property
    def records(self) -> int:
        return {"quench": len(SNAPSHOT_STEPS), "late": len(LATE_STEPS)}.get(self.kind, 1)


@dataclass(frozen=True)
class Configuration:
    """Spins (N, 3) and how they came about (plain JSON)."""

    spin: torch.Tensor
    origin: dict[str, Any]


def plan(
    mix: Mapping[str, float], shapes: Sequence[Shape], count: int, electrons: Sequence[ElectronSetting] = ()
) -> Iterator[Block]:
    """Blocks with at least ``count`` records in all; every prefix of the list has the wanted mix as nearly as can be.
    Each kind takes shapes and ``electrons`` in turns, in time every shape with all electrons.

    Raises ValueError for unknown kinds, negative or vanishing shares, no shapes, count < 1.
    """
    if not mix or set(mix) - set(KINDS) or not all(0 <= v < np.inf for v in mix.values()) or not any(mix.values()):
        raise ValueError(f"mix needs shares >= 0 of {', '.join(KINDS)}, not all zero, got {dict(mix)}")
    if not shapes or count < 1:
        raise ValueError(f"a data set needs shapes and count >= 1, got {list(shapes)} and {count}")
    share = {kind: value / sum(mix.values()) for kind, value in mix.items() if value > 0}
    done = dict.fromkeys(share, 0)
    turns = dict.fromkeys(share, 0)
    number = 0
    while sum(done.values()) < count:
        kind = max(share, key=lambda k: share[k] * (sum(done.values()) + 1) - done[k])
        setting = _in_turn(electrons, len(shapes), turns[kind])
        block = Block(number, kind, shapes[turns[kind] % len(shapes)], setting)
        done[kind] += block.records
        turns[kind] += 1
        number += 1
        yield block


def _in_turn(electrons: Sequence[ElectronSetting], shapes: int, turn: int) -> ElectronSetting | None:
    """The setting of this turn; where both numbers have a common divisor, a round of both is followed by a shifted one."""
    if not electrons:
        return None
    shift = turn // math.lcm(shapes, len(electrons)) % math.gcd(shapes, len(electrons))
    return electrons[(turn + shift) % len(electrons)]


def configurations(source: Source, block: Block, seed: int) -> list[Configuration]:
    """The configurations of a block."""
    lattice = source.lattice(block.shape)
    choose = np.random.default_rng([seed, block.number])
    spin_seed = int(choose.integers(2**31))
    if block.kind == "random":
        return [Configuration(texture(source.random, lattice, seed=spin_seed)[0], {"texture": source.random})]
    if block.kind == "texture":
        return [_perturbed_texture(lattice, choose, spin_seed)]
    return _quench(source, lattice, choose, spin_seed, block.kind == "late")


def _perturbed_texture(lattice: Lattice, choose: np.random.Generator, seed: int) -> Configuration:
    name, options = _texture(lattice, choose)
    amount = float(np.exp(choose.uniform(np.log(LEAST_PERTURBATION), np.log(LARGEST_PERTURBATION))))
    origin = {"texture": name, "options": options, "perturbation": amount}
    if name == "polarized":
        loose = texture("random", lattice, seed=seed).double() + torch.tensor([0.0, 0.0, options["bias"]])
        spin = (loose / torch.linalg.vector_norm(loose, dim=-1, keepdim=True)).float()
    else:
        spin = perturbed(texture(name, lattice, **options), amount, seed)
    return Configuration(spin[0], origin)


def _texture(lattice: Lattice, choose: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """A texture that fits this lattice; half of them are crystals where crystals fit."""
    crystal = lattice.kind == "triangular" and all(length % 12 == 0 for length in lattice.shape)
    if crystal and choose.random() < 0.6:
        return "skyrmion_crystal", {"n_sk": int(choose.integers(1, 3))}
    room = float((abs(np.linalg.det(lattice.periods)) / np.linalg.norm(lattice.periods, axis=1)).min()) / 4
    skyrmion = ["single_skyrmion"] if room > 1 else []
    name = str(choose.choice(["helix", *skyrmion, "domain_wall", "polarized"]))
    if name == "helix":
        turns = choose.integers(0, [max(2, length // 4) for length in lattice.shape])
        wave = turns / np.array(lattice.shape) @ lattice.brillouin_zone().reciprocal
        return name, {"q": wave.tolist(), "normal": choose.normal(size=3).tolist()}
    if name == "single_skyrmion":
        return name, {"radius": float(choose.uniform(1.0, room)), "helicity": float(choose.uniform(0, 2 * np.pi))}
    if name == "domain_wall":
        return name, {"width": float(choose.uniform(0.5, 3)), "angle": float(choose.uniform(0, 2 * np.pi))}
    return name, {"bias": float(choose.uniform(0, 3))}


def _quench(
    source: Source, lattice: Lattice, choose: np.random.Generator, seed: int, late: bool
) -> list[Configuration]:
    """Snapshots of one run from random spins, with damping, field, temperature and time step of its own."""
    settings = {
        "damping": float(np.exp(choose.uniform(np.log(0.05), 0.0))),
        "field_z": float(choose.uniform(0, source.field_scale)),
        "temperature": float(choose.choice([0.0, 0.25 * choose.random() * source.temperature_scale])),
        "time_step": source.time_step * (LATE_STRIDE if late else 1),
    }
    if late and choose.random() < 0.5:
        settings["field_z"] = 0.0
    dynamics = SemiImplicitLLG(
        damping=settings["damping"], temperature=settings["temperature"], time_step=settings["time_step"]
    )
    force = SumForce(source.rough(lattice), ClassicalForce(Zeeman((0.0, 0.0, settings["field_z"]))))
    state, noise = SpinState(texture(source.random, lattice, seed=seed)), Noise([seed])
    found, steps = [], LATE_STEPS if late else SNAPSHOT_STEPS
    for step in range(1, steps[-1] + 1):
        state, _ = dynamics.step(state, force, noise)
        if step in steps:
            found.append(Configuration(state.spin[0], {**settings, "step": step}))
    return found
