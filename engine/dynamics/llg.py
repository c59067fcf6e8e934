r"""Landau-Lifshitz-Gilbert dynamics of unit spins, in the Landau-Lifshitz form.

    dS/dt = -S x (h + xi) - alpha S x [S x (h + xi)],        h = -dE/dS

Sense: without damping a spin turns about h counter-clockwise seen from the tip of h (dS/dt = h x S), with angular
frequency |h|; damping turns it towards h. Units: hbar = gamma = |S| = k_B = 1, time in hbar/t1.
The Gilbert form with the same alpha is this one with time scaled by 1 + alpha^2.

Noise: xi is a white field, Stratonovich, <xi_a(t) xi_b(t')> = 2 D delta_ab delta(t - t'). In the tangent plane it moves
the spin with the covariance 2 D (1 + alpha^2) t, while the drift along the energy gradient has mobility alpha. The
stationary state is exp(-E/T) if D (1 + alpha^2) = alpha T, so over a step each component of the field is drawn with

    variance  2 D / dt = 2 alpha T / [(1 + alpha^2) dt].

The same draw serves predictor and corrector. Sources: W. F. Brown, Phys. Rev. 130, 1677 (1963); J. L. Garcia-Palacios
and F. J. Lazaro, Phys. Rev. B 58, 14937 (1998); J. H. Mentink et al., J. Phys. Condens. Matter 22, 176001 (2010).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch

from engine.dynamics.integrator import Integrator, require_number
from engine.dynamics.vectors import components_first, cross, in_step_order, normalised, rotated, sites_last
from engine.forces import ForceProvider, Response
from engine.noise import Noise
from engine.state import SpinState

THERMAL_STREAM = 0


@dataclass(frozen=True, kw_only=True)
class LandauLifshitz(Integrator):
    """What the integrators of the LLG equation share: parameters, thermal field, order of a step.

    Parameters
    ----------
    damping : alpha >= 0, dimensionless.
    temperature : temperature T >= 0 of the bath of the spins, in t1. Needs damping > 0 to act.
    time_step : dt > 0 in hbar/t1; :func:`engine.dynamics.suggest_time_step` proposes one.

    Raises ValueError for negative, zero (time_step) or non-finite numbers.
    """

    damping: float
    temperature: float = 0.0
    time_step: float

    def __post_init__(self) -> None:
        require_number(type(self).__name__, "damping", self.damping)
        require_number(type(self).__name__, "temperature", self.temperature)
        require_number(type(self).__name__, "time_step", self.time_step, positive=True)

    def step(
        self, state: SpinState, force: ForceProvider, noise: Noise, response: Response | None = None
    ) -> tuple[SpinState, Response]:
        """One step with two evaluations of the force (one if ``response`` at the start is passed)."""
        start = in_step_order(state)
        response = force(start) if response is None else response
        spin = self._propagated(start, response, force, self.thermal_field(start, noise))
        return start.advanced(sites_last(spin), self.time_step), response

    @property
    def noise_amplitude(self) -> float:
        """Standard deviation of each component of the thermal field over one step."""
        return math.sqrt(2 * self.damping * self.temperature / ((1 + self.damping**2) * self.time_step))

    def thermal_field(self, state: SpinState, noise: Noise) -> torch.Tensor | None:
        """xi (3, B, N) of this step, keyed by ``state.step`` (stream 0); None at T = 0 or without damping."""
        if self.noise_amplitude == 0:
            return None
        spin = state.spin
        draw = noise.normal(state.step, (3, state.sites), THERMAL_STREAM, device=spin.device, dtype=spin.dtype)
        return draw.mul_(self.noise_amplitude).movedim(1, 0)

    @abstractmethod
    def _propagated(
        self, start: SpinState, response: Response, force: ForceProvider, thermal: torch.Tensor | None
    ) -> torch.Tensor:
        """Unit spins (3, B, N) after the step."""

    def _angular_velocity(self, spin: torch.Tensor, field: torch.Tensor, thermal: torch.Tensor | None) -> torch.Tensor:
        """w = h + xi + alpha S x (h + xi) (3, B, N) of S and h (3, B, N); the equation of motion is dS/dt = -S x w."""
        field = field if thermal is None else field + thermal
        if self.damping == 0:
            return field
        return torch.add(field, cross(spin, field), alpha=self.damping)


@dataclass(frozen=True, kw_only=True)
class HeunLLG(LandauLifshitz):
    """Projected Heun: Euler predictor, trapezoidal corrector, both scaled back to unit length.

    S~ = [S + dt f(S)],  S' = [S + dt (f(S) + f(S~))/2],  f(S) = -S x w(S). Second order in dt at T = 0; at T > 0 it
    converges to the Stratonovich solution and averages have a bias proportional to dt: at h = 1, T = 0.5, alpha = 0.5,
    <S_z> = 0.537 comes out 0.017 too large for dt = 0.1, twice that for 0.2.
    """

    def _propagated(
        self, start: SpinState, response: Response, force: ForceProvider, thermal: torch.Tensor | None
    ) -> torch.Tensor:
        spin = start.spin.movedim(-1, 0)
        slope = cross(self._angular_velocity(spin, components_first(response.force), thermal), spin)
        predictor = normalised(torch.add(spin, slope, alpha=self.time_step))
        middle = force(start.with_spin(sites_last(predictor)))
        slope += cross(self._angular_velocity(predictor, components_first(middle.force), thermal), predictor)
        return normalised(torch.add(spin, slope, alpha=0.5 * self.time_step))


@dataclass(frozen=True, kw_only=True)
class SemiImplicitLLG(LandauLifshitz):
    """Semi-implicit midpoint scheme SIB of Mentink et al. (2010): two Cayley rotations, no iteration.

    S~ = S - dt (S + S~)/2 x w(S),  S' = S - dt (S + S')/2 x w((S + S~)/2). Each is solved exactly by a rotation, so
    |S| is kept by construction (rounding is removed by scaling). Second order in dt at T = 0. Without damping the
    energy still drifts, at a rate of order dt^3, but about ten times slower than Heun's. Averages at T > 0 have a
    bias proportional to dt that is small for small damping and grows with it: the same <S_z> is 0.007 too large for
    dt = 0.2 and alpha = 0.5, 0.018 for dt = 0.1 and alpha = 1. The force is evaluated at the midpoint (S + S~)/2,
    whose spins are slightly shorter than 1.

    Electrons pull every spin along itself with a field of about J, that turns with the spin and so moves nothing. A step
    that held this field where it was would turn the spin about it by J dt, and does so to first order in the turn: with
    J = 6, dt = 0.5 the energy of a spin glass came out wrong by 1e-3 t1 per site. Fields of electrons are therefore taken
    across the spin at which they are evaluated; for other forces the scheme is the published one.
    """

    def _propagated(
        self, start: SpinState, response: Response, force: ForceProvider, thermal: torch.Tensor | None
    ) -> torch.Tensor:
        spin = start.spin.movedim(-1, 0)
        velocity = self._angular_velocity(spin, _across(spin, response), thermal)
        predictor = rotated(spin, velocity * (-0.5 * self.time_step))
        midpoint = (spin + predictor).mul_(0.5)
        middle = force(start.with_spin(sites_last(midpoint)))
        velocity = self._angular_velocity(midpoint, _across(midpoint, middle), thermal)
        return normalised(rotated(spin, velocity * (-0.5 * self.time_step)))


def _across(spin: torch.Tensor, response: Response) -> torch.Tensor:
    """The force (3, B, N), across S (3, B, N) where electrons made it: h - (h . S) S / S^2."""
    field = components_first(response.force)
    if response.electrons is None:
        return field
    along = (field * spin).sum(0) / (spin * spin).sum(0)
    return torch.addcmul(field, spin, along, value=-1)
