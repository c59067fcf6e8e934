"""Electronic observables: spectra and densities of a Response, and the Hall conductivity by Kubo.

Under a uniform twist k the bond i -> j with displacement d carries exp(i k . d), so that the velocity v = dH/dk has the
blocks i d h_ij. With levels e_n, states |n> and Fermi functions f_n of every twist theta,

    sigma_xy = (e^2 / h) (2 pi / A) < sum_{n != m} (f_n - f_m) Im[<n|v_x|m> <m|v_y|n>] / (e_n - e_m)^2 >_theta,

A = area of the sample. It is minus the Chern number of the filled bands (Berry connection i <n|d_k n>), which is what
semiclassics gives for j_x = sigma_xy E_y and either sign of the charge. Thouless, Kohmoto, Nightingale, den Nijs, Phys.
Rev. Lett. 49, 405 (1982); Xiao, Chang, Niu, Rev. Mod. Phys. 82, 1959 (2010).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from engine.block_matrix import BlockMatrix
from engine.electrons.electrons import Electrons
from engine.electrons.ensemble import Ensemble, occupation
from engine.electrons.twists import check_twists, twist_mesh
from engine.forces import Response
from engine.models.model import Model
from engine.observables.spin import checked_spin

DEGENERATE = 1e-7  # levels closer than this (in t1) count as one: their contributions cancel or are measure zero


def electrons_of(response: Response | None) -> Electrons:
    """The electrons of a response. Raises ValueError when the force has none (classical and learned forces)."""
    if response is None or response.electrons is None:
        raise ValueError("this observable needs electrons, but the force has none; use an ElectronicForce")
    return response.electrons


def local_density(response: Response) -> torch.Tensor:
    """Electrons per site <c+_i c_i>, (B, N), between 0 and 2."""
    return electrons_of(response).density


def bond_current(response: Response) -> torch.Tensor:
    """Particle current along every bond, from bonds[:, 0] to bonds[:, 1], (B, E), in t1 / hbar."""
    return electrons_of(response).bond_current


def density_of_states(
    response: Response, energies: Sequence[float] | torch.Tensor, broadening: float = 0.05
) -> torch.Tensor:
    """States per site and energy (B, K) at ``energies`` (K,); its integral is 2 (both spins)."""
    electrons = electrons_of(response)
    points = torch.as_tensor(energies, dtype=torch.float64, device=electrons.energy.device)
    if points.ndim != 1:
        raise ValueError(f"energies must be one-dimensional, got shape {tuple(points.shape)}")
    return electrons.density_of_states(points, broadening)


def hall_conductivity(
    model: Model,
    spin: torch.Tensor | np.ndarray,
    chemical_potentials: Sequence[float] | torch.Tensor,
    twists: tuple[int, int] = (6, 6),
    temperature: float = 0.0,
    relaxation: float = 0.0,
) -> torch.Tensor:
    """sigma_xy (B, M) in e^2/h at M chemical potentials, averaged over a mesh of boundary twists, float64.

    ``relaxation``: rate eta of the carriers; (e_n - e_m)^2 + eta^2 takes the place of (e_n - e_m)^2.
    Quantized when every chemical potential lies in a gap and the mesh is fine (the error falls exponentially). Cost:
    one dense diagonalization of size 2N per replica and twist. Raises ValueError for a model without electrons or a
    lattice that is not planar.
    """
    lattice = model.lattice
    if lattice is None or lattice.dimension != 2:
        raise ValueError("the Hall conductivity needs a model on a two-dimensional lattice (square or triangular)")
    matrix = model.matrix(checked_spin(spin, lattice).double())
    if matrix is None:
        raise ValueError(f"the Hall conductivity needs electrons, but {type(model).__name__} has none; use an SDModel")
    device = matrix.onsite.device
    mu = torch.as_tensor(chemical_potentials, dtype=torch.float64, device=device)
    if mu.ndim != 1 or not bool(torch.isfinite(mu).all()):
        raise ValueError(f"chemical_potentials must be finite numbers (M,), got shape {tuple(mu.shape)}")
    Ensemble(temperature=temperature, chemical_potential=0.0)  # refuses a temperature below zero
    if not (math.isfinite(relaxation) and relaxation >= 0):
        raise ValueError(f"relaxation must be a rate >= 0, got {relaxation}")
    mesh = twist_mesh(check_twists(twists), 2, torch.float64, device)
    with torch.no_grad():
        total = torch.stack([_curvature_sum(matrix, theta, mu, temperature, relaxation) for theta in mesh]).mean(0)
    return total * 2 * math.pi / abs(np.linalg.det(lattice.periods))


def velocities(matrix: BlockMatrix, twists: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Velocity operators dH/dk_a for twists (K, d): one dense (B or 1, K, n, n) per direction, in t1 a / hbar."""
    displacements = matrix.lattice.tensor("displacements", matrix.onsite.device, matrix.onsite.real.dtype)
    blocks, empty = matrix.bond_blocks(), torch.zeros_like(matrix.onsite)
    operators = []
    for axis in range(matrix.lattice.dimension):
        scaled = 1j * displacements[:, axis, None, None] * blocks
        operators.append(BlockMatrix(empty, scaled, matrix.lattice).to_dense_bonds(twists))
    return tuple(operators)


def _curvature_sum(
    matrix: BlockMatrix, theta: torch.Tensor, mu: torch.Tensor, temperature: float, relaxation: float
) -> torch.Tensor:
    """sum_{n != m} (f_n - f_m) Im[...] / {(e_n - e_m)^2 + eta^2} at one twist, (B, M)."""
    velocity_x, velocity_y = (v[:, 0] for v in velocities(matrix, theta[None]))
    levels, states = torch.linalg.eigh(matrix.to_dense(tuple(theta.tolist())))
    x, y = states.mH @ velocity_x @ states, states.mH @ velocity_y @ states
    gap = levels[:, :, None] - levels[:, None, :]
    weight = torch.where(gap.abs() > DEGENERATE, (x * y.mT).imag / (gap.square() + relaxation**2), 0.0)
    filled = occupation(levels[:, None, :] - mu[:, None], temperature)
    # weight is antisymmetric: (f_n - f_m) may be written 2 f_n (1 - f_m), exactly zero between levels filled alike
    return 2 * ((filled @ weight) * (1 - filled)).sum(-1)
