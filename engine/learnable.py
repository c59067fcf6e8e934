"""What there is to learn from a preset: exact forces for labels, its electrons for model cards, and what networks of it are
built with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from engine.electrons import Ensemble, ExactDiagonalization
from engine.forces import ElectronicForce, ForceProvider
from engine.lattice import Lattice, random_sites
from engine.learning.network import ElectronSetting
from engine.learning.sampling import Source
from engine.models import ExponentialHopping, SDModel
from engine.presets import LATTICES, Preset, system

QUENCH_STRIDE = 4  # steps of a spin glass in one of its quenches for data: its forces are small, it moves slowly


def source(
    name: str, twists: tuple[int, int], first: tuple[int, int], electrons: ElectronSetting | None = None
) -> Source:
    """What is needed to label configurations of a preset: exact forces with ``twists`` on the ``first`` shape.

    Other shapes take as many twists as give a periodic sample of the same size (k1 L1, k2 L2); quenches are moved with
    a third of them. The electrons are those of the preset at its electron temperature, or these ``electrons``. Random
    sites have no twists; their shape is (number of sites, seed).

    Raises ValueError for systems without electrons, twists of random sites, and electrons of a system whose filling is
    what is fixed.
    """
    chosen = system(name)
    if electrons is not None:
        if chosen.chemical_potential is None:
            raise ValueError(
                f"the electrons of preset {name!r} have a fixed filling; data of several need a fixed chemical potential"
            )
        chosen = dataclasses.replace(chosen, **electrons._asdict())
    if not chosen.coupling:
        raise ValueError(f"preset {name!r} has no electrons to learn from")
    if chosen.lattice == "random_sites":
        return _source_of_sites(name, chosen, twists)
    extent = [k * length for k, length in zip(twists, first, strict=True)]

    def force(lattice: Lattice, share: int) -> ForceProvider:
        mesh = [
            1 if k == 1 else max(1, round(e / n / share)) for k, e, n in zip(twists, extent, lattice.shape, strict=True)
        ]
        model = SDModel(lattice, chosen.hopping or {}, chosen.coupling)
        ensemble = Ensemble(chosen.electron_temperature, chosen.chemical_potential, chosen.filling)
        return ElectronicForce(model, ExactDiagonalization((mesh[0], mesh[1])), ensemble)

    return Source(
        lattice=lambda shape: LATTICES[chosen.lattice](*shape, shells=3), exact=lambda lattice: force(lattice, 1),
        rough=lambda lattice: force(lattice, 3), random=chosen.texture, time_step=chosen.time_step,
        field_scale=chosen.field_scale, temperature_scale=chosen.temperature_scale,
        at=lambda electrons: source(name, twists, first, electrons),
    )  # fmt: skip


def _source_of_sites(name: str, chosen: Preset, twists: tuple[int, int]) -> Source:
    if tuple(twists) != (1, 1):
        raise ValueError(f"preset {name!r} has random sites, which know no twists; got twists {twists}")

    def force(lattice: Lattice) -> ForceProvider:
        ensemble = Ensemble(chosen.electron_temperature, chosen.chemical_potential, chosen.filling)
        return ElectronicForce(
            SDModel(lattice, ExponentialHopping(), chosen.coupling), ExactDiagonalization(), ensemble
        )

    return Source(
        lattice=lambda shape: random_sites(shape[0], seed=shape[1]), exact=force, rough=force, random=chosen.texture,
        time_step=QUENCH_STRIDE * chosen.time_step, field_scale=chosen.field_scale,
        temperature_scale=chosen.temperature_scale,
    )  # fmt: skip


def electrons_of(name: str) -> dict[str, Any]:
    """The electrons of a preset as the model card of a network says them."""
    chosen = system(name)
    keys = ("coupling", "hopping", "chemical_potential", "filling", "electron_temperature")
    return {key: getattr(chosen, key) for key in keys}


def network_configuration(
    name: str, network: str, given: dict[str, Any], chemical_potential: float | None = None,
    ranges: Mapping[str, Sequence[float]] = MappingProxyType({}),
) -> dict[str, Any]:  # fmt: skip
    """What the constructor of a network needs to learn a preset, overlaid by ``given``.

    ``chemical_potential`` is used where the preset has a filling instead; ``ranges`` of the electrons in the data by what is
    adjustable, which cannot do without.
    """
    chosen = system(name)
    if not chosen.coupling:
        raise ValueError(f"preset {name!r} has no electrons to learn from")
    made: dict[str, Any] = {"kind": chosen.lattice}
    hopping = [[shell, t] for shell, t in (chosen.hopping or {}).items()]
    known = chosen.chemical_potential if chosen.chemical_potential is not None else chemical_potential
    kernels = {"hopping": hopping, "chemical_potential": known, "temperature": chosen.electron_temperature}
    if network == "medium":
        made |= {"coupling": chosen.coupling}
    if network == "moments":
        made |= {"hopping": hopping, "coupling": chosen.coupling}
    if network == "rings":
        made |= kernels
    if network == "adjustable":
        made |= {"hopping": hopping, "temperature": chosen.electron_temperature, **ranges}
    made |= given
    if network == "poles":
        rest = made.pop("rest", {})
        if rest.get("network") == "adjustable":
            rest = {"hopping": hopping, "temperature": chosen.electron_temperature, "channels": [], **ranges, **rest}
        if rest.get("network", "rings") == "rings":
            rest = {"network": "rings", **kernels, "channels": [], **rest}
            _check_kernels(name, rest)
        conserved = {"chemical_potential": chosen.chemical_potential, "filling": chosen.filling}
        made = {"hopping": hopping, "coupling": chosen.coupling, "temperature": chosen.electron_temperature, **conserved,
                "rest": rest, **made}  # fmt: skip
    adjustable = made if network == "adjustable" else made.get("rest", {})
    if (
        adjustable.get("network", network) == "adjustable"
        and not {"chemical_potential", "coupling"} <= adjustable.keys()
    ):
        raise ValueError(
            "network 'adjustable' learns from data of several electrons; label them with `spinviz dataset --sweep`"
        )
    if network == "rings":
        _check_kernels(name, made)
    return made


def _check_kernels(name: str, made: dict[str, Any]) -> None:
    if made["chemical_potential"] is None or made["temperature"] <= 0:
        raise ValueError(
            f"network 'rings' needs a chemical potential and a temperature > 0, got {made['chemical_potential']} and "
            f"{made['temperature']} for preset {name!r}; give --set chemical_potential=... --set temperature=..."
        )
