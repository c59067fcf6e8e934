"""Controls: every slider as data.

A *live* control changes paths of the running simulation between two steps; the others make a new simulation.
Nothing here knows of a page: the widgets are made from these parameters, and the session gets what the methods return.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import param

from engine import PRESETS, TEXTURES, Preset
from engine.presets import learned_error, learned_forces, learned_ranges, learned_rate

SIZES = (12, 18, 24, 30, 36, 48, 64, 96, 128, 192, 256, 384, 512)
SITES = (50, 100, 150, 200, 300)
FIELD = "force.zeeman.model.field"
BATH, ELECTRONS = "dynamics.temperature", "force.electrons.ensemble.temperature"
SPEEDS = {"As fast as possible": 0, "100 steps/s": 100, "30 steps/s": 30, "10 steps/s": 10, "3 steps/s": 3}
FORCES = {
    "Exact diagonalization (ED)": "ed", "Pole expansion (exact)": "poles",
    "Kernel polynomial (KPM)": "kpm", "Classical exchange": "classical",
}  # fmt: skip
BEST, FAST, LEARNED_SIZE = "best", "fast", 48  # a network is quick: with one the page opens, and larger, if it can,
TRUSTED = 0.2  # but only with at most this error,
USUAL_POTENTIALS = (-12.0, 12.0)
QUICK, LEAST = 15.0, 8.0  # and with so many forces per second by its card; if none is quick, with at least so many
LEARNED = "A network has learned the electrons of this system as published; to change them, choose {}."
EXACT = "ED or KPM"
ADJUSTABLE = "This network has learned a range of chemical potentials and couplings; the sliders end where it does."
ELECTRONIC = ("chemical_potential", "filling", "coupling")  # what an exact force takes of these sliders


@dataclass(frozen=True)
class Control:
    """One control: ``paths`` in the simulation ((): it makes a new one, but the speed, which is the session's)."""

    label: str
    paths: tuple[str, ...] = ()
    unit: str = ""

    @property
    def live(self) -> bool:
        """True when it acts between two steps."""
        return bool(self.paths)


CONTROLS: dict[str, Control] = {
    "preset": Control("System"),
    "size": Control("Size"),
    "force": Control("Force"),
    "texture": Control("Initial spins"),
    "seed": Control("Seed"),
    "field_x": Control("Field along x", (FIELD,), "t₁"),
    "field_y": Control("Field along y", (FIELD,), "t₁"),
    "field_z": Control("Field along z", (FIELD,), "t₁"),
    "temperature": Control("Bath temperature", (BATH, ELECTRONS), "t₁"),
    "linked": Control("Electrons follow the bath", (ELECTRONS,)),
    "electron_temperature": Control("Electron temperature", (ELECTRONS,), "t₁"),
    "damping": Control("Damping α", ("dynamics.damping",)),
    "time_step": Control("Time step", ("dynamics.time_step",), "ħ/t₁"),
    "chemical_potential": Control("Chemical potential μ", ("force.electrons.ensemble.chemical_potential",), "t₁"),
    "speed": Control("Speed"),
    "filling": Control("Filling per spin-orbital", ("force.electrons.ensemble.filling",)),
    "coupling": Control("Coupling J", ("force.electrons.model.coupling",), "t₁"),
}


def networks(preset: str) -> list[str]:
    """Names of the networks that are shipped for a preset, the best one first."""
    return sorted(learned_forces(preset), key=lambda name: (name != BEST, name != FAST, name))


def _opening(name: str) -> tuple[int, str] | None:
    """Size of the lattice and network with which a page opens, None: with none. Size first, then accuracy."""
    own = PRESETS[name].size
    known = [network for network in (BEST, FAST) if network in networks(name)]
    for enough, size, network in itertools.product((QUICK, LEAST), (max(own, LEARNED_SIZE), own), known):
        if (learned_error(name, network) or 0.0) <= TRUSTED and _rate(name, network, size) >= enough:
            return size, network
    return None


def _rate(name: str, network: str, size: int) -> float:
    """Forces per second by the card; infinite where it says nothing."""
    if (rate := learned_rate(name, network, size)) is not None:
        return rate
    known = learned_rate(name, network, LEARNED_SIZE)
    return math.inf if known is None else known * (LEARNED_SIZE / size) ** 2


def _label(network: str) -> str:
    """A network in the list of forces."""
    return f"Network: {network.replace('_', ' ')}"


def textures(system: Preset) -> list[str]:
    """Names of the initial textures that the preset's lattice can have."""
    return [name for name in TEXTURES if system.lattice != "random_sites" or name in ("random", "ferromagnet")]


def slider_ranges(system: Preset) -> dict[str, tuple[float, float]]:
    """Ranges of the sliders that follow the preset, name -> (low, high)."""
    scale = system.field_scale
    ranges = dict.fromkeys(("field_x", "field_y", "field_z"), (-scale, scale))
    ranges |= dict.fromkeys(("temperature", "electron_temperature"), (0.0, system.temperature_scale))
    ranges["coupling"] = (0.0, 2 * system.coupling or 1.0)
    return ranges | {"time_step": (system.time_step / 20, system.time_step * 4)}


class Controls(param.Parameterized):
    """Present values of all controls, with their ranges; ranges follow the preset."""

    preset = param.Selector(default="skyrmion", objects={p.title: name for name, p in PRESETS.items()}, doc="System")
    size = param.Selector(default=24, objects=list(SIZES), doc="Cells along each side, or number of random sites")
    force = param.Selector(default="kpm", objects=FORCES, doc="How the force on the spins is computed")
    texture = param.Selector(default="random", objects={t.title: n for n, t in TEXTURES.items()}, doc="Initial spins")
    seed = param.Integer(default=0, bounds=(0, 999_999), doc="Seed of spins, noise and probes")
    field_x = param.Number(default=0.0, bounds=(-1.0, 1.0), doc="Magnetic field along x, in t₁")
    field_y = param.Number(default=0.0, bounds=(-1.0, 1.0), doc="Magnetic field along y, in t₁")
    field_z = param.Number(default=0.0, bounds=(-1.0, 1.0), doc="Magnetic field along z, in t₁")
    temperature = param.Number(default=0.0, bounds=(0.0, 1.0), doc="Temperature of the spins' bath, in t₁")
    linked = param.Boolean(default=True, doc="Electrons take the bath's temperature, but not less than the preset's")
    electron_temperature = param.Number(default=0.01, bounds=(0.0, 1.0), doc="Temperature of the electrons, in t₁")
    damping = param.Number(
        default=0.1, bounds=(0.0, 1.0), step=0.01, doc="Gilbert damping α of the Landau-Lifshitz equation"
    )
    time_step = param.Number(default=0.1, bounds=(0.001, 10.0), doc="Time of one step, in ħ/t₁")
    chemical_potential = param.Number(default=0.0, bounds=USUAL_POTENTIALS, step=0.01, doc="Chemical potential, in t₁")
    filling = param.Number(default=0.25, bounds=(0.01, 0.99), step=0.005, doc="Electrons per spin-orbital")
    coupling = param.Number(default=0.5, bounds=(0.0, 12.0), doc="Coupling J of electrons and spins, in t₁")

    speed = param.Selector(default=0, objects=SPEEDS, doc="Slow motion: at most so many steps per second")

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.fixed_filling = False
        self.electronic = True
        self.learned = False
        self.ranges: dict[str, tuple[float, float]] = {}
        self.choose(self.preset)

    @property
    def settable(self) -> bool:
        """True where the electrons can be changed: they are computed, or an adjustable network runs."""
        return self.electronic and (not self.learned or bool(self.ranges))

    @property
    def about_electrons(self) -> str:
        """What keeps the sliders of the electrons from going further, "" where nothing does."""
        if not self.learned:
            return ""
        if self.ranges:
            return ADJUSTABLE
        others = [name for name in networks(self.preset) if learned_ranges(self.preset, name)]
        return LEARNED.format(f"ED, KPM or the network {others[0].replace('_', ' ')}" if others else EXACT)

    @property
    def system(self) -> Preset:
        """The preset's data."""
        return PRESETS[self.preset]

    def choose(self, name: str) -> None:
        """Take a preset's ranges and its own size, force and texture; a network where there is a quick one."""
        system = PRESETS[name]
        regular = system.lattice != "random_sites"
        self._set_ranges(system)
        sizes = SIZES if regular else SITES
        self.param.size.objects = sorted({*sizes, system.size})
        self.param.texture.objects = {TEXTURES[key].title: key for key in textures(system)}
        known = networks(name)
        size, force = system.size, system.force
        if regular and (quick := _opening(name)):
            size, force = quick
        offered = FORCES | {_label(network): network for network in known}
        self.param.force.objects = {**self.param.force.names, **offered}  # so that old and new value fit
        self.param.update(preset=name, size=size, force=force, texture=system.texture)
        self.param.force.objects = offered

    def _set_ranges(self, system: Preset) -> None:
        ranges = slider_ranges(system)
        notches = {name: 200 if bounds[0] < 0 else 100 for name, bounds in ranges.items()} | {"time_step": 79}
        for name, bounds in ranges.items():
            self._set_range(name, bounds, getattr(self, name))
            self.param[name].step = (bounds[1] - bounds[0]) / notches[name]

    def _set_range(self, name: str, bounds: tuple[float, float], value: float) -> None:
        """Bounds of a number, which takes the nearest value that it can."""
        low, high = self.param[name].bounds
        self.param[name].bounds = (min(low, bounds[0]), max(high, bounds[1]))  # so that old and new value fit
        self.param.update(**{name: min(max(value, bounds[0]), bounds[1])})
        self.param[name].bounds = bounds

    def _set_electron_ranges(self, values: Mapping[str, Any]) -> None:
        """Ranges of mu and J: those of the network that runs, else the usual ones."""
        usual = {"chemical_potential": USUAL_POTENTIALS, "coupling": slider_ranges(self.system)["coupling"]}
        for name, (low, high) in (usual | self.ranges).items():
            self._set_range(name, (low, high), values.get(name, getattr(self, name)))

    def settings(self) -> dict[str, Any]:
        """What makes a new simulation with all present values."""
        values: dict[str, Any] = {name: getattr(self, name) for name in ("preset", "size", "force", "texture", "seed")}
        values |= {name: getattr(self, name) for name in ("temperature", "damping", "time_step")}
        values["field"] = (self.field_x, self.field_y, self.field_z)
        if self.electronic and self.force in FORCES.values():
            values["electron_temperature"] = self.followed_temperature()
            conserved = "filling" if self.fixed_filling else "chemical_potential"
            values[conserved] = getattr(self, conserved)
            values["coupling"] = self.coupling
        elif self.force in networks(self.preset) and learned_ranges(self.preset, self.force):
            values |= {"chemical_potential": self.chemical_potential, "coupling": self.coupling}
        return values

    def first_settings(self) -> dict[str, Any]:
        """What makes the preset as it is published, with the present seed."""
        return {"preset": self.preset, "size": self.size, "force": self.force, "texture": self.texture,
                "seed": self.seed}  # fmt: skip

    def followed_temperature(self) -> float:
        """Temperature that the electrons should have."""
        if not self.linked:
            return float(self.electron_temperature)
        return max(float(self.temperature), self.system.electron_temperature)

    def changes(self, name: str) -> dict[str, Any]:
        """path -> value for :func:`engine.updated`, of a live control that was moved."""
        self._tidy(name)
        values = {FIELD: (self.field_x, self.field_y, self.field_z), BATH: self.temperature}
        values[ELECTRONS] = self.followed_temperature()
        return {path: values.get(path, getattr(self, name)) for path in CONTROLS[name].paths}

    def _tidy(self, name: str) -> None:
        """A slider's -3.4000000000000004, so many steps from its end, becomes the -3.4 that it shows."""
        value = getattr(self, name)
        if isinstance(value, float):
            with param.discard_events(self):
                setattr(self, name, float(f"{value:.12g}"))

    def adopt(self, settings: Mapping[str, Any], read: Callable[[str], Any]) -> None:
        """Show what is running: ``settings`` made it, ``read(path)`` gives a value (None where there is none)."""
        system = PRESETS[settings["preset"]]
        usual = {"size": system.size, "force": system.force, "texture": system.texture, "seed": 0}
        found = {name: settings.get(name, value) for name, value in usual.items()}
        for name in ("temperature", "damping", "time_step", *ELECTRONIC):
            found[name] = read(CONTROLS[name].paths[0])
        found["electron_temperature"] = read(ELECTRONS)
        found["field_x"], found["field_y"], found["field_z"] = read(FIELD)
        self.learned = found["force"] not in FORCES.values()
        if self.learned:
            for name in (*ELECTRONIC, "electron_temperature"):
                found[name] = getattr(system, name) if found[name] is None else found[name]
        self.electronic = found["electron_temperature"] is not None
        self.fixed_filling = found["filling"] is not None
        if settings["preset"] != self.preset:
            self.choose(settings["preset"])
        own = self.learned and found["force"] in networks(settings["preset"])
        self.ranges = learned_ranges(settings["preset"], found["force"]) if own else {}
        self._set_electron_ranges({name: value for name, value in found.items() if value is not None})
        for name, value in found.items():
            if value is not None:
                self.show(name, value)

    def show(self, name: str, value: Any) -> None:
        """Set one control, widening its range where needed."""
        if name == "force" and value not in self.param.force.objects:
            self.param.force.objects = {**self.param.force.names, _label(value): value}
        if name == "size":
            self.param.size.objects = sorted({*self.param.size.objects, value})
        bounds = getattr(self.param[name], "bounds", None)
        if bounds is not None and not bounds[0] <= value <= bounds[1]:
            self.param[name].bounds = (min(bounds[0], value), max(bounds[1], value))
        self.param.update(**{name: value})
