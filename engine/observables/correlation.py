"""Correlation length of spin order: the distance at which its correlations have fallen to 1/e.

    C(r) = < S_0 . S_r > = sum_q S(q) exp(i q.r)

Order at a finite momentum Q makes C oscillate under an envelope. Moving the peaks of S(q) at Q, and at the momenta that
symmetry makes equivalent, to the origin, and averaging over the directions of r, leaves the envelope alone:

    G(r) = sum_q S(q) J0(|q - Q| r) / sum_q S(q),      G(xi) = 1/e,      Q the equivalent peak nearest to q,

so that exp(-r / xi) has its xi. By dynamic scaling, C(r, t) = f(r / L(t)), xi grows with the exponent of the domains
(A. J. Bray, Adv. Phys. 43, 357 (1994), sec. 2). Weak thermal noise lowers G by its share of sum_q S(q) and no more, where
first moments of S(q) such as :func:`engine.observables.peak_length` gain from every noisy momentum; noise of a share
beyond 1 - 1/e hides all order.

Q is the highest momentum other than Γ, and S(Γ), the square of the magnetization that a field makes, is left out of the
sums. Where S decreases from Γ on (its mean over the shortest momenta is not below half of that over the peaks) the
order is that of a ferromagnet: Q = Γ, which counts, but for no more than twice that mean: what is beyond is a uniform
magnetization, not a correlation. If G falls to 1/e nowhere within half of sqrt(area) the sample is one domain, and the
length is sqrt(area), as for domains. The shortest length is that of noise, 0.7 to 2: the more equivalent peaks there
are, the nearer is one of them.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch

from engine.lattice import Lattice
from engine.observables.domains import ROUNDING, Momentum, distance_to_peaks
from engine.observables.spin import checked_spin
from engine.observables.structure_factor import field_structure_factor

GAMMA: Momentum = (0.0, 0.0)
LEVEL = math.exp(-1)
RADIUS_STEP = 0.25  # lattice constants; G is taken as straight in between
FINENESS = 8  # bins of |q - Q| per spacing of the momenta: phases right to pi / 16 at the largest radius


def correlation_length(spin: torch.Tensor | np.ndarray, lattice: Lattice) -> torch.Tensor:
    """xi (B,), float64, in lattice constants, of spins (B, N, 3). Raises ValueError for random sites or another shape."""
    lattice.momenta()  # refuses lattices without a zone
    return length_of_structure(field_structure_factor(checked_spin(spin, lattice), lattice), lattice)


def length_of_structure(structure: torch.Tensor, lattice: Lattice) -> torch.Tensor:
    """xi (B,) as :func:`correlation_length`, from S(q) (B, N) on the grid of ``lattice.momenta()``."""
    radius, envelope = correlation_envelope(structure, lattice)
    below = envelope <= LEVEL
    after = below.to(torch.int64).argmax(1).clamp(min=1)
    high, low = (envelope.gather(1, index[:, None])[:, 0] for index in (after - 1, after))
    share = (high - LEVEL) / torch.where(high > low, high - low, 1.0)
    largest = math.sqrt(abs(np.linalg.det(lattice.periods)))
    return torch.where(below.any(1), radius[after - 1] + share * RADIUS_STEP, largest)


def correlation_envelope(structure: torch.Tensor, lattice: Lattice) -> tuple[torch.Tensor, torch.Tensor]:
    """Radii r (R,) up to half of sqrt(area), and G(r) (B, R) of S(q) (B, N); G = 1 where S is zero everywhere."""
    if structure.ndim != 2 or structure.shape[1] != lattice.sites:
        raise ValueError(f"structure must have shape (B, {lattice.sites}), got {tuple(structure.shape)}")
    kernel = torch.as_tensor(_bessel(lattice), device=structure.device)
    spectrum = structure.new_zeros((len(structure), kernel.shape[1]), dtype=torch.float64)
    for replica, values in enumerate(structure.double()):
        centre = _ordering(values, lattice)
        index = torch.as_tensor(_bins(lattice, centre), device=values.device)
        weights = values.clone()
        shortest = values[torch.as_tensor(_shortest(lattice), device=values.device)].mean()
        weights[0] = torch.minimum(values[0], 2 * shortest) if centre == GAMMA else 0.0
        spectrum[replica].index_add_(0, index, weights)
    total = spectrum.sum(1, keepdim=True)
    total = torch.where(total > ROUNDING * structure.sum(1, keepdim=True), total, 0.0)  # else all is uniform
    spectrum = torch.where(total > 0, spectrum / torch.where(total > 0, total, 1.0), 0.0)
    envelope = torch.where(total > 0, spectrum @ kernel.T, 1.0)
    return torch.arange(len(kernel), device=structure.device) * RADIUS_STEP, envelope


def _ordering(structure: torch.Tensor, lattice: Lattice) -> Momentum:
    """One of the peaks Q of S(q) (N,), or Γ for a ferromagnet; see the top of the file."""
    qx, qy = lattice.momenta()[1 + int(structure[1:].argmax())]
    peak = (float(qx), float(qy))
    star = torch.as_tensor(distance_to_peaks(lattice, peak) < ROUNDING, device=structure.device)
    shortest = torch.as_tensor(_shortest(lattice), device=structure.device)
    return GAMMA if 2 * structure[shortest].mean() >= structure[star].mean() else peak


@lru_cache(maxsize=8)
def _shortest(lattice: Lattice) -> np.ndarray:
    """Indices of the shortest momenta other than Γ."""
    length = distance_to_peaks(lattice, GAMMA)
    return np.flatnonzero((length > ROUNDING) & (length < length[1:].min() + ROUNDING))


def _spacing(lattice: Lattice) -> float:
    """Width of the bins of |q - Q|."""
    return 2 * math.pi / (FINENESS * math.sqrt(abs(np.linalg.det(lattice.periods))))


@lru_cache(maxsize=16)
def _bins(lattice: Lattice, centre: Momentum) -> np.ndarray:
    """Number (N,) of the bin of |q - Q| of every grid momentum; bins are centred at multiples of their width."""
    return np.rint(distance_to_peaks(lattice, centre) / _spacing(lattice)).astype(np.int64)


@lru_cache(maxsize=8)
def _bessel(lattice: Lattice) -> np.ndarray:
    """J0(k r), (R, K), of all radii and all bins of any centre: no momentum is farther from Q than a corner from Γ."""
    reach = float(np.linalg.norm(lattice.brillouin_zone().vertices, axis=1).max())
    k = torch.arange(math.ceil(reach / _spacing(lattice)) + 1, dtype=torch.float64) * _spacing(lattice)
    half = math.sqrt(abs(np.linalg.det(lattice.periods))) / 2
    r = torch.arange(0.0, half + RADIUS_STEP / 2, RADIUS_STEP, dtype=torch.float64)
    return np.asarray(torch.special.bessel_j0(r[:, None] * k))
