r"""One training: its loss, its steps, and how it is kept in a file.

Loss of a conservative network, with exact field h and energy E of N sites,

    mean |transverse(h_learned - h)|^2 / rms^2  +  energy_weight mean ((E_learned - E) / (N energy_scale))^2,

rms = rms length of the transverse h, energy_scale = standard deviation of E / N, both of the training data. Only the
transverse field moves spins; ``full_field`` asks for the rest as well. Loss of a torque network (Cheng et al., Phys.
Rev. Research 5, 033188, eq. 11), with a floor that keeps sites of vanishing torque from deciding everything:

    mean sum_a |T_a,learned - T_a| / (|T| + TORQUE_FLOOR rms).

Every batch is turned: a random rotation or rotoreflection of all spins (an energy that is even in the spins knows no
difference) and a random operation of the point group, record by record. Adam, linear warm-up and a cosine; beside the
weights their exponential moving average is kept.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from engine.learning.dataset import Records
from engine.learning.network import ElectronSetting, Network, field_and_energy, transverse, transverse_rms
from engine.learning.weights import publish, read_arrays
from engine.state import found_device

FORMAT = "spinviz training 1"
TORQUE_FLOOR = 0.1
PROGRESS = ("step", "seconds", "validation", "history", "recent")
FREE_OPTIONS = ("minutes", "checkpoint_seconds", "device")  # may change when a training goes on


@dataclass(frozen=True)
class TrainingOptions:
    """``steps`` of ``batches`` of ``batch`` records, each of one shape and one setting of the electrons; largest learning
    ``rate``, after ``warm_up`` steps, falling to ``final_rate`` of it; ``clip``: largest norm of the gradient; ``decay`` of
    the average of the weights.

    ``minutes``: the cosine ends then if that comes first (a training that depends on the clock cannot be repeated bit
    for bit). Validation on at most ``validation_records`` records. Raises ValueError for senseless numbers.
    """

    steps: int = 2000
    batch: int = 8
    batches: int = 1
    rate: float = 3e-3
    energy_weight: float = 0.1
    full_field: bool = False
    warm_up: int = 100
    final_rate: float = 0.01
    clip: float = 1.0
    decay: float = 0.999
    augment: bool = True
    validate_every: int = 100
    validation_records: int = 60
    minutes: float | None = None
    checkpoint_seconds: float = 60.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "batches", "validate_every", "validation_records"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.rate < 1 or not 0 <= self.decay < 1 or self.energy_weight < 0 or self.clip <= 0:
            raise ValueError(
                "training needs 0 < rate < 1, 0 <= decay < 1, energy_weight >= 0, clip > 0, got "
                f"{self.rate}, {self.decay}, {self.energy_weight}, {self.clip}"
            )
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes must be positive, got {self.minutes}")
        found_device(self.device)


def turned(
    spin: torch.Tensor, force: torch.Tensor, permutations: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Spins and fields under a random element of O(3) and of the point group (G, N), one pair for each record."""
    rotation, upper = torch.linalg.qr(torch.randn(len(spin), 3, 3, generator=generator, dtype=torch.float64))
    rotation = rotation * upper.diagonal(dim1=1, dim2=2).sign()[:, None]  # uniform over O(3)
    rotation = rotation.to(spin)
    chosen = torch.randint(len(permutations), (len(spin),), generator=generator)
    moved = permutations[chosen.to(permutations.device)][..., None].expand_as(spin)
    return spin.gather(1, moved) @ rotation, force.gather(1, moved) @ rotation


def history(path: Path) -> list[list[float]]:
    """[step, mean loss since the last one, validation error] of every validation so far, from a checkpoint."""
    metadata, _ = read_arrays(path, FORMAT, "a checkpoint of a training")
    return json.loads(metadata["progress"])["history"]


class Loss:
    """The loss of a batch, with the scales of the training data of the same electrons."""

    def __init__(self, groups: Sequence[Records], options: TrainingOptions) -> None:
        self.options = options
        alike: dict[ElectronSetting | None, list[Records]] = {}
        for group in groups:
            alike.setdefault(group.electrons, []).append(group)
        self.scales = {electrons: _scales(some) for electrons, some in alike.items()}

    def __call__(
        self, network: Network, spin: torch.Tensor, force: torch.Tensor, energy: torch.Tensor, shape: tuple[int, int],
        electrons: ElectronSetting | None = None,
    ) -> torch.Tensor:  # fmt: skip
        network, (rms, energy_scale) = network.at(electrons), self.scales[electrons]
        if not network.conservative:
            torque = torch.linalg.cross(spin, force)
            floored = torch.linalg.vector_norm(torque, dim=-1) + TORQUE_FLOOR * rms
            return ((network(spin, shape) - torque).abs().sum(-1) / floored).mean()
        field, learned = field_and_energy(network, spin, shape, differentiable=True)
        assert learned is not None
        error = field - force
        wrong = (error if self.options.full_field else transverse(error, spin)).square().sum(-1).mean() / rms**2
        energy_error = (learned - energy) / (spin.shape[1] * energy_scale)
        return wrong + self.options.energy_weight * energy_error.square().mean()


def _scales(groups: Sequence[Records]) -> tuple[float, float]:
    """rms and energy_scale."""
    per_site = torch.cat([group.energy / group.spin.shape[1] for group in groups])
    return max(transverse_rms(groups), 1e-12), max(float(per_site.std(correction=0)), 1e-12)


class TrainingRun:
    """What a training is made of between two steps, and how that is kept in a file."""

    def __init__(self, network: Network, options: TrainingOptions, seed: int, about: Mapping[str, Any]) -> None:
        self.network, self.options = network, options
        fixed = {key: v for key, v in dataclasses.asdict(options).items() if key not in FREE_OPTIONS}
        self.about = json.loads(json.dumps({**about, "options": fixed}))
        self.generator = torch.Generator().manual_seed(seed)
        self.step, self.seconds = 0, 0.0
        self.validation: float | None = None
        self.history: list[list[float]] = []  # step, mean loss since the row before, validation error
        self.recent: list[float] = []

    def begin(self) -> None:
        """Average and moments of the network as it is now, on the device of the options."""
        self.network.to(self.options.device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=self.options.rate)

    @property
    def is_over(self) -> bool:
        return self.options.minutes is not None and self.seconds > 60 * self.options.minutes

    @property
    def passed(self) -> float:
        """Which part of the training is over, 0 to 1: by steps, or by the clock if that goes faster."""
        by_clock = 0.0 if self.options.minutes is None else self.seconds / (60 * self.options.minutes)
        return min(1.0, max(self.step / self.options.steps, by_clock))

    @property
    def seconds_left(self) -> float:
        return self.seconds * (1 / self.passed - 1) if self.passed else 0.0

    def advance(self, groups: Sequence[Records], loss: Loss) -> float:
        """One step of Adam; returns the mean loss of its batches."""
        options = self.options
        cosine = 0.5 * (1 + math.cos(math.pi * self.passed))
        factor = min(1.0, (self.step + 1) / max(1, options.warm_up))
        self.optimizer.param_groups[0]["lr"] = options.rate * factor * (
            options.final_rate + (1 - options.final_rate) * cosine
        )  # fmt: skip
        self.optimizer.zero_grad(set_to_none=True)
        value = sum(self._add_gradient(groups, loss) for _ in range(options.batches)) / options.batches
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), options.clip)
        self.optimizer.step()
        decay = min(options.decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
        self.step += 1
        return value

    def _add_gradient(self, groups: Sequence[Records], loss: Loss) -> float:
        """Add the share of one batch to the gradient; returns its loss. Raises ValueError when one is not finite."""
        group, index = self._batch(groups)
        index = index.to(group.spin.device)
        spin, force, energy = group.spin[index], group.force[index], group.energy[index]
        if self.options.augment:
            spin, force = turned(spin, force, self._permutations(group.shape, spin.device), self.generator)
        value = loss(self.network, spin, force, energy, group.shape, group.electrons)
        (value / self.options.batches).backward()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        size = float(torch.nn.utils.get_total_norm(gradients))
        if not math.isfinite(float(value.detach()) + size):
            blocks = sorted(set(group.block[index].tolist()))
            raise ValueError(
                f"the loss became {float(value.detach())} (gradient {size}) at step {self.step} on training "
                f"records {sorted(index.tolist())} of shape {group.shape[0]}x{group.shape[1]}, blocks {blocks}; try a "
                "smaller rate, or look at these records"
            )
        return float(value.detach())

    def _batch(self, groups: Sequence[Records]) -> tuple[Records, torch.Tensor]:
        """A shape in proportion to its sites, and records of it without repetition."""
        share = torch.tensor([float(group.spin.shape[0] * group.spin.shape[1]) for group in groups])
        group = groups[int(torch.multinomial(share, 1, generator=self.generator))]
        return group, torch.randperm(len(group), generator=self.generator)[: self.options.batch]

    def _permutations(self, shape: tuple[int, int], device: torch.device) -> torch.Tensor:
        tables: dict[Any, torch.Tensor] = self.__dict__.setdefault("_tables", {})
        if shape not in tables:
            tables[shape] = self.network.permutations(shape).to(device)
        return tables[shape]

    def store(self, path: Path) -> None:
        """All of it, in one safetensors file."""
        arrays = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        arrays |= {f"average.{name}": t for name, t in self.average.state_dict().items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            arrays |= {f"optimizer.{number}.{name}": t for name, t in moments.items()}
        arrays["generator"] = self.generator.get_state()
        progress = {name: getattr(self, name) for name in PROGRESS}
        metadata = {"format": FORMAT, "about": json.dumps(self.about), "progress": json.dumps(progress)}
        publish(path, save({name: t.detach().cpu().contiguous().clone() for name, t in arrays.items()}, metadata))

    def restore(self, path: Path) -> None:
        """The inverse of :meth:`store`. Raises ValueError when the file belongs to another training."""
        metadata, arrays = read_arrays(path, FORMAT, "a checkpoint of a training")
        about = json.loads(metadata["about"])
        if about != self.about:
            mine, theirs = ({**a, **a["options"]} for a in (self.about, about))
            changed = sorted(k for k in {*mine, *theirs} - {"options"} if mine.get(k) != theirs.get(k))
            raise ValueError(
                f"{path} belongs to a training with other {', '.join(changed)}; remove it or use another --out"
            )
        parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts.get(part, {})[rest] = array
        self.network.load_state_dict(parts["network"])
        self.begin()
        self.average.load_state_dict(parts["average"])
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, array in parts["optimizer"].items():
            number, _, which = name.partition(".")
            moments.setdefault(int(number), {})[which] = array
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.generator.set_state(arrays["generator"])
        progress = json.loads(metadata["progress"])
        self.step, self.seconds, self.validation, self.history, self.recent = (progress[name] for name in PROGRESS)
