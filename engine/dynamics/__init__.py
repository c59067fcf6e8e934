"""Dynamics: how a state moves under a force. See :mod:`engine.dynamics.llg` for equation, sense and noise."""

from engine.dynamics.integrator import Integrator
from engine.dynamics.llg import HeunLLG, SemiImplicitLLG
from engine.dynamics.pinned import PinnedDynamics
from engine.dynamics.pulse import FieldPulse, HeatedDynamics
from engine.dynamics.relax import Relax, Relaxation
from engine.dynamics.time_step import suggest_time_step

__all__ = [
    "FieldPulse",
    "HeatedDynamics",
    "HeunLLG",
    "Integrator",
    "PinnedDynamics",
    "Relax",
    "Relaxation",
    "SemiImplicitLLG",
    "suggest_time_step",
]
