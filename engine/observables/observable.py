"""The registry of observables: one table that the screen, the recorder and the command line read.

``observe(names, state, lattice, response)`` answers NumPy arrays with a leading replica axis B; ``response`` is what
the force answered for the same state. A new observable is one :class:`Observable` and one call of :func:`register`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from engine.forces import Response
from engine.lattice import Lattice
from engine.observables import correlation, domains, electron, spin, structure_factor, topology
from engine.state import SpinState


@dataclass(frozen=True)
class Observation:
    """What observables see: ``state``, ``lattice``, ``response`` (None when no force was asked).

    Shared intermediate results are computed once and only when asked for.
    """

    state: SpinState
    lattice: Lattice
    response: Response | None = None

    @cached_property
    def chirality(self) -> torch.Tensor:
        return topology.scalar_chirality(self.state.spin, self.lattice)

    @cached_property
    def charge_density(self) -> torch.Tensor:
        return topology.topological_charge_density(self.state.spin, self.lattice)

    @cached_property
    def structure(self) -> torch.Tensor:
        return structure_factor.field_structure_factor(self.state.spin, self.lattice)

    @cached_property
    def answer(self) -> Response:
        """The response, for observables that need one."""
        if self.response is None:
            raise ValueError("this observable needs the force's response; pass response=force(state)")
        return self.response


@dataclass(frozen=True)
class Observable:
    """A named measurement. ``function``: Observation -> tensor with leading axis B.

    needs_electrons: only for electronic forces. needs_response: the force must have been evaluated at this state.
    needs_regular_lattice: only for square and triangular lattices. live: cheap enough to be taken at every frame.
    """

    name: str
    unit: str
    doc: str
    function: Callable[[Observation], torch.Tensor]
    needs_electrons: bool = False
    live: bool = True
    needs_response: bool = False
    needs_regular_lattice: bool = False

    def unavailable(self, lattice: Lattice, response: Response | None) -> str | None:
        """Why it cannot be measured there; None when it can."""
        if self.needs_regular_lattice and not lattice.is_regular:
            return f"it needs a square or triangular lattice, got {lattice.kind!r}"
        if (self.needs_response or self.needs_electrons) and response is None:
            return "it needs the force's response, got response=None; pass force(state)"
        if self.needs_electrons and response is not None and response.electrons is None:
            return "it needs electrons, and this force has none (classical or learned); use an electronic force"
        return None


OBSERVABLES: dict[str, Observable] = {}


def register(observable: Observable) -> Observable:
    """Add to the registry. Raises ValueError when the name is taken."""
    if observable.name in OBSERVABLES:
        raise ValueError(f"observable {observable.name!r} is registered already; choose another name")
    OBSERVABLES[observable.name] = observable
    return observable


def available_observables(lattice: Lattice, response: Response | None = None, live: bool = False) -> list[str]:
    """Names that can be measured on this lattice with this kind of response; ``live=True``: only the cheap ones."""
    chosen = (o for o in OBSERVABLES.values() if o.live or not live)
    return [o.name for o in chosen if o.unavailable(lattice, response) is None]


def observe(
    names: Iterable[str], state: SpinState, lattice: Lattice, response: Response | None = None
) -> dict[str, np.ndarray]:
    """Measure: name -> NumPy array (B, ...), float32 or float64.

    Raises ValueError for an unknown name (naming those known) and where an observable does not apply (saying why).
    """
    wanted = [names] if isinstance(names, str) else list(names)
    observation = Observation(state, lattice, response)
    measured = {}
    for name in wanted:
        observable = _find(name)
        reason = observable.unavailable(lattice, response)
        if reason is not None:
            raise ValueError(f"observable {name!r} cannot be measured here: {reason}")
        with torch.no_grad():
            measured[name] = observable.function(observation).cpu().numpy()
    return measured


def _find(name: str) -> Observable:
    if name not in OBSERVABLES:
        near = difflib.get_close_matches(str(name), OBSERVABLES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown observable {name!r}{hint} Known: {', '.join(OBSERVABLES)}")
    return OBSERVABLES[name]


def _energy(seen: Observation) -> torch.Tensor:
    energy = seen.answer.energy
    if energy is None:  # learned torques have no energy
        return torch.full((seen.state.replicas,), torch.nan, dtype=torch.float64)
    return energy / seen.state.sites


def _cluster_size(seen: Observation) -> torch.Tensor:
    labels = domains.ferromagnetic_clusters(seen.state.spin, seen.lattice)
    return torch.from_numpy(domains.mean_cluster_size(labels))


REGULAR = {"needs_regular_lattice": True}
for _observable in (
    Observable("energy", "t1", "Energy per site: grand potential (fixed mu) or free energy (fixed filling), with the "
               "classical terms; NaN when the force has none.", _energy, needs_response=True),
    Observable("magnetization", "1", "Mean spin (Mx, My, Mz).",
               lambda seen: spin.magnetization(seen.state.spin, seen.lattice)),
    Observable("topological_charge", "1", "Berg-Luescher charge of the whole sample, an integer.",
               lambda seen: seen.charge_density.sum(1), **REGULAR),
    Observable("scalar_chirality", "1", "Sa . (Sb x Sc) of every triangle.", lambda seen: seen.chirality, **REGULAR),
    Observable("topological_charge_density", "1", "Solid angle of every triangle over 4 pi.",
               lambda seen: seen.charge_density, **REGULAR),
    Observable("structure_factor", "1", "S(q) on the grid of lattice.momenta(); its sum is 1.",
               lambda seen: seen.structure, **REGULAR),
    Observable("spin_correlation", "1", "C(r) = <Si . Sj> at the distances of spin_correlation(...)[0].",
               lambda seen: spin.spin_correlation(seen.state.spin, seen.lattice)[1]),
    Observable("domain_length", "a", "Size of the chiral domains: 2 pi over the width of the chirality's peak at Γ.",
               lambda seen: domains.domain_length(seen.chirality, seen.lattice), **REGULAR),
    Observable("domain_length_spin", "a", "Size of domains of spin order: 2 pi over the width of the peaks of S(q).",
               lambda seen: domains.peak_length(seen.state.spin, seen.lattice), **REGULAR),
    Observable("domain_length_sz", "a", "Size of the domains of Sz.",
               lambda seen: domains.domain_length(seen.state.spin[..., 2], seen.lattice), **REGULAR),
    Observable("correlation_length", "a", "Distance at which the envelope of the spins' correlations falls to 1/e.",
               lambda seen: correlation.length_of_structure(seen.structure, seen.lattice), **REGULAR),
    Observable("peak_order", "1", "M: mean of S(q) within 0.1 of its highest peak and the equivalent ones.",
               lambda seen: domains.peak_order(seen.state.spin, seen.lattice), **REGULAR),
    Observable("ferromagnetic_cluster_size", "sites", "Mean size of clusters joined by bonds with Si . Sj > 0.5.",
               _cluster_size, live=False, **REGULAR),
    Observable("torque", "t1", "Root mean square of |S x h|: zero in equilibrium.",
               lambda seen: spin.torque(seen.state.spin, seen.answer.force), needs_response=True),
    Observable("force", "t1", "Force on every spin, -dE/dS with free components of S (B, N, 3).",
               lambda seen: seen.answer.force, needs_response=True, live=False),
    Observable("chemical_potential", "t1", "Chemical potential of the electrons.",
               lambda seen: electron.electrons_of(seen.response).chemical_potential, needs_electrons=True),
    Observable("electron_number", "1", "Electrons in the sample.",
               lambda seen: electron.electrons_of(seen.response).number, needs_electrons=True),
    Observable("local_density", "1", "Electrons per site, between 0 and 2.",
               lambda seen: electron.local_density(seen.answer), needs_electrons=True),
    Observable("bond_current", "t1/hbar", "Particle current along every bond (first to second site).",
               lambda seen: electron.bond_current(seen.answer), needs_electrons=True, live=False),
):  # fmt: skip
    register(_observable)
