r"""MessageNetwork: spins tell their neighbours what they see, bond by bond.

Every site has scalars h (even under time reversal) and vectors V (odd), at first h = const and V = S in every channel.
A layer reads every bond (i, j) of a neighbourhood, orbit by orbit under the point group,

    (a, b) = MLP(h_i, h_j, V_i.V_j, S_i.S_j),     h_i += mean_j a,     V_i += mean_j b V_j,

and then every site by itself, with the products of its own vectors. Two options for the metals that need them:
``harmonics`` also keeps the direction phi of the bonds, W_m = mean_j exp(i m phi) b V_j, and gives every site the
invariants |W_m|^2 of the point group; ``pooled`` gives every site the mean of h over all sites, which is how the
chemical potential at fixed filling knows the whole state. After the last layer E = sum_i MLP(h_i), to which the
bilinear sum over shells, -1/2 sum_ij K_ij S_i.S_j, is added. Made for strong coupling, where an electron's hopping
between two sites is a non-linear function of the angle between their spins (double exchange, t cos(theta / 2)), so that
sums over shells know too little. The form follows K. T. Schuett, O. Unke, M. Gastegger, ICML 2021 (arXiv:2102.03150),
with spins in the place of directions.

Symmetries, exact by construction: rotation of all spins, translation, point group, time reversal. Conservative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from engine.lattice import PRIMITIVE_VECTORS
from engine.learning.kernels import orbits
from engine.learning.network import Network, transverse

if TYPE_CHECKING:
    from engine.learning.dataset import Records

RIDGE = 1e-6


class MessageNetwork(Network):
    """Messages along bonds.

    Parameters
    ----------
    kind : "triangular" or "square". reach : longest bond of a message. far : longest bond of the bilinear sum.
    channels, layers, width : of scalars and vectors, of messages, of the hidden layers. harmonics : largest m of the
    directions of bonds. pooled : whether sites know the mean of the scalars.
    """

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(
        self, kind: str, reach: float = 2.0, far: float = 6.0, channels: int = 16, layers: int = 3, width: int = 32,
        harmonics: int = 0, pooled: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            kind, reach=reach, far=far, channels=channels, layers=layers, width=width, harmonics=harmonics,
            pooled=pooled,
        )  # fmt: skip
        self.channels = channels
        stars = orbits(kind, far)[1:]
        self.far, self.near = stars, orbits(kind, reach)[1:]
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))
        self.bilinear = nn.Parameter(torch.zeros(len(stars)))
        self.start = nn.Parameter(0.1 * torch.randn(channels))
        waves = [_waves(kind, star, harmonics) for star in self.near]
        self.layers = nn.ModuleList(_Layer(waves, channels, width, pooled) for _ in range(layers))
        self.local = nn.Sequential(nn.Linear(channels, width), nn.SiLU(), nn.Linear(width, 1))
        for parameter in self.local[-1].parameters():
            nn.init.zeros_(parameter)  # training begins at the bilinear sum
        self._tables: dict[Any, torch.Tensor] = {}

    def initialise(self, groups: Sequence[Records]) -> None:
        """Scale, offset, and the least-squares fit of the bilinear sum to the transverse forces."""
        super().initialise(groups)
        size = len(self.far)
        normal, right = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
        for group in groups:
            for spin, force in zip(group.spin, group.force, strict=True):
                sums = self._sums(spin[None], group.shape)[0].movedim(-1, 0)
                rows = transverse(sums, spin).flatten(1).double()
                normal += rows @ rows.T
                right += rows @ transverse(force, spin).flatten().double() / float(self.scale)
        with torch.no_grad():
            ridge = RIDGE * normal.diagonal().mean() * torch.eye(size, dtype=torch.float64)  # small lattices mix shells
            self.bilinear.copy_(torch.linalg.solve(normal + ridge, right))

    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        pair = -0.5 * (spin * (self._sums(spin, shape) @ self.bilinear)).sum((1, 2))
        scalars = self.start.expand(*spin.shape[:2], -1)
        vectors = spin[..., None].expand(-1, -1, -1, self.channels)
        neighbours = [self._sites("near", star, n, shape) for n, star in enumerate(self.near)]
        for layer in self.layers:
            scalars, vectors = layer(spin, scalars, vectors, neighbours)
        return self.scale * (pair + self.local(scalars).sum((1, 2))) + self.offset.to(spin.dtype) * spin.shape[1]

    def _sums(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Sum of the spins of every shell around every site (B, N, 3, shells)."""
        sums = [spin[:, self._sites("far", star, n, shape)].sum(2) for n, star in enumerate(self.far)]
        return torch.stack(sums, -1)

    def _sites(self, name: str, star: np.ndarray, number: int, shape: tuple[int, int]) -> torch.Tensor:
        """Sites i + d of an orbit, (N, bonds)."""
        device = self.bilinear.device
        key = (name, number, tuple(shape), device)
        if key not in self._tables:
            n1, n2 = np.divmod(np.arange(shape[0] * shape[1])[:, None], shape[1])
            sites = ((n1 + star[:, 0]) % shape[0]) * shape[1] + (n2 + star[:, 1]) % shape[1]
            with torch.inference_mode(False):
                self._tables[key] = torch.from_numpy(sites).to(device)
        return self._tables[key]


class _Layer(nn.Module):
    """One round of messages along the bonds of every orbit, then of every site with itself."""

    def __init__(self, waves: Sequence[np.ndarray], channels: int, width: int, pooled: bool) -> None:
        super().__init__()
        orbits, self.harmonics, self.pooled = len(waves), waves[0].shape[1] // 2, pooled
        for number, wave in enumerate(waves):
            self.register_buffer(f"wave{number}", torch.from_numpy(wave).float(), persistent=False)
        self.own = nn.ModuleList(nn.Linear(channels, width) for _ in range(orbits))
        self.other = nn.ModuleList(nn.Linear(channels, width, bias=False) for _ in range(orbits))
        self.products = nn.ModuleList(nn.Linear(channels + 1, width, bias=False) for _ in range(orbits))
        self.message = nn.ModuleList(nn.Linear(width, 2 * channels) for _ in range(orbits))
        self.left, self.right = nn.Linear(channels, channels, bias=False), nn.Linear(channels, channels, bias=False)
        known = (3 + pooled + orbits * self.harmonics) * channels
        self.site = nn.Sequential(nn.Linear(known, width), nn.SiLU(), nn.Linear(width, 3 * channels))

    def forward(
        self, spin: torch.Tensor, scalars: torch.Tensor, vectors: torch.Tensor, neighbours: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        told, moved, powers = [], [], []
        for number, (sites, own, other, products, message) in enumerate(
            zip(neighbours, self.own, self.other, self.products, self.message, strict=True)
        ):
            there = vectors[:, sites]  # (B, N, bonds, 3, C)
            dots = (vectors[:, :, None] * there).sum(3)
            angle = (spin[:, :, None] * spin[:, sites]).sum(-1, keepdim=True)
            hidden = own(scalars)[:, :, None] + other(scalars)[:, sites] + products(torch.cat((dots, angle), -1))
            a, b = message(nn.functional.silu(hidden)).chunk(2, -1)
            told.append(a.mean(2))
            carried = b[:, :, :, None] * there
            moved.append(carried.mean(2))
            if self.harmonics:
                turning = torch.einsum("bndxc,dw->bnxcw", carried, getattr(self, f"wave{number}"))
                powers += turning.square().sum(2).unflatten(-1, (-1, 2)).sum(-1).unbind(-1)
        scalars = scalars + sum(told)
        vectors = vectors + sum(moved)
        left, right = self.left(vectors), self.right(vectors)
        inputs = [scalars, (left * right).sum(2), (vectors * spin[..., None]).sum(2), *powers]
        inputs += [scalars.mean(1, keepdim=True).expand_as(scalars)] if self.pooled else []
        change, gate, back = self.site(torch.cat(inputs, -1)).chunk(3, -1)
        vectors = vectors + gate[:, :, None] * right + back[:, :, None] * spin[..., None]
        return scalars + change, vectors


def _waves(kind: str, star: np.ndarray, harmonics: int) -> np.ndarray:
    """cos and sin of m phi, m = 1 ... ``harmonics``, over the mean of an orbit: (bonds, 2 harmonics)."""
    x, y = (star @ PRIMITIVE_VECTORS[kind]).T
    angles = np.arange(1, harmonics + 1) * np.arctan2(y, x)[:, None]
    return np.stack([np.cos(angles), np.sin(angles)], -1).reshape(len(star), -1) / len(star)
