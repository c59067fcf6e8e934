"""Exact diagonalization on a mesh of boundary twists.

For every replica and twist: h(theta) = U diag(e) U+, rho = U f(e - mu) U+. Energies are averaged over twists; at fixed
filling one mu serves all twists of a replica. Cost: about 30 n^3 flops per matrix of size n = 2N (the eigenvectors);
rho_ii adds 8 n^2. Matrices are diagonalized in chunks that fit in ``memory`` bytes.

Precision, symmetry and warm starts, measured on random spins of the preset "skyrmion" (one core; n = 288, 648):

    complex64, complex128       10, 18 ms; 85, 168 ms. Single precision is wrong by 8e-7 in rho, twists by 1e-2: enough for
                                labels.
    polish to double precision  (Ogita, Aishima, Jpn. J. Ind. Appl. Math. 35, 1007 (2018)) 6e-10 after one step, but its four
                                products take 12, 138 ms, more than complex128 costs above complex64: not done.
    warm start                  the same steps from the last spins' eigenvectors, spins moved by 0.05: error 0.01 at
                                first, 1e-3 to 4e-3 after six, since levels (0.02, 0.01 apart) mix. Not done.
    time reversal               turns all spins around: no symmetry of a texture, except h(-theta) = h(theta)* of coplanar
                                ones, which do not stay coplanar. Not used.
    particle-hole               used: with hopping between two sublattices only and on-site terms m.sigma, C h(theta) C^-1 =
                                -h(-theta), C = +-sigma_y K on the sublattices. So half of the twists give all levels, and
                                rho_ii(-theta) = sum_k f(-e_k) sigma_y (psi_ik psi_ik+)* sigma_y. "double_exchange" on
                                12 x 12 sites, 4 x 4 twists: 0.11 s in place of 0.20 s.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from engine.block_matrix import BlockMatrix
from engine.electrons.electrons import Electrons, ElectronSolver
from engine.electrons.ensemble import (
    Ensemble,
    fill_levels,
    grand_potential,
    occupation,
    solve_chemical_potential,
)
from engine.electrons.twists import check_twists, twist_mesh

NEGLIGIBLE_OCCUPATION = 1e-16
WORKSPACE_MATRICES = 6  # matrix, eigenvectors and LAPACK/cuSOLVER workspace of one divide-and-conquer solve


@dataclass(frozen=True)
class ExactDiagonalization(ElectronSolver):
    """Dense diagonalization, batched over replicas and twists.

    Parameters
    ----------
    twists : mesh (k1, k2), theta_j = 2 pi (m + 1/2) / k_j, or 0 where k_j = 1.
    dtype : torch.complex64 or torch.complex128; default: the partner of the state's dtype.
    memory : bytes that may be in use at once.

    Raises ValueError for a wrong mesh or dtype; MemoryError when a single matrix and its eigenvectors do not fit.
    """

    twists: tuple[int, ...] = (1, 1)
    dtype: torch.dtype | None = None
    memory: int = 4 * 2**30

    def __post_init__(self) -> None:
        object.__setattr__(self, "twists", check_twists(self.twists))
        if self.dtype not in (None, torch.complex64, torch.complex128):
            raise ValueError(f"dtype must be torch.complex64 or torch.complex128, got {self.dtype}")
        if self.memory <= 0:
            raise ValueError(f"memory must be a positive number of bytes, got {self.memory}")

    def solve(self, matrix: BlockMatrix, ensemble: Ensemble, step: int = 0) -> Electrons:
        matrix = matrix.to(self.dtype or matrix.onsite.dtype)
        real = matrix.onsite.real.dtype
        thetas = twist_mesh(self.twists, matrix.lattice.dimension, real, matrix.onsite.device)
        partners = len(thetas) // 2 if _has_particle_hole(matrix) else 0  # theta k has -theta at K - 1 - k
        solved = len(thetas) - partners
        chunk = self._chunk(matrix, len(thetas))
        dense = matrix.to_dense_bonds(thetas[:solved])
        levels, vectors = self._levels(matrix, dense, chunk, chunk >= matrix.replicas * solved)
        levels = torch.cat([levels, -levels[:, :partners].flip(1, 2)], 1)
        occupations, mu, energy = _equilibrium(levels, ensemble)
        number = occupations.sum((1, 2)) / len(thetas)
        holes = torch.zeros_like(occupations[:, :solved])
        holes[:, :partners] = (1 - occupations[:, solved:].flip(1, 2)).clamp(min=0)
        onsite = torch.zeros_like(matrix.onsite)
        for piece in _pieces(matrix.replicas, solved, chunk):
            eigenvectors = vectors if vectors is not None else _diagonalize(matrix, dense, piece)[1]
            onsite[piece[0]] += _onsite(eigenvectors, occupations[piece], matrix.components) / len(thetas)
            if partners:
                onsite[piece[0]] += _mirrored(_onsite(eigenvectors, holes[piece], matrix.components)) / len(thetas)
        torch.diagonal(onsite, dim1=-2, dim2=-1).add_(partners / len(thetas))

        def bonds() -> torch.Tensor:
            everywhere = matrix.to_dense_bonds(thetas) if partners else dense
            return self._bond_density(matrix, everywhere, occupations, thetas, chunk)

        def spectrum(energies: torch.Tensor, broadening: float) -> torch.Tensor:
            distance = (energies[None, :, None] - levels.flatten(1)[:, None, :]) / broadening
            gauss = torch.exp(-0.5 * distance**2).sum(2) / (broadening * (2 * torch.pi) ** 0.5)
            return gauss / (len(thetas) * matrix.lattice.sites)

        return Electrons(energy, number, mu, onsite, bonds, spectrum, matrix)

    def _chunk(self, matrix: BlockMatrix, twists: int) -> int:
        """How many matrices fit in memory at once."""
        one = WORKSPACE_MATRICES * matrix.size**2 * matrix.onsite.element_size()
        bonds = 2 * twists * matrix.size**2 * matrix.onsite.element_size()
        if one + bonds > self.memory:
            raise MemoryError(
                f"exact diagonalization of {matrix.size} x {matrix.size} matrices with {twists} twists needs "
                f"{(one + bonds) / 2**30:.3g} GiB, the limit is {self.memory / 2**30:.3g} GiB; "
                "use a smaller lattice, fewer twists, complex64, KernelPolynomial, or raise memory="
            )
        return max(1, int((self.memory - bonds) // one))

    def _levels(
        self, matrix: BlockMatrix, dense: torch.Tensor, chunk: int, keep: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Levels (B, K, n) in float64; eigenvectors too if one chunk holds them all."""
        twists = dense.shape[1]
        levels = torch.empty((matrix.replicas, twists, matrix.size), dtype=torch.float64, device=dense.device)
        vectors = None
        for piece in _pieces(matrix.replicas, twists, chunk):
            if keep:
                values, vectors = _diagonalize(matrix, dense, piece)
            else:
                values = torch.linalg.eigvalsh(_dense(matrix, dense, piece))
            levels[piece] = values.double()
        return levels, vectors

    def _bond_density(
        self, matrix: BlockMatrix, dense: torch.Tensor, occupations: torch.Tensor, thetas: torch.Tensor, chunk: int
    ) -> torch.Tensor:
        """rho_ij of the bonds, twist phase removed, averaged over twists: (B, E, o, o)."""
        o, pairs = matrix.components, matrix.lattice.tensor("bonds", dense.device)
        phases = matrix.twist_phases(thetas)
        out = matrix.onsite.new_zeros((matrix.replicas, len(pairs), o, o))
        for piece in _pieces(matrix.replicas, len(thetas), chunk):
            vectors = _diagonalize(matrix, dense, piece)[1]
            f = occupations[piece].to(vectors.dtype)
            density = (vectors * f[..., None, :]) @ vectors.mH
            blocks = density.unflatten(-1, (-1, o)).unflatten(-3, (-1, o))
            picked = blocks[:, :, pairs[:, 0], :, pairs[:, 1], :].permute(1, 2, 0, 3, 4)
            out[piece[0]] += (picked * phases[piece[1]].conj()[None, :, :, None, None]).sum(1) / len(thetas)
        return out


def _has_particle_hole(matrix: BlockMatrix) -> bool:
    """Real hopping, blind to the spin, between sites of opposite parity n1 + n2 only, and on-site terms without trace."""
    if matrix.components != 2 or matrix.bond.ndim != 1 or not matrix.lattice.is_regular:
        return False
    parity = matrix.lattice.cells.sum(1) % 2
    ends = parity[matrix.lattice.bonds[(matrix.bond != 0).cpu().numpy()]]
    return bool((ends[:, 0] != ends[:, 1]).all()) and not bool(matrix.onsite.diagonal(dim1=-2, dim2=-1).sum(-1).any())


def _mirrored(holes: torch.Tensor) -> torch.Tensor:
    """-sigma_y rho* sigma_y = rho - Tr rho of blocks (B, N, 2, 2), to which the full band, 1, is to be added."""
    trace = torch.diagonal(holes, dim1=-2, dim2=-1).sum(-1)
    return holes - trace[..., None, None] * torch.eye(2, dtype=holes.dtype, device=holes.device)


def _pieces(replicas: int, twists: int, chunk: int) -> list[tuple[slice, slice]]:
    """Rectangles of (replica, twist) with at most ``chunk`` matrices each."""
    if chunk >= twists:
        rows = max(1, chunk // twists)
        return [(slice(b, min(b + rows, replicas)), slice(0, twists)) for b in range(0, replicas, rows)]
    spans = [slice(k, min(k + chunk, twists)) for k in range(0, twists, chunk)]
    return [(slice(b, b + 1), span) for b in range(replicas) for span in spans]


def _dense(matrix: BlockMatrix, dense: torch.Tensor, piece: tuple[slice, slice]) -> torch.Tensor:
    part = BlockMatrix(matrix.onsite[piece[0]], matrix.bond, matrix.lattice)
    bonds = dense[piece[0]] if dense.shape[0] > 1 else dense
    return part.add_onsite(bonds[:, piece[1]].expand(part.replicas, -1, -1, -1).clone())


def _diagonalize(
    matrix: BlockMatrix, dense: torch.Tensor, piece: tuple[slice, slice]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Levels and eigenvectors of one piece, (b, k, n) and (b, k, n, n).

    On the CPU the matrices are shared out among single-threaded workers: LAPACK does not speed up inside one small
    matrix. A worker's thread count is its own and leaves the caller's as it was.
    """
    matrices = _dense(matrix, dense, piece)
    flat, workers = matrices.flatten(0, 1), torch.get_num_threads()
    if matrices.device.type != "cpu" or len(flat) == 1 or workers == 1:
        return torch.linalg.eigh(matrices)
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        parts = list(pool.map(torch.linalg.eigh, flat.chunk(workers)))
    torch.set_num_threads(workers)  # the pool's setting is also the default of threads that start later
    values, vectors = (torch.cat(part) for part in zip(*parts, strict=True))
    return values.view(matrices.shape[:-1]), vectors.view_as(matrices)


def _equilibrium(levels: torch.Tensor, ensemble: Ensemble) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Occupations (B, K, n), mu (B,) and energy (B,) from levels (B, K, n)."""
    replicas, twists, size = levels.shape
    flat, temperature = levels.flatten(1), ensemble.temperature
    if ensemble.chemical_potential is not None:
        mu = flat.new_full((replicas,), ensemble.chemical_potential)
    else:
        assert ensemble.filling is not None
        number = ensemble.filling * twists * size
        if temperature == 0:
            occupied, mu = fill_levels(flat, number)
            return occupied.view_as(levels), mu, (occupied * flat).sum(1) / twists
        target = flat.new_full((replicas,), number)
        mu = solve_chemical_potential(flat, torch.ones_like(flat), target, temperature)
    shifted = flat - mu[:, None]
    occupied = occupation(shifted, temperature)
    energy = grand_potential(shifted, temperature).sum(1)
    if ensemble.filling is not None:
        energy = energy + mu * occupied.sum(1)
    return occupied.view_as(levels), mu, energy / twists


def _onsite(vectors: torch.Tensor, occupations: torch.Tensor, components: int) -> torch.Tensor:
    """sum over twists and levels of f psi_ia psi*_ib: (B, N, o, o). rho_ab = <c+_b c_a>.

    Levels ascend, so those above the last occupied one are left out.
    """
    occupied = int((occupations > NEGLIGIBLE_OCCUPATION).sum(-1).max())
    weighted = vectors[..., :occupied] * occupations[..., None, :occupied].sqrt().to(vectors.dtype)
    sites = weighted.unflatten(-2, (-1, components))
    density = vectors.new_zeros((*sites.shape[:1], sites.shape[2], components, components))
    for a in range(components):
        for b in range(a + 1):
            density[..., a, b] = torch.linalg.vecdot(sites[..., b, :], sites[..., a, :]).sum(1)
            density[..., b, a] = density[..., a, b].conj()
    return density
