r"""ACSF: magnetic symmetry functions of every site -> multilayer perceptron -> local energy, at any positions.

The energy network of the thesis of S. Zhang (chapter 4, eqs. 4.6-4.19): E = sum_i e(G_1 ... G_450)_i with the features
of :mod:`engine.learning.descriptors.acsf`, fields by automatic differentiation. The published perceptron has hidden
layers of 1024, 1024, 512, 256 and four times 128 with ReLU; the default here is what a CPU trains, with SiLU because a
ReLU makes the field jump; both are options. Features are brought to mean 0 and deviation 1 over the training data.

The chiral features are odd under time reversal, the electrons are not: with them the symmetry is only learned, from
data that are turned by random rotoreflections (the paper's augmentation). ``chiral`` False keeps it exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from engine.lattice import Lattice
from engine.learning.descriptors.acsf import SymmetryFunctions
from engine.learning.networks.bp import ACTIVATIONS
from engine.learning.sites import SiteNetwork

if TYPE_CHECKING:
    from engine.learning.dataset import Records

LEAST_DEVIATION = 1e-6
SAMPLES = 40  # records of a realization that decide mean and deviation


class ACSF(SiteNetwork):
    """Energy network on symmetry functions. chiral : with G3chi. hidden, activation : of the perceptron."""

    scale: torch.Tensor
    offset: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self, kind: str, chiral: bool = True, hidden: Sequence[int] = (128, 64, 32), activation: str = "silu"
    ) -> None:
        super().__init__(kind, chiral=chiral, hidden=list(hidden), activation=activation)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {sorted(ACTIVATIONS)}, got {activation!r}")
        self.functions = SymmetryFunctions(chiral=chiral)
        layers: list[torch.nn.Module] = []
        for wide, out in pairwise([self.functions.size, *hidden]):
            layers += [torch.nn.Linear(wide, out), ACTIVATIONS[activation]()]
        last = [self.functions.size, *hidden][-1]
        self.perceptron = torch.nn.Sequential(*layers, torch.nn.Linear(last, 1))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(self.functions.size))
        self.register_buffer("deviation", torch.ones(self.functions.size))

    def initialise(self, groups: Sequence[Records]) -> None:
        """Scale, offset, and mean and deviation of the features."""
        super().initialise(groups)
        few = [group.spin[:: max(1, len(group) // SAMPLES)] for group in groups]
        with torch.no_grad():
            parts = [self.features(spin, group.shape) for spin, group in zip(few, groups, strict=True)]
            features = torch.cat([part.flatten(0, 1) for part in parts])
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0).clamp_min(LEAST_DEVIATION))

    def table(self, lattice: Lattice) -> dict[str, torch.Tensor]:
        return self.functions.table(lattice)

    def features(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Symmetry functions (B, N, features)."""
        return self.functions(spin, self.tables(shape, spin))

    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Energy (B,)."""
        local = self.perceptron((self.features(spin, shape) - self.mean) / self.deviation)
        return self.scale * local.sum((1, 2)) + self.offset.to(spin.dtype) * spin.shape[1]
