r"""RingNetwork: electrons that scatter four times, in closed form, and a small network for the rest.

Second order in the coupling is a bilinear form of the spins, RKKY; fourth order is the sum over closed paths of an
electron through four spins,

    E_4 ~ T sum_n Re sum_ijkl G_ij G_jk G_kl G_li tr[(S_i.sigma)(S_j.sigma)(S_k.sigma)(S_l.sigma)].

For two opposite corners i and k = i + d the other two enter only through one field each, and it is the same field,

    m_d(i) = sum_j G(j - i) G(j - i - d) S_j,

a convolution of the spins with a kernel that belongs to the bond d. What is left is local,

    E_4 ~ sum_i sum_d 2 (m_d.S_i)(m_d.S_k) - (m_d.m_d)(S_i.S_k),      k = i + d.

The network keeps this form, for opposite corners that are at most ``reach`` apart, at a few imaginary energies, with
learned weights of both products for every orbit of d under the point group; the lifetime of the electrons among
disordered spins is what these weights have to learn. To this it adds a local network,

    E = -1/2 sum_ij K(i - j) S_i.S_j + sum_bonds (x_d X + y_d Y) + sum_i MLP(g(i)),

g = asinh {S.u_a, u_a.u_b} being products of a few site-centred fields u_a = f_a * S (see :mod:`engine.learning.kernels`).
K, x and y enter linearly: training begins at their least-squares fit.

Symmetries, exact by construction: rotation of all spins, translation, point group, time reversal. Conservative. Any
L1 x L2. Cost: 3 (2 bonds + fields) Fourier transforms and local products: N log N; memory linear in N.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from engine.lattice import Lattice
from engine.learning.kernels import electronic_basis, orbits, propagators, wrapped, wrapped_pairs
from engine.learning.network import LATTICES, Network, transverse
from engine.learning.rings import joined, ring_energy_and_field, ring_gradients, ring_products

if TYPE_CHECKING:
    from engine.learning.dataset import Records

ENERGY_RESOLUTION = 2e-4  # an energy per site wrong by this counts as much as one force wrong by its rms
FIT_RECORDS = 400  # as many records, evenly spread, decide a few hundred coefficients
TABLES = 64  # four for each of the latest shapes
RIDGE = 1e-7  # of the normalized least-squares problem: the basis has near-copies
FREQUENCIES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
BROADENINGS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)


class RingNetwork(Network):
    """RKKY, rings of four spins, and a local network that corrects them.

    Parameters
    ----------
    kind : "triangular" or "square". hopping, chemical_potential, temperature : of the electrons, for the kernels.
    radius : range of all kernels. short : within it every orbit of K and f_a has a coefficient of its own.
    channels : (imaginary energy, reach) pairs of the rings; none: no rings. fields : number of u_a. width : of the hidden
    layers.
    """

    group: torch.Tensor
    basis: torch.Tensor
    propagators: torch.Tensor
    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(
        self, kind: str, hopping: Mapping[int, float] | Sequence[Sequence[float]], chemical_potential: float,
        temperature: float, radius: float = 30.0, short: float = 5.0,
        channels: Sequence[tuple[float, float]] = ((0.3, 7.0),), fields: int = 8, width: int = 32,
    ) -> None:  # fmt: skip
        pairs = [[int(shell), float(t)] for shell, t in (hopping.items() if isinstance(hopping, Mapping) else hopping)]
        super().__init__(
            kind, hopping=pairs, chemical_potential=chemical_potential, temperature=temperature, radius=radius,
            short=short, channels=[[float(w), float(reach)] for w, reach in channels], fields=fields, width=width,
        )  # fmt: skip
        self.radius = radius
        functions = len(orbits(kind, short)) - 1 + 4 * len(FREQUENCIES) + len(BROADENINGS)
        shells = [[half(star) for star in orbits(kind, reach)] for _, reach in channels]
        self.bonds = np.concatenate([np.empty((0, 2), dtype=np.int64), *(star for stars in shells for star in stars)])
        self.bonds_of = [sum(map(len, stars)) for stars in shells]
        sizes = [len(star) for stars in shells for star in stars]
        self.register_buffer("group", torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)))
        self.register_buffer("basis", torch.zeros(functions, len(orbits(kind, radius))))
        self.register_buffer("propagators", torch.zeros(len(channels), 2, len(orbits(kind, radius))))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))
        self.bilinear = nn.Parameter(torch.zeros(functions))
        self.weights = nn.Parameter(torch.zeros(2, len(sizes)))
        self.first = nn.Parameter(torch.randn(fields, functions) / math.sqrt(functions))
        self.local = nn.Sequential(
            nn.Linear(fields + fields * (fields + 1) // 2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, 1),
        )  # fmt: skip
        for parameter in self.local[-1].parameters():
            nn.init.zeros_(parameter)  # training begins at the linear fit
        self._tables: dict[Any, torch.Tensor] = {}

    def prepare(self) -> None:
        """Compute propagators and kernels (a few seconds); a trained network has them among its weights."""
        c = self.configuration
        electrons = (LATTICES[self.kind](12, 12), {int(s): t for s, t in c["hopping"]}, c["chemical_potential"])
        basis = electronic_basis(*electrons, c["temperature"], self.radius, c["short"], FREQUENCIES, BROADENINGS)
        self.basis.copy_(torch.from_numpy(basis))
        if c["channels"]:
            found = propagators(*electrons, self.radius, [w for w, _ in c["channels"]])
            self.propagators.copy_(torch.from_numpy(found))
        self._tables.clear()

    def initialise(self, groups: Sequence[Records]) -> None:
        """Kernels, scale, offset, and the least-squares fit of K and the weights of the rings to transverse forces and
        energies."""
        self.prepare()
        super().initialise(groups)
        fitted = least_squares(*self.normal_equations(groups, FIT_RECORDS))
        far = len(self.bilinear)
        with torch.no_grad():
            self.bilinear.copy_(fitted[:far])
            self.weights.copy_(fitted[far:-1].view_as(self.weights))
            self.offset += float(fitted[-1]) * self.scale

    def normal_equations(self, groups: Sequence[Records], records: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the coefficients of all functions of K, the weights of the rings and a constant energy per site, from so many
        of these records. The energies follow from the fields: K is of second degree in the spins, rings are of fourth."""
        far, count = len(self.bilinear), len(self.bilinear) + self.weights.numel()
        degree = torch.tensor([2.0] * far + [4.0] * (count - far), dtype=torch.float64)[:, None]
        normal, right = (
            torch.zeros(count + 1, count + 1, dtype=torch.float64),
            torch.zeros(count + 1, dtype=torch.float64),
        )
        with torch.no_grad():
            for group in groups:
                few = max(1, round(len(group) * records / max(records, sum(map(len, groups)))))
                chosen = torch.arange(few) * len(group) // few
                for number in chosen.tolist():
                    spin, force, energy = group.spin[number], group.force[number], group.energy[number]
                    fields = self.linear_fields(spin[None], group.shape)[0].mT.double()  # (features, N, 3)
                    energies = -(fields * spin).sum((1, 2))[:, None] / degree
                    forces = torch.cat((transverse(fields, spin).flatten(1), torch.zeros(1, spin.numel())))
                    weight = float(self.scale) / (ENERGY_RESOLUTION * len(spin))
                    energies = torch.cat((energies, torch.tensor([[float(len(spin))]]))) * weight
                    rows = torch.cat((forces, energies), 1)
                    apart = (energy - self.offset * len(spin))[None] * weight
                    wanted = torch.cat((transverse(force, spin).flatten().double(), apart)) / float(self.scale)
                    normal += rows @ rows.T
                    right += rows @ wanted
        return normal, right

    def linear_fields(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Field of every function of K and of every group of rings for itself, (B, features, 3, N)."""
        grid = spin.mT.unflatten(-1, shape)
        waves = torch.fft.rfft2(grid)[:, None]
        far = torch.fft.irfft2(waves * self.table(shape)[:, None], s=shape)
        if not len(self.bonds):
            return far.flatten(-2)
        rings = ring_gradients(grid, self.joined_responses(shape), self.bonds, self.group, self.weights.shape[1])
        return torch.cat((far, rings), 1).flatten(-2)

    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        grid = spin.mT.unflatten(-1, shape)
        waves = torch.fft.rfft2(grid)
        energy = self._near(grid, waves, shape)
        if len(self.bonds):
            x, y = ring_products(grid, waves, self.responses(shape), self.ends(shape)[0])
            weights = self.weights[:, self.group]
            energy = energy + (weights[0] @ x + weights[1] @ y).sum(-1)
        return self.scale * energy + self.offset.to(spin.dtype) * spin.shape[1]

    def evaluated(self, spin: torch.Tensor, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Field and energy with the gradient of the rings written out, bonds shared among threads of the CPU."""
        grid = spin.mT.unflatten(-1, shape)
        if not len(self.bonds):
            energy, field = self._near_evaluated(grid, shape)
            return self.scale * field.flatten(-2).mT, self.scale * energy + self.offset.to(spin.dtype) * spin.shape[1]
        responses, bonds, weights = self.joined_responses(shape), self.bonds, self.weights[:, self.group].detach()
        workers = torch.get_num_threads() if spin.device.type == "cpu" else 1
        parts = np.array_split(np.arange(len(bonds)), 1 if workers == 1 else min(2 * workers, len(bonds)))

        def ring(part: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
            few = slice(part[0], part[-1] + 1)
            return ring_energy_and_field(grid, responses[few], bonds[few], weights[:, few])

        if workers == 1:
            found = [self._near_evaluated(grid, shape), *map(ring, parts)]
        else:
            pool = _pool(workers)
            first, rest = pool.submit(self._near_evaluated, grid, shape), list(pool.map(ring, parts))
            found = [first.result(), *rest]
        energy = torch.stack([e for e, _ in found]).sum(0)
        field = torch.stack([f for _, f in found]).sum(0).flatten(-2).mT
        return self.scale * field, self.scale * energy + self.offset.to(spin.dtype) * spin.shape[1]

    def _near_evaluated(self, grid: torch.Tensor, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        grid = grid.detach().requires_grad_()
        with torch.enable_grad():
            energy = self._near(grid, torch.fft.rfft2(grid), shape)
            (gradient,) = torch.autograd.grad(energy.sum(), grid)
        return energy.detach(), -gradient

    def _near(self, grid: torch.Tensor, waves: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """RKKY and the local network (B,)."""
        kernels = torch.einsum("cf,fkl->ckl", torch.cat((self.bilinear[None], self.first)), self.table(shape))
        fields = torch.fft.irfft2(waves[:, None] * kernels[:, None], s=shape)  # (B, 1 + fields, 3, L1, L2)
        rkky = -0.5 * (grid * fields[:, 0]).sum((1, 2, 3))
        near = torch.cat((grid[:, None], fields[:, 1:]), 1)
        products = [(near[:, c : c + 1] * near[:, c:]).sum(2) for c in range(near.shape[1])]
        products = _Compressed.apply(torch.cat(products, 1)[:, 1:])  # ordered states have fields ten times larger
        return rkky + self.local(products.movedim(1, -1)).sum((1, 2, 3))

    def table(self, shape: tuple[int, int]) -> torch.Tensor:
        """The basis on the torus, in reciprocal space (functions, L1, L2 // 2 + 1)."""
        return self._cached("basis", shape, lambda lattice: wrapped(self.basis, lattice, self.radius).real.contiguous())

    def responses(self, shape: tuple[int, int]) -> torch.Tensor:
        """Kernels of all bonds in reciprocal space (bonds, 2, L1, L2 // 2 + 1), complex."""

        def build(lattice: Lattice) -> torch.Tensor:
            parts = np.split(self.bonds, np.cumsum(self.bonds_of)[:-1])
            pairs = zip(self.propagators, parts, strict=True)
            return torch.cat([wrapped_pairs(g, bonds, lattice, self.radius) for g, bonds in pairs])

        return self._cached("rings", shape, build)

    def joined_responses(self, shape: tuple[int, int]) -> torch.Tensor:
        """The same as one complex kernel a bond (bonds, L1, L2)."""
        return self._cached("joined", shape, lambda lattice: joined(self.responses(shape), shape))

    def ends(self, shape: tuple[int, int]) -> torch.Tensor:
        """Sites i + d and i - d of every bond, (2, bonds, N)."""

        def build(lattice: Lattice) -> torch.Tensor:
            n1, n2 = np.divmod(np.arange(lattice.sites), shape[1])
            d1, d2 = self.bonds.T[:, :, None]
            sites = [((n1 + s * d1) % shape[0]) * shape[1] + (n2 + s * d2) % shape[1] for s in (1, -1)]
            return torch.from_numpy(np.stack(sites)).to(self.basis.device)

        return self._cached("ends", shape, build)

    def _cached(self, name: str, shape: tuple[int, int], build: Callable[[Lattice], torch.Tensor]) -> torch.Tensor:
        """Tables of a shape are made once per device and dtype; the few latest shapes are kept."""
        key = (name, tuple(shape), self.basis.device, self.basis.dtype)
        if key not in self._tables:
            while len(self._tables) >= TABLES:
                self._tables.pop(next(iter(self._tables)))
            with torch.inference_mode(False):
                self._tables[key] = build(LATTICES[self.kind](*shape))
        return self._tables[key]


def least_squares(normal: torch.Tensor, right: torch.Tensor, ridge: float = RIDGE) -> torch.Tensor:
    """Solution of these normal equations, with a small ridge in units of their diagonal."""
    lengths = normal.diagonal().sqrt().clamp(min=1e-12)
    more = ridge * torch.eye(len(normal), dtype=torch.float64)
    return torch.linalg.solve(normal / lengths / lengths[:, None] + more, right / lengths) / lengths


@lru_cache(maxsize=4)
def _pool(workers: int) -> ThreadPoolExecutor:
    """Threads that are kept: new ones would fetch their memory from the system again at every call."""
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    list(pool.map(lambda _: time.sleep(0.01), range(workers)))  # all of them begin
    torch.set_num_threads(workers)  # their setting is also the default of threads that start later
    return pool


class _Compressed(torch.autograd.Function):
    """asinh by a logarithm, which is vectorized where torch.asinh is not; right to rounding of numbers of order one."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(values)
        return torch.copysign((values.abs() + (values * values + 1).sqrt_()).log_(), values)

    @staticmethod
    def backward(ctx: Any, *gradient: torch.Tensor) -> torch.Tensor:
        (values,) = ctx.saved_tensors
        return gradient[0] * (values * values + 1).rsqrt()


def half(star: np.ndarray) -> np.ndarray:
    """One of d and -d of every pair; the origin stays."""
    return np.array([d for d in star if tuple(d) >= (0, 0)])
