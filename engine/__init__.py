"""Engine of spinviz: classical spins coupled to electrons, without any screen.

    import engine
    simulation = engine.preset("skyrmion", size=12, force="ed")
    simulation = simulation.advance(10)
    charge = engine.topological_charge(simulation.state.spin, simulation.lattice)

Units: hbar = k_B = lattice constant = |S| = 1, energies in the hopping t1, time in hbar / t1.
"""

from engine.block_matrix import BlockMatrix, pairing
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.dynamics import HeunLLG, Relax, SemiImplicitLLG, suggest_time_step
from engine.electrons import (
    Coloured,
    Electrons,
    Ensemble,
    ExactDiagonalization,
    Identity,
    KernelPolynomial,
    PoleExpansion,
    RandomPhase,
)
from engine.forces import ClassicalForce, ElectronicForce, ForceProvider, Response, SumForce
from engine.frame import Frame
from engine.lattice import Lattice, random_sites, square, triangular
from engine.learning.force import LearnedForce, load_force
from engine.models import ExponentialHopping, HeisenbergModel, SDModel, SumModel, Zeeman
from engine.noise import Noise
from engine.observables import (
    OBSERVABLES,
    Observable,
    hall_conductivity,
    observe,
    scalar_chirality,
    structure_factor,
    topological_charge,
    topological_charge_density,
)
from engine.presets import PRESETS, Preset, preset
from engine.simulation import Simulation, StepFailed, snapshot, updated
from engine.state import SpinState
from engine.textures import TEXTURES, texture

__all__ = [
    "OBSERVABLES",
    "PRESETS",
    "TEXTURES",
    "BlockMatrix",
    "ClassicalForce",
    "Coloured",
    "ElectronicForce",
    "Electrons",
    "Ensemble",
    "ExactDiagonalization",
    "ExponentialHopping",
    "ForceProvider",
    "Frame",
    "HeisenbergModel",
    "HeunLLG",
    "Identity",
    "KernelPolynomial",
    "Lattice",
    "LearnedForce",
    "Noise",
    "Observable",
    "PoleExpansion",
    "Preset",
    "RandomPhase",
    "Relax",
    "Response",
    "SDModel",
    "SemiImplicitLLG",
    "Simulation",
    "SpinState",
    "StepFailed",
    "SumForce",
    "SumModel",
    "Zeeman",
    "hall_conductivity",
    "load_checkpoint",
    "load_force",
    "observe",
    "pairing",
    "preset",
    "random_sites",
    "save_checkpoint",
    "scalar_chirality",
    "snapshot",
    "square",
    "structure_factor",
    "suggest_time_step",
    "texture",
    "topological_charge",
    "topological_charge_density",
    "triangular",
    "updated",
]
