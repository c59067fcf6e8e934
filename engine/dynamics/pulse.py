r"""Pulses: heat in a part of the sample, and a magnetic field, each for a number of steps.

Heat: the bath of the chosen sites is at T + dT. The thermal field of :mod:`engine.dynamics.llg` is Gaussian with
variance 2 alpha T / [(1 + alpha^2) dt], so an independent field of variance 2 alpha dT / [(1 + alpha^2) dt], the same
in predictor and corrector, makes the temperature of those sites T + dT exactly (variances add).

Field: E = -H . sum_i S_i over the chosen sites. A pulse lasts from step ``first`` to before step ``first + steps``; a
pure function of the state's step number, so that a run that is taken up again repeats it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from engine.dynamics.integrator import require_number
from engine.dynamics.llg import LandauLifshitz
from engine.dynamics.pinned import ModifiedDynamics
from engine.dynamics.vectors import in_step_order
from engine.forces import ForceProvider, Response
from engine.noise import Noise
from engine.state import SpinState

HEAT_STREAM = 103  # of the noise, apart from the thermal field's


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatedDynamics(ModifiedDynamics):
    """``inner`` with the bath of ``sites`` (N,) bool hotter by ``excess`` (t1) for ``steps`` steps from ``first`` on.

    Raises ValueError for senseless numbers, and without damping: only damping couples spins to a bath.
    """

    sites: torch.Tensor
    excess: float
    first: int
    steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("HeatedDynamics", "excess", self.excess)
        _check("HeatedDynamics", self.sites, self.first, self.steps)
        if not self._bath.damping > 0:
            raise ValueError("HeatedDynamics: heat reaches the spins through damping, and the damping is 0; raise it")

    def step(
        self, state: SpinState, force: ForceProvider, noise: Noise, response: Response | None = None
    ) -> tuple[SpinState, Response]:
        """One step of ``inner``; ``response`` is that of the force without the thermal field, as always."""
        if not self.first <= state.step < self.first + self.steps or self.excess == 0:
            return self.inner.step(state, force, noise, response)
        if len(self.sites) != state.sites:
            raise ValueError(f"HeatedDynamics: {len(self.sites)} sites are listed, the state has {state.sites}")
        start = in_step_order(state)
        response = force(start) if response is None else response
        spin, alpha = start.spin, self._bath.damping
        amplitude = math.sqrt(2 * alpha * self.excess / ((1 + alpha**2) * self.time_step))
        draw = noise.normal(state.step, (3, state.sites), HEAT_STREAM, device=spin.device, dtype=spin.dtype)
        thermal = (draw * (amplitude * self.sites.to(spin.device))).movedim(1, -1)
        shaken = _Shaken(force, thermal)
        later, _ = self.inner.step(start, shaken, noise, shaken.with_heat(response))
        return later, response

    @property
    def _bath(self) -> LandauLifshitz:
        inner = self.inner
        while isinstance(inner, ModifiedDynamics):
            inner = inner.inner
        if not isinstance(inner, LandauLifshitz):
            raise ValueError(f"HeatedDynamics needs Landau-Lifshitz dynamics inside, got {type(inner).__name__}")
        return inner


class _Shaken(ForceProvider):
    """The force and a thermal field (B, N, 3)."""

    def __init__(self, force: ForceProvider, thermal: torch.Tensor) -> None:
        self.force, self.thermal = force, thermal

    def __call__(self, state: SpinState) -> Response:
        return self.with_heat(self.force(state))

    def with_heat(self, response: Response) -> Response:
        """Electrons stay: dynamics takes their field across the spins. Their energy knows nothing of the noise."""
        return Response(response.force + self.thermal, electrons=response.electrons)


@dataclass(frozen=True, eq=False)
class FieldPulse(ForceProvider):
    """Field (Hx, Hy, Hz) on ``sites`` (N,) bool for ``steps`` steps from ``first`` on; energy -H . sum S meanwhile."""

    field: tuple[float, float, float]
    sites: torch.Tensor
    first: int
    steps: int

    def __post_init__(self) -> None:
        vector = tuple(float(part) for part in self.field)
        if len(vector) != 3 or not all(map(math.isfinite, vector)):
            raise ValueError(f"FieldPulse: field must be three finite numbers (Hx, Hy, Hz), got {self.field}")
        _check("FieldPulse", self.sites, self.first, self.steps)
        object.__setattr__(self, "field", vector)

    def __call__(self, state: SpinState) -> Response:
        if len(self.sites) != state.sites:
            raise ValueError(f"FieldPulse: {len(self.sites)} sites are listed, the state has {state.sites}")
        spin = state.spin
        force = torch.zeros_like(spin)
        if self.first <= state.step < self.first + self.steps:
            vector = torch.tensor(self.field, dtype=spin.dtype, device=spin.device)
            force = force + self.sites.to(spin.device)[:, None] * vector
        return Response(force, lambda: -(force * spin).sum((1, 2), dtype=torch.float64))


def _check(owner: str, sites: torch.Tensor, first: int, steps: int) -> None:
    if not isinstance(sites, torch.Tensor) or sites.dtype != torch.bool or sites.ndim != 1:
        raise ValueError(f"{owner}: sites must be a boolean vector (N,), got {sites!r}")
    if isinstance(first, bool) or isinstance(steps, bool) or int(first) != first or int(steps) != steps or steps < 1:
        raise ValueError(f"{owner}: first and steps must be whole numbers, steps >= 1, got {first!r} and {steps!r}")
