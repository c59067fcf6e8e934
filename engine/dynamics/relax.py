"""Relaxation: the damped motion dS/dt = -S x (S x h) towards the nearest minimum of the energy, h = -dE/dS.

The minimizer walks S' = [S + tau h_perp], h_perp = h - S (S.h) being the downhill gradient on the sphere, with the
Barzilai-Borwein length tau of each replica (J. Barzilai and J. M. Borwein, IMA J. Numer. Anal. 8, 141 (1988); for
spins L. Exl et al., J. Appl. Phys. 115, 17D118 (2014)). It stops when the torque |S x h| of every spin is small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from engine.dynamics.integrator import Integrator, require_number
from engine.dynamics.vectors import components_first, in_step_order, normalised, sites_last
from engine.forces import ForceProvider, Response
from engine.noise import Noise
from engine.state import SpinState

LARGEST_TURN = 0.3


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Result of :meth:`Relax.run`: the relaxed state, whether every replica met the tolerance, the number of steps,
    the largest torque |S x h| of each replica (B,), and the response at the relaxed state."""

    state: SpinState
    converged: bool
    steps: int
    torque: torch.Tensor
    response: Response


@dataclass(frozen=True, kw_only=True)
class Relax(Integrator):
    """Damped minimizer.

    Parameters
    ----------
    time_step : length of the first step and of every plain :meth:`step`, in 1/energy; stable below 2/(stiffness).
    torque_tolerance : stop when max_i |S_i x h_i| <= torque_tolerance, in t1.
    maximum_steps : give up (``converged`` False) after so many steps.

    Raises ValueError for numbers that are not positive and finite.
    """

    time_step: float = 0.1
    torque_tolerance: float = 1e-5
    maximum_steps: int = 10_000

    def __post_init__(self) -> None:
        require_number("Relax", "time_step", self.time_step, positive=True)
        require_number("Relax", "torque_tolerance", self.torque_tolerance, positive=True)
        if isinstance(self.maximum_steps, bool) or int(self.maximum_steps) != self.maximum_steps:
            raise ValueError(f"Relax: maximum_steps must be an integer >= 1, got {self.maximum_steps!r}")
        require_number("Relax", "maximum_steps", self.maximum_steps, positive=True)

    def step(
        self, state: SpinState, force: ForceProvider, noise: Noise, response: Response | None = None
    ) -> tuple[SpinState, Response]:
        """One plain damped step of fixed length, S' = [S + dt h_perp]; ``noise`` is not used."""
        start = in_step_order(state)
        response = force(start) if response is None else response
        spin = start.spin.movedim(-1, 0)
        moved = normalised(torch.add(spin, _downhill(spin, response), alpha=self.time_step))
        return start.advanced(sites_last(moved), self.time_step), response

    def run(
        self, state: SpinState, force: ForceProvider, progress: Callable[[int, float], None] | None = None
    ) -> Relaxation:
        """Minimize until the torque criterion holds. Time and step number of the state are kept: it is no motion.

        ``progress(steps, largest_torque)`` is called after every evaluation of the force. Replicas do not influence
        one another; one that has converged rests.
        """
        state = in_step_order(state)
        response = force(state)
        spin = state.spin.movedim(-1, 0)
        slope = _downhill(spin, response)
        length = torch.full_like(slope[0, :, :1], self.time_step)
        for steps in range(int(self.maximum_steps) + 1):
            torque = _largest(slope)
            worst = float(torque.max())
            if progress is not None:
                progress(steps, worst)
            if worst <= self.torque_tolerance or steps == self.maximum_steps or worst != worst:
                break
            moving = (torque > self.torque_tolerance)[:, None]
            turn = torch.minimum(length, LARGEST_TURN / torque.clamp_min(1e-30)[:, None]) * moving
            moved = torch.where(moving, normalised(torch.addcmul(spin, turn, slope)), spin)
            response = force(state.with_spin(sites_last(moved)))
            new_slope = _downhill(moved, response)
            length = self._next_length(moved - spin, slope - new_slope, long=steps % 2 == 0)
            spin, slope = moved, new_slope
        state = state.with_spin(sites_last(spin))
        return Relaxation(state, worst <= self.torque_tolerance, steps, torque, response)

    def _next_length(self, moved: torch.Tensor, risen: torch.Tensor, long: bool) -> torch.Tensor:
        """Barzilai-Borwein length (B, 1), s.s/s.y or s.y/y.y; ``time_step`` where the curvature is negative."""
        product = (moved * risen).sum((0, 2))
        if long:
            length = (moved * moved).sum((0, 2)) / product
        else:
            length = product / (risen * risen).sum((0, 2))
        usable = torch.isfinite(length) & (product > 0)
        return torch.where(usable, length, self.time_step)[:, None]


def _downhill(spin: torch.Tensor, response: Response) -> torch.Tensor:
    """h - S (S.h), shape (3, B, N)."""
    field = components_first(response.force)
    return torch.addcmul(field, spin, (spin * field).sum(0), value=-1)


def _largest(vectors: torch.Tensor) -> torch.Tensor:
    """Largest length of each replica (B,) of vectors (3, B, N)."""
    return (vectors * vectors).sum(0).amax(-1).sqrt()
