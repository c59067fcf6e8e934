"""PoleSum: density, number of electrons and Omega~ of learned poles (:class:`.FewPoles`), for replicas on one lattice.

    rho = sum_p w_p G(mu + xi_p) + h.c.,      h_i = J Tr(sigma rho_ii),      N~ = -dOmega~/dmu

With w and xi of the network; every pole is a mean over its own twists. At fixed filling mu follows from secants, inside a
bracket.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from engine.block_matrix import BlockMatrix
from engine.electrons.resolvent import Resolvent
from engine.electrons.twists import twist_mesh
from engine.lattice import Lattice
from engine.learning.network import LATTICES
from engine.models import SDModel

if TYPE_CHECKING:
    from engine.learning.networks.few_poles import FewPoles

ROUNDS = 30  # at most, of Newton's method for mu
LARGEST_STEP = 0.3  # of mu
EXACT = 1e-5  # electrons per spin-orbital: mu is found
WRONG = 1e-3  # and is not, after all rounds
NEAR = 5e-4  # product of the distances to two chemical potentials; fields made of both are right to 1e-3
MEMORY = 2**29  # bytes of the fronts treated at once
LEAST_RISE = 0.02  # of the mean dN/dmu: less is not a slope to follow


@lru_cache(maxsize=64)
def sample(kind: str, shape: tuple[int, int], shells: int) -> Lattice:
    return LATTICES[kind](*shape, shells=shells)


class PoleSum:
    """Some replicas (B, N, 3) on one lattice, in the electrons of a network."""

    def __init__(self, network: FewPoles, spin: torch.Tensor, shape: tuple[int, int]) -> None:
        c = network.configuration
        hopping = dict(c["hopping"])
        lattice = sample(network.kind, tuple(shape), max(hopping))
        self.coupling, self.replicas = c["coupling"], len(spin)
        self.matrix: BlockMatrix = SDModel(lattice, hopping, self.coupling).matrix(spin)
        real, device = spin.dtype, spin.device
        meshes = [twist_mesh(mesh, 2, real, device, centred=True) for mesh in network.meshes(shape)]
        self.resolvent = Resolvent(self.matrix, self.matrix.twist_phases(torch.cat(meshes)))
        twists = torch.tensor([len(mesh) for mesh in meshes], device=device)
        pole, weight = (torch.view_as_complex(t.double()) for t in (network.pole, network.weight))
        self.pole, self.weight = pole.repeat_interleave(twists), (weight / twists).repeat_interleave(twists)  # by twist
        self.polynomial, self.rise = network.polynomial.double(), float(network.rise)
        hops = self.matrix.bond.double().square().sum() * 2 / lattice.sites
        self.second = float(hops) + self.coupling**2  # Tr h^2 / size
        one = self.resolvent.tree.numbers(2) * self.matrix.onsite.element_size()
        self.chunk = max(1, MEMORY // one)

    def evaluate(
        self, mu: torch.Tensor, replicas: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For mu (B,) float64 of these replicas, or of all: the poles' part of the density (B, N, 2, 2), N~ (B,),
        Omega~ (B,)."""
        matrix, twists = self.matrix, len(self.pole)
        replicas = torch.arange(self.replicas, device=mu.device) if replicas is None else replicas
        density = matrix.onsite.new_zeros((len(mu), *matrix.onsite.shape[1:]))
        c0, c1, c2 = self.polynomial
        number = matrix.size * (c0 - c1 * mu + c2 * (self.second + mu**2))
        omega = -matrix.size * (c0 * mu - c1 * (self.second + mu**2) / 2 + c2 * (self.second * mu + mu**3 / 3))
        for part in torch.arange(len(mu) * twists, device=mu.device).split(self.chunk):
            row, twist = part // twists, part % twists
            w, system = self.weight[twist], replicas[row] * twists + twist
            green, _, logarithm = self.resolvent(mu[row] + self.pole[twist], system, determinants=True)
            assert logarithm is not None
            scaled = green * w.to(green.dtype)[:, None, None, None]
            density.index_add_(0, row, scaled + scaled.mH)
            omega.index_add_(0, row, -2 * (w * logarithm).real)
        number = number + torch.diagonal(density, dim1=-2, dim2=-1).real.double().sum((1, 2))
        return density, number, omega

    def filled(self, wanted: float, mu: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """mu (B,) where N~ is ``wanted``, density and Omega~ there: secants, from a guess, inside a bracket. Once two
        chemical potentials are close, the density between them is good to the square of their distance. Replicas that
        are done are not evaluated again."""
        found_mu, found_omega = torch.empty_like(mu), torch.empty_like(mu)
        found_density = torch.empty_like(self.matrix.onsite)
        replicas = torch.arange(self.replicas, device=mu.device)
        bracket = torch.stack((torch.full_like(mu, -math.inf), torch.full_like(mu, math.inf)))
        before: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
        for left in reversed(range(ROUNDS)):
            density, number, omega = self.evaluate(mu, replicas)
            excess = number - wanted
            bracket[0] = torch.where(excess < 0, mu, bracket[0])
            bracket[1] = torch.where(excess < 0, bracket[1], mu)
            step, part, near = self._step(mu, excess, before)
            done = near | (excess.abs() <= EXACT * self.matrix.size)
            if not left and bool((~done & (excess.abs() > WRONG * self.matrix.size)).any()):
                raise RuntimeError(
                    f"no chemical potential gives {wanted:g} electrons: {float(number[excess.abs().argmax()]):g} were "
                    f"reached in {ROUNDS} rounds; this network was fitted to other states, use ED or poles"
                )
            ended = done if left else torch.ones_like(done)
            last, share = (torch.where(done, values, 0.0)[ended] for values in (step, part))
            within = density[ended]
            if before is not None:
                within = within + (within - before[2][ended]) * share.to(within.real.dtype)[:, None, None, None]
            found_mu[replicas[ended]] = mu[ended] + last
            found_omega[replicas[ended]] = omega[ended] - last * (number[ended] + wanted) / 2
            found_density[replicas[ended]] = within
            if bool(ended.all()):
                break
            going = ~ended
            replicas, bracket, step, mu = replicas[going], bracket[:, going], step[going], mu[going]
            before = (mu, excess[going], density[going])
            following = mu + step.clamp(-LARGEST_STEP, LARGEST_STEP)
            inside = (following > bracket[0]) & (following < bracket[1])
            mu = torch.where(inside, following, bracket.mean(0))
        return found_mu, found_density, found_omega

    def _step(
        self, mu: torch.Tensor, excess: torch.Tensor, before: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of mu; the same in units of the last one; and whether the density there follows from the two that are known."""
        usual = self.rise * self.matrix.size
        if before is None:
            return -excess / usual, torch.zeros_like(mu), torch.zeros_like(mu, dtype=torch.bool)
        apart = mu - before[0]
        slope = (excess - before[1]) / apart
        rising = slope > LEAST_RISE * usual
        wider = -2 * torch.sign(excess) * apart.abs()  # N~ is flat here: in a gap
        step = torch.where(rising, -excess / slope, wider)
        near = rising & (step.abs() * (apart.abs() + step.abs()) < NEAR)
        return step, torch.where(rising, step / apart, 0.0), near

    def field(self, density: torch.Tensor) -> torch.Tensor:
        """J Tr(sigma rho_ii), (B, N, 3)."""
        across, up, down = density[..., 0, 1], density[..., 0, 0], density[..., 1, 1]
        return self.coupling * torch.stack((2 * across.real, -2 * across.imag, (up - down).real), -1)
