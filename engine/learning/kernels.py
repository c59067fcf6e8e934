r"""Long-ranged isotropic kernels on a lattice: what electrons make of distance.

A kernel is a function of the lattice vector R with the full symmetry of the lattice, written in a basis of

    shells        one per orbit of R under the point group, within ``short`` lattice constants of the origin
    G, G^2        G(R, i w) = mean_k exp(i k.R) / (i w + mu - e_k), the propagator at imaginary energies w; real and
                  imaginary parts. G^2 is a step from spin to spin and back
    chi           chi(R) = T sum_n G(R, i w_n + i Gamma sgn n)^2, the RKKY kernel of electrons with lifetime 1 / (2 Gamma)

each cut off softly at ``radius``; then the set is made orthonormal. The range of these functions is the electrons' own, so
one set of coefficients serves every size of the lattice: on an L1 x L2 torus a kernel is the sum over its periodic
images, and a convolution is a product in reciprocal space.
Source of chi: M. A. Ruderman and C. Kittel, Phys. Rev. 96, 99 (1954), at temperature T; the sum over Matsubara
frequencies w_n = (2 n + 1) pi T stands for the sum over pairs of states.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch

from engine.lattice import Lattice
from engine.learning.network import LATTICES

MESH = 192  # momenta along each axis for the propagators
NEGLIGIBLE = 1e-4  # singular values below this part of the largest are rounding and near-copies
HIGHEST_FREQUENCY = 40.0  # beyond it G^2 falls as w^-2 and only touches R = 0, which spins of fixed length ignore


@lru_cache(maxsize=16)
def orbits(kind: str, radius: float) -> list[np.ndarray]:
    """Lattice vectors (m, 2) of integers, m <= 12, of each orbit of the point group within ``radius``, the origin first."""
    lattice = LATTICES[kind](12, 12)
    vectors = lattice.primitive_vectors
    reach = math.ceil(radius / 0.86) + 1
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    places = steps @ vectors
    near = np.linalg.norm(places, axis=1) <= radius + 1e-6
    steps, places = steps[near], places[near]
    turned = np.stack([places @ np.asarray(turn).T for turn, _ in lattice.point_group()])  # (g, n, 2)
    labels = np.round(turned * 1e4).astype(np.int64)
    key = labels[..., 0] * 10**8 + labels[..., 1]
    _, index = np.unique(key.max(0), return_inverse=True)
    order = sorted(range(index.max() + 1), key=lambda o: (round(np.linalg.norm(places[index == o][0]), 6), o))
    return [steps[index == o] for o in order]


def electronic_basis(
    lattice: Lattice, hopping: Mapping[int, float], chemical_potential: float, temperature: float, radius: float,
    short: float, frequencies: Sequence[float], broadenings: Sequence[float],
) -> np.ndarray:  # fmt: skip
    """Basis functions on the orbits within ``radius``: (functions, orbits), value at one vector of each orbit."""
    potentials = [chemical_potential]
    return moving_basis(lattice, hopping, potentials, temperature, radius, short, frequencies, broadenings)[0]


def moving_basis(
    lattice: Lattice, hopping: Mapping[int, float], chemical_potentials: Sequence[float], temperature: float,
    radius: float, short: float, frequencies: Sequence[float], broadenings: Sequence[float],
) -> np.ndarray:  # fmt: skip
    """The same functions at several chemical potentials, (potentials, functions, orbits): each function of this basis moves
    smoothly with the Fermi surface; orthonormal on the average over them."""
    electrons = [(lattice, hopping, mu, temperature) for mu in chemical_potentials]
    found = np.stack([_functions(*some, radius, short, frequencies, broadenings) for some in electrons], 1)
    sizes = np.array([len(star) for star in orbits(lattice.kind, radius)])
    joint = _orthonormal(found.reshape(len(found), -1), np.tile(sizes, len(electrons)) / len(electrons))
    return joint.reshape(found.shape).swapaxes(0, 1)


def _functions(
    lattice: Lattice, hopping: Mapping[int, float], chemical_potential: float, temperature: float, radius: float,
    short: float, frequencies: Sequence[float], broadenings: Sequence[float],
) -> np.ndarray:  # fmt: skip
    """As they are in the list above, (functions, orbits)."""
    stars = orbits(lattice.kind, radius)
    distance = np.array([np.linalg.norm(star[0] @ lattice.primitive_vectors) for star in stars])
    first = np.array([star[0] for star in stars])
    rows = [np.eye(len(stars))[o] for o in range(1, len(stars)) if distance[o] <= short + 1e-6]
    energy = _dispersion(lattice, hopping)
    for w in frequencies:
        g = _propagator(energy, chemical_potential, w)[first[:, 0], first[:, 1]]
        rows += [g.real, g.imag, (g * g).real, (g * g).imag]
    for gamma in broadenings:
        rows.append(_rkky(energy, chemical_potential, temperature, gamma)[first[:, 0], first[:, 1]])
    basis = np.array(rows)
    basis[:, 0] = 0.0  # R = 0 couples a spin to itself
    edge = 0.5 * (1 + np.cos(np.pi * np.clip((distance / radius - 0.75) / 0.25, 0, 1)))
    return basis * edge


def _orthonormal(basis: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """As many functions with sum_R b b' = delta, most important first; those that add nothing are left at zero."""
    basis = basis / np.sqrt((basis**2 * sizes).sum(1, keepdims=True))
    _, weight, rows = np.linalg.svd(basis * np.sqrt(sizes), full_matrices=False)
    return np.where(weight > NEGLIGIBLE * weight[0], 1.0, 0.0)[:, None] * rows / np.sqrt(sizes)


def wrapped(basis: torch.Tensor, lattice: Lattice, radius: float) -> torch.Tensor:
    """Basis (functions, orbits) -> its Fourier transforms on the torus of this lattice, (functions, L1, L2 // 2 + 1)."""
    length1, length2 = lattice.shape
    stars = orbits(lattice.kind, radius)
    steps = np.concatenate(stars)
    of = torch.from_numpy(np.repeat(np.arange(len(stars)), [len(star) for star in stars])).to(basis.device)
    place = torch.from_numpy((steps[:, 0] % length1) * length2 + steps[:, 1] % length2).to(basis.device)
    weight = torch.from_numpy((steps != 0).any(1)).to(basis)
    values = basis.new_zeros(len(basis), length1 * length2)
    values.index_add_(1, place, basis[:, of] * weight)
    return torch.fft.rfft2(values.view(-1, length1, length2))


def propagators(
    lattice: Lattice,
    hopping: Mapping[int, float],
    chemical_potential: float,
    radius: float,
    frequencies: Sequence[float],
) -> np.ndarray:
    """Re and Im of G(R, i w) on the orbits within ``radius``: (frequencies, 2, orbits)."""
    first = np.array([star[0] for star in orbits(lattice.kind, radius)])
    energy = _dispersion(lattice, hopping)
    found = [_propagator(energy, chemical_potential, w)[first[:, 0], first[:, 1]] for w in frequencies]
    return np.array([[g.real, g.imag] for g in found])


def wrapped_pairs(propagator: torch.Tensor, bonds: np.ndarray, lattice: Lattice, radius: float) -> torch.Tensor:
    """Fourier transforms of Re and Im of G(R) G(R - d) for each bond d, (bonds, 2, L1, L2 // 2 + 1), to multiply spins.

    ``propagator`` (2, orbits) is G at one imaginary energy. The field is m_d(i) = sum_R G(R) G(R - d) S(i + R);
    R = 0 and R = d, the ends of the bond, are left out.
    """
    length1, length2 = lattice.shape
    stars = orbits(lattice.kind, radius)
    steps = np.concatenate(stars)
    reach = int(np.abs(steps).max())
    dense = np.zeros((4 * reach + 1, 4 * reach + 1), complex)
    values = torch.complex(propagator[0].double(), propagator[1].double()).cpu().numpy()
    distance = np.linalg.norm(steps @ lattice.primitive_vectors, axis=1)
    edge = 0.5 * (1 + np.cos(np.pi * np.clip((distance / radius - 0.6) / 0.4, 0, 1)))
    dense[steps[:, 0], steps[:, 1]] = np.repeat(values, [len(star) for star in stars]) * edge
    kernels = np.zeros((len(bonds), 2, length1, length2))
    for kernel, bond in zip(kernels, bonds, strict=True):
        product = dense[steps[:, 0], steps[:, 1]] * dense[steps[:, 0] - bond[0], steps[:, 1] - bond[1]]
        product[(steps == 0).all(1) | (steps == bond).all(1)] = 0
        place = (steps[:, 0] % length1, steps[:, 1] % length2)
        np.add.at(kernel[0], place, product.real)
        np.add.at(kernel[1], place, product.imag)
    return torch.fft.rfft2(torch.from_numpy(kernels).to(propagator)).conj().resolve_conj()


def _dispersion(lattice: Lattice, hopping: Mapping[int, float]) -> np.ndarray:
    """e_k (MESH, MESH) = -sum_R t_R cos(k.R)."""
    stars = orbits(lattice.kind, max(hopping) + 1.0)
    distances = [round(float(np.linalg.norm(star[0] @ lattice.primitive_vectors)), 6) for star in stars]
    shells = sorted(set(distances))
    angle = 2 * np.pi * np.arange(MESH) / MESH
    energy = np.zeros((MESH, MESH))
    for star, distance in zip(stars, distances, strict=True):
        amplitude = hopping.get(shells.index(distance), 0.0)
        for n1, n2 in star if amplitude else ():
            energy -= amplitude * np.cos(n1 * angle[:, None] + n2 * angle[None, :])
    return energy


def _propagator(energy: np.ndarray, chemical_potential: float, frequency: float) -> np.ndarray:
    return np.fft.ifft2(1 / (1j * frequency + chemical_potential - energy))


def _rkky(energy: np.ndarray, chemical_potential: float, temperature: float, broadening: float) -> np.ndarray:
    """2 Re of the sum over positive Matsubara frequencies."""
    total = np.zeros(energy.shape)
    for n in range(round(HIGHEST_FREQUENCY / (2 * np.pi * temperature))):
        g = _propagator(energy, chemical_potential, (2 * n + 1) * np.pi * temperature + broadening)
        total += 2 * temperature * np.real(g * g)
    return total
