"""Trained networks and exact forces as the figures use them."""

from __future__ import annotations

import torch

from engine.forces import ForceProvider, SumForce
from engine.lattice import Lattice
from engine.learnable import source
from engine.learning.network import Network
from engine.learning.weights import find, read_network, shipped
from engine.presets import preset
from engine.state import SpinState
from engine.textures import perturbed, texture

ORDER = ("best", "fast", "ecnn", "bp", "cnn")
SHAKEN = 0.3  # Gaussian kicks per component of the perturbed crystals


def networks_of(preset: str) -> dict[str, Network]:
    """Shipped networks of a preset by short name, best first."""
    names = [name.split("/")[1] for name in shipped() if name.startswith(f"{preset}/")]
    names.sort(key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return {name: read_network(find(f"{preset}/{name}"))[0] for name in names}


def exact_force(preset: str, length: int, twists: int) -> tuple[ForceProvider, Lattice]:
    """Exact diagonalization on L x L with a square mesh of twists, and its lattice."""
    what = source(preset, (twists, twists), (length, length))
    lattice = what.lattice((length, length))
    return what.exact(lattice), lattice


def learned_force(preset_name: str, network: str, length: int) -> ForceProvider:
    """A network, by name or file, as the electrons of a preset on L x L sites. Raises ValueError where it knows others."""
    force = preset(preset_name, length, force=network).force
    assert isinstance(force, SumForce)
    return force.terms["electrons"]


def field(force: ForceProvider, spin: torch.Tensor) -> torch.Tensor:
    """Force (B, N, 3) on spins, one replica at a time to keep the memory small."""
    return torch.cat([force(SpinState(one)).force.detach() for one in spin.split(1)])


def test_states(lattice: Lattice, count: int, seed: int) -> torch.Tensor:
    """Half random spins, half shaken crystals (n_sk 1 and 2 in turns): (count, N, 3) float32."""
    random = texture("random", lattice, replicas=count - count // 2, seed=seed)
    crystals = [
        perturbed(texture("skyrmion_crystal", lattice, n_sk=1 + i % 2), SHAKEN, seed + 1000 + i)
        for i in range(count // 2)
    ]
    return torch.cat([random, *crystals])
