r"""FewPoles: the electrons at a few complex energies, exactly; everything else learned.

A pole expansion (:mod:`engine.electrons.poles`) needs some ten resolvents for the forces of low temperature, and several
rounds of them where the filling is fixed. Here two or three are kept, far from the real axis, with poles xi and weights w
that fit the forces of data instead of the Fermi function (:mod:`engine.learning.pole_fit`),

    Omega~(mu) = P(mu) - sum_p 2 Re[ w_p ln det(mu + xi_p - h) ],        N~ = -dOmega~/dmu,
    E = Omega~(mu) at fixed mu,  or  Omega~(mu) + mu N  where N~(mu) = N,

P being the polynomial of mu that c0, c1, c2 give. What is left is small and short-ranged, or bilinear in the spins; another
network, ``rest``, learns it. The energy is stationary in mu, so that the field is that of Omega~ at this mu: conservative.

Samples shorter than ``period`` get twists that repeat them to that length, nearly; electrons far from the real axis do not
get far, so that every pole has a period of its own. The meshes contain the twist 0: spin rotation, translation, time
reversal and (L x L) the point group are exact, to the tolerance of mu.

Cost: selected inversion, L^3 on L x L sites, per pole, twist and round; hopping to nearest neighbours: 1 Gflop at 48 x 48,
8 at 96 x 96; to the third ones: 6, 54. Where the filling is fixed, two or three rounds,
five in late states of the double exchange, whose mu is hard to guess.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine.learning.kernels import orbits
from engine.learning.network import ElectronSetting, Network
from engine.learning.pole_fit import POLYNOMIAL, Spectrum, fit_poles, spectrum
from engine.learning.pole_sum import PoleSum, sample
from engine.models import SDModel

if TYPE_CHECKING:
    from engine.learning.dataset import Records

FIT_MATRICES = 1000  # of records of one shape, with all their twists, decide the poles
FIT_RECORDS = 40  # at most
MISSING = 0.25  # of a sample, to the period
MAXIMUM_REACH = 6.0  # of the hopping, in lattice constants
CORRELATIONS = 3  # shells whose S_i.S_j predict mu


class FewPoles(Network):
    """A learned pole expansion of the electrons, and a network for the rest.

    Parameters
    ----------
    kind : "triangular" or "square". hopping, coupling, temperature : of the electrons; either chemical_potential or
    filling. poles : as many (Re, Im) pairs as are wanted, where the fit begins. shells : Heisenberg shells beside it in the
    fit. period : least length of a sample with its twists, but for a quarter of the sample; one for all poles or one for
    each, the pole nearest to the real axis first. nearest : the fit keeps Im xi above this, for which the periods suffice.
    rest : {"network": name, **configuration}; with an adjustable one, mu and J can be set: f~ depends on e - mu alone.
    """

    pole: torch.Tensor
    weight: torch.Tensor
    polynomial: torch.Tensor
    rise: torch.Tensor
    guess: torch.Tensor

    def __init__(
        self, kind: str, hopping: Mapping[int, float] | Sequence[Sequence[float]], coupling: float, temperature: float,
        rest: Mapping[str, Any], chemical_potential: float | None = None, filling: float | None = None,
        poles: Sequence[Sequence[float]] = ((0.0, 0.15), (0.0, 0.8), (0.0, 3.0)), shells: int = 6,
        period: int | Sequence[int] = 36, nearest: float = 0.0,
    ) -> None:  # fmt: skip
        if (chemical_potential is None) == (filling is None):
            raise ValueError(f"give a chemical potential or a filling, got {chemical_potential} and {filling}")
        if not poles or min(float(im) for _, im in poles) <= 0:
            raise ValueError(f"poles must be (Re, Im) pairs with Im > 0, got {poles}")
        periods = [period] * len(poles) if isinstance(period, int) else [int(length) for length in period]
        if shells < 1 or nearest < 0:
            raise ValueError(f"shells must be at least 1 and nearest not negative, got {shells} and {nearest}")
        if len(periods) != len(poles) or min(periods) < 1:
            raise ValueError(f"period must be a positive length, or one for each of {len(poles)} poles, got {period}")
        pairs = [[int(shell), float(t)] for shell, t in (hopping.items() if isinstance(hopping, Mapping) else hopping)]
        super().__init__(
            kind, hopping=pairs, coupling=coupling, temperature=temperature, rest=dict(rest),
            chemical_potential=chemical_potential, filling=filling, poles=[[float(a), float(b)] for a, b in poles],
            shells=shells, period=periods, nearest=nearest,
        )  # fmt: skip
        from engine.learning.networks import NETWORKS  # which knows this one too

        self.rest = NETWORKS[rest["network"]](**{"kind": kind, **{k: v for k, v in rest.items() if k != "network"}})
        if not self.rest.conservative:
            raise ValueError(f"the rest must be an energy; {rest['network']!r} learns torques")
        if self.rest.ranges and chemical_potential is None:
            raise ValueError(f"the rest {rest['network']!r} needs a fixed chemical potential, got a filling")
        stars = orbits(kind, MAXIMUM_REACH)
        self.reach = max(int(np.abs(stars[int(shell)]).max()) for shell, _ in pairs)
        self.register_buffer("pole", torch.tensor(poles, dtype=torch.float64))
        self.register_buffer("weight", torch.zeros(len(poles), 2, dtype=torch.float64))
        self.register_buffer("polynomial", torch.zeros(POLYNOMIAL, dtype=torch.float64))
        self.register_buffer("rise", torch.ones((), dtype=torch.float64))
        self.register_buffer("guess", torch.zeros(len(_monomials()), dtype=torch.float64))

    @property
    def taught(self) -> Network:
        return self.rest

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        return self.rest.ranges

    def at(self, electrons: ElectronSetting | None) -> Network:
        """The same poles in the electrons of this setting, and the rest for it; None: as the configuration says."""
        self.check(electrons)
        if not self.ranges:
            return self
        c = self.configuration
        setting = electrons or ElectronSetting(c["chemical_potential"], c["coupling"])
        made = self._among(setting)
        made._modules = {**self._modules, "rest": self.rest.at(setting)}
        return made

    def _among(self, electrons: ElectronSetting | None) -> FewPoles:
        """A copy whose poles have these electrons; the rest is as it is."""
        made = copy.copy(self)
        made.configuration = {**self.configuration, **(electrons._asdict() if electrons else {})}
        return made

    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        field, energy = self.electrons(spin.detach(), shape)
        linear = -(field * (spin - spin.detach())).sum((1, 2))  # zero, with the gradient of the energy
        return energy.to(spin.dtype) + linear + self.rest(spin, shape)

    def evaluated(self, spin: torch.Tensor, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        field, energy = self.electrons(spin.detach(), shape)
        more, of_rest = self.rest.evaluated(spin.detach(), shape)
        return field + more, energy + of_rest

    def learnable(self, spin: torch.Tensor, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        field, energy = self.electrons(spin.detach(), shape)
        more, of_rest = self.rest.learnable(spin, shape)
        return field + more, energy + of_rest

    def remaining(self, group: Records) -> Records:
        field, energy = self._among(group.electrons).electrons(group.spin, group.shape)
        return dataclasses.replace(group, force=group.force - field, energy=group.energy - energy)

    def initialise(self, groups: Sequence[Records]) -> None:
        """Poles, weights and the guess of mu, from a few records of the commonest shape (a minute or two). The rest has
        its own turn."""
        c, shape = self.configuration, max(groups, key=lambda g: len(g) * g.spin.shape[1]).shape
        alike = [group for group in groups if group.shape == shape]
        mesh = self.meshes(shape)[0]
        count = min(FIT_RECORDS, math.ceil(FIT_MATRICES / math.prod(mesh)))
        chosen = np.unique(np.linspace(0, sum(map(len, alike)) - 1, count).astype(int)).tolist()
        every = [(group, i) for group in alike for i in range(len(group))]
        some = [every[number] for number in chosen]
        spectra = [self._spectrum(group, i, mesh) for group, i in some]
        fit = fit_poles(spectra, c["temperature"], [complex(a, b) for a, b in c["poles"]], c["nearest"])
        found = fit.function
        order = np.argsort(found.poles.imag)  # as the periods
        for buffer, values in ((self.pole, found.poles[order]), (self.weight, found.weights[order])):
            buffer.copy_(torch.from_numpy(np.stack([values.real, values.imag], 1)))
        self.polynomial.copy_(torch.from_numpy(found.polynomial))
        self.rise.fill_(float(fit.rise.mean()))
        spin = torch.stack([group.spin[i] for group, i in some])
        design = self._products(spin.double(), shape)
        known = torch.from_numpy(fit.chemical_potentials)[:, None]
        self.guess.copy_(torch.linalg.lstsq(design, known, driver="gelsd").solution[:, 0])

    def _spectrum(self, group: Records, number: int, mesh: tuple[int, int]) -> Spectrum:
        """One record for the fit; where couplings vary, fields in units of J^2, as those of the shells beside are."""
        c = self._among(group.electrons).configuration
        model = SDModel(self.lattice(group.shape, max(CORRELATIONS, c["shells"])), dict(c["hopping"]), c["coupling"])
        found = spectrum(
            model, mesh, group.spin[number].float(), group.force[number].float(), c["temperature"],
            c["chemical_potential"], c["filling"], c["shells"],
        )  # fmt: skip
        order = (c["coupling"] / self.configuration["coupling"]) ** 2
        return dataclasses.replace(found, spins=found.spins / order, field=found.field / order)

    def electrons(self, spin: torch.Tensor, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Field (B, N, 3) and energy (B,) float64 of the poles alone."""
        problem = PoleSum(self, spin, shape)
        if self.configuration["filling"] is None:
            mu = torch.full((len(spin),), self.configuration["chemical_potential"], dtype=torch.float64).to(spin.device)
            density, _, omega = problem.evaluate(mu)
            return problem.field(density), omega
        wanted = self.configuration["filling"] * problem.matrix.size
        mu, density, omega = problem.filled(wanted, self._products(spin.double(), shape) @ self.guess.double())
        return problem.field(density), omega + mu * wanted

    def meshes(self, shape: tuple[int, int]) -> list[tuple[int, int]]:
        """Twists of every pole along both directions; at least as many as tell apart the ways from a site to another."""

        def count(period: int, length: int) -> int:
            return max(1 + 2 * self.reach // length, math.ceil(period / length - MISSING))

        return [(count(period, shape[0]), count(period, shape[1])) for period in self.configuration["period"]]

    def _products(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Monomials of the mean S_i.S_j of the first shells, (B, m)."""
        lattice = sample(self.kind, tuple(shape), CORRELATIONS)
        bonds, shells = lattice.tensor("bonds", spin.device), torch.from_numpy(lattice.shells).to(spin.device)
        products = (spin[:, bonds[:, 0]] * spin[:, bonds[:, 1]]).sum(2)
        mean = [products[:, shells == shell].mean(1) for shell in range(1, CORRELATIONS + 1)]
        return torch.stack(
            [math.prod((mean[k] for k in some), start=torch.ones_like(mean[0])) for some in _monomials()], 1
        )


def _monomials() -> list[tuple[int, ...]]:
    """1, x, y, z, xx, xy ..."""
    return [some for n in range(3) for some in itertools.combinations_with_replacement(range(CORRELATIONS), n)]
