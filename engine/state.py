"""States: the classical fields at one instant, with a leading batch (replica) axis B >= 1, always."""

from __future__ import annotations

from dataclasses import dataclass

import torch

UNIT_LENGTH_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class State:
    """What every kind of state carries: ``time`` (B,) float64 in hbar/t1, and the number of steps taken.

    ``step`` is the same for all replicas; it is the key of the noise.
    """

    time: torch.Tensor
    step: int


@dataclass(frozen=True, eq=False)
class SpinState(State):
    """Unit spins ``spin`` (B, N, 3), float32 or float64, on any device. Frozen: dynamics returns a new state.

    Raises ValueError when the shape, the type, or the lengths (off by more than 1e-3), or finiteness are wrong.
    """

    spin: torch.Tensor

    def __init__(self, spin: torch.Tensor, time: torch.Tensor | float = 0.0, step: int = 0) -> None:
        spin = torch.as_tensor(spin)
        if spin.ndim != 3 or spin.shape[-1] != 3 or spin.shape[0] < 1 or spin.shape[1] < 1:
            raise ValueError(f"spin must have shape (B, N, 3) with B >= 1, got {tuple(spin.shape)}; add the batch axis")
        if spin.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"spin must be float32 or float64, got {spin.dtype}")
        if not bool(torch.isfinite(spin).all()):
            raise ValueError("spin must be finite, got NaN or infinity")
        worst = float((torch.linalg.vector_norm(spin, dim=-1) - 1).abs().max())
        if worst > UNIT_LENGTH_TOLERANCE:
            raise ValueError(f"spins must have length 1, one is off by {worst:.3g}; divide each spin by its length")
        time = torch.as_tensor(time, dtype=torch.float64, device=spin.device).expand(spin.shape[0]).contiguous()
        if int(step) != step or step < 0:
            raise ValueError(f"step must be an integer >= 0, got {step}")
        self._set(spin, time, int(step))

    def advanced(self, spin: torch.Tensor, time_step: float) -> SpinState:
        """The state one step later. Not validated: this is the inner loop, and a check would wait for the device."""
        return self._trusted(spin, self.time + time_step, self.step + 1)

    def with_spin(self, spin: torch.Tensor) -> SpinState:
        """Other spins at the same time and step; not validated (used for predictors and finite differences)."""
        return self._trusted(spin, self.time, self.step)

    @property
    def replicas(self) -> int:
        return self.spin.shape[0]

    @property
    def sites(self) -> int:
        return self.spin.shape[1]

    def _set(self, spin: torch.Tensor, time: torch.Tensor, step: int) -> None:
        for name, value in (("spin", spin), ("time", time), ("step", step)):
            object.__setattr__(self, name, value)

    @classmethod
    def _trusted(cls, spin: torch.Tensor, time: torch.Tensor, step: int) -> SpinState:
        state = object.__new__(cls)
        state._set(spin, time, step)
        return state


def found_device(name: str | torch.device) -> torch.device:
    """The device of this name. Raises ValueError where there is none."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}; use 'cpu' or 'cuda'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {str(device)!r} is not there (no CUDA GPU found); use device='cpu'")
    return device
