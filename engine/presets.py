"""The systems of the field as data, and the one function that turns them into a running simulation.

Energies in t1, time in hbar/t1; couplings are those of H = -t c+c - J S.(c+ sigma c) (Pauli matrices without 1/2).
A preset is only defaults: everything can be changed by keyword.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from dataclasses import dataclass, fields
from typing import Any

import torch

from engine.dynamics import HeunLLG, SemiImplicitLLG
from engine.electrons import Ensemble, ExactDiagonalization, KernelPolynomial, PoleExpansion
from engine.electrons.electrons import ElectronSolver
from engine.electrons.probes import Coloured, Probes
from engine.forces import ClassicalForce, ElectronicForce, ForceProvider, SumForce
from engine.lattice import Lattice, random_sites, square, triangular
from engine.learning.force import check_electrons, load_force
from engine.learning.weights import ENDING, find, shipped
from engine.models import ExponentialHopping, HeisenbergModel, Model, SDModel, Zeeman
from engine.noise import Noise
from engine.simulation import Simulation
from engine.state import SpinState, found_device
from engine.textures import texture

LATTICES = {"square": square, "triangular": triangular}
INTEGRATORS = {"sib": SemiImplicitLLG, "heun": HeunLLG}
FORCES = ("ed", "poles", "kpm", "classical")
LARGEST_EXACT_MATRIX = 12000


@dataclass(frozen=True)
class Preset:
    """One system. ``hopping`` and ``exchange`` are {shell: value}; ``size`` is the default linear size (or N sites).

    ``electron_temperature`` is used where the bath is at T = 0; else electrons follow the bath unless told otherwise.
    ``stand_in`` is the exchange that force="classical" uses in place of the electrons, at their energy scale.
    ``field_scale`` and ``temperature_scale`` say over which range the physics happens (for sliders).
    """

    title: str
    description: str
    lattice: str
    size: int
    hopping: dict[int, float] | None = None
    coupling: float = 0.0
    exchange: dict[int, float] | None = None
    stand_in: dict[int, float] | None = None
    dmi_bulk: float = 0.0
    anisotropy: float = 0.0
    chemical_potential: float | None = None
    filling: float | None = None
    electron_temperature: float = 0.0
    field: tuple[float, float, float] = (0.0, 0.0, 0.0)
    temperature: float = 0.0
    damping: float = 0.1
    time_step: float = 0.1
    force: str = "kpm"
    moments: int = 512
    probes: int = 32
    twists: tuple[int, int] = (1, 1)
    texture: str = "random"
    texture_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    field_scale: float = 0.1
    temperature_scale: float = 0.1
    observables: tuple[str, ...] = ("energy", "magnetization", "topological_charge")


PRESETS: dict[str, Preset] = {
    "skyrmion": Preset(
        title="Skyrmion crystal of a Kondo-lattice magnet",
        description="Triangular lattice, t1 = 1, t3 = -0.85, J = 0.5, mu = -3.5: the Fermi surface picks |Q| = pi/3 and "
        "spins form skyrmion crystals, n_sk = 2, 1, 0 with growing field (Ozawa, Hayami, Motome 2017).",
        lattice="triangular", size=24, hopping={1: 1.0, 3: -0.85}, coupling=0.5, chemical_potential=-3.5,
        electron_temperature=0.005, field=(0.0, 0.0, 0.005), damping=1.0, time_step=5.0, field_scale=0.01,
        temperature_scale=0.01, moments=256, probes=72, stand_in={1: 0.004, 3: -0.00158},  # J(q) is largest at |q| = pi/3
    ),
    "tetrahedral": Preset(
        title="Tetrahedral chiral order",
        description="Triangular lattice at filling 1/4, J = 3: four-sublattice chiral order with a quantized Hall "
        "conductivity; quenches leave chiral domains.",
        lattice="triangular", size=24, hopping={1: 1.0}, coupling=3.0, filling=0.25, electron_temperature=0.02,
        damping=0.2, time_step=1.0, field_scale=0.2, temperature_scale=0.05, moments=256, probes=32,
        stand_in={1: -0.05, 2: -0.03},  # J(q) is largest at the three M points
    ),
    "double_exchange": Preset(
        title="Double exchange: phase separation",
        description="Square lattice, J = 6, filling 0.485: ferromagnetic puddles with the holes in an antiferromagnet.",
        lattice="square", size=24, hopping={1: 1.0}, coupling=6.0, filling=0.485, electron_temperature=0.022,
        temperature=0.022, damping=0.1, time_step=0.5, field_scale=0.2, temperature_scale=0.1, moments=512, probes=32,
        stand_in={1: -0.085, 2: 0.016, 3: 0.003},
    ),
    "double_exchange_000": Preset(
        title="Double exchange, moderate coupling",
        description="Square lattice, J = 3.5, 0.480 electrons per spin-orbital, T = 0: a published training set.",
        lattice="square", size=30, hopping={1: 1.0}, coupling=3.5, filling=0.48, force="ed", damping=0.1,
        time_step=0.5, texture="random_angles", field_scale=0.2, temperature_scale=0.1,
        stand_in={1: -0.085, 2: 0.016, 3: 0.003},
    ),
    "spin_glass": Preset(
        title="Spin glass in an amorphous metal",
        description="Random sites in a periodic box, t = exp(-R), J = 6, half filling: frustrated electron-mediated "
        "couplings, logarithmically slow growth of correlations.",
        lattice="random_sites", size=100, coupling=6.0, filling=0.5, electron_temperature=0.001, temperature=0.001,
        damping=0.05, time_step=0.5, force="ed", moments=1024, probes=32, field_scale=0.1, temperature_scale=0.02,
        observables=("energy", "magnetization"),
    ),
    "heisenberg": Preset(
        title="Classical chiral magnet",
        description="Square lattice, exchange J = 1, bulk DMI D = 0.6, field 0.289 J: skyrmions without electrons; the "
        "teaching model.",
        lattice="square", size=64, exchange={1: 1.0}, dmi_bulk=0.6, field=(0.0, 0.0, 0.289419088), temperature=0.02,
        damping=0.3, time_step=0.1, force="classical", field_scale=1.0, temperature_scale=1.0,
    ),
}  # fmt: skip

CHANGES = {
    "force", "seed", "replicas", "device", "dtype", "texture", "texture_options", "field", "temperature",
    "electron_temperature", "damping", "time_step", "chemical_potential", "filling", "coupling", "twists", "moments",
    "probes", "kernel", "integrator", "exchange", "dmi_bulk", "anisotropy",
}  # fmt: skip
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def preset(name: str, size: int | None = None, **changes: Any) -> Simulation:
    """A ready simulation of a named system.

    Parameters
    ----------
    name : one of ``PRESETS``. size : linear size L (N sites for the spin glass); default: the preset's.
    force : "ed", "poles" (exact too, faster above 12 x 12), "kpm", "classical", or a learned force: the name of a
        shipped network ("best", "skyrmion/best") or a
    .safetensors file; its electrons are those it was trained for, whatever the bath ("adjustable": chemical potential and
    coupling within its ranges). seed : of spins, noise and probes; replica b uses seed + b. replicas : B.
    texture : a name of ``engine.textures.TEXTURES``; texture_options : its keywords. device, dtype ("float32"/"float64").
    field (Hx, Hy, Hz), temperature (bath), electron_temperature (default: the bath's, or the preset's where the bath
    is at 0), damping, time_step, chemical_potential or filling, coupling J, twists (k1, k2), moments, probes (columns
    or "identity"), kernel, integrator ("sib" or "heun"), exchange, dmi_bulk, anisotropy.

    Raises ValueError (unknown names, senseless numbers) and MemoryError (exact diagonalization that cannot fit).
    """
    chosen = system(name)
    for key in changes:
        _lookup(key, dict.fromkeys(CHANGES), f"setting of preset {name!r}")
    options = _options(chosen, changes)
    lattice = _lattice(chosen, chosen.size if size is None else size)
    learned = _learned(name, chosen, options, changes, lattice)
    force = _force(chosen, options, lattice, learned)
    dtype = (
        options["dtype"] if isinstance(options["dtype"], torch.dtype) else _lookup(options["dtype"], DTYPES, "dtype")
    )
    seed, replicas = _integer("seed", options["seed"], 0), _integer("replicas", options["replicas"], 1)
    spin = texture(
        options["texture"], lattice, replicas=replicas, seed=seed, dtype=dtype, device=found_device(options["device"]),
        **options["texture_options"],
    )  # fmt: skip
    integrator = _lookup(options["integrator"], INTEGRATORS, "integrator")
    dynamics = integrator(
        damping=options["damping"], temperature=options["temperature"], time_step=options["time_step"]
    )
    noise = Noise([seed + replica for replica in range(replicas)])
    settings = {"preset": name, "size": chosen.size if size is None else size, **_plain(changes)}
    return Simulation(SpinState(spin), force, dynamics, noise, settings=settings)


def system(name: str) -> Preset:
    """The preset of this name. Raises ValueError, with the nearest name that there is."""
    return _lookup(name, PRESETS, "preset")


def _options(chosen: Preset, changes: dict[str, Any]) -> dict[str, Any]:
    """Defaults of the preset overlaid by the changes."""
    options = {f.name: getattr(chosen, f.name) for f in fields(chosen)}
    options |= {"seed": 0, "replicas": 1, "device": "cpu", "dtype": "float32", "kernel": None, "integrator": "sib"}
    given = {key: value for key, value in changes.items() if value is not None}
    options |= given
    if "chemical_potential" in given:
        options["filling"] = given.get("filling")
    elif "filling" in given:
        options["chemical_potential"] = None
    if "electron_temperature" not in given and options["temperature"] > 0:
        options["electron_temperature"] = options["temperature"]
    if "texture" in given and "texture_options" not in given:
        options["texture_options"] = {}
    return options


def _lattice(chosen: Preset, size: int) -> Lattice:
    if chosen.lattice == "random_sites":
        return random_sites(_integer("size", size, 2))
    reach = max([*(chosen.hopping or {}), *(chosen.exchange or {}), 1])
    return LATTICES[chosen.lattice](size, size, shells=max(reach, 3))


def learned_forces(name: str) -> tuple[str, ...]:
    """Shipped networks of a preset, as ``preset(name, force=...)`` takes them."""
    return tuple(word.removeprefix(f"{name}/") for word in shipped() if word.startswith(f"{name}/"))


def learned_ranges(name: str, network: str) -> dict[str, tuple[float, float]]:
    """(lowest, highest) "chemical_potential" and "coupling" that a shipped network knows; {} unless it is adjustable."""
    return {key: (low, high) for key, (low, high) in _card(name, network).get("ranges", {}).items()}


def learned_error(name: str, network: str) -> float | None:
    """Transverse error of a shipped network relative to the transverse rms, on held-out records; None if its card does
    not say."""
    return _card(name, network).get("errors", {}).get("all", {}).get("epsilon")


def learned_rate(name: str, network: str, size: int) -> float | None:
    """Forces per second of a shipped network on size x size sites, one thread; None if its card does not say."""
    return _card(name, network).get("evaluations_per_second", {}).get(f"{size}x{size}")


def _card(name: str, network: str) -> dict[str, Any]:
    return json.loads(find(f"{name}/{network}").with_suffix(".json").read_text())


def _learned(
    name: str, chosen: Preset, options: dict[str, Any], changes: dict[str, Any], lattice: Lattice
) -> ForceProvider | None:
    """The learned force that was asked for, or None. Raises ValueError when it knows other electrons."""
    wanted = str(options["force"])
    if wanted.lower() in FORCES:
        return None
    if not wanted.endswith(ENDING):
        names = {word: f"{name}/{word}" for word in learned_forces(name)} | dict.fromkeys(shipped())
        wanted = _lookup(wanted, dict.fromkeys(FORCES) | names, "force")
    force = load_force(wanted, lattice)
    keys = ["coupling", "chemical_potential", "filling"]
    keys += ["electron_temperature"] if changes.get("electron_temperature") is not None else []
    check_electrons(wanted, force.card, {"hopping": chosen.hopping} | {key: options[key] for key in keys})
    return force.at(options["chemical_potential"], options["coupling"]) if force.electrons else force


def _force(chosen: Preset, options: dict[str, Any], lattice: Lattice, learned: ForceProvider | None) -> SumForce:
    """Electrons (unless classical), exchange (where there is some) and Zeeman, by name."""
    kind = str(options["force"]).lower()
    terms: dict[str, ForceProvider] = {}
    if learned is not None:
        terms["electrons"] = learned
    elif kind != "classical":
        if not chosen.coupling:
            raise ValueError(f"preset {chosen.title!r} has no electrons; use force='classical'")
        hopping = ExponentialHopping() if chosen.hopping is None else chosen.hopping
        model = SDModel(lattice, hopping, options["coupling"])
        ensemble = Ensemble(options["electron_temperature"], options["chemical_potential"], options["filling"])
        terms["electrons"] = ElectronicForce(model, _solver(kind, options, lattice), ensemble)
    exchange = options["exchange"]
    if kind == "classical" and not exchange:
        exchange = chosen.stand_in
        if exchange is None:
            raise ValueError(f"preset {chosen.title!r} has no classical model; use force='ed' or 'kpm'")
    if exchange or options["dmi_bulk"] or options["anisotropy"]:
        classical: Model = HeisenbergModel(
            lattice, exchange or {}, dmi_bulk=options["dmi_bulk"], anisotropy=options["anisotropy"]
        )
        terms["exchange"] = ClassicalForce(classical)
    terms["zeeman"] = ClassicalForce(Zeeman(options["field"]))
    return SumForce(terms)


def _solver(kind: str, options: dict[str, Any], lattice: Lattice) -> ElectronSolver:
    if kind == "ed":
        if 2 * lattice.sites > LARGEST_EXACT_MATRIX:
            raise MemoryError(
                f"exact diagonalization of {lattice.sites} sites means {2 * lattice.sites} x {2 * lattice.sites} "
                f"matrices, more than {LARGEST_EXACT_MATRIX}; use force='poles' (as exact), 'kpm' or a smaller size"
            )
        return ExactDiagonalization(options["twists"])
    if kind == "poles":
        return PoleExpansion(twists=options["twists"])
    probes = options["probes"]
    if isinstance(probes, int) and not isinstance(probes, bool):
        probes = Coloured(probes, seed=int(options["seed"]))
    return KernelPolynomial(options["moments"], probes, kernel=options["kernel"], twists=options["twists"])


def _lookup(name: Any, table: dict[str, Any], what: str) -> Any:
    """table[name], or the name itself for a table of bare names; ValueError with the nearest known one."""
    if name not in table:
        near = difflib.get_close_matches(str(name), list(table), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown {what} {name!r}{hint} Known: {', '.join(sorted(table))}")
    value = table[name]
    return name if value is None else value


def _integer(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or int(value) != value or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}")
    return int(value)


def _plain(changes: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON-ready values."""
    plain: dict[str, Any] = {}
    for key, value in changes.items():
        if isinstance(value, torch.dtype | torch.device | Probes):
            value = str(value).removeprefix("torch.")
        plain[key] = list(value) if isinstance(value, tuple) else value
    return plain
