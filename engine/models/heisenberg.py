"""Classical spin model: exchange, Dzyaloshinskii-Moriya interaction, uniaxial anisotropy.

    E = - sum_<ij> J_ij S_i.S_j + sum_<ij> D_ij.(S_i x S_j) - K sum_i (S_i.n)^2

J > 0 is ferromagnetic. Bulk DMI: D_ij = D r_ij (Bloch skyrmions), interfacial: D_ij = D z x r_ij (Neel skyrmions), with
r_ij the unit vector from i to j. Every bond counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from engine.lattice import Lattice
from engine.models.model import Model, QuadraticForm, SparseOperator, StencilOperator, check_finite
from engine.sparse import csr_matrix

LEVI_CIVITA = np.zeros((3, 3, 3))
for _a, _b, _c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    LEVI_CIVITA[_a, _b, _c], LEVI_CIVITA[_a, _c, _b] = 1.0, -1.0


@dataclass(frozen=True, eq=False)
class HeisenbergModel(Model):
    """Exchange {shell: J}, DMI {shell: D} (a number means shell 1), anisotropy K along ``anisotropy_axis``.

    Raises ValueError for unknown shells, numbers that are not finite, or an axis without direction.
    """

    lattice: Lattice
    exchange: Mapping[int, float]
    dmi_bulk: Mapping[int, float] | float = 0.0
    dmi_interfacial: Mapping[int, float] | float = 0.0
    anisotropy: float = 0.0
    anisotropy_axis: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        check_finite("anisotropy", self.anisotropy)
        axis = np.asarray(self.anisotropy_axis, dtype=np.float64)
        if axis.shape != (3,) or not np.isfinite(axis).all() or np.linalg.norm(axis) == 0:
            raise ValueError(f"anisotropy_axis must be three numbers with a direction, got {self.anisotropy_axis}")
        object.__setattr__(self, "anisotropy_axis", tuple((axis / np.linalg.norm(axis)).tolist()))
        for name in ("exchange", "dmi_bulk", "dmi_interfacial"):
            values = getattr(self, name)
            values = dict(values) if isinstance(values, Mapping) else ({1: values} if values else {})
            check_finite(name, list(values.values()))
            object.__setattr__(self, name, {int(k): float(v) for k, v in values.items()})
        self.bond_matrices()

    def bond_matrices(self) -> np.ndarray:
        """G_e (E, 3, 3) with E = - sum_e S_i . G_e S_j."""
        lattice, identity = self.lattice, np.eye(3)
        exchange = lattice.per_bond(self.exchange, "exchange")
        unit = np.zeros((len(lattice.bonds), 3))
        unit[:, : lattice.dimension] = lattice.displacements / lattice.distances[:, None]
        interfacial = np.cross(np.array([0.0, 0.0, 1.0]), unit)
        vectors = (
            lattice.per_bond(self.dmi_bulk, "dmi_bulk")[:, None] * unit  # type: ignore[arg-type]
            + lattice.per_bond(self.dmi_interfacial, "dmi_interfacial")[:, None] * interfacial  # type: ignore[arg-type]
        )
        return exchange[:, None, None] * identity - np.einsum("ea,abc->ebc", vectors, LEVI_CIVITA)

    def classical_energy(self, spin: torch.Tensor) -> torch.Tensor:
        """Energy (B,) summed bond by bond: the plain reference for the quadratic form."""
        pairs = self.lattice.tensor("bonds", spin.device)
        matrices = torch.tensor(self.bond_matrices(), dtype=spin.dtype, device=spin.device)
        rotated = torch.einsum("ebc,zec->zeb", matrices, spin[:, pairs[:, 1]])
        axis = torch.tensor(self.anisotropy_axis, dtype=spin.dtype, device=spin.device)
        bonds = (spin[:, pairs[:, 0]] * rotated).sum((1, 2))
        return -bonds - self.anisotropy * ((spin @ axis) ** 2).sum(1)

    def quadratic_form(self, sites: int, device: torch.device, dtype: torch.dtype) -> QuadraticForm:
        """A = symmetrized bond matrices + 2 K n n^T: a stencil on regular lattices, a sparse matrix on any other."""
        uniaxial = 2 * self.anisotropy * np.outer(self.anisotropy_axis, self.anisotropy_axis)
        if self.lattice.is_regular:
            return QuadraticForm((self._stencil(uniaxial, device, dtype),), None)
        return QuadraticForm((SparseOperator(self._sparse(uniaxial).to(device=device, dtype=dtype)),), None)

    def _stencil(self, uniaxial: np.ndarray, device: torch.device, dtype: torch.dtype) -> StencilOperator:
        """Bonds are stored displacement by displacement: the first of each block stands for all."""
        lattice, matrices = self.lattice, self.bond_matrices()[:: self.lattice.sites]
        cells = lattice.displacements[:: lattice.sites] @ np.linalg.inv(lattice.primitive_vectors)
        steps, couplings = [(0, 0)], [uniaxial]
        for (n1, n2), matrix in zip(np.round(cells).astype(int).tolist(), matrices, strict=True):
            steps += [(n1, n2), (-n1, -n2)]
            couplings += [matrix, matrix.T]
        keep = [k for k, matrix in enumerate(couplings) if np.any(matrix)]
        chosen = torch.tensor(np.array([couplings[k] for k in keep]).reshape(-1, 3, 3), device=device, dtype=dtype)
        return StencilOperator(lattice.shape, tuple(steps[k] for k in keep), chosen)

    def _sparse(self, uniaxial: np.ndarray) -> torch.Tensor:
        """A as CSR (3N, 3N), float64."""
        (i, j), site, sites = self.lattice.bonds.T, np.arange(self.lattice.sites), self.lattice.sites
        matrices = self.bond_matrices()
        rows, columns, values = [], [], []
        for a in range(3):
            for b in range(3):
                rows += [a * sites + i, b * sites + j, a * sites + site]
                columns += [b * sites + j, a * sites + i, b * sites + site]
                values += [matrices[:, a, b], matrices[:, a, b], np.full(sites, uniaxial[a, b])]
        row, column, value = (torch.tensor(np.concatenate(x)) for x in (rows, columns, values))
        keep = value != 0
        return csr_matrix(row[keep], column[keep], value[keep], 3 * sites)
