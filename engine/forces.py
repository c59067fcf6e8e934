"""Forces on the spins.

The force is f_i = -dE/dS_i for *free* components of S_i, E being the energy that the same call returns:
the grand potential Omega (fixed chemical potential) or the free energy F (fixed filling) of each replica's N sites,
averaged over twists, plus the model's classical energy. For the s-d model f_i = J <c+_i sigma c_i> + field.

Electrons: build h(S) with S requiring a gradient, solve for the density matrix rho on the detached h, and
differentiate the surrogate Re Tr[rho h(S)] + E_c(S) once (Hellmann-Feynman); nothing differentiates through
eigenvectors. A solver returns a rho that is the derivative of the energy it returns, so the two agree by construction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from engine.state import SpinState

if TYPE_CHECKING:
    from engine.electrons.electrons import Electrons


@dataclass(frozen=True, eq=False)
class Response:
    """Answer of a force provider: force (B, N, 3), energy (B,) or None, electrons or None."""

    force: torch.Tensor
    energy: torch.Tensor | None = None
    electrons: Electrons | None = None


class ForceProvider(ABC):
    """SpinState -> Response. Frozen dataclasses; the same call for exact, classical and learned forces."""

    @abstractmethod
    def __call__(self, state: SpinState) -> Response:
        """Force in the state's site order, dtype and device."""
