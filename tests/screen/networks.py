"""Untrained networks as if they were shipped: for tests of the screen around learned forces."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.learnable import electrons_of
from engine.learning.networks import ECNN
from engine.learning.weights import save_network
from engine.presets import PRESETS

FIELD = 0.003


def ship(folder: Path, preset: str = "skyrmion", names: tuple[str, ...] = ("best", "fast")) -> None:
    """Write small networks with random weights, each its own, for ``preset``."""
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        network = ECNN(PRESETS[preset].lattice, channels=2, blocks=1)
        network.scale.fill_(FIELD)
        card = {"preset": preset, "electrons": electrons_of(preset)}
        save_network(folder / preset / f"{name}.safetensors", network, card)
