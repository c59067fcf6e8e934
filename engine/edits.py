"""Edits of a texture by hand: functions of spins (B, N, 3) and a lattice that return new spins. Nothing is modified.

A skyrmion is put in by rotations. With n the mean direction of the spins around the place, e1, e2 the x and y axes
turned along with z (or -z, whichever is nearer) onto n, r and phi polar coordinates about the place,

    S' = R(k, theta) S,   k = n x (e1 cos p + e2 sin p),   p = vorticity phi + helicity,   theta = pi (1 - r / 2 radius),

for r < 2 radius: where all spins are n this is the skyrmion of :func:`engine.textures.single_skyrmion`, with S.n = 0 at
``radius``, and a rough texture stays as rough as it was. The charge changes by -vorticity where n points up and by
+vorticity where it points down (core against n). A drag is a permutation of the sites: no spin is lost or made.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch

from engine.lattice import Lattice

LEAST_ORDER = 0.05  # length of the mean spin around a place below which it says no direction; then n = z


def offsets_from(lattice: Lattice, site: int) -> np.ndarray:
    """Shortest periodic displacement (N, d) from ``site`` to every site. Raises ValueError for a site that is not there."""
    if isinstance(site, bool) or int(site) != site or not 0 <= site < lattice.sites:
        raise ValueError(f"site must be a whole number from 0 to {lattice.sites - 1}, got {site!r}")
    offsets = lattice.positions - lattice.positions[int(site)]
    offsets = offsets - np.round(offsets @ np.linalg.inv(lattice.periods)) @ lattice.periods
    steps = np.array(list(itertools.product((-1, 0, 1), repeat=lattice.dimension)))
    images = offsets[:, None] + steps @ lattice.periods
    nearest = np.square(images).sum(-1).argmin(1)
    return images[np.arange(lattice.sites), nearest]


def disc(lattice: Lattice, site: int, radius: float) -> torch.Tensor:
    """Sites within ``radius`` of ``site``, (N,) bool; a ball where the lattice has three dimensions."""
    if not (math.isfinite(radius) and radius >= 0):
        raise ValueError(f"radius must be a length >= 0, got {radius}")
    return torch.tensor(np.linalg.norm(offsets_from(lattice, site), axis=1) <= radius + 1e-9)


def with_skyrmion(
    spin: torch.Tensor, lattice: Lattice, site: int, vorticity: int = 1, helicity: float = 0.0, radius: float = 4.0
) -> torch.Tensor:
    """Spins with one skyrmion more, its core at ``site`` and against the spins around it (equation above).

    vorticity -1: antiskyrmion; helicity (radians) 0 or pi: Neel, +-pi/2: Bloch. Raises ValueError for a lattice that is
    not two-dimensional and regular, and for a radius below |vorticity| or above a quarter of the sample.
    """
    if not lattice.is_regular:
        raise ValueError(f"a skyrmion needs a square or triangular lattice, this one is {lattice.kind}")
    if int(vorticity) != vorticity or vorticity == 0 or not math.isfinite(helicity):
        raise ValueError(f"vorticity must be a whole number but 0 and helicity finite, got {vorticity} and {helicity}")
    heights = abs(np.linalg.det(lattice.periods)) / np.linalg.norm(lattice.periods, axis=1)
    room = float(heights.min()) / 4
    if not abs(vorticity) <= radius <= room:
        raise ValueError(
            f"the radius of a skyrmion here must lie between {abs(vorticity)} and a quarter of the sample, {room:.3g}; "
            f"got {radius}"
        )
    x, y = offsets_from(lattice, site).T
    distance = np.hypot(x, y)
    place = {"dtype": torch.float64, "device": spin.device}
    angle = torch.tensor(vorticity * np.arctan2(y, x) + helicity, **place)  # type: ignore[arg-type]
    turn = torch.tensor(np.pi * (1 - np.minimum(distance / (2 * radius), 1)), **place)  # type: ignore[arg-type]
    around = torch.tensor((distance >= 1.5 * radius) & (distance <= 2.5 * radius), device=spin.device)
    first, second, normal = _frames(spin.double(), around)
    radial = first[:, None] * torch.cos(angle)[:, None] + second[:, None] * torch.sin(angle)[:, None]
    axis = torch.linalg.cross(normal[:, None].expand_as(radial), radial)
    return _rotated(spin.double(), axis, turn).to(spin.dtype)


def flipped(spin: torch.Tensor, sites: torch.Tensor) -> torch.Tensor:
    """Spins with those of ``sites`` (N,) bool reversed."""
    return torch.where(sites.to(spin.device)[:, None], -spin, spin)


def painted(spin: torch.Tensor, sites: torch.Tensor, direction: Sequence[float]) -> torch.Tensor:
    """Spins with those of ``sites`` (N,) bool along ``direction``, any three numbers not all zero."""
    vector = torch.tensor(list(direction), dtype=torch.float64)
    if vector.shape != (3,) or not bool(torch.isfinite(vector).all()) or float(vector.norm()) == 0:
        raise ValueError(f"direction must be three numbers, not all zero, got {direction}")
    unit = (vector / vector.norm()).to(spin.device, spin.dtype)
    return torch.where(sites.to(spin.device)[:, None], unit, spin)


def dragged(spin: torch.Tensor, lattice: Lattice, site: int, to: int, radius: float) -> torch.Tensor:
    """Spins with the disc about ``site`` moved so that its centre comes to ``to``.

    Sites in front of the disc are pushed aside to the places that it leaves, in their order along the way: a
    permutation. Raises ValueError for a lattice that is not regular.
    """
    if not lattice.is_regular:
        raise ValueError(f"dragging moves by a lattice vector; this lattice is {lattice.kind} and has none")
    inside = disc(lattice, site, radius).numpy()
    disc(lattice, to, 0.0)  # refuses a site that is not there
    step = lattice.cells[int(to)] - lattice.cells[int(site)]
    shape = np.array(lattice.shape)

    def moved(cells: np.ndarray, sign: int) -> np.ndarray:
        wrapped = (cells + sign * step) % shape
        return wrapped[:, 0] * lattice.shape[1] + wrapped[:, 1]

    source = np.arange(lattice.sites)
    if not step.any():
        return spin.clone()
    forward, behind = moved(lattice.cells, 1), moved(lattice.cells, -1)
    source[forward[inside]] = np.flatnonzero(inside)
    for left in np.flatnonzero(inside & ~inside[behind]):  # the last of each chain, left empty
        end = left
        while inside[end]:
            end = forward[end]
        source[left] = end
    return spin[:, torch.tensor(source, device=spin.device)]


def _frames(spin: torch.Tensor, around: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """e1, e2, n (B, 3) of each replica: x, y and +-z turned together onto the mean spin of ``around``."""
    mean = spin[:, around].mean(1) if bool(around.any()) else torch.zeros_like(spin[:, 0])
    up = torch.tensor([0.0, 0.0, 1.0], dtype=spin.dtype, device=spin.device).expand_as(mean)
    length = torch.linalg.vector_norm(mean, dim=-1, keepdim=True)
    normal = torch.where(length > LEAST_ORDER, mean / length.clamp_min(1e-30), up)
    pole = torch.where(normal[:, 2:] < 0, -up, up)
    # R v = v + w x v + w x (w x v) / (1 + cos), w = pole x n: the shortest turn of the pole onto n
    w = torch.linalg.cross(pole, normal)
    cosine = (pole * normal).sum(-1, keepdim=True)

    def turned(vector: tuple[float, float, float]) -> torch.Tensor:
        v = torch.tensor(vector, dtype=spin.dtype, device=spin.device).expand_as(w)
        across = torch.linalg.cross(w, v)
        return v + across + torch.linalg.cross(w, across) / (1 + cosine)

    return turned((1.0, 0.0, 0.0)), turned((0.0, 1.0, 0.0)), normal


def _rotated(spin: torch.Tensor, axis: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Rotation of spins (B, N, 3) about unit axes (B, N, 3) by angles (N,): Rodrigues' formula. Unit length is restored."""
    cosine, sine = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
    along = (axis * spin).sum(-1, keepdim=True)
    turned = spin * cosine + torch.linalg.cross(axis, spin) * sine + axis * along * (1 - cosine)
    new = turned / torch.linalg.vector_norm(turned, dim=-1, keepdim=True)
    return torch.where((angle > 0)[:, None], new, spin)
