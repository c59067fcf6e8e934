"""Untrained networks as if they were shipped: for tests of the screen around learned forces."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.learnable import electrons_of
from engine.learning.networks import ECNN, AdjustableRings
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


def ship_adjustable(folder: Path, name: str = "adjustable") -> None:
    """The same for "skyrmion", with a network that knows mu from -3.8 to -3.2 and J from 0.3 to 0.7."""
    preset = PRESETS["skyrmion"]
    torch.manual_seed(7)
    network = AdjustableRings(
        preset.lattice, preset.hopping or {}, preset.electron_temperature, [-3.8, -3.2], [0.3, 0.7], nodes=3, degree=1,
        radius=4.0, short=2.0, channels=[], fields=2, width=4,
    )  # fmt: skip
    with torch.no_grad():
        network.basis.copy_(torch.randn(network.basis.shape))
        network.get_parameter("of_bilinear").copy_(torch.randn(network.get_parameter("of_bilinear").shape))
    network.scale.fill_(FIELD)
    ranges = {key: list(ends) for key, ends in network.ranges.items()}
    card = {"preset": "skyrmion", "electrons": electrons_of("skyrmion"), "ranges": ranges}
    save_network(folder / "skyrmion" / f"{name}.safetensors", network, card)
