"""BlockMatrix: a Hermitian matrix of o x o blocks on the sites and bonds of a lattice.

The same type holds a Hamiltonian h and (a piece of) a density matrix rho. Block (i, i) is ``onsite[:, i]``; bond e from
i to j contributes its block at (i, j) and the Hermitian conjugate at (j, i). Under a boundary twist theta the bond's
block is multiplied by exp(i theta . wraps[e]): the wave function gains that phase on crossing the boundary.

Matrix index: ``site * o + component``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.lattice import Lattice


@dataclass(frozen=True, eq=False)
class BlockMatrix:
    """Hermitian block matrix for B replicas.

    onsite : (B, N, o, o) complex. bond : (B or 1, E, o, o) complex, or (E,) real: amplitude times the identity in the
    components (hopping that does not see the spin), which the solvers exploit.
    """

    onsite: torch.Tensor
    bond: torch.Tensor
    lattice: Lattice

    def __post_init__(self) -> None:
        sites, bonds = self.lattice.sites, len(self.lattice.bonds)
        if self.onsite.ndim != 4 or self.onsite.shape[1] != sites or self.onsite.shape[2] != self.onsite.shape[3]:
            raise ValueError(f"onsite must be (B, {sites}, o, o), got {tuple(self.onsite.shape)}")
        if self.bond.ndim == 1 and self.bond.shape[0] == bonds and not self.bond.is_complex():
            return
        components = self.onsite.shape[2]
        if self.bond.ndim != 4 or self.bond.shape[1:] != (bonds, components, components):
            raise ValueError(
                f"bond must be real ({bonds},) or (B, {bonds}, {components}, {components}), got {tuple(self.bond.shape)}"
            )

    @property
    def replicas(self) -> int:
        return self.onsite.shape[0]

    @property
    def components(self) -> int:
        """Orbitals (here spin components) per site, o."""
        return self.onsite.shape[2]

    @property
    def size(self) -> int:
        """Dimension n = N o of each matrix."""
        return self.onsite.shape[1] * self.onsite.shape[2]

    def bond_blocks(self) -> torch.Tensor:
        """Bond blocks in full, (B or 1, E, o, o) complex."""
        if self.bond.ndim == 4:
            return self.bond
        identity = torch.eye(self.components, dtype=self.onsite.dtype, device=self.onsite.device)
        return (self.bond.to(self.onsite.dtype)[:, None, None] * identity)[None]

    def detach(self) -> BlockMatrix:
        return BlockMatrix(self.onsite.detach(), self.bond.detach(), self.lattice)

    def to(self, dtype: torch.dtype) -> BlockMatrix:
        """The same matrix in another complex dtype (real bonds follow in its real partner)."""
        real = torch.empty(0, dtype=dtype).real.dtype
        bond = self.bond.to(dtype if self.bond.is_complex() else real)
        return BlockMatrix(self.onsite.to(dtype), bond, self.lattice)

    def twist_phases(self, twists: torch.Tensor) -> torch.Tensor:
        """exp(i theta . wraps), (K, E), for twists (K, d)."""
        wraps = self.lattice.tensor("wraps", self.onsite.device, twists.dtype)
        return torch.polar(torch.ones((), dtype=twists.dtype, device=twists.device), twists @ wraps.T).to(
            self.onsite.dtype
        )

    def mean_trace(self, phases: torch.Tensor) -> torch.Tensor:
        """Tr h, (B,) float64, mean over twists with these phases (K, E). On small tori bonds may join a site to itself."""
        trace = torch.diagonal(self.onsite, dim1=-2, dim2=-1).real.double().sum((1, 2))
        pairs = self.lattice.tensor("bonds", phases.device)
        loops = pairs[:, 0] == pairs[:, 1]
        blocks = torch.diagonal(self.bond_blocks()[:, loops], dim1=-2, dim2=-1).sum(2)
        return trace + 2 * (blocks * phases[:, loops].mean(0)).real.double().sum(1)

    def to_dense_bonds(self, twists: torch.Tensor) -> torch.Tensor:
        """The bond part for twists (K, d), dense: (B or 1, K, n, n)."""
        blocks = self.bond_blocks()
        o, n = self.components, self.size
        pairs = self.lattice.tensor("bonds", blocks.device)
        phased = blocks[:, None] * self.twist_phases(twists)[None, :, :, None, None]
        inner = torch.arange(o, device=blocks.device)
        rows = (pairs[:, 0, None, None] * o + inner[:, None]).expand(-1, o, o)
        columns = (pairs[:, 1, None, None] * o + inner[None, :]).expand(-1, o, o)
        dense = torch.zeros((*phased.shape[:2], n * n), dtype=blocks.dtype, device=blocks.device)
        dense.index_add_(2, (rows * n + columns).reshape(-1), phased.flatten(2))
        dense.index_add_(2, (columns * n + rows).reshape(-1), phased.conj().resolve_conj().flatten(2))
        return dense.view(*phased.shape[:2], n, n)

    def add_onsite(self, dense: torch.Tensor) -> torch.Tensor:
        """Add the on-site blocks (B, ...) in place to dense matrices (B, K, n, n)."""
        replicas, sites, o, _ = self.onsite.shape
        view = dense.view(replicas, dense.shape[1], sites, o, sites, o)
        torch.diagonal(view, dim1=2, dim2=4).add_(self.onsite.permute(0, 2, 3, 1)[:, None])
        return dense

    def to_dense(self, twist: tuple[float, ...] | None = None) -> torch.Tensor:
        """Dense (B, n, n) matrix under one boundary twist theta (d,), default none."""
        real = self.onsite.real.dtype
        theta = [0.0] * self.lattice.dimension if twist is None else list(twist)
        bonds = self.to_dense_bonds(torch.tensor([theta], dtype=real, device=self.onsite.device))
        return self.add_onsite(bonds.expand(self.replicas, -1, -1, -1).clone())[:, 0]


def pairing(matrix: BlockMatrix, density: BlockMatrix) -> torch.Tensor:
    """Re Tr[h rho] per replica, (B,), differentiable in h.

    ``density.bond`` holds rho_ij with the twist phase already averaged in, such that the bond part is
    2 Re sum_e Tr[h_e rho_e^dagger]; (E,)-shaped bonds that do not depend on the state may be left out of ``density``
    by a density whose bond is (E,) zeros.
    """
    onsite = (matrix.onsite * density.onsite.conj()).real.flatten(1).sum(1)
    if density.bond.ndim == 1:
        return onsite
    bond = (matrix.bond_blocks() * density.bond.conj()).real.flatten(1).sum(1)
    return onsite + 2 * bond
