"""Models: how classical spins enter an electronic matrix and a classical energy. Models never import each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from engine.block_matrix import BlockMatrix

if TYPE_CHECKING:
    from engine.lattice import Lattice


class LinearOperator(ABC):
    """A symmetric linear map of spins."""

    @abstractmethod
    def __call__(self, spin: torch.Tensor) -> torch.Tensor:
        """A S for spins (3, B, N), component-first."""


@dataclass(frozen=True, eq=False)
class StencilOperator(LinearOperator):
    """Translation-invariant couplings: (A S)(r) = sum_k M_k S(r + d_k), by shifting the periodic grid.

    shape (L1, L2); steps: cell displacements d_k; matrices (K, 3, 3).
    """

    shape: tuple[int, ...]
    steps: tuple[tuple[int, int], ...]
    matrices: torch.Tensor

    def __call__(self, spin: torch.Tensor) -> torch.Tensor:
        grid = spin.unflatten(-1, self.shape)
        out = torch.zeros_like(spin).view(3, -1)
        for (n1, n2), matrix in zip(self.steps, self.matrices, strict=True):
            out.addmm_(matrix, torch.roll(grid, (-n1, -n2), (-2, -1)).view(3, -1))
        return out.view(spin.shape)


@dataclass(frozen=True, eq=False)
class SparseOperator(LinearOperator):
    """Any couplings: a sparse (3N, 3N) CSR matrix of index c * N + i."""

    matrix: torch.Tensor

    def __call__(self, spin: torch.Tensor) -> torch.Tensor:
        columns = spin.transpose(1, 2).reshape(-1, spin.shape[1])
        return (self.matrix @ columns).view(3, -1, spin.shape[1]).transpose(1, 2)


@dataclass(frozen=True, eq=False)
class QuadraticForm:
    """Classical energy E(S) = - 1/2 S.A S - b.S; the force is A S + b.

    operators: A is their sum. linear: (3, 1) or None when b = 0.
    """

    operators: tuple[LinearOperator, ...]
    linear: torch.Tensor | None


class Model(ABC):
    """A frozen description; ``lattice`` is None for models that live on any lattice."""

    lattice: Lattice | None

    def classical_energy(self, spin: torch.Tensor) -> torch.Tensor:
        """Classical energy (B,) of spin (B, N, 3); zero unless the model has one. Differentiable."""
        return spin.new_zeros(spin.shape[0])

    def matrix(self, spin: torch.Tensor) -> BlockMatrix | None:
        """Electronic matrix h(S), differentiable in spin; None for classical models."""
        return None

    def quadratic_form(self, sites: int, device: torch.device, dtype: torch.dtype) -> QuadraticForm | None:
        """The classical energy as a quadratic form, if it is one (fast forces)."""
        return None

    def __add__(self, other: Model) -> SumModel:
        mine = self.models if isinstance(self, SumModel) else (self,)
        theirs = other.models if isinstance(other, SumModel) else (other,)
        return SumModel((*mine, *theirs))


@dataclass(frozen=True, eq=False)
class SumModel(Model):
    """Sum of models on one lattice; at most one of them may be electronic."""

    models: tuple[Model, ...]

    def __post_init__(self) -> None:
        lattices = {id(m.lattice) for m in self.models if m.lattice is not None}
        if len(lattices) > 1:
            raise ValueError("models that are added must share one Lattice object; build it once and pass it to all")
        if sum(type(m).matrix is not Model.matrix for m in self.models) > 1:
            raise ValueError("at most one electronic model in a sum; put exchange and field beside one SDModel")

    @property
    def lattice(self) -> Lattice | None:  # type: ignore[override]
        return next((m.lattice for m in self.models if m.lattice is not None), None)

    def classical_energy(self, spin: torch.Tensor) -> torch.Tensor:
        return torch.stack([m.classical_energy(spin) for m in self.models]).sum(0)

    def matrix(self, spin: torch.Tensor) -> BlockMatrix | None:
        return next((h for m in self.models if (h := m.matrix(spin)) is not None), None)

    def quadratic_form(self, sites: int, device: torch.device, dtype: torch.dtype) -> QuadraticForm | None:
        forms = [m.quadratic_form(sites, device, dtype) for m in self.models]
        if any(f is None for f in forms):
            return None
        operators = tuple(op for f in forms if f is not None for op in f.operators)
        linears = [f.linear for f in forms if f is not None and f.linear is not None]
        return QuadraticForm(operators, torch.stack(linears).sum(0) if linears else None)


def check_finite(name: str, values: object) -> None:
    """Raise ValueError unless every number is finite."""
    tensor = torch.as_tensor(values, dtype=torch.float64)
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} must be finite numbers, got {values}")
