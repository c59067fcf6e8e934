"""The force of a trained network: a ForceProvider like the exact ones.

A conservative network gives the electrons' energy E, and the force -dE/dS; a torque network T gives T x S and no energy.
External fields are added by Zeeman, as always.

Networks learn from unit spins the part of the field that moves them. What they say of other lengths is not learned, and the
part along the spin can be a thousand times the other. So the energy is that of the directions, E(S / |S|), and its force

    h = [h(s) - (h(s) . s) s] / |S|,    s = S / |S|,

which an integrator may also ask for between two states, where spins are a little shorter.

An adjustable network knows a range of chemical potentials and couplings; its force says which it stands for, where an
ElectronicForce does: "force.electrons.ensemble.chemical_potential" and "force.electrons.model.coupling" can be changed while
spins move.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from engine.electrons import Ensemble
from engine.forces import ForceProvider, Response
from engine.lattice import Lattice
from engine.learning.network import LATTICES, ElectronSetting, Network, field_and_energy, transverse, within
from engine.learning.weights import find, read_network
from engine.state import SpinState

SITES_AT_ONCE = {"cpu": 2**14}  # of all replicas together; activations take some 20 kB a site
SITES_AT_ONCE_ELSEWHERE = 2**18


@dataclass(frozen=True)
class LearnedModel:
    """The coupling J that a learned force stands for."""

    coupling: float


@dataclass(frozen=True, eq=False)
class LearnedForce(ForceProvider):
    """Transverse force (B, N, 3) and energy (B,) float64 (None for torque networks) of a network.

    ``card`` says what it was trained for. ``shape`` (L1, L2) of the lattice, or what ``network.place`` says of random
    sites; None: L x L, for any square number of sites. Works in the dtype and on the device of the state; ``network``
    itself is never changed. ``ensemble``, ``model``: the electrons that an adjustable network stands for, by default those
    of its preset; None for all others, whose electrons are those of their card.

    Raises ValueError for electrons that the network does not know, and when the state has another number of sites.
    """

    network: Network = field(repr=False)
    card: Mapping[str, Any] = field(repr=False)
    shape: tuple[int, int] | None = None
    ensemble: Ensemble | None = None
    model: LearnedModel | None = None
    lattice: Lattice | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.network, Network):
            raise ValueError(f"LearnedForce needs a Network, got {type(self.network).__name__}; see load_force(name)")
        if self.shape is not None:
            shape = (int(self.shape[0]), int(self.shape[1]))
            object.__setattr__(self, "shape", shape)
            object.__setattr__(self, "lattice", self.network.lattice(shape))
        if self.network.ranges:
            self._set_electrons()
        elif self.ensemble is not None or self.model is not None:
            raise ValueError(f"this network knows only the electrons it was trained for: {trained_for(self.card)}")
        object.__setattr__(self, "_copies", {})

    @property
    def electrons(self) -> ElectronSetting | None:
        """What an adjustable network stands for; None for the others."""
        if self.ensemble is None or self.model is None or self.ensemble.chemical_potential is None:
            return None
        return ElectronSetting(self.ensemble.chemical_potential, self.model.coupling)

    def at(self, chemical_potential: float | None = None, coupling: float | None = None) -> LearnedForce:
        """The force of an adjustable network for other electrons, None: as they are. Raises ValueError for any other."""
        if self.ensemble is None or self.model is None:
            raise ValueError(f"this network knows only the electrons it was trained for: {trained_for(self.card)}")
        mu = self.ensemble.chemical_potential if chemical_potential is None else float(chemical_potential)
        model = self.model if coupling is None else LearnedModel(float(coupling))
        return replace(self, ensemble=replace(self.ensemble, chemical_potential=mu), model=model)

    def _set_electrons(self) -> None:
        """Electrons of the card where none are given; checked."""
        known = self.network.middle._asdict() | self.card.get("electrons", {})
        temperature = self.network.configuration["temperature"]
        if self.ensemble is None:
            ensemble = Ensemble(temperature, chemical_potential=known["chemical_potential"])
            object.__setattr__(self, "ensemble", ensemble)
        if self.model is None:
            object.__setattr__(self, "model", LearnedModel(known["coupling"]))
        assert self.ensemble is not None
        if self.ensemble.temperature != temperature or self.ensemble.chemical_potential is None:
            raise ValueError(
                f"this network knows electrons at temperature {temperature:g} and a fixed chemical potential, got "
                f"temperature {self.ensemble.temperature:g} and filling {_shown(self.ensemble.filling)}"
            )
        self.network.check(self.electrons)

    def __call__(self, state: SpinState) -> Response:
        shape = self._shape(state.sites)
        network = self._copy(state.spin.device, state.spin.dtype)
        most = SITES_AT_ONCE.get(state.spin.device.type, SITES_AT_ONCE_ELSEWHERE)
        length = torch.linalg.vector_norm(state.spin.detach(), dim=-1, keepdim=True)
        spin = state.spin.detach() / length
        parts = spin.split(max(1, most // state.sites))
        fields, energies = zip(*(field_and_energy(network, part, shape) for part in parts), strict=True)
        force = transverse(torch.cat(fields).detach(), spin) / length
        if not network.conservative:
            return Response(force)
        return Response(force, torch.cat([energy for energy in energies if energy is not None]).double())

    def _shape(self, sites: int) -> tuple[int, int]:
        if self.shape is not None:
            assert self.lattice is not None
            if self.lattice.sites != sites:
                of = " x ".join(map(str, self.lattice.shape))
                raise ValueError(
                    f"this learned force is on a {of} lattice, the state has {sites} sites; load it again with "
                    "load_force(name, lattice=...)"
                )
            return self.shape
        length = math.isqrt(sites)
        if length * length != sites or self.network.kind not in LATTICES:
            raise ValueError(
                f"{sites} sites are not an L x L lattice; say which lattice they are on: load_force(name, lattice=...)"
            )
        return length, length

    def _copy(self, device: torch.device, dtype: torch.dtype) -> Network:
        """The network with frozen weights on this device, made once."""
        copies: dict[Any, Network] = self._copies  # type: ignore[attr-defined]
        if (device, dtype) not in copies:
            made = copy.deepcopy(self.network).to(device=device, dtype=dtype)
            copies[device, dtype] = made.eval().requires_grad_(False).at(self.electrons)
        return copies[device, dtype]


def load_force(
    name: str | os.PathLike, lattice: Lattice | None = None, chemical_potential: float | None = None,
    coupling: float | None = None,
) -> LearnedForce:  # fmt: skip
    """The force of a shipped network ("skyrmion/best") or of a .safetensors file written by ``spinviz train``.

    ``lattice`` None: any L x L. ``chemical_potential``, ``coupling``: of the electrons, if the network is adjustable. Raises
    ValueError for unknown names, unreadable files, a lattice of another kind, and electrons that it does not know.
    """
    network, card = read_network(find(name))
    wanted = {"chemical_potential": chemical_potential, "coupling": coupling}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    check_electrons(os.fspath(name), card, wanted)
    if lattice is not None and lattice.kind != network.kind:
        raise ValueError(
            f"network {os.fspath(name)!r} was trained for the {trained_for(card)}, got a {lattice.kind} lattice"
        )
    force = LearnedForce(network, card, None if lattice is None else network.place(lattice))
    return force.at(chemical_potential, coupling) if network.ranges else force


def trained_for(card: Mapping[str, Any]) -> str:
    """What the electrons of a network's training data were, in words."""
    known = {key: value for key, value in card.get("electrons", {}).items() if value is not None}
    known |= card.get("ranges", {})
    listed = ", ".join(f"{key} {_shown(value)}" for key, value in known.items()) or "electrons not recorded"
    return f"{card.get('lattice')} lattice of preset {card.get('preset')!r} ({listed})"


def check_electrons(name: str, card: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises ValueError when one of the ``wanted`` electron parameters is not what the network was trained for."""
    electrons, ranges = card.get("electrons", {}), card.get("ranges", {})
    different = [key for key, value in wanted.items() if key not in ranges and not _same(electrons.get(key), value)]
    different += [key for key, ends in ranges.items() if not within(wanted.get(key, ends[0]), *ends)]
    if different:
        asked = ", ".join(f"{key} {_shown(wanted[key])}" for key in different)
        raise ValueError(
            f"network {name!r} was trained for the {trained_for(card)}, not for {asked}; "
            "use force='ed' or 'kpm' there, or train another network"
        )


def _same(known: Any, wanted: Any) -> bool:
    if isinstance(known, Mapping) and isinstance(wanted, Mapping):
        first, second = ({int(key): float(value) for key, value in m.items() if value} for m in (known, wanted))
        return first.keys() == second.keys() and all(_same(first[key], second[key]) for key in first)
    if known is None or wanted is None:
        return known is wanted
    return not isinstance(known, Mapping) and math.isclose(known, wanted, rel_tol=1e-6, abs_tol=1e-12)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {item:g}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return f"from {value[0]:g} to {value[1]:g}"
    return "None" if value is None else f"{value:g}"
