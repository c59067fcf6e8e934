"""Initial spin textures: functions of a lattice that return unit spins (B, N, 3).

Every texture takes ``replicas``, ``seed``, ``dtype`` and ``device`` by keyword. Ordered textures are the same in all
replicas; random ones use noise with seed + b for replica b, drawn on the CPU: a replica depends neither on how many
there are nor on the device. ``texture(name, lattice, perturbation=...)`` builds one by name and shakes it. Waves that
do not fit the lattice's periods are refused with the nearest one that does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine.lattice import Lattice
from engine.noise import Noise

SPIN_STREAM, PERTURBATION_STREAM = 101, 102  # noise streams of this file, apart from those of the dynamics
Vector = Sequence[float] | np.ndarray
COMMENSURATE = 1e-6
ORIGIN = np.array([0.11, 0.07])  # generic: no site sits where a superposition of waves vanishes
CRYSTAL_PARAMETERS = {
    0: (0.6, 0.9, 0.0),
    1: (0.7, 0.7, 0.0),
    2: (math.sqrt(0.5), 0.0, math.pi / 2),
}  # n_sk: amplitude, magnetization, phase


def random_spins(
    lattice: Lattice, *, replicas: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32, device: Any = "cpu"
) -> torch.Tensor:
    """Independent spins, uniform on the sphere: infinite temperature."""
    noise = _noise(replicas, seed)
    return _unit(noise.normal(0, (lattice.sites, 3), SPIN_STREAM, dtype=torch.float64)).to(device, dtype)


def random_angles(
    lattice: Lattice, *, replicas: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32, device: Any = "cpu"
) -> torch.Tensor:
    """Polar angle uniform in [0, pi] and azimuth uniform: denser at the poles than the sphere (a published data set)."""
    normal = _noise(replicas, seed).normal(0, (lattice.sites, 2), SPIN_STREAM, dtype=torch.float64)
    uniform = torch.special.ndtr(normal)
    polar, azimuth = math.pi * uniform[..., 0], 2 * math.pi * uniform[..., 1]
    across = torch.sin(polar)
    return torch.stack([across * torch.cos(azimuth), across * torch.sin(azimuth), torch.cos(polar)], -1).to(
        device, dtype
    )


def ferromagnet(
    lattice: Lattice, direction: Vector = (0.0, 0.0, 1.0), *, replicas: int = 1, seed: int = 0,
    dtype: torch.dtype = torch.float32, device: Any = "cpu",
) -> torch.Tensor:  # fmt: skip
    """All spins along ``direction`` (any length but zero)."""
    return _replicated(np.tile(_direction("direction", direction), (lattice.sites, 1)), replicas, dtype, device)


def helix(
    lattice: Lattice, q: Vector | None = None, normal: Vector = (0.0, 0.0, 1.0), phase: float = 0.0, *,
    replicas: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32, device: Any = "cpu",
) -> torch.Tensor:  # fmt: skip
    """S_i = e1 cos(q.r_i + phase) + e2 sin(q.r_i + phase), e1 x e2 = ``normal``, q = (qx, qy).

    q defaults to the fitting wave along b1 whose period is nearest to six cells.
    """
    first, second, _ = _frame(normal)
    turns = max(1, round(lattice.shape[0] / 6)) / lattice.shape[0]
    wave = _commensurate(lattice, turns * lattice.brillouin_zone().reciprocal[0] if q is None else q)
    angle = lattice.positions @ wave + phase
    return _replicated(np.outer(np.cos(angle), first) + np.outer(np.sin(angle), second), replicas, dtype, device)


def neel_120(
    lattice: Lattice, normal: Vector = (0.0, 0.0, 1.0), *, replicas: int = 1, seed: int = 0,
    dtype: torch.dtype = torch.float32, device: Any = "cpu",
) -> torch.Tensor:  # fmt: skip
    """Three-sublattice 120-degree order of the triangular lattice: a helix at K (periods of multiples of 3)."""
    _require(lattice, "triangular", "neel_120")
    point = lattice.brillouin_zone().points["K"]
    return helix(lattice, point, normal, replicas=replicas, seed=seed, dtype=dtype, device=device)


def stripe(
    lattice: Lattice, q: Vector | None = None, direction: Vector = (0.0, 0.0, 1.0), *,
    replicas: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32, device: Any = "cpu",
) -> torch.Tensor:  # fmt: skip
    """Collinear stripes, +-``direction`` by the sign of cos(q.r); q defaults to M (triangular) or X (square)."""
    points = lattice.brillouin_zone().points
    wave = q if q is not None else points["M" if lattice.kind == "triangular" else "X"]
    return _collinear(lattice, wave, direction, replicas, dtype, device)


def antiferromagnet(
    lattice: Lattice, direction: Vector = (0.0, 0.0, 1.0), *, replicas: int = 1, seed: int = 0,
    dtype: torch.dtype = torch.float32, device: Any = "cpu",
) -> torch.Tensor:  # fmt: skip
    """Two-sublattice order of the square lattice, q = (pi, pi); both lengths must be even."""
    _require(lattice, "square", "antiferromagnet")
    return _collinear(lattice, lattice.brillouin_zone().points["M"], direction, replicas, dtype, device)


def tetrahedral(
    lattice: Lattice, handedness: int = 1, *, replicas: int = 1, seed: int = 0,
    dtype: torch.dtype = torch.float32, device: Any = "cpu",
) -> torch.Tensor:  # fmt: skip
    """Four-sublattice order of the triangular lattice, S = (cos M1.r, cos M2.r, cos M3.r) / sqrt 3, both lengths even.

    Chirality ``handedness`` * 4 / (3 sqrt 3) on every triangle, solid angle +-pi, S(q) = 1/3 at each M point.
    Akagi and Motome, J. Phys. Soc. Jpn. 79, 083711 (2010).
    """
    _require(lattice, "triangular", "tetrahedral")
    if handedness not in (1, -1):
        raise ValueError(f"handedness must be 1 or -1, got {handedness}")
    waves = [_commensurate(lattice, q) for q in lattice.brillouin_zone().equivalents["M"][:3]]
    spin = np.sign(np.cos(lattice.positions @ np.array(waves).T)) / math.sqrt(3)
    return _replicated(handedness * spin, replicas, dtype, device)


def skyrmion_crystal(
    lattice: Lattice, n_sk: int = 1, wave_number: float = math.pi / 3, amplitude: float | None = None,
    magnetization: float | None = None, phase: float | None = None, *, replicas: int = 1, seed: int = 0,
    dtype: torch.dtype = torch.float32, device: Any = "cpu",
) -> torch.Tensor:  # fmt: skip
    """Triple-Q skyrmion crystal on the triangular lattice, Q1 = (wave_number, 0), Q2,3 rotated by +-120 degrees.

    S ~ (c1 - c2/2 - c3/2, sqrt(3)/2 (c2 - c3), A (s1 + s2 + s3) + M), c_n = cos Qn.r, s_n = sin(Qn.r + phase), each
    spin divided by its length (Cheng et al., Phys. Rev. Research 5, 033188 (2023), eq. 13). ``amplitude`` A,
    ``magnetization`` M and ``phase`` default to charge -1 (n_sk=1: A = M = 0.7, phase 0) or -2 (n_sk=2: A = 1/sqrt 2,
    M = 0, phase pi/2, a rotated (c1, c2, c3)) per magnetic cell, 48 sites for wave_number = pi/3 (lengths multiples of
    12). n_sk=0: the state without charge that follows in higher fields, (c1, c2, A cos(Q3.r + phase) + M), A = 0.6,
    M = 0.9, phase 0: two waves across the field, one along it, S_z > 0 everywhere (what random spins of the preset
    "skyrmion" relax to at H_z = 0.008).
    Ozawa, Hayami, Motome, Phys. Rev. Lett. 118, 147205 (2017).
    """
    _require(lattice, "triangular", "skyrmion_crystal")
    if n_sk not in CRYSTAL_PARAMETERS:
        raise ValueError(f"n_sk must be 0, 1 or 2 (charge per magnetic cell), got {n_sk}")
    given = (amplitude, magnetization, phase)
    a, m, shift = (d if v is None else float(v) for v, d in zip(given, CRYSTAL_PARAMETERS[n_sk], strict=True))
    turns = wave_number * np.exp(2j * np.pi * np.array([0, 1, -1]) / 3)
    waves = np.array([_commensurate(lattice, (q.real, q.imag)) for q in turns])
    angle = (lattice.positions + ORIGIN) @ waves.T
    c1, c2, c3 = np.cos(angle).T
    if n_sk == 0:
        across, z = (c1, c2), a * np.cos(angle[:, 2] + shift) + m
    else:
        across, z = (c1 - (c2 + c3) / 2, math.sqrt(0.75) * (c2 - c3)), a * np.sin(angle + shift).sum(1) + m
    return _replicated(np.stack([*across, z], 1), replicas, dtype, device)


def single_skyrmion(
    lattice: Lattice, radius: float = 4.0, helicity: float = 0.0, vorticity: int = 1,
    centre: Vector | None = None, polarity: int = -1, *, replicas: int = 1, seed: int = 0,
    dtype: torch.dtype = torch.float32, device: Any = "cpu",
) -> torch.Tensor:  # fmt: skip
    """One skyrmion of charge polarity * vorticity in a ferromagnet along -polarity z.

    S = (sin t cos p, sin t sin p, -polarity cos t), p = vorticity * angle + helicity, t = pi (1 - r / (2 radius)) for
    r < 2 radius: S_z = 0 at ``radius`` (lattice constants). helicity 0 or pi: Neel, +-pi/2: Bloch; vorticity -1:
    antiskyrmion. ``centre`` (x, y) defaults to the middle of the sample. Raises ValueError when it does not fit.
    """
    lattice.primitive_vectors  # noqa: B018  (refuses lattices that are not two-dimensional)
    if polarity not in (1, -1) or int(vorticity) != vorticity or vorticity == 0:
        raise ValueError(f"polarity must be +-1 and vorticity an integer but 0, got {polarity} and {vorticity}")
    heights = abs(np.linalg.det(lattice.periods)) / np.linalg.norm(lattice.periods, axis=1)
    room = float(heights.min()) / 4
    if not abs(vorticity) <= radius <= room:
        raise ValueError(
            f"radius must lie between |vorticity| = {abs(vorticity)} and sample / 4 = {room:.3g}, got {radius}"
        )
    middle = lattice.periods.sum(0) / 2 + ORIGIN if centre is None else np.asarray(centre, dtype=np.float64)
    if middle.shape != (2,) or not np.isfinite(middle).all():
        raise ValueError(f"centre must be two numbers (x, y), got {centre}")
    x, y = _nearest_image(lattice.positions - middle, lattice).T
    tilt = np.pi * (1 - np.minimum(np.hypot(x, y) / (2 * radius), 1))
    angle = vorticity * np.arctan2(y, x) + helicity
    spin = np.stack([np.sin(tilt) * np.cos(angle), np.sin(tilt) * np.sin(angle), -polarity * np.cos(tilt)], 1)
    return _replicated(spin, replicas, dtype, device)


def domain_wall(
    lattice: Lattice, width: float = 2.0, angle: float = 0.0, *, replicas: int = 1, seed: int = 0,
    dtype: torch.dtype = torch.float32, device: Any = "cpu",
) -> torch.Tensor:  # fmt: skip
    """Half of the sample up, half down along a1: two walls (a periodic sample cannot have one), S_z = tanh(x / width).

    ``angle``: in-plane direction of the spins inside the walls (radians).
    """
    if not (math.isfinite(width) and width > 0):
        raise ValueError(f"width must be a positive length, got {width}")
    length = lattice.shape[0] * float(np.linalg.norm(lattice.primitive_vectors[0]))
    along = lattice.cells[:, 0] * length / lattice.shape[0] + 0.5
    z = np.tanh(np.sin(2 * np.pi * along / length) * length / (2 * np.pi * width))
    flat = np.sqrt(np.clip(1 - z**2, 0, None))
    return _replicated(np.stack([flat * math.cos(angle), flat * math.sin(angle), z], 1), replicas, dtype, device)


def perturbed(spin: torch.Tensor, amount: float, seed: int = 0) -> torch.Tensor:
    """Each spin plus ``amount`` times a Gaussian vector (unit variance per component), back to unit length.

    Replica b uses the noise of seed + b. ``amount`` 0 returns the same spins; 0.1 tilts them by about 8 degrees.
    """
    if not (math.isfinite(amount) and amount >= 0):
        raise ValueError(f"amount must be a number >= 0, got {amount}")
    kicks = _noise(len(spin), seed).normal(0, tuple(spin.shape[1:]), PERTURBATION_STREAM, dtype=torch.float64)
    return _unit(spin.double() + amount * kicks.to(spin.device)).to(spin.dtype) if amount > 0 else spin.clone()


@dataclass(frozen=True)
class Texture:
    """An entry of the registry: a one-line ``title`` for the screen and the ``function`` that builds the spins."""

    title: str
    function: Callable[..., torch.Tensor]

    def __call__(self, lattice: Lattice, **options: Any) -> torch.Tensor:
        return self.function(lattice, **options)


TEXTURES: dict[str, Texture] = {
    "random": Texture("Random spins (infinite temperature)", random_spins),
    "random_angles": Texture("Random polar and azimuthal angles", random_angles),
    "ferromagnet": Texture("Ferromagnet", ferromagnet),
    "antiferromagnet": Texture("Antiferromagnet, two sublattices (square)", antiferromagnet),
    "stripe": Texture("Collinear stripes", stripe),
    "neel_120": Texture("120° order, three sublattices (triangular)", neel_120),
    "tetrahedral": Texture("Tetrahedral order, four sublattices (triangular)", tetrahedral),
    "helix": Texture("Helix with a wave vector", helix),
    "skyrmion_crystal": Texture("Skyrmion crystal, none to two per cell (triangular)", skyrmion_crystal),
    "single_skyrmion": Texture("Single skyrmion in a ferromagnet", single_skyrmion),
    "domain_wall": Texture("Two domain walls", domain_wall),
}


def texture(
    name: str, lattice: Lattice, *, perturbation: float = 0.0, replicas: int = 1, seed: int = 0,
    dtype: torch.dtype = torch.float32, device: Any = "cpu", **options: Any,
) -> torch.Tensor:  # fmt: skip
    """A texture of the registry by name, shaken by ``perturbation`` (see :func:`perturbed`). Refuses unknown names."""
    if name not in TEXTURES:
        raise ValueError(f"unknown texture {name!r}; known: {', '.join(TEXTURES)}")
    spin = TEXTURES[name](lattice, replicas=replicas, seed=seed, dtype=dtype, device=device, **options)
    return perturbed(spin, perturbation, seed)


def _noise(replicas: int, seed: int) -> Noise:
    if int(replicas) != replicas or replicas < 1:
        raise ValueError(f"replicas must be an integer >= 1, got {replicas}")
    return Noise([int(seed) + b for b in range(int(replicas))])


def _unit(spin: torch.Tensor) -> torch.Tensor:
    return spin / torch.linalg.vector_norm(spin, dim=-1, keepdim=True)


def _replicated(spin: np.ndarray, replicas: int, dtype: torch.dtype, device: Any) -> torch.Tensor:
    """Unit spins (B, N, 3) from one (N, 3) pattern of any lengths. Raises ValueError where a spin has no direction."""
    if int(replicas) != replicas or replicas < 1:
        raise ValueError(f"replicas must be an integer >= 1, got {replicas}")
    length = np.linalg.norm(spin, axis=1, keepdims=True)
    if not (np.isfinite(length).all() and length.min() > 1e-9):
        raise ValueError("the texture vanishes or is not finite on a site; change its phase, amplitude or field")
    return torch.tensor(spin / length, dtype=dtype, device=device).expand(int(replicas), -1, -1).clone()


def _collinear(
    lattice: Lattice, q: Vector, direction: Vector, replicas: int, dtype: torch.dtype, device: Any
) -> torch.Tensor:
    angle = lattice.positions @ _commensurate(lattice, q)
    sign = np.where(np.cos(angle + 1e-6) >= 0, 1.0, -1.0)
    return _replicated(np.outer(sign, _direction("direction", direction)), replicas, dtype, device)


def _direction(name: str, vector: Vector) -> np.ndarray:
    """A unit vector (3,)."""
    values = np.asarray(vector, dtype=np.float64)
    if values.shape != (3,) or not np.isfinite(values).all() or np.linalg.norm(values) == 0:
        raise ValueError(f"{name} must be three numbers, not all zero, got {vector}")
    return values / np.linalg.norm(values)


def _frame(normal: Vector) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right-handed unit vectors e1, e2, normal; for normal = z they are x, y, z."""
    third = _direction("normal", normal)
    seed_axis = np.array([1.0, 0.0, 0.0]) if abs(third[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    first = seed_axis - third * (seed_axis @ third)
    first /= np.linalg.norm(first)
    return first, np.cross(third, first), third


def _commensurate(lattice: Lattice, q: Vector) -> np.ndarray:
    """The wave vector, made to fit the periods to rounding. Raises ValueError naming the nearest one that fits."""
    wave = np.asarray(q, dtype=np.float64)
    lattice.primitive_vectors  # noqa: B018  (refuses lattices without periods along primitive vectors)
    if wave.shape != (2,) or not np.isfinite(wave).all():
        raise ValueError(f"a wave vector must be two numbers (qx, qy), got {q}")
    turns = lattice.periods @ wave / (2 * np.pi)
    fitting = np.linalg.solve(lattice.periods, 2 * np.pi * np.round(turns))
    if np.abs(turns - np.round(turns)).max() > COMMENSURATE:
        raise ValueError(
            f"the wave ({wave[0]:.6g}, {wave[1]:.6g}) does not fit the {lattice.shape[0]} x {lattice.shape[1]} "
            f"{lattice.kind} lattice: it makes ({turns[0]:.4g}, {turns[1]:.4g}) turns along the periods, which must be "
            f"integers; use ({fitting[0]:.6g}, {fitting[1]:.6g}) or other lengths (skyrmions at pi/3: multiples of 12)"
        )
    return fitting


def _nearest_image(offsets: np.ndarray, lattice: Lattice) -> np.ndarray:
    """The shortest periodic image of offsets (N, 2)."""
    steps = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], indexing="ij"), -1).reshape(-1, 2)
    reduced = offsets - np.round(offsets @ np.linalg.inv(lattice.periods)) @ lattice.periods
    images = reduced[:, None] + steps @ lattice.periods
    shortest = np.square(images).sum(-1).argmin(1)
    return images[np.arange(len(offsets)), shortest]


def _require(lattice: Lattice, kind: str, name: str) -> None:
    if lattice.kind != kind:
        raise ValueError(f"{name} lives on the {kind} lattice, got {lattice.kind!r}; use {kind}(L1, L2)")
