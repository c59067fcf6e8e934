"""Meshes of boundary twists (k-points): theta_j = 2 pi (m + 1/2) / k_j, or 0 where k_j = 1.

A k1 x k2 mesh on an L1 x L2 lattice samples the momenta of a (k1 L1) x (k2 L2) periodic repeat (antiperiodic for
even offsets), and so approaches the thermodynamic limit at the price of many small matrices.
"""

from __future__ import annotations

import itertools
import math

import torch


def check_twists(twists: tuple[int, ...]) -> tuple[int, ...]:
    """Normalize a mesh; raises ValueError unless it is a tuple of integers >= 1."""
    mesh = tuple(twists) if not isinstance(twists, int) else (twists, twists)
    if not mesh or any(int(k) != k or k < 1 for k in mesh):
        raise ValueError(f"twists must be integers >= 1, one per direction, for example (4, 4); got {twists}")
    return tuple(int(k) for k in mesh)


def twist_mesh(
    twists: tuple[int, ...], dimension: int, dtype: torch.dtype, device: torch.device, centred: bool = False
) -> torch.Tensor:
    """All twists of the mesh, (K, d) radians; ``centred``: theta_j = 2 pi m / k_j. Raises ValueError when the mesh has
    another dimension."""
    mesh = (1,) * dimension if all(k == 1 for k in twists) else twists
    if len(mesh) != dimension:
        raise ValueError(f"twists {twists} have {len(twists)} directions, the lattice has {dimension}")
    axes = [[0.0] if k == 1 else [2 * math.pi * (m + (0.0 if centred else 0.5)) / k for m in range(k)] for k in mesh]
    return torch.tensor(list(itertools.product(*axes)), dtype=dtype, device=device)
