"""Zeeman energy E = - H . sum_i S_i (the field in units of t1 per unit spin)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.models.model import Model, QuadraticForm


@dataclass(frozen=True, eq=False)
class Zeeman(Model):
    """Uniform field ``field`` = (Hx, Hy, Hz). Raises ValueError unless these are three finite numbers."""

    field: tuple[float, float, float]
    lattice = None

    def __post_init__(self) -> None:
        vector = np.asarray(self.field, dtype=np.float64)
        if vector.shape != (3,) or not np.isfinite(vector).all():
            raise ValueError(f"field must be three finite numbers (Hx, Hy, Hz), got {self.field}")
        object.__setattr__(self, "field", tuple(vector.tolist()))

    def classical_energy(self, spin: torch.Tensor) -> torch.Tensor:
        return -(spin.sum(1) @ torch.tensor(self.field, dtype=spin.dtype, device=spin.device))

    def quadratic_form(self, sites: int, device: torch.device, dtype: torch.dtype) -> QuadraticForm:
        return QuadraticForm((), torch.tensor(self.field, device=device, dtype=dtype)[:, None])
