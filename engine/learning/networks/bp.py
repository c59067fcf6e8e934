r"""BP: symmetry-invariant descriptor of every site -> multilayer perceptron -> local energy (Behler and Parrinello).

Zhang et al. (thesis, sec. 3.3; review): E = sum_i e(G_1, G_2, ...)_i, fields by automatic differentiation. The features
are those of :mod:`engine.learning.descriptors.bp`: symmetric under global rotations of the spins, time reversal,
lattice translations and the point group (D6, D4), all exactly. The published model takes bonds and pairs to six lattice
constants (1806 features) and eight hidden layers 2048 ... 64 with ReLU; the defaults here are what a CPU trains, with
SiLU because a ReLU makes the field jump. The sizes are options.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch

from engine.learning.descriptors.bp import Descriptor
from engine.learning.network import Network

ACTIVATIONS = {"silu": torch.nn.SiLU, "relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}


class BP(Network):
    """Energy network on bond and chirality features.

    Parameters
    ----------
    bonds, pairs, chiralities : number of shells of the three kinds of variables, see :class:`Descriptor`.
    hidden : widths of the hidden layers. activation : "silu", "relu" or "tanh".
    """

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(
        self,
        kind: str,
        bonds: int = 5,
        pairs: int = 2,
        chiralities: int = 2,
        hidden: Sequence[int] = (256, 128, 64),
        activation: str = "silu",
    ) -> None:
        super().__init__(
            kind, bonds=bonds, pairs=pairs, chiralities=chiralities, hidden=list(hidden), activation=activation
        )
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {sorted(ACTIVATIONS)}, got {activation!r}")
        if bonds < 1 or min(pairs, chiralities) < 0:
            raise ValueError(f"BP needs at least one shell of bonds, got {bonds}, {pairs}, {chiralities}")
        self.descriptor = Descriptor(kind, bonds, pairs, chiralities)
        layers: list[torch.nn.Module] = []
        for wide, out in pairwise([self.descriptor.size, *hidden]):
            layers += [torch.nn.Linear(wide, out), ACTIVATIONS[activation]()]
        self.perceptron = torch.nn.Sequential(*layers, torch.nn.Linear([self.descriptor.size, *hidden][-1], 1))
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("offset", torch.tensor(0.0))

    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Energy (B,)."""
        local = self.perceptron(self.descriptor(spin.reshape(-1, *shape, 3)))
        return (self.scale * local + self.offset).sum((1, 2, 3))
