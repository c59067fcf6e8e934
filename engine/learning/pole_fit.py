r"""Few poles, fitted: the function of the electrons' energies that gives the forces of data best.

    f~(x) = c0 + c1 x + c2 x^2 + sum_p 2 Re [w_p / (xi_p - x)],      x = e - mu,

stands for the Fermi function. Uniformly on the whole spectrum two poles can only be wrong by tens of per cent; forces,
though, are sums over a smooth density of states, and what is smooth is integrated well by few points. The polynomial costs
nothing: traces of h and h^2 do not depend on unit spins. With levels e_k of exactly diagonalized records and the spins
s_k = <k|sigma|k>,

    h_i = J sum_k f~(e_k - mu) s_k(i)     (transverse part),          sum_k f~(e_k - mu) = number of electrons

where the filling is fixed, so that f~ has a chemical potential of its own. All parameters follow from the nonlinear least
squares of the fields, dmu included; Heisenberg shells stand for what another network will learn. A prior, f~ = f on the
whole spectrum, is weakened in steps; of what comes after the first fit the best is taken whose number of electrons rises
with mu in every record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from engine.electrons.ensemble import occupation, solve_chemical_potential
from engine.electrons.twists import twist_mesh
from engine.learning.network import transverse
from engine.models import SDModel

PRIORS = (1.0, 0.3, 0.1, 0.03, 0.003)  # of all fields: weight of the Fermi function itself, in turns
MULTIPLES = (1.0, 1.5, 0.7)  # of the poles that are given: the fit has more than one minimum
LEAST_RISE = 0.2  # smallest dN/dmu of a record, of their mean
SAMPLES = 400  # points of the spectrum for the prior
STEPS = 60  # of the least squares
POLYNOMIAL = 3
ASTRAY = 0.3  # a chemical potential so far from the exact one is not where to begin


@dataclass(frozen=True)
class Spectrum:
    """One record: levels e - mu (K n,) of all K twists; spins of the levels (K n, 3 N), times J / K; ``beside`` (m, 3 N):
    fields of other functions; ``field`` (3 N,): the exact one; all transverse. ``number``: electrons of all twists, None
    where mu is fixed; ``chemical_potential``: the exact mu."""

    levels: np.ndarray
    spins: np.ndarray
    beside: np.ndarray
    field: np.ndarray
    number: float | None
    chemical_potential: float


@dataclass(frozen=True)
class RationalStep:
    """f~ in units of the hopping: poles xi and weights w (P,) complex, polynomial (c0, c1, c2)."""

    poles: np.ndarray
    weights: np.ndarray
    polynomial: np.ndarray

    def occupation(self, x: np.ndarray) -> np.ndarray:
        """f~(x)."""
        return np.polyval(self.polynomial[::-1], x) + 2 * (self.weights / (self.poles - x[:, None])).real.sum(1)

    def slope(self, x: np.ndarray) -> np.ndarray:
        """df~/dx."""
        polynomial = np.polyval(np.polyder(self.polynomial[::-1]), x)
        return polynomial + 2 * (self.weights / (self.poles - x[:, None]) ** 2).real.sum(1)


def spectrum(
    model: SDModel, twists: tuple[int, ...], spin: torch.Tensor, force: torch.Tensor, temperature: float,
    chemical_potential: float | None, filling: float | None, shells: int,
) -> Spectrum:  # fmt: skip
    """Of one record: spin and exact force (N, 3)."""
    matrix = model.matrix(spin[None])
    thetas = twist_mesh(twists, 2, spin.dtype, spin.device, centred=True)
    dense = matrix.add_onsite(matrix.to_dense_bonds(thetas).clone())[0]
    values, vectors = torch.linalg.eigh(dense)
    up, down = vectors.unflatten(1, (-1, 2)).unbind(2)  # (K, N, n)
    cross = 2 * up.conj() * down
    spins = torch.stack((cross.real, cross.imag, up.abs() ** 2 - down.abs() ** 2), 2)  # (K, N, 3, n)
    spins = transverse(spins.movedim(3, 1), spin) * (model.coupling / len(thetas))
    levels = values.double().flatten()
    number = None if filling is None else filling * len(levels)
    if chemical_potential is None:
        wanted = levels.new_tensor([number])
        chemical_potential = float(
            solve_chemical_potential(levels[None], torch.ones_like(levels)[None], wanted, temperature)
        )
    pairs, beside = torch.from_numpy(model.lattice.bonds), []
    for shell in range(1, shells + 1):
        first, second = pairs[torch.from_numpy(model.lattice.shells == shell)].T
        field = torch.zeros_like(spin).index_add_(0, first, spin[second]).index_add_(0, second, spin[first])
        beside.append(transverse(field, spin))
    return Spectrum(
        levels.numpy() - chemical_potential, spins.flatten(0, 1).flatten(1).numpy(), torch.stack(beside).flatten(1).numpy(),
        transverse(force, spin).flatten().numpy(), number, chemical_potential,
    )  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """``function`` f~; ``epsilon`` on the records it was fitted to; per record, the ``chemical_potentials`` of f~ and its
    ``rise`` dN/dmu per spin-orbital there."""

    function: RationalStep
    epsilon: float
    chemical_potentials: np.ndarray
    rise: np.ndarray


def fit_poles(spectra: Sequence[Spectrum], temperature: float, poles: Sequence[complex], nearest: float = 0.0) -> Fit:
    """The best f~ with as many poles, beginning from these and from some multiples of them; Im xi > ``nearest``."""
    from scipy.optimize import least_squares  # here, so that forces and dynamics need torch and numpy alone

    problem, best = _Problem(spectra, temperature, len(poles), nearest), None
    for multiple in MULTIPLES:
        parameters = problem.begin(multiple * np.asarray(poles))
        for prior in PRIORS:
            problem.prior = prior
            parameters = least_squares(problem.residual, parameters, problem.jacobian, max_nfev=STEPS, x_scale="jac").x
            fit = problem.fit(parameters)
            if best is None or (fit.epsilon < best.epsilon and fit.rise.min() > LEAST_RISE * fit.rise.mean()):
                best = fit
    assert best is not None
    return best


class _Problem:
    """Residuals of all records, relative to all fields, as a function of (Re xi, ln (Im xi - nearest), Re w, Im w, c,
    beside)."""

    def __init__(self, spectra: Sequence[Spectrum], temperature: float, count: int, nearest: float) -> None:
        self.spectra, self.count, self.nearest = spectra, count, nearest
        self.length = float(np.linalg.norm([np.linalg.norm(s.field) for s in spectra]))
        self.x = np.linspace(min(s.levels.min() for s in spectra), max(s.levels.max() for s in spectra), SAMPLES)
        self.fermi = occupation(torch.from_numpy(self.x), temperature).numpy()
        self.prior = PRIORS[0]
        self.mu = [0.0] * len(spectra)  # of f~, against the exact one; where Newton's method begins

    def function(self, parameters: np.ndarray) -> RationalStep:
        real, imaginary, a, b = parameters[: 4 * self.count].reshape(4, -1)
        poles = real + 1j * (self.nearest + np.exp(imaginary))
        return RationalStep(poles, a + 1j * b, parameters[4 * self.count :][:POLYNOMIAL])

    def fit(self, parameters: np.ndarray) -> Fit:
        """What these parameters make of the records."""
        error = float(np.linalg.norm(self.residual(parameters)[:-SAMPLES]))
        f, moved = self.function(parameters), list(zip(self.spectra, self.mu, strict=True))
        known = np.array([s.chemical_potential + shift for s, shift in moved])
        return Fit(f, error, known, np.array([-f.slope(s.levels - shift).mean() for s, shift in moved]))

    def begin(self, poles: np.ndarray) -> np.ndarray:
        """Weights by linear least squares of fields and, strongly, numbers at the exact chemical potential."""
        poles = poles.real + 1j * np.maximum(poles.imag, 1.1 * self.nearest)
        rows, wanted = [], []
        for s in self.spectra:
            columns = self._linear(s.levels, poles)
            rows.append(np.concatenate([s.spins.T @ columns.astype(s.spins.dtype), s.beside.T], 1))
            wanted.append(s.field)
            if s.number is not None:
                weight = 10 * np.linalg.norm(s.field) / len(s.levels)
                rows.append(np.append(columns.sum(0), np.zeros(len(s.beside)))[None] * weight)
                wanted.append(np.array([s.number * weight]))
        prior = np.concatenate([self._linear(self.x, poles), np.zeros((SAMPLES, len(self.spectra[0].beside)))], 1)
        weight = self.prior * self.length / SAMPLES**0.5
        design, right = np.concatenate([*rows, prior * weight]), np.concatenate([*wanted, self.fermi * weight])
        found = np.linalg.lstsq(design, right, rcond=1e-10)[0]
        return np.concatenate([poles.real, np.log(poles.imag - self.nearest), found])

    @staticmethod
    def _linear(x: np.ndarray, poles: np.ndarray) -> np.ndarray:
        """f~(x) by Re w, Im w and c."""
        cauchy = 2 / (poles - x[:, None])
        return np.concatenate([cauchy.real, -cauchy.imag, x[:, None] ** np.arange(POLYNOMIAL)], 1)

    def _moved(self, number: int, f: RationalStep) -> np.ndarray:
        """Levels of a record against the chemical potential that f~ has there."""
        s = self.spectra[number]
        if s.number is None:
            return s.levels
        mu = self.mu[number] if abs(self.mu[number]) < ASTRAY else 0.0
        for _ in range(30):
            x = s.levels - mu
            step = (f.occupation(x).sum() - s.number) / f.slope(x).sum()
            mu += float(np.clip(step, -0.2, 0.2))
            if abs(step) < 1e-9:
                break
        self.mu[number] = mu
        return s.levels - mu

    def residual(self, parameters: np.ndarray) -> np.ndarray:
        f, beside, parts = self.function(parameters), parameters[4 * self.count + POLYNOMIAL :], []
        for number, s in enumerate(self.spectra):
            occupation = f.occupation(self._moved(number, f)).astype(s.spins.dtype)
            parts.append((occupation @ s.spins + beside @ s.beside - s.field) / self.length)
        parts.append((f.occupation(self.x) - self.fermi) * (self.prior / SAMPLES**0.5))
        return np.concatenate(parts).astype(np.float64)

    def jacobian(self, parameters: np.ndarray) -> np.ndarray:
        f, parts = self.function(parameters), []
        for number, s in enumerate(self.spectra):
            x = self._moved(number, f)
            columns = self._by_parameters(x, f)
            if s.number is not None:  # dmu/dparameter = (dN/dparameter) / sum_k f~'(x_k)
                slope = f.slope(x)
                columns = columns - slope[:, None] * (columns.sum(0) / slope.sum())
            parts.append(np.concatenate([s.spins.T @ columns.astype(s.spins.dtype), s.beside.T], 1) / self.length)
        prior = self._by_parameters(self.x, f) * (self.prior / SAMPLES**0.5)
        parts.append(np.concatenate([prior, np.zeros((SAMPLES, len(self.spectra[0].beside)))], 1))
        return np.concatenate(parts).astype(np.float64)

    def _by_parameters(self, x: np.ndarray, f: RationalStep) -> np.ndarray:
        square = -2 * f.weights / (f.poles - x[:, None]) ** 2
        return np.concatenate([square.real, -square.imag * (f.poles.imag - self.nearest), self._linear(x, f.poles)], 1)
