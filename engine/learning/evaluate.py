"""How good a network is: errors against exact forces, symmetries, receptive field, speed. All answers are plain JSON.

epsilon = rms(transverse(h_learned - h)) / rms(transverse h): the relative error of what moves the spins; 1 is a network
that knows nothing. sigma = rms of one component of the same difference, as in histograms of errors. Angles are between
learned and exact torques, at sites whose torque is more than LEAST_TORQUE of the rms (elsewhere a direction means
nothing). Energies are per site, with nothing fitted.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch

from engine.learning.dataset import Records
from engine.learning.network import LATTICES, ElectronSetting, Network, field_and_energy, transverse
from engine.learning.sampling import KINDS

LEAST_TORQUE = 0.1
PERCENTILES = (50, 90, 99, 100)
BIN = 0.25  # of distances between random sites


@dataclass(frozen=True)
class Comparison:
    """Exact and learned transverse fields (n, N, 3) and energies per site (n,) of records of one shape and one setting of
    the electrons (NumPy)."""

    shape: tuple[int, int]
    exact: np.ndarray
    learned: np.ndarray
    exact_energy: np.ndarray
    learned_energy: np.ndarray | None
    kind: np.ndarray
    electrons: ElectronSetting | None = None

    def of_kind(self, kind: str) -> Comparison:
        chosen = self.kind == KINDS.index(kind)
        energy = None if self.learned_energy is None else self.learned_energy[chosen]
        parts = (self.exact[chosen], self.learned[chosen], self.exact_energy[chosen], energy, self.kind[chosen])
        return Comparison(self.shape, *parts, self.electrons)


def compare(network: Network, groups: Sequence[Records], batch: int = 8) -> list[Comparison]:
    """The network on all records, shape by shape."""
    found = []
    device = next(network.parameters()).device
    for group in groups:
        here = network.at(group.electrons)
        exact, learned, energies = [], [], []
        for spin, force in zip(group.spin.split(batch), group.force.split(batch), strict=True):
            field, energy = field_and_energy(here, spin.to(device), group.shape)
            exact.append(transverse(force, spin))
            learned.append(transverse(field.detach().cpu(), spin))
            if energy is not None:
                energies.append(energy.detach().cpu().double() / spin.shape[1])
        learned_energy = torch.cat(energies).numpy() if energies else None
        exact_energy = (group.energy / group.spin.shape[1]).numpy()
        fields = (torch.cat(exact).numpy(), torch.cat(learned).numpy())
        parts = (*fields, exact_energy, learned_energy, group.kind.numpy())
        found.append(Comparison(group.shape, *parts, group.electrons))
    return found


def errors(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Errors over all of these records together."""
    exact = np.concatenate([c.exact.reshape(-1, 3) for c in comparisons]).astype(np.float64)
    learned = np.concatenate([c.learned.reshape(-1, 3) for c in comparisons]).astype(np.float64)
    rms = math.sqrt((exact**2).sum(-1).mean())
    found: dict[str, Any] = {
        "records": sum(len(c.exact) for c in comparisons),
        "epsilon": math.sqrt(((learned - exact) ** 2).sum(-1).mean()) / rms,
        "sigma": math.sqrt(((learned - exact) ** 2).mean()),
        "rms_field": rms,
        "angle_degrees": {
            str(p): float(a) for p, a in zip(PERCENTILES, _percentiles(exact, learned, rms), strict=True)
        },
        "magnitude": float(np.abs(np.linalg.norm(learned, axis=1) - np.linalg.norm(exact, axis=1)).mean() / rms),
    }
    if all(c.learned_energy is not None for c in comparisons):
        wrong = np.concatenate([c.learned_energy - c.exact_energy for c in comparisons])
        spread = float(np.concatenate([c.exact_energy for c in comparisons]).std())
        found["energy_per_site"] = {
            "mean_absolute": float(np.abs(wrong).mean()), "rms": float(np.sqrt((wrong**2).mean())),
            "mean": float(wrong.mean()), "spread_of_exact": spread,
        }  # fmt: skip
    return found


def angles(exact: np.ndarray, learned: np.ndarray, rms: float) -> np.ndarray:
    """Degrees between fields (n, 3) where the exact one is not negligible. (Torque is field turned by 90 degrees.)"""
    kept = np.linalg.norm(exact, axis=-1) > LEAST_TORQUE * rms
    exact, learned = exact[kept], learned[kept]
    across = np.linalg.norm(np.cross(exact, learned), axis=-1)
    return np.degrees(np.arctan2(across, (exact * learned).sum(-1)))


def report(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Errors of all records, by kind, by shape and, where they vary, by electrons."""
    by_kind = {kind: [c.of_kind(kind) for c in comparisons if (c.kind == KINDS.index(kind)).any()] for kind in KINDS}
    by_shape: dict[str, list[Comparison]] = {}
    by_electrons: dict[str, list[Comparison]] = {}
    for c in comparisons:
        by_shape.setdefault(f"{c.shape[0]}x{c.shape[1]}", []).append(c)
        by_electrons.setdefault(str(c.electrons), []).append(c)
    found = {
        "all": errors(comparisons),
        "by_kind": {kind: errors(some) for kind, some in by_kind.items() if some},
        "by_shape": {shape: errors(some) for shape, some in by_shape.items()},
    }
    if len(by_electrons) > 1:
        few = ("records", "epsilon", "rms_field")
        found["by_electrons"] = {
            setting: {name: errors(some)[name] for name in few} for setting, some in sorted(by_electrons.items())
        }
    return found


def symmetry_errors(network: Network, spin: torch.Tensor, shape: tuple[int, int], seed: int = 0) -> dict[str, float]:
    """rms(field of the turned spins - turned field) / rms(field), in float64: rotation of all spins, time reversal
    S -> -S and, on regular lattices, translation and the point group (mean over its operations)."""
    network, spin = copy.deepcopy(network).double(), spin.double()
    generator = torch.Generator().manual_seed(seed)
    field = _transverse_field(network, spin, shape)
    rms = field.square().mean().sqrt()

    def error(changed: torch.Tensor, expected: torch.Tensor) -> float:
        return float((_transverse_field(network, changed, shape) - expected).square().mean().sqrt() / rms)

    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    turn = (turn * torch.linalg.det(turn).sign()).to(spin.device)

    def shifted(value: torch.Tensor) -> torch.Tensor:
        return value.unflatten(1, shape).roll((1, 2), (1, 2)).flatten(1, 2)

    found = {"rotation": error(spin @ turn, field @ turn), "time_reversal": error(-spin, -field)}
    if network.kind in LATTICES:
        operations = network.permutations(shape).to(spin.device)
        groups = [error(spin[:, moved], field[:, moved]) for moved in operations[1:]]
        found["translation"] = error(shifted(spin), shifted(field))
        found["point_group"] = math.sqrt(sum(g * g for g in groups) / max(1, len(groups)))
    return found


def receptive_field(
    network: Network, shape: tuple[int, int], samples: int = 8, seed: int = 0, exact: Any = None
) -> dict[str, list[float]]:
    """How much one flipped spin changes the transverse field at a distance: rms over sites and random spins.

    ``exact``: function of spins (B, N, 3) -> field that is asked instead of the network.
    """
    lattice = network.lattice(shape)
    device = next(network.parameters()).device
    before = random_spins(samples, lattice.sites, seed).to(device)
    after = before.clone()
    after[:, 0] *= -1
    ask = exact or (lambda spin: field_and_energy(network, spin, shape)[0])
    change = transverse(ask(after).detach() - ask(before).detach(), before)
    size = change.square().sum(-1).mean(0).double().cpu().numpy()
    corners = np.array(list(product((-1, 0, 1), repeat=lattice.dimension))) @ lattice.periods
    away = lattice.positions[:, None] - lattice.positions[0] + corners
    distance = np.linalg.norm(away, axis=-1).min(1)
    distance = distance.round(6) if lattice.is_regular else (distance / BIN).round() * BIN
    radii = np.unique(distance)[1:]
    return {
        "distance": radii.tolist(),
        "response": [float(np.sqrt(size[distance == radius].mean())) for radius in radii],
    }


def speed(network: Network, shapes: Sequence[tuple[int, int]], seconds: float = 0.5) -> dict[str, float]:
    """Evaluations (forces) per second of one replica on lattices of these shapes: the best of at least two calls."""
    found = {}
    parameter = next(network.parameters())
    for shape in shapes:
        spin = random_spins(1, network.lattice(shape).sites, 0).to(parameter)
        best, began, calls = math.inf, time.monotonic(), 0
        while calls < 3 or time.monotonic() - began < seconds:
            start = time.perf_counter()
            field = field_and_energy(network, spin, shape)[0]
            float(field[0, 0, 0])  # waits for a GPU
            calls += 1
            best = min(best, time.perf_counter() - start)
        found[f"{shape[0]}x{shape[1]}"] = round(1 / best, 2)
    return found


def random_spins(replicas: int, sites: int, seed: int) -> torch.Tensor:
    """Uniform on the sphere, (replicas, sites, 3) float32."""
    spin = torch.randn(replicas, sites, 3, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(spin, dim=-1)


def _transverse_field(network: Network, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    return transverse(field_and_energy(network, spin, shape)[0].detach(), spin)


def _percentiles(exact: np.ndarray, learned: np.ndarray, rms: float) -> np.ndarray:
    return np.percentile(angles(exact, learned, rms), PERCENTILES)
