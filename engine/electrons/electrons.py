"""What a solver knows about the electrons of one configuration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from engine.block_matrix import BlockMatrix
from engine.electrons.ensemble import Ensemble


@dataclass(frozen=True)
class SeriesReport:
    """How a Chebyshev series was summed: the path that ran ("fused", "triton" or "eager"), moments, window, bytes
    of vectors.

    truncation_error: estimated relative error of the transverse force for want of moments (engine.electrons.truncation);
    None for the Jackson kernel and at T = 0.
    """

    path: str
    moments: int
    window: tuple[float, float]
    vector_bytes: int
    truncation_error: float | None = None


@dataclass(frozen=True, eq=False)
class Electrons:
    """Electrons of B replicas in equilibrium.

    energy (B,): Omega (fixed mu) or F (fixed filling), total, averaged over twists.
    number (B,): electrons per replica. chemical_potential (B,). onsite (B, N, o, o): rho_ii.
    energy_error (B,), onsite_error (B, N, o, o): standard errors over independent probe draws, or None when exact or
    when there is a single draw. series: how the Chebyshev series was summed, None for other solvers.
    """

    energy: torch.Tensor
    number: torch.Tensor
    chemical_potential: torch.Tensor
    onsite: torch.Tensor
    bond_solver: Callable[[], torch.Tensor]
    spectrum_solver: Callable[[torch.Tensor, float], torch.Tensor]
    matrix: BlockMatrix
    energy_error: torch.Tensor | None = None
    onsite_error: torch.Tensor | None = None
    series: SeriesReport | None = None

    @cached_property
    def density(self) -> torch.Tensor:
        """Electrons per site (B, N)."""
        return torch.diagonal(self.onsite, dim1=-2, dim2=-1).real.sum(-1)

    @cached_property
    def spin_density(self) -> torch.Tensor:
        """<c+ sigma c> per site (B, N, 3), Pauli matrices without 1/2."""
        up_down, down_up = self.onsite[..., 0, 1], self.onsite[..., 1, 0]
        x, y = (up_down + down_up).real, (down_up - up_down).imag
        return torch.stack([x, y, (self.onsite[..., 0, 0] - self.onsite[..., 1, 1]).real], -1)

    @cached_property
    def bond_density(self) -> torch.Tensor:
        """rho_ij on the bonds (B, E, o, o), twist phase removed; computed when asked for."""
        return self.bond_solver()

    @cached_property
    def bond_current(self) -> torch.Tensor:
        """Particle current along every bond from bonds[:, 0] to bonds[:, 1], (B, E): -2 Im Tr[h_ij rho_ji].

        From d rho_ii / dt = -i [h, rho]_ii; positive when electrons leave site i towards j.
        """
        product = self.matrix.bond_blocks() * self.bond_density.conj()
        return -2 * product.sum((-2, -1)).imag

    def density_of_states(self, energies: torch.Tensor, broadening: float = 0.05) -> torch.Tensor:
        """Density of states per site (B, K) at ``energies`` (K,), total 2 (both spins), averaged over twists.

        Exact diagonalization: Gaussians of standard deviation ``broadening``; pole expansion: Lorentzians of this half
        width; Chebyshev: Jackson kernel, whose resolution pi * bandwidth / (2 moments) takes the place of ``broadening``.
        """
        if not broadening > 0:
            raise ValueError(f"broadening must be positive, got {broadening}")
        return self.spectrum_solver(
            torch.as_tensor(energies, dtype=torch.float64, device=self.energy.device), broadening
        )


class ElectronSolver(ABC):
    """h -> density matrix and energy. Frozen dataclasses."""

    @abstractmethod
    def solve(self, matrix: BlockMatrix, ensemble: Ensemble, step: int = 0) -> Electrons:
        """Equilibrium of free electrons in ``matrix``. ``step`` keys random probes; exact solvers ignore it."""
