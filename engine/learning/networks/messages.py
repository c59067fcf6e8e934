r"""MessageNetwork: spins tell their neighbours what they see, bond by bond.

Every site has scalars h (even under time reversal) and vectors V (odd), at first h = const and V = S in every channel.
A layer reads every bond (i, j) of a neighbourhood, orbit by orbit under the point group,

    (a, b) = MLP(h_i, h_j, V_i.V_j, S_i.S_j),     h_i += mean_j a,     V_i += mean_j b V_j,

and then every site by itself, with the products of its own vectors. Two options for the metals that need them:
``harmonics`` also keeps the direction phi of the bonds, W_m = mean_j exp(i m phi) b V_j, and gives every site the
invariants |W_m|^2 of the point group; ``pooled`` gives every site the means of some h over all sites, which is how the
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
    directions of bonds. pooled : of how many scalars the sites know the mean (True: of all). Few records are learned by
    heart with many.
    """

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(
        self, kind: str, reach: float = 2.0, far: float = 6.0, channels: int = 16, layers: int = 3, width: int = 32,
        harmonics: int = 0, pooled: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(
            kind, reach=reach, far=far, channels=channels, layers=layers, width=width, harmonics=harmonics,
            pooled=pooled,
        )  # fmt: skip
        self.channels = channels
        stars = orbits(kind, far)[1:]
        self.far = stars
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))
        self.bilinear = nn.Parameter(torch.zeros(len(stars)))
        self.start = nn.Parameter(0.1 * torch.randn(channels))
        known = channels if pooled is True else int(pooled)
        if not 0 <= known <= channels:
            raise ValueError(f"pooled is a number of scalars from 0 to channels = {channels}, got {pooled}")
        near = orbits(kind, reach)[1:]
        self.layers = nn.ModuleList(_Layer(kind, near, channels, width, harmonics, known) for _ in range(layers))
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
        grid = spin.mT.unflatten(-1, shape)  # sites last, the lattice's axes apart: neighbours are shifts of the whole
        scalars = self.start[:, None, None].expand(len(spin), -1, *shape)
        vectors = grid[:, :, None].expand(-1, -1, self.channels, -1, -1)
        for layer in self.layers:
            scalars, vectors = layer(grid, scalars, vectors)
        field = self._convolved(grid, torch.einsum("s,skl->kl", self.bilinear, self._shells(shape)))
        local = self.local(scalars.flatten(2).mT).sum((1, 2)) - 0.5 * (grid * field).sum((1, 2, 3))
        return self.scale * local + self.offset.to(spin.dtype) * spin.shape[1]

    @staticmethod
    def _convolved(grid: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(grid) * kernel, s=grid.shape[-2:])

    def _sums(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Sum of the spins of every shell around every site (B, N, 3, shells)."""
        grid = spin.mT.unflatten(-1, shape)
        return self._convolved(grid[:, :, None], self._shells(shape)).flatten(-2).movedim(-1, 1)

    def _shells(self, shape: tuple[int, int]) -> torch.Tensor:
        """Every shell of the bilinear sum in reciprocal space, (shells, L1, L2 // 2 + 1)."""
        key = (tuple(shape), self.bilinear.device, self.bilinear.dtype)
        if key not in self._tables:
            shells = np.zeros((len(self.far), *shape))
            for shell, star in zip(shells, self.far, strict=True):
                np.add.at(shell, tuple((star % shape).T), 1.0)  # small lattices meet a site more than once
            with torch.inference_mode(False):
                table = torch.fft.rfft2(torch.from_numpy(shells)).real  # shells are even
                self._tables[key] = table.to(self.bilinear).contiguous()
        return self._tables[key]


class _Layer(nn.Module):
    """One round of messages along the bonds of every orbit, then of every site with itself."""

    def __init__(
        self, kind: str, stars: Sequence[np.ndarray], channels: int, width: int, harmonics: int, pooled: int
    ) -> None:
        super().__init__()
        self.stars, orbits, self.harmonics, self.pooled = stars, len(stars), harmonics, pooled
        self._waves: dict[Any, torch.Tensor] = {
            number: torch.from_numpy(_waves(kind, star, harmonics)) for number, star in enumerate(stars)
        }
        self.own = nn.ModuleList(nn.Linear(channels, width) for _ in range(orbits))
        self.other = nn.ModuleList(nn.Linear(channels, width, bias=False) for _ in range(orbits))
        self.products = nn.ModuleList(nn.Linear(channels + 1, width, bias=False) for _ in range(orbits))
        self.message = nn.ModuleList(nn.Linear(width, 2 * channels) for _ in range(orbits))
        self.left, self.right = nn.Linear(channels, channels, bias=False), nn.Linear(channels, channels, bias=False)
        known = (3 + orbits * self.harmonics) * channels + pooled
        self.site = nn.Sequential(nn.Linear(known, width), nn.SiLU(), nn.Linear(width, 3 * channels))

    def forward(
        self, spin: torch.Tensor, scalars: torch.Tensor, vectors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """spin (B, 3, L1, L2), scalars (B, C, L1, L2), vectors (B, 3, C, L1, L2)."""
        told, moved, powers = [], [], []
        for number, (star, own, other, products, message) in enumerate(
            zip(self.stars, self.own, self.other, self.products, self.message, strict=True)
        ):
            there = _neighbours(vectors, star)  # (B, 3, C, bonds, L1, L2)
            dots = (vectors[:, :, :, None] * there).sum(1)
            angle = (spin[:, :, None] * _neighbours(spin, star)).sum(1, keepdim=True)
            hidden = _linear(own, scalars)[:, :, None] + _neighbours(_linear(other, scalars), star)
            hidden = hidden + _linear(products, torch.cat((dots, angle), 1))
            a, b = _linear(message, nn.functional.silu(hidden)).chunk(2, 1)
            told.append(a.mean(2))
            carried = b[:, None] * there
            moved.append(carried.mean(3))
            if self.harmonics:
                turning = self._wave(number, spin).mT @ carried.flatten(-2)  # (B, 3, C, 2 harmonics, N)
                power = turning.square().sum(1).unflatten(2, (-1, 2)).sum(3)
                powers += power.unflatten(-1, spin.shape[-2:]).unbind(2)
        scalars = scalars + sum(told)
        vectors = vectors + sum(moved)
        left, right = (_mixed(layer.weight, vectors, 2) for layer in (self.left, self.right))
        inputs = [scalars, (left * right).sum(1), (vectors * spin[:, :, None]).sum(1), *powers]
        if self.pooled:
            some = scalars[:, : self.pooled]
            inputs.append(some.mean((-2, -1), keepdim=True).expand_as(some))
        first, active, last = self.site
        change, gate, back = _linear(last, active(_linear(first, torch.cat(inputs, 1)))).chunk(3, 1)
        vectors = vectors + gate[:, None] * right + back[:, None] * spin[:, :, None]
        return scalars + change, vectors

    def _wave(self, number: int, like: torch.Tensor) -> torch.Tensor:
        """The waves of an orbit with the device and dtype of ``like``, rounded once from double precision."""
        key = (number, like.device, like.dtype)
        if key not in self._waves:
            with torch.inference_mode(False):
                self._waves[key] = self._waves[number].to(like)
        return self._waves[key]


def _neighbours(values: torch.Tensor, star: np.ndarray) -> torch.Tensor:
    """values at i + d for every d of an orbit: (..., L1, L2) -> (..., bonds, L1, L2)."""
    shifts = [[(-int(d), axis) for d, axis in zip(bond, (-2, -1), strict=True) if d] for bond in star]
    return torch.stack([values.roll(*zip(*shift, strict=True)) for shift in shifts], -3)


def _linear(layer: Any, values: torch.Tensor) -> torch.Tensor:
    """A torch.nn.Linear for channels, (B, C, ...)."""
    made = _mixed(layer.weight, values, 1)
    return made if layer.bias is None else made + layer.bias.view(-1, *[1] * (values.dim() - 2))


def _mixed(weight: torch.Tensor, values: torch.Tensor, dimension: int) -> torch.Tensor:
    """weight times ``values`` along a dimension, all that comes after it at once."""
    return (weight @ values.flatten(dimension + 1)).unflatten(-1, values.shape[dimension + 1 :])


def _waves(kind: str, star: np.ndarray, harmonics: int) -> np.ndarray:
    """cos and sin of m phi, m = 1 ... ``harmonics``, over the mean of an orbit: (bonds, 2 harmonics)."""
    x, y = (star @ PRIMITIVE_VECTORS[kind]).T
    angles = np.arange(1, harmonics + 1) * np.arctan2(y, x)[:, None]
    return np.stack([np.cos(angles), np.sin(angles)], -1).reshape(len(star), -1) / len(star)
