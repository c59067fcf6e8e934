"""Hall conductivity against the chemical potential: quantized in the tetrahedral state, topological in the crystal.

sigma_xy by Kubo on a mesh of boundary twists (engine.observables.electron). The tetrahedral order of the ``tetrahedral``
preset gaps the bands at fillings 1/4 and 3/4; the Chern number there is +-1 with the sign of the chirality. The skyrmion
crystal (48-site cell, three cells on 12 x 12) is a metal at J = 0.5: sigma_xy is large and not quantized; at J = 6 gaps open
between bands of the emergent field, with integers in them.
No spin-orbit coupling, no net magnetization needed: all of it is topological. Errors: change between two meshes.
"""

from __future__ import annotations

import numpy as np
import torch

from engine.lattice import triangular
from engine.models import SDModel
from engine.observables import hall_conductivity
from engine.presets import PRESETS
from engine.textures import texture
from spinviz.reproduce.figure import COLOURS, Compared, Figure, Made, panels
from spinviz.reproduce.settings import Settings
from spinviz.reproduce.work import Work

SMALL: Settings = {"tetrahedral_twists": (12, 16), "crystal_twists": (5, 8), "points": 61}
FULL: Settings = {"tetrahedral_twists": (24, 32), "crystal_twists": (10, 14), "points": 241}
TEMPERATURE = 0.03  # of the crystal's electrons: smooths the levels of a finite mesh
GAP_POTENTIAL = -3.305  # middle of the gap at filling 1/4
STRONG = 6.0  # coupling at which some of the crystal's bands are separated by gaps: quantized there
GAPS = (-1.66, 10.81)  # chemical potentials inside two of these gaps (45 and 93 of 96 bands of a cell filled)
WORST = 3.0  # e^2/h: where two meshes differ by more, the curve is not drawn


def make(settings: Settings, work: Work) -> Made:
    work.say("tetrahedral state")
    mu = np.linspace(-6.5, 6.5, 4 * settings["points"])
    tetra = {sign: _two_meshes("tetrahedral", 4, {"handedness": sign}, mu, settings["tetrahedral_twists"], 0.0)
             for sign in (1, -1)}  # fmt: skip
    crystal_mu = np.linspace(-6.0, -1.0, settings["points"])
    crystals = {}
    for n_sk in (1, 2):
        work.say(f"skyrmion crystal n_sk = {n_sk}")
        crystals[n_sk] = _two_meshes(
            "skyrmion", 12, {"n_sk": n_sk}, crystal_mu, settings["crystal_twists"], TEMPERATURE
        )
    work.say("skyrmion crystal at strong coupling")
    strong_mu = np.sort(np.append(np.linspace(-2.4, -0.8, settings["points"]), GAPS))
    strong = _two_meshes("skyrmion", 12, {"n_sk": 1}, strong_mu, settings["crystal_twists"], 0.0, STRONG)
    sheet, axes = panels(1, 3)
    for number, (sign, (value, _)) in enumerate(tetra.items()):
        axes[0, 0].plot(mu, value, color=COLOURS[number], label=f"chirality {sign:+d}")
    axes[0, 0].set(title="Tetrahedral, J = 3", ylabel="σ_xy (e²/h)", ylim=(-1.5, 1.5))
    axes[0, 0].axvline(GAP_POTENTIAL, color="#d9dde8", zorder=0)
    for number, (n_sk, (value, error)) in enumerate(crystals.items()):
        value, error = (np.where(error < WORST, part, np.nan) for part in (value, error))
        axes[0, 1].plot(crystal_mu, value, color=COLOURS[number], label=f"n_sk = {n_sk}")
        axes[0, 1].fill_between(crystal_mu, value - error, value + error, color=COLOURS[number], alpha=0.25, lw=0)
    axes[0, 1].axvline(-3.5, color="#d9dde8", zorder=0)
    axes[0, 1].set(title=f"Skyrmion crystal, J = 0.5, T = {TEMPERATURE:g}")
    shown = strong_mu < 0
    axes[0, 2].plot(strong_mu[shown], strong[0][shown], color=COLOURS[0], label="n_sk = 1")
    axes[0, 2].axvline(GAPS[0], color="#d9dde8", zorder=0)
    axes[0, 2].set(title=f"Skyrmion crystal, J = {STRONG:g}, T = 0", ylim=(-8, 8))
    for one in axes.flat:
        one.axhline(0, color="#d9dde8", zorder=0)
        one.set_xlabel("chemical potential μ")
        one.legend()
    return Made(sheet, _numbers(mu, tetra, crystal_mu, crystals, strong_mu, strong),
                _compared(mu, tetra, crystal_mu, crystals, strong_mu, strong),
                {**settings, "temperature": TEMPERATURE, "strong_coupling": STRONG})  # fmt: skip


def _two_meshes(
    preset: str, length: int, options: dict, mu: np.ndarray, twists: tuple[int, int], temperature: float,
    coupling: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """sigma_xy (M,) on the finer of two meshes, and its change from the coarser one."""
    chosen = PRESETS[preset]
    lattice = triangular(length, length, shells=3)
    model = SDModel(lattice, chosen.hopping or {}, chosen.coupling if coupling is None else coupling)
    name = "tetrahedral" if preset == "tetrahedral" else "skyrmion_crystal"
    spin = texture(name, lattice, dtype=torch.float64, **options)
    found = [hall_conductivity(model, spin, torch.as_tensor(mu), (k, k), temperature)[0].numpy() for k in twists]
    return found[1], np.abs(found[1] - found[0])


def _compared(mu, tetra, crystal_mu, crystals, strong_mu, strong) -> list[Compared]:
    at = int(np.abs(mu - GAP_POTENTIAL).argmin())
    found = [
        Compared(f"tetrahedral, filling 1/4, chirality {sign:+d}: σ_xy (e²/h)", "±1, sign of the chirality",
                 float(value[at]), float(error[at]))
        for sign, (value, error) in tetra.items()
    ]  # fmt: skip
    value, error = crystals[1]
    near = int(np.abs(crystal_mu + 3.5).argmin())
    found.append(Compared("crystal n_sk = 1 at μ = -3.5: σ_xy (e²/h)", "no number given", float(value[near]),
                          float(error[near]), "difference of two meshes"))  # fmt: skip
    for potential in GAPS:
        at = int(np.abs(strong_mu - potential).argmin())
        quantity = f"crystal n_sk = 1, J = {STRONG:g}, in the gap at μ = {potential:g}: σ_xy (e²/h)"
        found.append(Compared(quantity, "an integer",
                              float(strong[0][at]), float(strong[1][at])))  # fmt: skip
    return found


def _numbers(mu, tetra, crystal_mu, crystals, strong_mu, strong) -> dict:
    curves = {"tetrahedral": (mu, tetra), "crystal": (crystal_mu, crystals), "strong": (strong_mu, {1: strong})}
    return {name: {"chemical_potential": x, **{str(key): {"sigma_xy": value, "error": error}
                                               for key, (value, error) in some.items()}}
            for name, (x, some) in curves.items()}  # fmt: skip


FIGURE = Figure(
    "hall", "Hall conductivity of noncoplanar order", "004 section III",
    "σ_xy quantized in the tetrahedral state; topological Hall conductivity of the skyrmion crystal against μ",
    make, SMALL, FULL, (),
    "finer meshes of twists",
)  # fmt: skip
