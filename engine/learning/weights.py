"""Files of trained networks: the weights as safetensors and, in their metadata, the model card as JSON. Never pickle.

    assets/weights/<preset>/<name>.safetensors      weights and card
    assets/weights/<preset>/<name>.json             the same card, for readers

A card says what the network is and what it was made of: format, network (key of ``NETWORKS``), configuration, lattice
(kind), preset, electrons {coupling, hopping, chemical_potential, filling, electron_temperature}, data, commands, errors,
speed, limits. The first four are written from the network itself; without ``electrons`` a network fits no preset.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from engine.files import write_whole
from engine.learning.network import Network
from engine.learning.networks import NETWORKS

FORMAT = "spinviz network 1"
SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "weights"
ENDING = ".safetensors"


def save_network(path: Path | str, network: Network, card: Mapping[str, Any]) -> None:
    """Write weights and card, and the card once more beside them; each file appears complete or not at all.

    Raises ValueError for another ending than .safetensors, weights that are not finite, and cards that are not JSON.
    """
    path = Path(path)
    if path.suffix != ENDING:
        raise ValueError(f"a network is written to a file that ends in {ENDING}, got {path}")
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    bad = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise ValueError(f"cannot write a network whose weights are not finite: {', '.join(bad)}")
    from safetensors.torch import save  # here, so that forces and dynamics need torch and numpy alone

    full = {
        "format": FORMAT, "network": network_name(network), "configuration": network.configuration,
        "lattice": network.kind,
    }  # fmt: skip
    full = {**full, **{key: value for key, value in card.items() if key not in full}}
    try:
        text = json.dumps(full, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a model card must be JSON (finite numbers, texts, lists, mappings): {error}") from error
    publish(path, save(weights, {"format": FORMAT, "card": text}))
    publish(path.with_suffix(".json"), (text + "\n").encode())


def read_network(path: Path | str) -> tuple[Network, dict[str, Any]]:
    """The network, with weights frozen, and its card.

    Raises FileNotFoundError when there is none; ValueError for a foreign or truncated file and for wrong tensors.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no network at {path}; expected a file written by `spinviz train`")
    card, weights = _read(Path(path))
    if card.get("network") not in NETWORKS:
        raise ValueError(f"{path} holds a network {card.get('network')!r}; this version knows {', '.join(NETWORKS)}")
    try:
        return network_from(card["network"], card["configuration"], weights), card
    except (RuntimeError, TypeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the tensors of {path} do not fit its network {card['network']!r}: {reason}") from error


def network_from(name: str, configuration: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> Network:
    """The network with these weights, frozen. RuntimeError or TypeError when they do not fit."""
    with torch.random.fork_rng([]):  # first weights are random and thrown away; leave the generator alone
        network = NETWORKS[name](**configuration)
    network.load_state_dict(dict(weights))
    return network.eval().requires_grad_(False)


def network_name(network: Network) -> str:
    """The key of ``NETWORKS`` under which this network can be rebuilt."""
    for name, kind in NETWORKS.items():
        if type(network) is kind:
            return name
    raise ValueError(f"{type(network).__name__} is not one of the networks by name: {', '.join(NETWORKS)}")


def shipped() -> dict[str, Path]:
    """All networks that come with spinviz: "skyrmion/best" -> file."""
    found = sorted(SHIPPED.glob(f"*/*{ENDING}"))
    return {f"{path.parent.name}/{path.stem}": path for path in found}


def find(name: str | os.PathLike) -> Path:
    """The file of a shipped network, or the path itself if it ends in .safetensors. Raises ValueError otherwise."""
    known = shipped()
    text = os.fspath(name)
    if text in known:
        return known[text]
    if text.endswith(ENDING):
        if not Path(text).is_file():
            raise ValueError(f"there is no file {text}; shipped networks: {', '.join(known) or 'none'}")
        return Path(text)
    raise ValueError(
        f"unknown network {text!r}; shipped: {', '.join(known) or 'none'}; or give the path of a {ENDING} file"
    )


def publish(path: Path, content: bytes) -> None:
    """Write a file for everybody to read, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content, 0o644)


def read_arrays(path: Path, format_: str, what: str) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Metadata and arrays of a safetensors file of this format; ValueError says what was expected."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != format_:
                raise ValueError(f"{path} is not {what}: expected format {format_!r}, got {metadata.get('format')!r}")
            return metadata, {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not {what}, a complete safetensors file of {format_!r}: {error}") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    metadata, weights = read_arrays(path, FORMAT, "a network")
    try:
        card = json.loads(metadata["card"])
    except (KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} has no readable model card; train it again or take the original file") from error
    bad = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise ValueError(f"{path} is damaged: {', '.join(bad)} is not finite")
    return card, weights
