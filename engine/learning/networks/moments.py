r"""MomentNetwork: a learned bond-order potential.

The density of states at a site, and with it the energy of the electrons at any chemical potential, is a function of all
its moments (:mod:`engine.learning.local_moments`); a network learns the energy as a function of the first 2 K,

    E = sum_i  c . f_i + MLP(f_i, mean of f over the nearest neighbours of i, mean of f over all sites),

f_i being s_n(i) and S_i.p_n(i), n = 1 ... 2 K, with mean zero and mixed so that values and fields together have covariance
one over the training data. The mean over all sites is how the chemical potential at fixed filling knows the whole state.
Exact in K hops of the electrons, so few records suffice; what longer paths add is guessed, worst in metals and at low
temperature. Measured on ``tetrahedral``: clusters of 8 hops with K = 20 cost as much as whole ones with K = 14 and err by
0.11 instead of 0.14 after the same five minutes of training.

Symmetries, exact by construction: rotation of all spins, translation, point group, time reversal. Conservative.
Source of the idea: D. G. Pettifor, Phys. Rev. Lett. 63, 2480 (1989), where the function of the moments is derived.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from engine.learning.compiled_moments import CompiledMoments, Pulled
from engine.learning.kernels import orbits
from engine.learning.local_moments import LocalMoments
from engine.learning.network import Network, transverse

if TYPE_CHECKING:
    from engine.learning.dataset import Records

CONSTANT = 1e-4  # moments that change less from site to site are left out (some vanish by symmetry)
FLATTEST = 1e-6  # mixtures whose values and fields are less than this part of the largest are left out
Part = tuple[torch.Tensor, torch.Tensor, tuple[int, int]]  # spins and forces (1, N, 3), shape
LINEAR_SITES = 8000  # sites whose forces fix c, at least
RIDGE = 1e-8


class MomentNetwork(Network):
    """Energy as a learned function of local moments.

    Parameters
    ----------
    kind : "triangular" or "square". hopping, coupling : of the electrons. products : K. width, depth : of the hidden
    layers, and how many. reach : hops within which clusters end, 0: as many as products.
    """

    scale: torch.Tensor
    offset: torch.Tensor
    mean: torch.Tensor
    mixing: torch.Tensor

    def __init__(
        self, kind: str, hopping: Mapping[int, float] | Sequence[Sequence[float]], coupling: float, products: int = 6,
        width: int = 64, depth: int = 2, reach: int = 0,
    ) -> None:  # fmt: skip
        pairs = [[int(shell), float(t)] for shell, t in (hopping.items() if isinstance(hopping, Mapping) else hopping)]
        super().__init__(
            kind, hopping=pairs, coupling=coupling, products=products, width=width, depth=depth, reach=reach
        )
        self.moments = LocalMoments(kind, pairs, coupling, products, reach)
        self.compiled = CompiledMoments(self.moments)
        self.nearest = orbits(kind, 1.0)[1]
        count = self.moments.count
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("mixing", torch.eye(count))
        self.linear = nn.Parameter(torch.zeros(count))
        widths = [3 * count, *[width] * depth]
        hidden = [part for pair in itertools.pairwise(widths) for part in (nn.Linear(*pair), nn.SiLU())]
        self.local = nn.Sequential(*hidden, nn.Linear(widths[-1], 1))
        for parameter in self.local[-1].parameters():
            nn.init.zeros_(parameter)  # training begins at the linear fit

    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        return self._energy(self.moments(spin, shape), shape)

    def evaluated(self, spin: torch.Tensor, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.compiled.runs_on(spin):
            return super().evaluated(spin, shape)
        field, energy = self._compiled(spin, shape, keep=False)
        return field.detach(), energy.detach()

    def learnable(self, spin: torch.Tensor, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        return self._compiled(spin, shape, keep=True) if self.compiled.runs_on(spin) else super().learnable(spin, shape)

    def _compiled(self, spin: torch.Tensor, shape: tuple[int, int], keep: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Field and energy; moments know nothing of the weights, so that their part of the chain rule is compiled."""
        spin = spin.detach()
        with torch.enable_grad():
            moments = self.compiled.forward(spin, shape).requires_grad_()
            energy = self._energy(moments, shape)
            (weight,) = torch.autograd.grad(energy.sum(), moments, create_graph=keep)
            return -Pulled.apply(weight, spin, shape, self.compiled), energy  # type: ignore[no-untyped-call]

    def _energy(self, moments: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        features = (moments - self.mean) @ self.mixing
        grid = features.mT.unflatten(-1, shape)
        around = sum(grid.roll((-int(x), -int(y)), (-2, -1)) for x, y in self.nearest) / len(self.nearest)
        everywhere = features.mean(1, keepdim=True).expand_as(features)
        local = self.local(torch.cat((features, around.flatten(-2).mT, everywhere), -1))
        energy = (features @ self.linear).sum(1) + local.sum((1, 2))
        return self.scale * energy + self.offset.to(moments.dtype) * moments.shape[1]

    def initialise(self, groups: Sequence[Records]) -> None:
        """Scale, offset, how moments are scaled and mixed, and the least-squares fit of c to transverse forces."""
        super().initialise(groups)
        some = list(_some(groups))
        sample = torch.cat([self._of(spin, shape).flatten(0, 1) for spin, _, shape in some]).double()
        self.mean.copy_(sample.mean(0))
        deviation = sample.std(0, correction=0)
        self.mixing.copy_(torch.where(deviation > CONSTANT, 1 / deviation, 0.0).diag())
        normal, right = self._normal_equations(some)
        scaled = self.mixing.double()
        turn = _mixing(scaled @ torch.cov(sample.T) @ scaled, normal)
        self.mixing.copy_(scaled @ turn)
        normal, right = turn @ normal @ turn, turn @ right
        ridge = RIDGE * normal.diagonal().mean() * torch.eye(len(normal), dtype=torch.float64)
        with torch.no_grad():
            self.linear.copy_(torch.linalg.solve(normal + ridge, right))

    def _normal_equations(self, some: Sequence[Part]) -> tuple[torch.Tensor, torch.Tensor]:
        """Products of the fields of all features, (features, features), and those with the exact forces."""
        count = self.moments.count
        normal, right = torch.zeros(count, count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
        for spin, force, shape in some:
            rows = self._fields(spin, shape)
            normal += rows @ rows.T
            right += rows @ transverse(force, spin).flatten().double() / float(self.scale)
        return normal, right

    def _of(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        chosen = self.compiled.forward if self.compiled.runs_on(spin) else self.moments
        return chosen(spin, shape)

    def _fields(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Transverse field of every feature, summed over the sites: (features, 3 N)."""
        fields = []
        for weight in self.mixing.mT:
            everywhere = weight.expand(1, spin.shape[1], -1)
            fields.append(transverse(-self._pullback(spin, everywhere, shape), spin).flatten().double())
        return torch.stack(fields)

    def _pullback(self, spin: torch.Tensor, weight: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Derivative by the spins of sum weight x moments."""
        if self.compiled.runs_on(spin):
            return self.compiled.pullback(spin, weight, shape)
        spin = spin.detach().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad((weight * self.moments(spin, shape)).sum(), spin)[0]


def _some(groups: Sequence[Records]) -> Iterator[Part]:
    """Spins and forces (1, N, 3) and shape of evenly spaced records with LINEAR_SITES sites in all, or of all."""
    stride = max(1, math.floor(sum(group.energy.numel() * group.spin.shape[1] for group in groups) / LINEAR_SITES))
    for group in groups:
        for number in range(0, len(group), stride):
            yield group.spin[number : number + 1], group.force[number : number + 1], group.shape


def _mixing(values: torch.Tensor, fields: torch.Tensor) -> torch.Tensor:
    """Matrix that makes the sum of these covariances one, the second in units of its mean.

    Values alone would not do: a mixture that hardly varies may have a large derivative, and training would be unstable.
    """
    unit = fields.trace() / (fields.diagonal() > 0).sum()
    sizes, vectors = torch.linalg.eigh(values + fields / unit)
    inverse = torch.where(sizes > FLATTEST * sizes.max(), 1 / sizes.clamp_min(1e-300).sqrt(), 0.0)
    return (vectors * inverse) @ vectors.T
