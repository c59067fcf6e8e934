"""Checkpoints: one safetensors file with the arrays and, in its metadata, the rest as JSON. Never pickle, never eval.

Objects are written as {"class": name, "fields": {...}} and rebuilt by the constructors of the classes listed by
:func:`known_classes`, which validate again. A SHA-256 digest covers JSON and arrays. Because the noise is a pure
function of seed and step, a loaded simulation continues bit for bit on a CPU. (On a GPU sums have no fixed order: to
rounding.)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine import dynamics, electrons, forces, models
from engine.files import write_whole
from engine.forces import SumForce
from engine.lattice import Lattice, from_description
from engine.learning.force import LearnedForce, LearnedModel
from engine.learning.network import Network
from engine.learning.weights import network_from, network_name
from engine.noise import Noise
from engine.simulation import Simulation
from engine.state import SpinState

FORMAT = "spinviz checkpoint 1"
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (
    torch.float32, torch.float64, torch.complex64, torch.complex128, torch.int64, torch.int32, torch.uint8, torch.bool,
)}  # fmt: skip


def known_classes(extra: Iterable[type] = ()) -> dict[str, type]:
    """Class name -> class, for every dataclass that a checkpoint may hold: the public ones of models, electrons,
    forces and dynamics, the parts of a simulation, and ``extra``."""
    allowed: dict[str, type] = {c.__name__: c for c in (Simulation, SpinState, Noise, LearnedForce, LearnedModel)}
    for room in (models, electrons, forces, dynamics):
        for value in vars(room).values():
            if not isinstance(value, type) or not value.__module__.startswith(room.__name__):
                continue
            if "__dataclass_fields__" in vars(value):
                allowed[value.__name__] = value
    return allowed | {c.__name__: c for c in extra}


def save_checkpoint(path: str | os.PathLike, simulation: Simulation, classes: Iterable[type] = ()) -> None:
    """Write ``simulation`` to ``path``; the file appears complete or not at all.

    ``classes`` names further dataclasses that may occur (own forces). Raises ValueError for what cannot be written,
    such as a hopping given as a function.
    """
    from safetensors.torch import save  # here, so that forces and dynamics need torch and numpy alone

    writer = _Writer(known_classes(classes))
    text = json.dumps(writer.encoded(simulation, "simulation"), allow_nan=False)
    metadata = {"format": FORMAT, "simulation": text, "digest": _digest(text, writer.arrays)}
    content = save(writer.arrays, metadata)
    write_whole(Path(path), content)


def load_checkpoint(
    path: str | os.PathLike, device: torch.device | str | None = None, classes: Iterable[type] = ()
) -> Simulation:
    """Read a simulation written by :func:`save_checkpoint`; ``device`` None puts arrays where they were.

    Raises ValueError for a foreign, truncated or altered file, FileNotFoundError when there is none.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; expected a file written by save_checkpoint")
    text, digest, arrays = _read(path)
    if _digest(text, arrays) != digest:
        raise ValueError(f"{path} is damaged: its contents do not match its digest; use an earlier checkpoint")
    try:
        simulation = _Reader(known_classes(classes), arrays, device).decoded(json.loads(text))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} does not describe a simulation of this version: {error!r}") from error
    if not isinstance(simulation, Simulation):
        raise ValueError(f"{path} holds a {type(simulation).__name__}, expected a Simulation")
    return simulation


def describe(simulation: Simulation) -> dict[str, Any]:
    """JSON-ready description of force, dynamics, noise and settings (arrays only by name): what was really run."""
    writer = _Writer(known_classes())
    parts = ("force", "dynamics", "noise", "settings")
    return {name: writer.encoded(getattr(simulation, name), name) for name in parts}


def _read(path: str | os.PathLike) -> tuple[str, str, dict[str, torch.Tensor]]:
    """JSON text, digest and arrays of a file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                found = metadata.get("format")
                raise ValueError(f"{path} is not a checkpoint: expected format {FORMAT!r}, got {found!r}")
            arrays = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return metadata["simulation"], metadata["digest"], arrays
    except (SafetensorError, KeyError, OSError) as error:
        raise ValueError(f"{path} is not a complete checkpoint (a safetensors file of {FORMAT!r}): {error}") from error


def _digest(text: str, arrays: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.numpy().tobytes())
    return digest.hexdigest()


class _Writer:
    """Turns objects into JSON, arrays aside."""

    def __init__(self, classes: Mapping[str, type]) -> None:
        self.names = {kind: name for name, kind in classes.items()}
        self.arrays: dict[str, torch.Tensor] = {}

    def encoded(self, value: Any, path: str) -> Any:
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"number": str(value)}
        if isinstance(value, np.generic):
            return self.encoded(value.item(), path)
        if isinstance(value, tuple | list):
            items = [self.encoded(item, f"{path}.{index}") for index, item in enumerate(value)]
            return {"tuple": items} if isinstance(value, tuple) else items
        if isinstance(value, Mapping):
            pairs = [[self.encoded(k, path), self.encoded(v, f"{path}.{k}")] for k, v in value.items()]
            return {"mapping": pairs}
        return self._object(value, path)

    def _object(self, value: Any, path: str) -> Any:
        if isinstance(value, Lattice):
            return {"lattice": self.encoded(value.description(), path)}
        if isinstance(value, torch.dtype):
            return {"dtype": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"device": str(value)}
        if isinstance(value, torch.Tensor):
            self.arrays[path] = value.detach().to("cpu", copy=True).contiguous()
            return {"tensor": path, "on": str(value.device)}
        if isinstance(value, np.ndarray):
            self.arrays[path] = torch.tensor(value)
            return {"array": path}
        if isinstance(value, Network):
            parts = {"configuration": value.configuration, "weights": dict(value.state_dict())}
            return {"network": network_name(value)} | {k: self.encoded(v, f"{path}.{k}") for k, v in parts.items()}
        if type(value) in self.names:
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
            if isinstance(value, LearnedForce) and value.shape is not None and value.shape[1] < 0:
                fields["lattice"] = value.lattice  # sites that only this network knows, by a number of its own
            encoded = {name: self.encoded(item, f"{path}.{name}") for name, item in fields.items()}
            return {"class": self.names[type(value)], "fields": encoded}
        what = "a function" if callable(value) else f"a {type(value).__name__}"
        raise ValueError(
            f"cannot write {path}: {what} ({value!r}) is not data. Expected numbers, text, arrays or one of "
            f"{sorted(self.names.values())}; write a function as a dataclass with __call__, its class in classes="
        )


class _Reader:
    """The inverse of :class:`_Writer`."""

    def __init__(
        self, classes: Mapping[str, type], arrays: Mapping[str, torch.Tensor], device: torch.device | str | None
    ) -> None:
        self.classes, self.arrays, self.device = classes, arrays, device
        self.lattices: dict[str, Lattice] = {}

    def decoded(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.decoded(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "class" in value:
            return self._instance(value["class"], value["fields"])
        if "mapping" in value:
            return {self.decoded(key): self.decoded(item) for key, item in value["mapping"]}
        if "tuple" in value:
            return tuple(self.decoded(item) for item in value["tuple"])
        return self._leaf(value)

    def _leaf(self, value: dict[str, Any]) -> Any:
        if "lattice" in value:
            key = json.dumps(value["lattice"])
            if key not in self.lattices:
                self.lattices[key] = from_description(self.decoded(value["lattice"]))
            return self.lattices[key]
        if "network" in value:
            return network_from(value["network"], self.decoded(value["configuration"]), self.decoded(value["weights"]))
        if "tensor" in value:
            return self._placed(self.arrays[value["tensor"]], value["on"])
        if "array" in value:
            return self.arrays[value["array"]].numpy()
        if "number" in value:
            return float(value["number"])
        if "dtype" in value:
            return DTYPES[value["dtype"]]
        if "device" in value:
            return torch.device(value["device"] if self.device is None else self.device)
        raise ValueError(f"expected an object of a checkpoint, got keys {sorted(value)}")

    def _placed(self, array: torch.Tensor, recorded: str) -> torch.Tensor:
        try:
            return array.to(recorded if self.device is None else self.device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"cannot put arrays on {self.device or recorded}: {error}; pass device='cpu'") from error

    def _instance(self, name: str, fields: dict[str, Any]) -> Any:
        if name not in self.classes:
            raise ValueError(f"unknown class {name!r} in the checkpoint; expected one of {sorted(self.classes)}")
        kind = self.classes[name]
        arguments = {key: self.decoded(item) for key, item in fields.items()}
        if kind is SumForce:
            return SumForce(arguments["terms"])
        if kind is LearnedForce and (lattice := arguments.pop("lattice", None)) is not None:
            arguments["shape"] = arguments["network"].place(lattice)
        return kind(**arguments)
