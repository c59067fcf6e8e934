r"""Networks: learned energies or torques of unit spins on periodic lattices of any size.

A conservative network returns the energy E (B,) of the electrons (total of the N sites, at zero field); its field is
h = -dE/dS by autograd. A torque network returns T = S x h, which knows only the part of h perpendicular to S:
h_perp = T x S. External fields never enter a network: they are added by Zeeman.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from engine.lattice import Lattice, square, triangular

if TYPE_CHECKING:
    from engine.learning.dataset import Records

LATTICES = {"square": square, "triangular": triangular}
ROUNDING = 1e-9  # electrons so little outside the range are in it


class ElectronSetting(NamedTuple):
    """What can be set of the electrons of one system: mu, in t1, and J."""

    chemical_potential: float
    coupling: float

    def __str__(self) -> str:
        return f"mu = {self.chemical_potential:g}, J = {self.coupling:g}"


def within(value: float | None, low: float, high: float) -> bool:
    """Whether a network that knows this range knows the value."""
    return value is not None and low - ROUNDING <= value <= high + ROUNDING


class Network(torch.nn.Module, ABC):
    """Spins (B, N, 3) on an (L1, L2) lattice of ``kind`` -> energy (B,) or torque (B, N, 3).

    ``conservative``: True where the output is an energy. ``configuration`` is what the constructor was given, plain
    JSON: ``NETWORKS[name](**configuration)`` with the state dict rebuilds the network. Tables that depend on the shape of
    the lattice are made once per shape and are not part of the state dict. ``lattices``: the kinds it can learn. ``ranges``:
    {name: (lowest, highest)} of the fields of ElectronSetting where it is adjustable, else {}.
    """

    conservative: bool = True
    lattices: tuple[str, ...] = tuple(LATTICES)

    def __init__(self, kind: str, **configuration: Any) -> None:
        super().__init__()
        if kind not in self.lattices:
            raise ValueError(f"this network is for a lattice of kind {' or '.join(self.lattices)}, got {kind!r}")
        self.kind = kind
        self.configuration = {"kind": kind, **configuration}

    @abstractmethod
    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Energy (B,) of a conservative network, else torque (B, N, 3); sites in the order n1 * L2 + n2."""

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        return {}

    @property
    def middle(self) -> ElectronSetting:
        """Of the ranges."""
        return ElectronSetting(**{name: (low + high) / 2 for name, (low, high) in self.ranges.items()})

    def check(self, electrons: ElectronSetting | None) -> None:
        """Raises ValueError for electrons that the network does not know; None are those it was trained for."""
        if electrons is None:
            return
        if not self.ranges:
            raise ValueError(
                f"this network knows one chemical potential and coupling only, it was asked for {electrons}"
            )
        for name, value in electrons._asdict().items():
            low, high = self.ranges[name]
            if not within(value, low, high):
                raise ValueError(
                    f"this network knows a {name.replace('_', ' ')} from {low:g} to {high:g}, it was asked for {value:g}"
                )

    def at(self, electrons: ElectronSetting | None) -> Network:
        """The network for these electrons, see :meth:`check`; only adjustable ones become another by that."""
        self.check(electrons)
        return self

    def evaluated(self, spin: torch.Tensor, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Field -dE/dS (B, N, 3) and energy (B,) of a conservative network, by autograd; a network that knows a faster
        way to the same numbers says so here."""
        spin = spin.detach().requires_grad_()
        with torch.enable_grad():
            energy = self(spin, shape)
            (gradient,) = torch.autograd.grad(energy.sum(), spin)
        return -gradient, energy.detach()

    def learnable(self, spin: torch.Tensor, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """The same field and energy with the graph kept, so that a loss of both can be differentiated by the weights
        (not by the spins)."""
        spin = spin.detach().requires_grad_()
        with torch.enable_grad():
            energy = self(spin, shape)
            (gradient,) = torch.autograd.grad(energy.sum(), spin, create_graph=True)
        return -gradient, energy

    @property
    def taught(self) -> Network:
        """The part that training moves; where it is not the whole, ``remaining`` says what the other part gives."""
        return self

    def remaining(self, group: Records) -> Records:
        """These records with the forces and energies that ``taught`` has to learn."""
        return group

    def initialise(self, groups: Sequence[Records]) -> None:
        """Take scale and offset from training data; networks with a linear part also fit that. Called once, before
        training; a trained network has all of this among its weights."""
        self.scale.fill_(transverse_rms(groups))  # type: ignore[operator]
        if self.conservative:
            sites = sum(group.energy.numel() * group.spin.shape[1] for group in groups)
            self.offset.fill_(sum(float(group.energy.sum()) for group in groups) / sites)  # type: ignore[operator]

    def lattice(self, shape: tuple[int, int], shells: int = 3) -> Lattice:
        return LATTICES[self.kind](*shape, shells=shells)

    def place(self, lattice: Lattice) -> tuple[int, int]:
        """The ``shape`` under which this network knows a lattice."""
        return lattice.shape[0], lattice.shape[1]

    def permutations(self, shape: tuple[int, int]) -> torch.Tensor:
        """Where the operations of the point group move the sites (G, N)."""
        return torch.stack([torch.from_numpy(moved) for _, moved in self.lattice(shape).point_group()])


def field_and_energy(
    network: Network, spin: torch.Tensor, shape: tuple[int, int], differentiable: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Field h (B, N, 3) and energy (B,), or the transverse field of a torque network and None.

    ``differentiable``: keep the graph, so that a loss of the field can be differentiated by the weights.
    """
    if not network.conservative:
        torque = network(spin, shape)
        return torch.linalg.cross(torque, spin), None
    return network.learnable(spin, shape) if differentiable else network.evaluated(spin.detach(), shape)


def transverse_rms(groups: Sequence[Records]) -> float:
    """Root mean square length of the transverse exact forces of all records."""
    squares = [transverse(group.force, group.spin).square().sum(-1).flatten() for group in groups]
    return float(torch.cat(squares).mean().sqrt())


def transverse(field: torch.Tensor, spin: torch.Tensor) -> torch.Tensor:
    """The part of the field perpendicular to the spins, the only one that moves them."""
    return field - (field * spin).sum(-1, keepdim=True) * spin
