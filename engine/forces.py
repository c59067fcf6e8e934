"""Forces on the spins.

The force is f_i = -dE/dS_i for *free* components of S_i, E being the energy that the same call returns:
the grand potential Omega (fixed chemical potential) or the free energy F (fixed filling) of each replica's N sites,
averaged over twists, plus the model's classical energy. For the s-d model f_i = J <c+_i sigma c_i> + field.

Electrons: build h(S) with S requiring a gradient, solve for the density matrix rho on the detached h, and
differentiate the surrogate Re Tr[rho h(S)] + E_c(S) once (Hellmann-Feynman); nothing differentiates through
eigenvectors. A solver returns a rho that is the derivative of the energy it returns, so the two agree by construction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch

from engine.block_matrix import BlockMatrix, pairing
from engine.electrons.electrons import Electrons, ElectronSolver
from engine.electrons.ensemble import Ensemble
from engine.models.model import Model, QuadraticForm, SumModel
from engine.state import SpinState


class Response:
    """Answer of a force provider: ``force`` (B, N, 3), ``energy`` (B,) float64 or None, ``electrons`` or None.

    ``energy`` may be given as a function of nothing; it is then computed when first asked for, because dynamics does
    not need it.
    """

    def __init__(
        self,
        force: torch.Tensor,
        energy: torch.Tensor | Callable[[], torch.Tensor] | None = None,
        electrons: Electrons | None = None,
    ) -> None:
        self.force, self.electrons = force, electrons
        self._energy = energy

    @property
    def energy(self) -> torch.Tensor | None:
        if callable(self._energy):
            self._energy = self._energy()
        return self._energy

    @property
    def has_energy(self) -> bool:
        return self._energy is not None


class ForceProvider(ABC):
    """SpinState -> Response. Frozen dataclasses; the same call for exact, classical and learned forces."""

    @abstractmethod
    def __call__(self, state: SpinState) -> Response:
        """Force in the state's site order, dtype and device."""


@dataclass(frozen=True, eq=False)
class ElectronicForce(ForceProvider):
    """Force and energy of electrons in equilibrium with the spins, with the model's own classical energy.

    Energy (B,): total Omega (fixed mu) or F (fixed filling) of the N sites, averaged over twists.
    Raises ValueError when the model has no electrons or the state has another number of sites.
    """

    model: Model
    solver: ElectronSolver
    ensemble: Ensemble

    def __post_init__(self) -> None:
        if self.model.lattice is None or not _is_electronic(self.model):
            raise ValueError(
                f"ElectronicForce needs a model with electrons such as SDModel, got {type(self.model).__name__}; "
                "classical models belong to ClassicalForce"
            )

    def __call__(self, state: SpinState) -> Response:
        _check_sites(self.model, state)
        spin = state.spin.detach().requires_grad_()
        with torch.enable_grad():
            matrix = self.model.matrix(spin)
            assert matrix is not None
            with torch.no_grad():
                electrons = self.solver.solve(matrix.detach(), self.ensemble, state.step)
                density = self._density(matrix, electrons)
            classical = self.model.classical_energy(spin)
            (gradient,) = torch.autograd.grad((pairing(matrix, density) + classical).sum(), spin)
        energy = electrons.energy + classical.detach().double()
        return Response(-gradient, energy, electrons)

    def _density(self, matrix: BlockMatrix, electrons: Electrons) -> BlockMatrix:
        """The density matrix where the model needs it: bonds only if they depend on the spins."""
        dtype = matrix.onsite.dtype
        if matrix.bond.requires_grad:
            return BlockMatrix(electrons.onsite.to(dtype), electrons.bond_density.to(dtype), matrix.lattice)
        nothing = torch.zeros(len(matrix.lattice.bonds), dtype=matrix.onsite.real.dtype, device=matrix.onsite.device)
        return BlockMatrix(electrons.onsite.to(dtype), nothing, matrix.lattice)


@dataclass(frozen=True, eq=False)
class ClassicalForce(ForceProvider):
    """Force of a classical model: one sparse product A S + b if its energy is a quadratic form, else autograd."""

    model: Model

    def __post_init__(self) -> None:
        if _is_electronic(self.model):
            raise ValueError("ClassicalForce got an electronic model; use ElectronicForce(model, solver, ensemble)")
        object.__setattr__(self, "_forms", {})

    def __call__(self, state: SpinState) -> Response:
        _check_sites(self.model, state)
        form = self._form(state)
        if form is None:
            return self._by_autograd(state)
        spin = state.spin.movedim(-1, 0)  # (3, B, N)
        bilinear = _sum([operator(spin) for operator in form.operators])
        linear = None if form.linear is None else form.linear[:, None, :].expand_as(spin)
        force = _sum([part for part in (bilinear, linear) if part is not None])
        assert force is not None

        def energy() -> torch.Tensor:
            quadratic = 0 if bilinear is None else 0.5 * _dot(bilinear, spin)
            return -quadratic - (torch.zeros_like(state.time) if linear is None else _dot(linear, spin))

        return Response(force.movedim(0, -1), energy)

    def _form(self, state: SpinState) -> QuadraticForm | None:
        """The quadratic form on the state's device and dtype, built once (a pure function of the model)."""
        key = (state.sites, state.spin.device, state.spin.dtype)
        forms: dict = self._forms  # type: ignore[attr-defined]
        if key not in forms:
            forms[key] = self.model.quadratic_form(*key)
        return forms[key]

    def _by_autograd(self, state: SpinState) -> Response:
        spin = state.spin.detach().requires_grad_()
        with torch.enable_grad():
            energy = self.model.classical_energy(spin)
            (gradient,) = torch.autograd.grad(energy.sum(), spin)
        return Response(-gradient, energy.detach().double())


@dataclass(frozen=True, eq=False)
class SumForce(ForceProvider):
    """Sum of forces: SumForce(a, b), SumForce([a, b]) or SumForce(electrons=a, zeeman=b).

    Named terms are attributes: force.zeeman. Energies add (None if any term has none); the electrons of the response
    are those of the term that has them.
    """

    terms: dict[str, ForceProvider]

    def __init__(self, *forces: ForceProvider | Sequence[ForceProvider] | dict, **named: ForceProvider) -> None:
        flat: list[ForceProvider] = []
        for item in forces:
            if isinstance(item, dict):
                named = {**item, **named}
            else:
                flat.extend(item if isinstance(item, list | tuple) else [item])  # type: ignore[list-item]
        terms = {f"term{index}": force for index, force in enumerate(flat)} | named
        if not terms or not all(isinstance(force, ForceProvider) for force in terms.values()):
            raise ValueError(f"SumForce needs at least one force, each a ForceProvider, got {terms}")
        object.__setattr__(self, "terms", terms)

    def __getattr__(self, name: str) -> ForceProvider:
        terms = self.__dict__.get("terms", {})
        if name in terms:
            return terms[name]
        raise AttributeError(f"no force named {name!r}; this sum has {sorted(terms)}")

    def with_term(self, name: str, force: ForceProvider) -> SumForce:
        """The same sum with one term replaced or added."""
        return SumForce({**self.terms, name: force})

    def __call__(self, state: SpinState) -> Response:
        responses = [force(state) for force in self.terms.values()]
        total = _sum([response.force for response in responses])
        assert total is not None

        def energy() -> torch.Tensor:
            return torch.stack([r.energy.double() for r in responses if r.energy is not None]).sum(0)

        electrons = next((r.electrons for r in responses if r.electrons is not None), None)
        return Response(total, energy if all(r.has_energy for r in responses) else None, electrons)


def _is_electronic(model: Model) -> bool:
    models = model.models if isinstance(model, SumModel) else (model,)
    return any(type(m).matrix is not Model.matrix for m in models)


def _check_sites(model: Model, state: SpinState) -> None:
    if model.lattice is not None and model.lattice.sites != state.sites:
        raise ValueError(
            f"the model has {model.lattice.sites} sites, the state has {state.sites}; build both on one lattice"
        )


def _sum(parts: Sequence[torch.Tensor]) -> torch.Tensor | None:
    return reduce(torch.add, parts) if parts else None


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Sum over components and sites per replica, in float64: (B,)."""
    return (a * b).sum((0, 2), dtype=torch.float64)
