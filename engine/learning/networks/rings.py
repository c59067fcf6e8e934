r"""RingNetwork: electrons that scatter four times, in closed form, and a small network for the rest.

Second order in the coupling is a bilinear form of the spins, RKKY; fourth order is the sum over closed paths of an
electron through four spins,

    E_4 ~ T sum_n Re sum_ijkl G_ij G_jk G_kl G_li tr[(S_i.sigma)(S_j.sigma)(S_k.sigma)(S_l.sigma)].

For two opposite corners i and k = i + d the other two enter only through one field each, and it is the same field,

    m_d(i) = sum_j G(j - i) G(j - i - d) S_j,

a convolution of the spins with a kernel that belongs to the bond d. What is left is local,

    E_4 ~ sum_i sum_d 2 (m_d.S_i)(m_d.S_k) - (m_d.m_d)(S_i.S_k),      k = i + d.

The network keeps this form: kernels m_d are learned combinations of products of propagators at a few imaginary energies
(two fields a bond, shared by all bonds of one orbit of the point group, |d| <= reach), the weights of the products are
learned per orbit, and

    E = -1/2 sum_ij K(i - j) S_i.S_j + sum_i [ sum_p R_p(i) + MLP(R(i), g(i)) ],

R_p being rings through site i and g = {S.u_a, u_a.u_b} products of a few site-centred fields u_a = f_a * S (see
:mod:`engine.learning.kernels`). The last term lets the surroundings of a site weaken or strengthen its rings.

Symmetries, exact by construction: rotation of all spins, translation, point group, time reversal. Conservative. Any
L1 x L2. Cost: 3 (2 bonds + fields) Fourier transforms and local products: N log N; memory linear in N.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.learning.kernels import electronic_basis, orbits, propagators, wrapped, wrapped_pairs
from engine.learning.network import LATTICES, Network

FREQUENCIES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
BROADENINGS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)


class RingNetwork(Network):
    """RKKY, rings of four spins, and a local network that corrects them.

    Parameters
    ----------
    kind : "triangular" or "square". hopping, chemical_potential, temperature : of the electrons, for the kernels.
    radius : range of all kernels. short : within it every orbit of K and f_a has a coefficient of its own.
    reach : longest bond d. pair_frequencies : imaginary energies of the propagators in m_d. bond_fields : m_d per bond.
    fields : number of u_a. rings : number of R_p. width : of the hidden layers.
    """

    def __init__(
        self, kind: str, hopping: Mapping[int, float] | Sequence[Sequence[float]], chemical_potential: float,
        temperature: float, radius: float = 30.0, short: float = 5.0, reach: float = 4.0,
        pair_frequencies: Sequence[float] = (0.1, 0.3, 0.8), bond_fields: int = 2, fields: int = 6, rings: int = 8,
        width: int = 32,
    ) -> None:  # fmt: skip
        pairs = [[int(shell), float(t)] for shell, t in (hopping.items() if isinstance(hopping, Mapping) else hopping)]
        super().__init__(
            kind, hopping=pairs, chemical_potential=chemical_potential, temperature=temperature, radius=radius,
            short=short, reach=reach, pair_frequencies=list(pair_frequencies), bond_fields=bond_fields, fields=fields,
            rings=rings, width=width,
        )  # fmt: skip
        functions = len(orbits(kind, short)) - 1 + 4 * len(FREQUENCIES) + len(BROADENINGS)
        stars = orbits(kind, reach)[1:]
        self.bonds = np.concatenate([half(star) for star in stars])
        self.register_buffer("orbit", torch.from_numpy(np.repeat(np.arange(len(stars)), [len(half(s)) for s in stars])))
        self.radius, self.bond_fields, self.rings = radius, bond_fields, rings
        self.register_buffer("basis", torch.zeros(functions, len(orbits(kind, radius))))
        self.register_buffer("propagators", torch.zeros(2 * len(pair_frequencies), len(orbits(kind, radius))))
        self.register_buffer("pair_norm", torch.ones(len(stars), 2 * len(pair_frequencies)))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))
        self.bilinear = nn.Parameter(torch.zeros(functions))
        self.first = nn.Parameter(torch.randn(fields, functions) / math.sqrt(functions))
        each = 2 * len(pair_frequencies)
        self.pair = nn.Parameter(torch.randn(len(stars), bond_fields, each) / math.sqrt(each))
        products = bond_fields * (bond_fields + 1) // 2
        self.weights = nn.Parameter(0.1 * torch.randn(rings, len(stars), 2 * products))
        seen = fields + fields * (fields + 1) // 2 + rings
        self.total = nn.Parameter(torch.ones(rings))
        self.local = nn.Sequential(
            nn.Linear(seen, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )
        nn.init.zeros_(self.local[-1].weight)
        nn.init.zeros_(self.local[-1].bias)
        self._tables: dict[Any, torch.Tensor] = {}

    def prepare(self) -> None:
        """Compute propagators and kernels (a few seconds); a trained network has them among its weights."""
        c = self.configuration
        hopping = {int(s): t for s, t in c["hopping"]}
        lattice = LATTICES[self.kind](12, 12)
        electrons = (lattice, hopping, c["chemical_potential"])
        basis = electronic_basis(*electrons, c["temperature"], self.radius, c["short"], FREQUENCIES, BROADENINGS)
        self.basis.copy_(torch.from_numpy(basis))
        self.propagators.copy_(torch.from_numpy(propagators(*electrons, self.radius, c["pair_frequencies"])))
        lattice = LATTICES[self.kind](48, 48)
        power = wrapped_pairs(self.propagators, self.bonds, lattice, self.radius).abs().square().mean((-1, -2)).sqrt()
        for o in range(len(self.pair_norm)):
            self.pair_norm[o] = power[self.orbit == o].mean(0)

    def table(self, shape: tuple[int, int]) -> torch.Tensor:
        """The basis on the torus, in reciprocal space; made once per shape, device and dtype."""
        return self._cached("basis", shape, lambda lattice: wrapped(self.basis, lattice, self.radius)[0].real.contiguous())

    def pair_table(self, shape: tuple[int, int]) -> torch.Tensor:
        """Kernels of the bonds, (bonds, 2 frequencies, L1, L2 // 2 + 1) complex."""
        norm = self.pair_norm[self.orbit][:, :, None, None]
        return self._cached(
            "pairs", shape, lambda lattice: wrapped_pairs(self.propagators, self.bonds, lattice, self.radius) / norm
        )

    def neighbours(self, shape: tuple[int, int]) -> torch.Tensor:
        """Site i + d and site i - d, (2, bonds, N)."""

        def build(lattice: Any) -> torch.Tensor:
            n1, n2 = np.divmod(np.arange(lattice.sites), shape[1])
            d1, d2 = self.bonds.T[:, :, None]
            ends = [((n1 + s * d1) % shape[0]) * shape[1] + (n2 + s * d2) % shape[1] for s in (1, -1)]
            return torch.from_numpy(np.stack(ends)).to(self.basis.device)

        return self._cached("ends", shape, build)

    def _cached(self, name: str, shape: tuple[int, int], build: Any) -> torch.Tensor:
        key = (name, shape, self.basis.device, self.basis.dtype)
        if key not in self._tables:
            self._tables[key] = build(LATTICES[self.kind](*shape))
        return self._tables[key]

    def linear_fields(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Field of every basis function for itself (B, functions, 3, N): what the fit of K needs."""
        waves = torch.fft.rfft2(spin.mT.reshape(len(spin), 1, 3, *shape))
        return torch.fft.irfft2(waves * self.table(shape)[:, None], s=shape).flatten(-2)

    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        site = spin.mT  # (B, 3, N)
        waves = torch.fft.rfft2(site.unflatten(-1, shape))[:, None]
        kernels = torch.einsum("cf,fkl->ckl", torch.cat((self.bilinear[None], self.first)), self.table(shape))
        fields = torch.fft.irfft2(waves * kernels[:, None], s=shape).flatten(-2)  # (B, 1 + fields, 3, N)
        rkky = -0.5 * (site * fields[:, 0]).sum((1, 2))
        rings = self._rings(site, waves, shape)  # (B, rings, N)
        near = torch.cat((site[:, None], fields[:, 1:]), 1)
        first, second = torch.triu_indices(near.shape[1], near.shape[1], device=spin.device)[:, 1:]
        seen = torch.cat(((near[:, first] * near[:, second]).sum(2), rings), 1)
        local = self.local(seen.mT)[..., 0].sum(1) + (self.total @ rings).sum(1)
        return self.scale * (rkky + local) + self.offset.to(spin.dtype) * spin.shape[1]

    def _rings(self, site: torch.Tensor, waves: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """R_p (B, rings, N): each bond's rings belong half to either end."""
        mixing = self.pair[self.orbit].to(waves.dtype)  # (bonds, bond_fields, 2 frequencies)
        response = torch.einsum("dcf,dfkl->dckl", mixing, self.pair_table(shape))
        m = torch.fft.irfft2(waves * response.flatten(0, 1)[:, None], s=shape)
        m = m.reshape(len(site), *response.shape[:2], 3, -1)  # (B, bonds, c, 3, N)
        forward, backward = self.neighbours(shape)
        other = site[:, :, forward].movedim(1, 2)  # (B, bonds, 3, N)
        here, there = (m * site[:, None, None]).sum(3), (m * other[:, :, None]).sum(3)  # (B, bonds, c, N)
        across = (site[:, None] * other).sum(2, keepdim=True)
        first, second = torch.triu_indices(self.bond_fields, self.bond_fields, device=site.device)
        outer = here[:, :, first] * there[:, :, second] + here[:, :, second] * there[:, :, first]
        inner = (m[:, :, first] * m[:, :, second]).sum(3) * across
        weights = self.weights[:, self.orbit]  # (rings, bonds, products)
        energy = torch.einsum("pdq,bdqn->bpdn", weights, torch.cat((outer, inner), 2))
        back = energy.gather(3, backward.expand(*energy.shape[:2], -1, -1))
        return 0.5 * (energy + back).sum(2)


def half(star: np.ndarray) -> np.ndarray:
    """One of d and -d of every pair."""
    return np.array([d for d in star if tuple(d) > (0, 0)])
