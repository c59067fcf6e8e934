"""The s-d (Kondo lattice, double exchange) model.

    H = - sum_<ij> t_ij (c+_ia c_ja + h.c.) - J sum_i S_i . (c+_ia sigma_ab c_ib),      sigma = Pauli matrices, no 1/2.

Papers that write s = sigma / 2 have a J twice this one. With classical spins and one band the sign of J does not
change energies (the electrons' spin can be rotated). Force on a spin: -dOmega/dS_i = J <c+_i sigma c_i>.
Cheng et al., Phys. Rev. Research 5, 033188 (2023), eq. 4; Ozawa, Hayami, Motome, PRL 118, 147205 (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from engine.block_matrix import BlockMatrix
from engine.lattice import Lattice
from engine.models.model import Model, check_finite


@dataclass(frozen=True)
class ExponentialHopping:
    """t(R) = amplitude exp(-R / length): hopping between random sites."""

    amplitude: float = 1.0
    length: float = 1.0

    def __call__(self, distance: np.ndarray) -> np.ndarray:
        return self.amplitude * np.exp(-distance / self.length)


@dataclass(frozen=True, eq=False)
class SDModel(Model):
    """Itinerant electrons coupled to classical unit spins.

    Parameters
    ----------
    lattice : where the spins sit; it must have the shells that ``hopping`` names.
    hopping : {shell: t} (the Hamiltonian carries -t), or a function of distance (E,) -> t (E,).
    coupling : J, in units of the hopping.

    Raises ValueError for an unknown shell, an empty hopping, or numbers that are not finite.
    """

    lattice: Lattice
    hopping: Mapping[int, float] | Callable[[np.ndarray], np.ndarray]
    coupling: float

    def __post_init__(self) -> None:
        check_finite("coupling", self.coupling)
        check_finite("hopping", self.amplitudes())
        if isinstance(self.hopping, Mapping):
            object.__setattr__(self, "hopping", {int(k): float(v) for k, v in self.hopping.items()})

    def amplitudes(self) -> np.ndarray:
        """t on every bond, (E,)."""
        if not isinstance(self.hopping, Mapping):
            return np.asarray(self.hopping(self.lattice.distances), dtype=np.float64)
        if not self.hopping:
            raise ValueError("hopping is empty; give at least one shell, for example {1: 1.0}")
        return self.lattice.per_bond(self.hopping, "hopping")

    def matrix(self, spin: torch.Tensor) -> BlockMatrix:
        """h(S): on-site -J S.sigma, bonds -t (real, the same for both spin components)."""
        x, y, z = spin.unbind(-1)
        up, across = torch.complex(z, torch.zeros_like(z)), torch.complex(x, -y)
        onsite = torch.stack([up, across, across.conj(), -up], -1).unflatten(-1, (2, 2))
        bond = torch.tensor(-self.amplitudes(), dtype=spin.dtype, device=spin.device)
        return BlockMatrix(-self.coupling * onsite, bond, self.lattice)
