"""Electron solvers: from a matrix to energies and density matrices."""

from engine.electrons.chebyshev import KernelPolynomial
from engine.electrons.electrons import Electrons, ElectronSolver
from engine.electrons.ensemble import Ensemble
from engine.electrons.exact import ExactDiagonalization
from engine.electrons.poles import PoleExpansion
from engine.electrons.probes import Coloured, Identity, Probes, RandomPhase

__all__ = [
    "Coloured",
    "ElectronSolver",
    "Electrons",
    "Ensemble",
    "ExactDiagonalization",
    "Identity",
    "KernelPolynomial",
    "PoleExpansion",
    "Probes",
    "RandomPhase",
]
