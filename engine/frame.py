"""Frame: what a simulation shows at one instant, in NumPy. The only door out of torch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.lattice import Lattice


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture of a run.

    step, time (B,) float64; spin (B, N, 3) float32; observables: name -> array with leading axis B (float32 or
    float64); ``lattice`` is shared, not copied. parameters: name -> numbers (NaN: there is none) or text that held when
    the frame was made; empty where nobody noted them.
    """

    step: int
    time: np.ndarray
    spin: np.ndarray
    lattice: Lattice
    observables: dict[str, np.ndarray] = field(default_factory=dict)
    parameters: dict[str, np.ndarray | str] = field(default_factory=dict)
