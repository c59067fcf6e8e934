r"""AdjustableRings: rings for a range of chemical potentials and couplings, so that both can change while spins move.

At every (mu, J) it is a :class:`RingNetwork` whose parameters are polynomials of both,

    p(mu, J) = sum_ij p_ij T_i(x) T_j(y),      i + j <= degree, j <= 2,      x, y = mu, J^2 scaled to [-1, 1],

(Chebyshev polynomials; p_ij is what is learned; energies are even in J), whose kernels are those of electrons at this mu,
interpolated between Chebyshev nodes, and whose energies are in units of J^2, the order of RKKY: what is left for the
polynomials is smooth. (The constant energy per site is a polynomial of its own.) Data should have many chemical potentials:
kernels move with mu, and what differs only between those of the data cannot be known. :meth:`at` gives the network at one
point of the range; there it costs what a RingNetwork costs, and has its symmetries.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from engine.learning.kernels import moving_basis, propagators
from engine.learning.network import LATTICES, ElectronSetting, Network, transverse_rms
from engine.learning.networks.rings import BROADENINGS, FREQUENCIES, RingNetwork, least_squares

if TYPE_CHECKING:
    from engine.learning.dataset import Records

FIT_RECORDS = 40  # of every setting of the electrons decide the coefficients that training begins with
RIDGE = 1e-9  # less than for one setting: functions that move with mu differ less
LINEAR = ("bilinear", "weights")  # coefficients that the fit finds, by name
ENERGY_DEGREE = 5  # of the constant energy: Omega of free electrons and what J^2 and J^4 add
KEPT = 64  # networks at one setting of the electrons, with their tables


class AdjustableRings(Network):
    """Rings whose electrons can be set.

    Parameters
    ----------
    kind, hopping, temperature, radius, short, channels, fields, width : as of RingNetwork. chemical_potential, coupling :
    (lowest, highest) that it learns. nodes : chemical potentials at which kernels are computed. degree : of the
    polynomials of K and the rings; local_degree : of those of the local network.

    Raises ValueError for empty ranges and senseless numbers.
    """

    basis: torch.Tensor
    propagators: torch.Tensor
    constant: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self, kind: str, hopping: Mapping[int, float] | Sequence[Sequence[float]], temperature: float,
        chemical_potential: Sequence[float], coupling: Sequence[float], nodes: int = 12, degree: int = 3,
        local_degree: int = 1, radius: float = 30.0, short: float = 5.0,
        channels: Sequence[Sequence[float]] = ((0.3, 7.0),), fields: int = 8, width: int = 32,
    ) -> None:  # fmt: skip
        ranges = {"chemical_potential": chemical_potential, "coupling": coupling}
        for name, ends in ranges.items():
            if not isinstance(ends, Sequence) or len(ends) != 2 or not ends[0] < ends[1]:
                raise ValueError(f"{name} must be a range [lowest, highest], got {ends}")
        if coupling[0] <= 0 or nodes < 2 or not 0 <= local_degree <= degree:
            raise ValueError(
                f"couplings must be positive, nodes >= 2 and 0 <= local_degree <= degree, got {coupling[0]}, {nodes}, "
                f"{local_degree}, {degree}"
            )
        known = {name: [float(end) for end in ends] for name, ends in ranges.items()}
        model = RingNetwork(kind, hopping, sum(chemical_potential) / 2, temperature, radius, short,
                            [(w, reach) for w, reach in channels], fields, width)  # fmt: skip
        shared = {key: value for key, value in model.configuration.items() if key != "chemical_potential"}
        super().__init__(**{**shared, **known}, nodes=nodes, degree=degree, local_degree=local_degree)
        self.low, self.high = (ElectronSetting(*ends) for ends in zip(*known.values(), strict=True))
        self.names = {name: f"of_{name.replace('.', '_')}" for name, _ in model.named_parameters()}
        for name, parameter in model.named_parameters():
            powers = _powers(degree if name in LINEAR else local_degree)
            stacked = torch.zeros(len(powers), *parameter.shape)
            stacked[0] = parameter.detach()
            self.register_parameter(self.names[name], nn.Parameter(stacked))
        self.register_buffer("basis", torch.zeros(nodes, *model.basis.shape))
        self.register_buffer("propagators", torch.zeros(nodes, *model.propagators.shape))
        self.register_buffer("constant", torch.zeros(len(_powers(ENERGY_DEGREE)), dtype=torch.float64))
        self.register_buffer("scale", torch.ones(()))
        self._models: dict[Any, RingNetwork] = {}

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        both = zip(ElectronSetting._fields, self.low, self.high, strict=True)
        return {name: (low, high) for name, low, high in both}

    def at(self, electrons: ElectronSetting | None) -> Network:
        """The RingNetwork at this setting, in the middle of the range for None; while it is trained, a view of it that
        passes gradients on to the polynomials."""
        electrons = self.middle if electrons is None else ElectronSetting(*electrons)
        self.check(electrons)
        if any(parameter.requires_grad for parameter in self.parameters()):
            return _View(self, electrons)
        model = copy.deepcopy(self._model(electrons))
        model.load_state_dict({**model.state_dict(), **self.values(electrons)})
        return model.requires_grad_(False)

    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        return self.at(None)(spin, shape)

    def prepare(self) -> None:
        """Compute kernels and propagators at the nodes (a minute or two)."""
        c = self.configuration
        lattice, hopping = LATTICES[self.kind](12, 12), {int(s): t for s, t in c["hopping"]}
        nodes = self._nodes() * (self.high[0] - self.low[0]) / 2 + self.middle[0]
        kernels = (c["temperature"], c["radius"], c["short"], FREQUENCIES, BROADENINGS)
        self.basis.copy_(torch.from_numpy(moving_basis(lattice, hopping, nodes.tolist(), *kernels)))
        frequencies = [w for w, _ in c["channels"]]
        for number, mu in enumerate(nodes.tolist() if frequencies else []):
            found = propagators(lattice, hopping, mu, c["radius"], frequencies)
            self.propagators[number] = torch.from_numpy(found)
        self._models.clear()

    def initialise(self, groups: Sequence[Records]) -> None:
        """Kernels, scale, and the least-squares fit of the polynomials of K, of the rings' weights and of the constant
        energy. Raises ValueError for records that do not say their electrons."""
        if any(group.electrons is None for group in groups):
            raise ValueError("this network learns from data of several electrons; label them with --sweep")
        self.prepare()
        squares = [transverse_rms([group]) / self._order(group.electrons) for group in groups if group.electrons]
        self.scale.fill_(float(np.sqrt(np.mean(np.square(squares)))))
        parts = [self._normal_equations(group) for group in groups]
        normal, right = (torch.stack(some).sum(0) for some in zip(*parts, strict=True))
        fitted = least_squares(normal, right, RIDGE)
        self.constant.copy_(fitted[-len(self.constant) :] * float(self.scale))
        bilinear, weights = (self.get_parameter(self.names[name]) for name in LINEAR)
        of_term = fitted[: -len(self.constant)].view(len(bilinear), -1)
        with torch.no_grad():
            bilinear.copy_(of_term[:, : bilinear.shape[1]])
            weights.copy_(of_term[:, bilinear.shape[1] :].view_as(weights))
        self._models.clear()  # whose constant energy is from before

    def _normal_equations(self, group: Records) -> tuple[torch.Tensor, torch.Tensor]:
        """Of all coefficients, term by term, and of the constant energy; from records of one setting."""
        assert group.electrons is not None
        normal, right = self._model(group.electrons).normal_equations([group], FIT_RECORDS)
        terms = self.terms(group.electrons, self.configuration["degree"])
        constant = self.terms(group.electrons, ENERGY_DEGREE) / self._order(group.electrons)
        beside = torch.kron(terms, normal[:-1, -1])[:, None] * constant
        whole = torch.kron(torch.outer(terms, terms), normal[:-1, :-1].contiguous())
        corner = torch.outer(constant, constant) * normal[-1, -1]
        rows = torch.cat((torch.cat((whole, beside), 1), torch.cat((beside.T, corner), 1)))
        return rows, torch.cat((torch.kron(terms, right[:-1]), constant * right[-1]))

    def values(self, electrons: ElectronSetting) -> dict[str, torch.Tensor]:
        """The parameters of the RingNetwork at this setting."""
        found = {}
        for name, own in self.names.items():
            stacked = self.get_parameter(own)
            terms = self.terms(electrons, self.configuration["degree" if name in LINEAR else "local_degree"])
            found[name] = torch.tensordot(terms.to(stacked), stacked, 1)
        return found

    def terms(self, electrons: ElectronSetting, degree: int) -> torch.Tensor:
        """T_i(x) T_j(y), (terms,) float64."""
        x, y = self._scaled(electrons)
        tx, ty = (np.polynomial.chebyshev.chebvander(np.array([value]), degree)[0] for value in (x, y))
        return torch.tensor([tx[i] * ty[j] for i, j in _powers(degree)], dtype=torch.float64)

    def _model(self, electrons: ElectronSetting) -> RingNetwork:
        """RingNetwork with kernels, scale and constant energy of this setting; its parameters are not set."""
        key = (electrons, self.basis.device, self.basis.dtype)
        if key not in self._models:
            while len(self._models) >= KEPT:
                self._models.pop(next(iter(self._models)))
            c = {
                k: v for k, v in self.configuration.items() if k not in ("nodes", "degree", "local_degree", "coupling")
            }
            model = RingNetwork(**{**c, "chemical_potential": electrons.chemical_potential}).to(self.basis)
            share = self._shares(electrons)
            model.basis.copy_(torch.tensordot(share.to(self.basis), self.basis, 1))
            model.propagators.copy_(torch.tensordot(share.to(self.basis), self.propagators, 1))
            model.scale.copy_(self.scale * self._order(electrons))
            model.offset.copy_(self.terms(electrons, ENERGY_DEGREE).to(self.constant) @ self.constant)
            self._models[key] = model.requires_grad_(False)
        return self._models[key]

    def _order(self, electrons: ElectronSetting) -> float:
        """J^2, in that of the middle."""
        return (electrons.coupling / self.middle.coupling) ** 2

    def _scaled(self, electrons: ElectronSetting) -> tuple[float, float]:
        known = [(mu, coupling**2) for mu, coupling in (self.low, electrons, self.high)]
        x, y = ((2 * value - low - high) / (high - low) for low, value, high in zip(*known, strict=True))
        return x, y

    def _nodes(self) -> np.ndarray:
        count = self.configuration["nodes"]
        return np.cos((np.arange(count) + 0.5) * np.pi / count)

    def _shares(self, electrons: ElectronSetting) -> torch.Tensor:
        """What every node adds at this mu: the polynomial through all of them."""
        nodes, (x, _) = self._nodes(), self._scaled(electrons)
        vandermonde = np.polynomial.chebyshev.chebvander
        weights = np.linalg.solve(vandermonde(nodes, len(nodes) - 1).T, vandermonde(np.array([x]), len(nodes) - 1)[0])
        return torch.from_numpy(weights)


def _powers(degree: int) -> list[tuple[int, int]]:
    """(i, j) with i + j <= degree and j <= 2."""
    return [(n - j, j) for n in range(degree + 1) for j in range(min(n, 2) + 1)]


class _View(Network):
    """An AdjustableRings at one setting of the electrons, with gradients."""

    def __init__(self, network: AdjustableRings, electrons: ElectronSetting) -> None:
        super().__init__(network.kind)
        object.__setattr__(self, "_network", network)  # whose parameters are its own
        self._electrons = electrons

    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        network: AdjustableRings = self._network  # type: ignore[assignment]
        values = network.values(self._electrons)
        return torch.func.functional_call(network._model(self._electrons), values, (spin, shape))
