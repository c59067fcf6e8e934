"""The published algorithm, as a user would write it with scipy: the reference that our kernel polynomials are to beat.

Barros, Kato, PRB 88, 235101 (2013); probes of Wang et al., J. Chem. Phys. 148, 094107 (2018): one complex64 CSR matrix of
the 2N spin-orbitals times all columns at once; moments by doubling; the gradient by the reverse recursion, the forward
vectors recomputed from the last two. 1.5 M products, memory of a few times 2N x columns. Written on its own, with nothing
from our solver but the model's matrix elements, the bounds of the spectrum, and the same probes, so that the forces agree.
"""

from __future__ import annotations

import time

import numpy as np
import scipy.sparse

import engine
from engine.block_matrix import BlockMatrix
from engine.electrons.probes import Probes, as_probes
from engine.electrons.series import spectral_bounds
from engine.forces import ElectronicForce
from engine.models import SDModel


def published_force(
    simulation: engine.Simulation, moments: int = 500, probes: Probes | int = 128
) -> tuple[np.ndarray, float]:
    """Force (N, 3) on the spins of the first replica and the CPU seconds it took, everything included.

    The electrons are those of ``simulation`` at their chemical potential. Raises ValueError for an odd number of
    moments, electrons at fixed filling, or a simulation without electrons.
    """
    electrons = _electrons(simulation)
    ensemble = electrons.ensemble
    if moments % 2 or ensemble.chemical_potential is None:
        raise ValueError(f"expected an even number of moments and a chemical potential, got {moments} and {ensemble}")
    family = as_probes(probes)
    if family.draws != 1:
        raise ValueError(f"expected probes of one draw, got {family}")
    start = time.process_time()
    matrix = electrons.model.matrix(simulation.state.spin[:1].cpu())
    assert isinstance(electrons.model, SDModel) and matrix is not None
    low, high = spectral_bounds(matrix)
    centre, half_width = (low + high) / 2, (high - low) / 2
    block = family.block(matrix.lattice, 2, simulation.state.step, 0, 0, slice(None))
    columns = block.reshape(matrix.size, -1).astype(np.complex64)
    series = _series(moments, ensemble.temperature, ensemble.chemical_potential, centre, half_width)
    density = _density(_csr(matrix, centre, half_width), columns, series) / half_width
    across = density[:, 0, 1] + density[:, 1, 0].conj()
    spin = np.stack([across.real, -across.imag, (density[:, 0, 0] - density[:, 1, 1]).real], -1)
    return electrons.model.coupling * spin, time.process_time() - start


def _electrons(simulation: engine.Simulation) -> ElectronicForce:
    found = [force for force in getattr(simulation.force, "terms", {}).values() if isinstance(force, ElectronicForce)]
    if not found:
        raise ValueError("the simulation has no exact or kernel-polynomial electrons; use force='kpm'")
    return found[0]


def _csr(matrix: BlockMatrix, centre: float, half_width: float) -> scipy.sparse.csr_matrix:
    """2 X, X = (h - centre) / half_width, of all spin-orbitals."""
    sites, pairs = matrix.lattice.sites, matrix.lattice.bonds
    bonds = matrix.bond.numpy()
    kept = bonds != 0
    half = scipy.sparse.coo_matrix((bonds[kept], pairs[kept].T), shape=(sites, sites))
    hopping = scipy.sparse.kron((half + half.T).tocsr(), scipy.sparse.identity(2))
    pointers = np.arange(sites + 1)
    onsite = scipy.sparse.bsr_matrix((matrix.onsite[0].numpy(), pointers[:-1], pointers), shape=(2 * sites,) * 2)
    scaled = (hopping + onsite - centre * scipy.sparse.identity(2 * sites)) * (2 / half_width)
    result = scipy.sparse.csr_matrix(scaled, dtype=np.complex64)
    result.sort_indices()
    return result


def _series(moments: int, temperature: float, mu: float, centre: float, half_width: float) -> np.ndarray:
    """Chebyshev coefficients of -T ln(1 + exp(-(e - mu)/T)), (M,)."""
    points = 4 * moments
    angles = np.pi * (np.arange(points) + 0.5) / points
    values = -temperature * np.logaddexp(0, (mu - centre - half_width * np.cos(angles)) / temperature)
    cosines = np.cos(np.arange(moments)[:, None] * angles) @ values * (2 / points)
    cosines[0] /= 2
    return cosines


def _density(matrix: scipy.sparse.csr_matrix, columns: np.ndarray, series: np.ndarray) -> np.ndarray:
    """Diagonal blocks (N, 2, 2) of d/dX sum_m c_m mu_m; the moments themselves are those that the energy needs."""
    even, odd, order = series[0::2], series[1::2], len(series) // 2
    moments = np.zeros(len(series))
    earlier, current = columns, (matrix @ columns) / 2
    moments[0], moments[1] = np.vdot(columns, columns).real, np.vdot(columns, current).real
    for m in range(1, order):
        later = matrix @ current
        later -= earlier
        moments[2 * m] = 2 * np.vdot(current, current).real - moments[0]
        moments[2 * m + 1] = 2 * np.vdot(later, current).real - moments[1]
        earlier, current = current, later
    blocks = np.zeros((len(columns) // 2, 2, 2), dtype=np.complex64)
    later, current = current, earlier  # alpha_order, alpha_{order-1}
    adjoint, older = np.float32(2 * odd[-1]) * current, np.zeros_like(current)
    blocks += 2 * _outer(adjoint, current)
    for m in range(order - 1, 0, -1):
        first = 2 * odd[m - 1] - (odd.sum() if m == 1 else 0)
        update = matrix @ adjoint
        update -= older
        update += np.float32(4 * even[m]) * current
        update += np.float32(2 * odd[m]) * later
        recomputed = matrix @ current
        recomputed -= later
        later, current = current, recomputed
        update += np.float32(first) * current
        older, adjoint = adjoint, update
        blocks += (2 if m > 1 else 1) * _outer(adjoint, current)
    return (blocks + blocks.conj().transpose(0, 2, 1)) / 2


def _outer(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """sum_s left_ias conj(right_ibs), (N, 2, 2)."""
    shape = (len(left) // 2, 2, left.shape[1])
    return np.matmul(left.reshape(shape), right.reshape(shape).conj().transpose(0, 2, 1))
