r"""MediumNetwork: electrons between the spins of a disordered magnet, as paths through an effective medium.

At strong coupling a disordered set of spins gives the electrons a self-energy, Sigma ~ J^2 / z, much larger than their
hopping t(R). What travels from site to site is then the off-diagonal part of

    F(zeta) = (zeta + t)^-1,      zeta = z - Sigma of the order of 2 J ... 5 J,

short-ranged, and known as soon as the positions are: one inverse for each realization, none for each step. Expanding
the energy in paths that scatter from spin to spin leaves only even orders (odd ones cancel with their reverse),

    E_2 = -1/2 sum_ij K_ij S_i.S_j,                              K_ij = sum_c a_c F_ij(zeta_c)^2
    E_4 = sum_c sum_ik 2 x_c (m_ik.S_i)(m_ik.S_k) - y_c (m_ik.m_ik)(S_i.S_k),    m_ik = sum_j F_ij F_jk S_j

(the rings of :mod:`engine.learning.networks.rings`, with a sum over the opposite corner k instead of shells), the terms
i = k with weights of their own, and E_0 = sum_c b_c sum_ij F_ij^2, which knows the positions alone. zeta = inf stands
for F = t. All weights are linear: training begins at their
least-squares fit, and a small network of local products corrects them, E_local = sum_i MLP(S.u_c, u_c.u_c'),
u_c = F(zeta_c)^2 S / sum_j F_ij^2.

Symmetries, exact by construction: rotation of all spins, time reversal, translation, rotation and mirrors of space.
Conservative. Cost: 3 products of N x N matrices for each zeta; below 1000 sites that is less than one diagonalization.
Source of the medium: P. Soven, Phys. Rev. 156, 809 (1967); here zeta is a set of numbers and the weights are learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from engine.lattice import Lattice
from engine.learning.network import transverse
from engine.learning.sites import SiteNetwork, distances

if TYPE_CHECKING:
    from engine.learning.dataset import Records

FIT_RECORDS = 60  # a few thousand sites decide some twenty weights
RIDGE = 1e-9  # of the normalized least-squares problem; kernels of neighbouring zeta are alike
ENERGY_RESOLUTION = 2e-4  # an energy per site wrong by this counts as much as one force wrong by its rms
STRUCTURE_RIDGE = 1e-3  # few realizations decide these weights
RINGS = 4  # x and y of k != i, then of k = i


class MediumNetwork(SiteNetwork):
    """Bilinear form and rings of four spins on the sites of an amorphous magnet, and a local network.

    Parameters
    ----------
    coupling : J; media are zeta = J times each of ``media``. hopping, length : of t(R) = hopping exp(-R / length).
    bare : whether t itself is one more medium. width : of the hidden layers.
    """

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(
        self, kind: str, coupling: float, hopping: float = 1.0, length: float = 1.0,
        media: Sequence[float] = (2.0, 2.8, 4.2), bare: bool = True, width: int = 16,
    ) -> None:  # fmt: skip
        super().__init__(
            kind, coupling=coupling, hopping=hopping, length=length, media=list(media), bare=bare, width=width
        )
        if not coupling > 0 or not hopping > 0 or not length > 0 or not all(m > 0.5 for m in media):
            raise ValueError(
                f"coupling, hopping and length must be positive and media above 0.5 (in units of the coupling), got "
                f"{coupling}, {hopping}, {length}, {list(media)}"
            )
        count = len(media) + bare
        if count == 0:
            raise ValueError("a medium network needs at least one medium, or bare=True")
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))
        self.bilinear = nn.Parameter(torch.zeros(count))
        self.weights = nn.Parameter(torch.zeros(RINGS, count))
        self.structure = nn.Parameter(torch.zeros(count))
        self.local = nn.Sequential(
            nn.Linear(count + count * (count + 1) // 2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, 1),
        )  # fmt: skip
        for parameter in self.local[-1].parameters():
            nn.init.zeros_(parameter)  # training begins at the linear fit

    def table(self, lattice: Lattice) -> dict[str, torch.Tensor]:
        """Paths F (media, N, N), symmetric, zero diagonal, of rms row 1; their squares with rows of sum 1."""
        c = self.configuration
        hopping = c["hopping"] * np.exp(-distances(lattice) / c["length"])
        np.fill_diagonal(hopping, 0.0)
        one = np.eye(lattice.sites)
        found = [np.linalg.inv(c["coupling"] * m * one + hopping) * (1 - one) for m in c["media"]]
        paths = np.stack([*found, hopping] if c["bare"] else found)
        unit = self._units(lattice.sites)
        squares = paths**2
        near = squares / squares.sum(-1, keepdims=True)
        return {"paths": torch.from_numpy(paths / unit[:, None, None]), "near": torch.from_numpy(near)}

    def _units(self, sites: int) -> np.ndarray:
        """Size of the paths, the same for every realization: t / zeta^2, and t."""
        c = self.configuration
        sizes = [c["hopping"] / (c["coupling"] * m) ** 2 for m in c["media"]]
        return np.array([*sizes, c["hopping"]] if c["bare"] else sizes)

    def initialise(self, groups: Sequence[Records]) -> None:
        """Scale, and the least-squares fit of all linear weights to transverse forces and to the differences of energy
        within each realization; then offset and E_0 follow from the mean energies of the realizations."""
        super().initialise(groups)
        count = self.bilinear.numel() + self.weights.numel()
        degree = torch.tensor([2.0] * self.bilinear.numel() + [4.0] * self.weights.numel(), dtype=torch.float64)
        normal, right = torch.zeros(count, count).double(), torch.zeros(count).double()
        stride = max(1, sum(map(len, groups)) // FIT_RECORDS)
        means = []
        for group in groups:
            energies, sites = [], group.spin.shape[1]
            for spin, force in zip(group.spin[::stride], group.force[::stride], strict=True):
                fields = self.linear_fields(spin[None].double(), group.shape)  # (features, N, 3)
                rows = transverse(fields, spin).flatten(1) / sites**0.5
                normal += rows @ rows.T
                right += rows @ transverse(force, spin).flatten().double() / float(self.scale) / sites**0.5
                energies.append(-(fields * spin).sum((1, 2)) / degree / sites)
            known, wanted = torch.stack(energies), group.energy[::stride] / sites / float(self.scale)
            apart = (known - known.mean(0)) * float(self.scale) / ENERGY_RESOLUTION
            normal += apart.T @ apart
            right += apart.T @ (wanted - wanted.mean()) * float(self.scale) / ENERGY_RESOLUTION
            means.append((group.shape, known.mean(0), float(wanted.mean())))
        found = _solved(normal, right, RIDGE)
        with torch.no_grad():
            self.bilinear.copy_(found[: self.bilinear.numel()])
            self.weights.copy_(found[self.bilinear.numel() :].reshape(self.weights.shape))
        self._fit_structure([(shape, energy - float(known @ found)) for shape, known, energy in means])

    def _fit_structure(self, rest: Sequence[tuple[tuple[int, int], float]]) -> None:
        """Offset and E_0 from what the spins leave of the mean energies per site of the realizations, over ``scale``."""
        rows = []
        for shape, _ in rest:
            paths = self.tables(shape, self.offset)["paths"]
            rows.append(paths.square().sum((1, 2)) / shape[0])
        known, wanted = torch.stack(rows), torch.tensor([energy for _, energy in rest]).double()
        centred = known - known.mean(0)
        found = _solved(centred.T @ centred, centred.T @ (wanted - wanted.mean()), STRUCTURE_RIDGE)
        with torch.no_grad():
            self.structure.copy_(found)
            self.offset.fill_(float(wanted.mean() - known.mean(0) @ found) * float(self.scale))

    def linear_fields(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Fields of every linear term with weight 1, over ``scale``: (features, N, 3) of one configuration."""
        spin = spin.detach().requires_grad_()
        with torch.enable_grad():
            media = [_terms(spin, path) for path in self.tables(shape, spin)["paths"]]
            terms = [pair for pair, _ in media] + [rings[n] for n in range(RINGS) for _, rings in media]
            fields = [torch.autograd.grad(term.sum(), spin, retain_graph=True)[0][0] for term in terms]
        return -torch.stack(fields)

    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Energy (B,)."""
        table = self.tables(shape, spin)
        media = [_terms(spin, path) for path in table["paths"]]
        pairs = torch.stack([pair for pair, _ in media], -1)
        rings = torch.stack([torch.stack(rings, -1) for _, rings in media], -1)
        fields = torch.einsum("cij,bja->bica", table["near"], spin)
        products = fields @ fields.mT
        first, second = torch.triu_indices(len(self.bilinear), len(self.bilinear), device=spin.device)
        known = torch.cat(((fields * spin[:, :, None]).sum(-1), products[:, :, first, second]), -1)
        linear = pairs @ self.bilinear + (rings * self.weights).sum((1, 2))
        linear = linear + table["paths"].square().sum((1, 2)) @ self.structure
        return self.scale * (linear + self.local(known).sum((1, 2))) + self.offset.to(spin.dtype) * spin.shape[1]


def _terms(spin: torch.Tensor, path: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Bilinear term (B,) and the four rings (B,) of one medium (N, N), with weight 1."""
    cosine = spin @ spin.mT
    pair = -0.5 * (path.square() * cosine).sum((1, 2))
    between = (path * spin.mT[:, :, None, :]) @ path  # m (B, 3, i, k), symmetric in i and k
    along = (between * spin.mT[..., None]).sum(1)
    product, length = 2 * along * along.mT, between.square().sum(1) * cosine
    same = [product.diagonal(dim1=1, dim2=2).sum(-1), -length.diagonal(dim1=1, dim2=2).sum(-1)]
    return pair, [product.sum((1, 2)) - same[0], -length.sum((1, 2)) - same[1], *same]


def _solved(normal: torch.Tensor, right: torch.Tensor, ridge: float) -> torch.Tensor:
    """Solution of normal equations, normalized; ``ridge`` in units of the normalized diagonal."""
    size = normal.diagonal().clamp_min(1e-300).rsqrt()
    scaled = normal * torch.outer(size, size) + ridge * torch.eye(len(right)).to(normal)
    return size * torch.linalg.solve(scaled, size * right)
