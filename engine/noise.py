"""Noise as a pure function of (seed, step, stream): nothing to checkpoint, the same whatever was drawn before.

On the CPU every replica has NumPy's Philox generator (Salmon et al., SC'11) with key = (seed, stream) and
counter = step; on other devices a torch generator seeded from a hash of the three. The two differ in their numbers,
not in their statistics: on the same kind of device the same numbers come again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

MASK64 = (1 << 64) - 1


@dataclass(frozen=True)
class Noise:
    """Independent noise for B replicas. ``seeds``: one integer per replica (an int means B = 1)."""

    seeds: tuple[int, ...]

    def __init__(self, seeds: Sequence[int] | int | torch.Tensor | np.ndarray) -> None:
        values = np.atleast_1d(np.asarray(seeds))
        if values.ndim != 1 or len(values) < 1 or not np.issubdtype(values.dtype, np.integer) or (values < 0).any():
            raise ValueError(f"seeds must be one integer >= 0 per replica, got {seeds!r}")
        object.__setattr__(self, "seeds", tuple(int(v) for v in values))

    def generator(self, replica: int, step: int, stream: int = 0) -> np.random.Generator:
        """NumPy generator of one replica at one step."""
        key = np.array([self.seeds[replica] & MASK64, stream & MASK64], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, step]))

    def normal(
        self,
        step: int,
        shape: tuple[int, ...],
        stream: int = 0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> torch.Tensor:
        """Standard normal numbers of shape (B, *shape); ``shape`` is that of one replica."""
        device = torch.device(device)
        out = torch.empty((len(self.seeds), *shape), dtype=dtype, device=device)
        for replica, seed in enumerate(self.seeds):
            if device.type == "cpu":
                self.generator(replica, step, stream).standard_normal(
                    dtype=np.float32 if dtype == torch.float32 else np.float64, out=out[replica].numpy()
                )
            else:
                key = _mix(_mix(_mix(seed) ^ step) ^ stream)
                out[replica].normal_(generator=torch.Generator(device).manual_seed(key >> 1))
        return out


def _mix(value: int) -> int:
    """SplitMix64 finalizer (Steele, Lea, Flood 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & MASK64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK64
    return value ^ (value >> 31)
