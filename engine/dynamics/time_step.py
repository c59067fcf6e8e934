"""Advice on the time step, from the spins' own motion."""

from __future__ import annotations

import math

import torch

from engine.dynamics.integrator import require_number
from engine.dynamics.llg import HeunLLG
from engine.dynamics.vectors import components_first, in_step_order, normalised, sites_last
from engine.forces import ForceProvider
from engine.noise import Noise
from engine.state import SpinState

LARGEST_TIME_STEP = 10.0
TRIAL_ANGLE = 0.1
TILT = 0.1
ROUNDS = 2


def suggest_time_step(state: SpinState, force: ForceProvider, tolerance: float = 1e-3, damping: float = 0.1) -> float:
    """A time step (hbar/t1) for which Heun's error, per radian that the spins turn, is about ``tolerance``.

    The spins are tilted at random by 0.1 rad (so that a state at rest also shows its frequencies), a trial step turns
    the fastest of them by 0.1 rad, and the same step is done once and in two halves. The difference d (Heun's error
    is 4/3 d, proportional to dt^3) against the turn a (proportional to dt) gives dt = trial sqrt(tolerance 3a / 4d).
    The trial is repeated once from there. Nine evaluations of the force; the worst replica counts.

    A precessing spin comes out at dt = 0.08/|h| to 0.13/|h| for tolerance 1e-3. At temperature T > 0 halve the step
    until averages agree within their errors: the bias of averages is proportional to dt. Never more than 10 hbar/t1
    (also where no force acts). ``damping`` is that of the planned run. Raises ValueError for a tolerance outside (0, 1) and
    RuntimeError when the force is not finite.
    """
    require_number("suggest_time_step", "tolerance", tolerance, positive=True)
    if tolerance >= 1:
        raise ValueError(f"suggest_time_step: tolerance must be below 1 (relative error per radian), got {tolerance}")
    noise = Noise(list(range(state.replicas)))
    state = _tilted(state, noise)
    response = force(state)
    spin, field = state.spin.movedim(-1, 0), components_first(response.force)
    torque = field - spin * (spin * field).sum(0)
    fastest = float((torque * torque).sum(0).amax().sqrt())
    if not math.isfinite(fastest):
        raise RuntimeError("suggest_time_step: the force is not finite at this state; check the model's parameters")
    if fastest == 0:
        return LARGEST_TIME_STEP
    trial = min(TRIAL_ANGLE / fastest, LARGEST_TIME_STEP)
    for _ in range(ROUNDS):
        whole, _start = HeunLLG(damping=damping, time_step=trial).step(state, force, noise, response)
        half = HeunLLG(damping=damping, time_step=trial / 2)
        middle, _start = half.step(state, force, noise, response)
        # the same step number: random probes must not be redrawn between the two halves
        halves, _start = half.step(state.with_spin(middle.spin), force, noise)
        turn = _root_mean_square(halves.spin - state.spin)
        error = _root_mean_square(halves.spin - whole.spin) * (4 / 3)
        rounding = torch.finfo(state.spin.dtype).eps
        ratio = float((error.clamp_min(rounding) / turn.clamp_min(rounding)).max())
        trial = min(trial * min(max(math.sqrt(tolerance / ratio), 0.1), 10.0), LARGEST_TIME_STEP)
    return trial


def _tilted(state: SpinState, noise: Noise) -> SpinState:
    """Every spin turned by about 0.1 rad in a random direction, always the same one."""
    spin = components_first(state.spin)
    draw = noise.normal(0, (3, state.sites), device=spin.device, dtype=spin.dtype).movedim(1, 0)
    return in_step_order(state.with_spin(sites_last(normalised(torch.add(spin, draw, alpha=TILT / math.sqrt(2))))))


def _root_mean_square(vectors: torch.Tensor) -> torch.Tensor:
    """Over the sites of each replica, (B, N, 3) -> (B,)."""
    return vectors.square().sum(-1).mean(-1).sqrt()
