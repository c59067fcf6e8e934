"""Pinned spins: sites that the dynamics does not move, while all others feel them as they are.

Of every evaluation of the force inside a step (predictor, midpoint) the pinned spins are those at the start, so the
free ones move with the order of the integrator in the field of spins at rest, and afterwards the pinned spins are put
back bit for bit. Free spins that feel no pinned one move exactly as without pins.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.dynamics.integrator import Integrator
from engine.forces import ForceProvider, Response
from engine.noise import Noise
from engine.state import SpinState


@dataclass(frozen=True, kw_only=True, eq=False)
class ModifiedDynamics(Integrator):
    """An integrator around another one, ``inner``, whose time step it has. Raises ValueError for anything else."""

    inner: Integrator

    def __post_init__(self) -> None:
        if not isinstance(self.inner, Integrator):
            raise ValueError(f"{type(self).__name__}: inner must be an Integrator, got {type(self.inner).__name__}")
        object.__setattr__(self, "time_step", self.inner.time_step)


@dataclass(frozen=True, kw_only=True, eq=False)
class PinnedDynamics(ModifiedDynamics):
    """``inner`` for all spins but the ``pinned`` ones, (N,) bool, the same in every replica.

    Raises ValueError when ``pinned`` is not a boolean vector, or (in a step) of another length than the state.
    """

    pinned: torch.Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        mask = torch.as_tensor(self.pinned)
        if mask.dtype != torch.bool or mask.ndim != 1:
            raise ValueError(
                f"PinnedDynamics: pinned must be a boolean vector (N,), got {mask.dtype} {tuple(mask.shape)}"
            )
        object.__setattr__(self, "pinned", mask)

    def step(
        self, state: SpinState, force: ForceProvider, noise: Noise, response: Response | None = None
    ) -> tuple[SpinState, Response]:
        """One step of ``inner`` with the pinned spins held; ``response`` is that of the force at the start, as always."""
        if self.pinned.shape[0] != state.sites:
            raise ValueError(f"PinnedDynamics: {self.pinned.shape[0]} sites are listed, the state has {state.sites}")
        held = self.pinned.to(state.spin.device)[:, None]
        later, used = self.inner.step(state, _Held(force, held, state.spin), noise, response)
        return later.with_spin(torch.where(held, state.spin, later.spin)), used


class _Held(ForceProvider):
    """The force with the pinned spins at their places, whatever a predictor says."""

    def __init__(self, force: ForceProvider, held: torch.Tensor, spin: torch.Tensor) -> None:
        self.force, self.held, self.spin = force, held, spin

    def __call__(self, state: SpinState) -> Response:
        return self.force(state.with_spin(torch.where(self.held, self.spin, state.spin)))
