"""Scalar chirality and topological charge of spin textures.

For a counter-clockwise triangle (a, b, c) of the lattice:

    chi   = S_a . (S_b x S_c)
    tan(Omega / 2) = chi / (1 + S_a.S_b + S_b.S_c + S_c.S_a),      Omega in (-2 pi, 2 pi],
    charge = (4 pi)^-1 sum over triangles of Omega.

Omega is the signed area of the spherical triangle (Berg and Luescher, Nucl. Phys. B 190, 412 (1981)). The plaquettes
tile the torus once, so the charge is an integer for every generic configuration: spins on the torus wrap the sphere a
whole number of times. A skyrmion whose core points down in a background that points up has charge -1.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch

from engine.lattice import Lattice
from engine.observables.spin import checked_spin


def scalar_chirality(spin: torch.Tensor | np.ndarray, lattice: Lattice) -> torch.Tensor:
    """S_a . (S_b x S_c) of every plaquette, (B, P), between -1 and 1. Raises ValueError without plaquettes."""
    return _triple(_corners(checked_spin(spin, lattice), lattice))


def topological_charge_density(spin: torch.Tensor | np.ndarray, lattice: Lattice) -> torch.Tensor:
    """Omega / (4 pi) of every plaquette, (B, P), float64: the share of the sphere that its spins cover."""
    unit = checked_spin(spin, lattice).double()
    a, b, c = _corners(unit / torch.linalg.vector_norm(unit, dim=-1, keepdim=True), lattice)
    projection = 1 + _dot(a, b) + _dot(b, c) + _dot(c, a)
    return torch.atan2(_triple((a, b, c)), projection) / (2 * math.pi)


def topological_charge(spin: torch.Tensor | np.ndarray, lattice: Lattice) -> torch.Tensor:
    """Charge (B,), float64, an integer to 1e-6 for any generic spins (B, N, 3). Raises ValueError without plaquettes.

    Undefined (and reported with either sign) where three spins of a triangle lie on a great circle and go round it.
    """
    return topological_charge_density(spin, lattice).sum(1)


Corners = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _corners(spin: torch.Tensor, lattice: Lattice) -> Corners:
    """Spins at the three corners of every plaquette, components first: three tensors (3, B, P)."""
    if len(lattice.plaquettes) == 0:
        raise ValueError(
            f"chirality and charge need a lattice with plaquettes (square, triangular), got {lattice.kind!r}"
        )
    rows = spin.contiguous()  # whole spins are gathered much faster than single components
    a, b, c = (rows.index_select(1, corner).movedim(-1, 0) for corner in _corner_sites(lattice, spin.device))
    return a, b, c


@lru_cache(maxsize=8)
def _corner_sites(lattice: Lattice, device: torch.device) -> torch.Tensor:
    """First, second and third corner of every plaquette, (3, P)."""
    return torch.tensor(lattice.plaquettes.T, device=device).contiguous()


def _dot(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return left[0] * right[0] + left[1] * right[1] + left[2] * right[2]


def _triple(corners: Corners) -> torch.Tensor:
    """a . (b x c), (B, P)."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners
    return ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
