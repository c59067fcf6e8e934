"""Small forces whose physics is known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.forces import ForceProvider, Response
from engine.state import SpinState


@dataclass(frozen=True)
class UniformField(ForceProvider):
    """E = -h . sum_i S_i."""

    field: tuple[float, float, float]

    def __call__(self, state: SpinState) -> Response:
        vector = torch.tensor(self.field, dtype=state.spin.dtype, device=state.spin.device)
        return Response(vector.expand_as(state.spin), -(state.spin.double().sum(1) @ vector.double()))


@dataclass(frozen=True)
class OpenChain(ForceProvider):
    """E = -J sum_i S_i . S_(i+1), free ends: <S_i . S_(i+1)> = coth K - 1/K, K = J/T (M. E. Fisher, 1964)."""

    exchange: float = 1.0

    def __call__(self, state: SpinState) -> Response:
        spin = state.spin
        force = torch.zeros_like(spin)
        force[:, 1:] += self.exchange * spin[:, :-1]
        force[:, :-1] += self.exchange * spin[:, 1:]
        return Response(force, -0.5 * (force * spin).double().sum((1, 2)))


@dataclass(frozen=True)
class NotFinite(ForceProvider):
    """A field that becomes NaN from step ``step`` on."""

    step: int

    def __call__(self, state: SpinState) -> Response:
        value = 1.0 if state.step < self.step else float("nan")
        return Response(torch.full_like(state.spin, value) * torch.tensor([0.3, 0.2, 1.0]), None)


class Counting(ForceProvider):
    """Counts how often the force inside is asked."""

    def __init__(self, force: ForceProvider) -> None:
        self.force, self.calls = force, 0

    def __call__(self, state: SpinState) -> Response:
        self.calls += 1
        return self.force(state)
