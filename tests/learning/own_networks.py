"""Rings, few poles, messages and moments of all weights at random, and what their tests have in common."""

from __future__ import annotations

import math
from typing import Any

import torch

from engine.learning.network import Network
from engine.learning.networks.few_poles import FewPoles
from engine.learning.networks.messages import MessageNetwork
from engine.learning.networks.moments import MomentNetwork
from engine.learning.networks.rings import RingNetwork
from tests import tolerances

KINDS = ["square", "triangular"]
ELECTRONS: dict[str, Any] = {"hopping": {1: 1.0, 3: -0.85}, "chemical_potential": -3.5, "temperature": 0.3}
RINGS: dict[str, Any] = {"radius": 12.0, "short": 2.0, "channels": ((0.3, 2.0),), "fields": 3, "width": 8}
MESSAGES: dict[str, Any] = {"reach": 1.5, "far": 2.5, "channels": 3, "layers": 2, "width": 6}
METALLIC = {**MESSAGES, "harmonics": 2, "pooled": 2}
MOMENTS: dict[str, Any] = {"hopping": {1: 1.0, 2: 0.3}, "coupling": 1.7, "products": 2, "width": 6}
POLES: dict[str, Any] = {"hopping": {1: 1.0, 2: 0.3}, "coupling": 1.7, "temperature": 0.1, "chemical_potential": -1.2,
                         "poles": ((0.1, 0.6), (-0.2, 1.5)), "period": 6,
                         "rest": {"network": "messages", **MESSAGES}}  # fmt: skip
FAMILIES = ["rings", "poles", "messages", "metallic messages", "moments"]
SHAPE = (5, 6)
EXACT: dict[str, Any] = {"rtol": tolerances.SYMMETRY, "atol": tolerances.SYMMETRY}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bare(kind: str) -> RingNetwork:
    """Rings with their kernels, weights still zero."""
    network = RingNetwork(kind, **ELECTRONS, **RINGS).double()
    network.prepare()
    return network


def untrained(family: str, kind: str) -> Network:
    if family == "rings":
        return bare(kind)
    if family == "poles":
        return FewPoles(kind, **POLES).double()
    if family == "moments":
        return MomentNetwork(kind, **MOMENTS).double()
    return MessageNetwork(kind, **(MESSAGES if family == "messages" else METALLIC)).double()


def make(family: str, kind: str, seed: int = 3) -> Network:
    """Every weight random, every part of the energy at work."""
    network = untrained(family, kind)
    weights = generator(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            width = parameter.shape[-1] if parameter.ndim else 1
            parameter.copy_(torch.randn(parameter.shape, generator=weights, dtype=torch.float64) / math.sqrt(width))
        if isinstance(network, FewPoles):
            network.weight.copy_(torch.tensor([[0.3, 0.1], [-0.1, 0.4]]))
            network.polynomial.copy_(torch.tensor([0.4, -0.1, 0.05]))
        network.taught.scale.fill_(0.7)
        network.taught.offset.fill_(-0.3)
    return network.requires_grad_(False)


def random_spins(shape: tuple[int, int] = SHAPE, batch: int = 2, seed: int = 0) -> torch.Tensor:
    spin = torch.randn(batch, math.prod(shape), 3, generator=generator(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(spin, dim=-1)


def grid_of(spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    return spin.mT.unflatten(-1, shape)


def check(changed: tuple[torch.Tensor, torch.Tensor], field: torch.Tensor, energy: torch.Tensor) -> None:
    torch.testing.assert_close(changed[0], field, **EXACT)
    torch.testing.assert_close(changed[1], energy, **EXACT)
