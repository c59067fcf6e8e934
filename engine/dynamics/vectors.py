"""Three-vectors stored component first: (3, B, N), the memory order in which a step computes.

Spins are *seen* as (B, N, 3) everywhere else; :func:`sites_last` and :func:`components_first` only change the view
when the memory already has this order. Cross products then work on long contiguous rows.
"""

from __future__ import annotations

import torch

from engine.state import SpinState

MANY_SITES = 20_000


def components_first(vectors: torch.Tensor) -> torch.Tensor:
    """(B, N, 3) -> contiguous (3, B, N); copies only when the memory has another order."""
    return vectors.movedim(-1, 0).contiguous()


def sites_last(vectors: torch.Tensor) -> torch.Tensor:
    """(3, B, N) -> (B, N, 3), a view."""
    return vectors.movedim(0, -1)


def in_step_order(state: SpinState) -> SpinState:
    """The same state with spins in component-first memory, so that results do not depend on where it came from."""
    if state.spin.movedim(-1, 0).is_contiguous():
        return state
    return state.with_spin(sites_last(components_first(state.spin)))


def cross(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """left x right of two (3, B, N) fields.

    Few sites: two operations on fields continued cyclically to x, y, z, x, y, because calls cost more than bytes.
    Many sites: row by row without copies, because bytes cost more than calls.
    """
    if left[0].numel() < MANY_SITES:
        left, right = torch.cat((left, left[:2])), torch.cat((right, right[:2]))
        return torch.addcmul(left[1:4] * right[2:5], left[2:5], right[1:4], value=-1)
    product = torch.empty_like(right)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        torch.mul(left[j], right[k], out=product[i]).addcmul_(left[k], right[j], value=-1)
    return product


def normalised(vectors: torch.Tensor) -> torch.Tensor:
    """Unit vectors (3, B, N)."""
    return vectors * (vectors * vectors).sum(0).rsqrt_()


def rotated(spin: torch.Tensor, half: torch.Tensor) -> torch.Tensor:
    """Cayley rotation: the S' (3, B, N) that solves S' - S = (S + S') x b, with b = ``half`` (3, B, N).

    With u = S + S x b:  S' = S + 2/(1 + b^2) u x b. The length of S is kept to rounding.
    """
    inclined = spin + cross(spin, half)
    weight = (half * half).sum(0).add_(1).reciprocal_().mul_(2)
    return torch.addcmul(spin, cross(inclined, half), weight)
