"""Pole expansion: the density matrix as a few resolvents, near-exact at low temperature and without noise.

    rho = c + sum_p [ T w_p G(z_p) + h.c. ],    G(z) = (z - h)^-1,    z_p = mu + T zeta_p        (engine.electrons.rational)
    Omega = T { C n + c Tr(h - mu) / T - sum_p 2 Re[ w_p ln det((z_p - h) / T) ] }

so that rho is the derivative of the returned Omega to rounding, for any number of poles; f itself is wrong by at most
``tolerance``. G is needed on sites and bonds only: selected inversion (engine.electrons.resolvent). The cost grows like
L^3 on L x L sites and with ln(1/T) ln(1/tolerance), where Chebyshev's grows with 1/T; there are no probes.

Measured on one busy core: CPU seconds of one force and transverse error relative to the transverse rms, against exact
diagonalization in double precision, on random spins of the preset "skyrmion" (t1 = 1, t3 = -0.85, J = 0.5, mu = -3.5):

                                        24 x 24, T = 0.005   24 x 24, T = 0.01    48 x 48, T = 0.005
    tolerance 0.03,  complex64          8e-3    0.6 s        2e-2    0.2 s        6e-3    1.5 s
    tolerance 1e-3,  complex64          1e-4    0.3 s        2e-5    0.3 s        1e-4    1.8 s
    tolerance 1e-6,  complex64          8e-6    0.5 s        5e-6    0.3 s        7e-6    3.3 s
    tolerance 1e-6,  complex128         2e-7    0.7 s        4e-7    0.6 s        2e-7    5.5 s
    diagonalization, complex64          1e-5    0.9 s        1e-5    0.5 s
    Chebyshev, all columns, M = 500     2e-2     11 s        4e-3     12 s
    Chebyshev, all columns, M = 1000    3e-3     24 s        9e-5     25 s
    Chebyshev, 128 columns, M = 500     0.56    1.0 s        0.56    1.2 s
    Chebyshev, 288 columns, M = 500     0.22    2.5 s        0.22    2.9 s

(diagonalization of 48 x 48 in complex128: 73 s.) 48 x 48 at T = 0.01 against 128 plain columns, M = 500, taken in turns on
one core, medians of processor seconds: columns 0.53 of error in 0.44 s; poles with tolerance 0.1 (four) 0.014 in 0.40 s,
0.01 (five) 0.001 in 0.50 s, 1e-3 (seven) 1e-5 in 0.71 s. (The table was measured before selected inversion was made faster.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from engine.block_matrix import BlockMatrix
from engine.electrons import series
from engine.electrons.chebyshev import KernelPolynomial
from engine.electrons.electrons import Electrons, ElectronSolver
from engine.electrons.ensemble import Ensemble
from engine.electrons.probes import RandomPhase
from engine.electrons.rational import FermiPoles, fermi_poles
from engine.electrons.resolvent import Resolvent
from engine.electrons.spectral_moments import check_window
from engine.electrons.twists import check_twists, twist_mesh

NEWTON_STEPS = 80  # each is one round of all poles; bisection steps included
FILLING_ERROR = {torch.complex128: 1e-11, torch.complex64: 1e-7}  # per spin-orbital
WRONG = 1e-3  # per spin-orbital: no chemical potential was found
GUESS_MOMENTS, GUESS_COLUMNS = 96, 16  # of the Chebyshev estimate that Newton's method starts from
LEAST_TOLERANCE = {torch.complex128: 1e-8, torch.complex64: 1e-6}  # what the arithmetic can hold


@dataclass(frozen=True)
class PoleExpansion(ElectronSolver):
    """Fermi operator expansion by poles and selected inversion.

    Parameters
    ----------
    tolerance : largest error of the Fermi function on the spectrum's window; default: 1e-8 in double precision, 1e-6 in
    single. Poles needed: about 0.2 ln(bandwidth / T) ln(1 / tolerance).
    twists : mesh of boundary twists, as in ExactDiagonalization.
    window : (low, high) enclosing the spectrum; default: bounds that are always safe.
    dtype : torch.complex64 or torch.complex128; default: the partner of the state's dtype.
    memory : bytes for the fronts of the resolvents that are treated at once.

    Raises ValueError for wrong numbers, T = 0 (a step has no finite pole expansion) or, from solve, a window that does not
    enclose the spectrum; MemoryError when one resolvent does not fit.
    """

    tolerance: float | None = None
    twists: tuple[int, ...] = (1, 1)
    window: tuple[float, float] | None = None
    dtype: torch.dtype | None = None
    memory: int = 2**29

    def __post_init__(self) -> None:
        if self.tolerance is not None and not 1e-11 <= self.tolerance <= 0.1:
            raise ValueError(f"tolerance must lie between 1e-11 and 0.1, got {self.tolerance}")
        if self.window is not None and not (len(self.window) == 2 and self.window[0] < self.window[1]):
            raise ValueError(f"window must be (low, high) with low < high, got {self.window}")
        if self.dtype not in (None, torch.complex64, torch.complex128):
            raise ValueError(f"dtype must be torch.complex64 or torch.complex128, got {self.dtype}")
        if self.memory <= 0:
            raise ValueError(f"memory must be a positive number of bytes, got {self.memory}")
        object.__setattr__(self, "twists", check_twists(self.twists))

    def solve(self, matrix: BlockMatrix, ensemble: Ensemble, step: int = 0) -> Electrons:
        if ensemble.temperature == 0:
            raise ValueError(
                "a pole expansion needs a temperature > 0, got 0; give the electrons one (for example 0.005), or use "
                "ExactDiagonalization"
            )
        matrix = matrix.to(self.dtype or matrix.onsite.dtype)
        if self.window is not None:
            check_window(matrix.detach(), self.window, self.twists)
        thetas = twist_mesh(self.twists, matrix.lattice.dimension, matrix.onsite.real.dtype, matrix.onsite.device)
        problem = _Problem(self, matrix, matrix.twist_phases(thetas), ensemble.temperature)
        if ensemble.chemical_potential is not None:
            mu = torch.full((matrix.replicas,), ensemble.chemical_potential, dtype=torch.float64).to(thetas.device)
        else:
            assert ensemble.filling is not None
            mu = problem.chemical_potential(ensemble.filling * matrix.size)
        onsite, _, energy, _ = problem.evaluate(mu, determinants=True)
        number = torch.diagonal(onsite, dim1=-2, dim2=-1).real.double().sum((1, 2))
        assert energy is not None
        if ensemble.filling is not None:
            energy = energy + mu * ensemble.filling * matrix.size

        def bonds() -> torch.Tensor:
            found = _Problem(self, matrix, problem.phases, ensemble.temperature, True).evaluate(mu, pairs=True)[1]
            assert found is not None
            return found

        return Electrons(energy, number, mu, onsite, bonds, problem.density_of_states, matrix)


class _Problem:
    """One call: R replicas times K twists at one temperature."""

    def __init__(
        self, solver: PoleExpansion, matrix: BlockMatrix, phases: torch.Tensor, temperature: float, pairs: bool = False
    ) -> None:
        self.matrix, self.phases, self.temperature = matrix, phases, temperature
        self.window = solver.window or series.spectral_bounds(matrix)
        self.tolerance = solver.tolerance or LEAST_TOLERANCE[matrix.onsite.dtype]
        self.resolvent = Resolvent(matrix, phases, pairs)
        one = self.resolvent.tree.numbers(matrix.components) * matrix.onsite.element_size()
        self.chunk = solver.memory // one
        if self.chunk < 1:
            raise MemoryError(
                f"one resolvent of {matrix.lattice.sites} sites needs {one / 2**20:.3g} MiB, the limit is "
                f"{solver.memory / 2**20:.3g} MiB; raise memory= or use complex64"
            )

    def poles(self, mu: torch.Tensor) -> FermiPoles:
        """Those that serve all replicas."""
        low, high = self.window
        t = self.temperature
        return fermi_poles((low - float(mu.max())) / t, (high - float(mu.min())) / t, self.tolerance)

    def evaluate(
        self, mu: torch.Tensor, pairs: bool = False, determinants: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, torch.Tensor]:
        """rho_ii (R, N, o, o), rho_ij on bonds (R, E, o, o) or None, Omega (R,) or None, dN/dmu (R,)."""
        matrix, t, twists = self.matrix, self.temperature, len(self.phases)
        found = self.poles(mu)
        weights = torch.as_tensor(t * found.weights, device=mu.device)
        slopes = torch.as_tensor(found.slope, device=mu.device)
        onsite = torch.zeros_like(matrix.onsite)
        bonds = onsite.new_zeros((matrix.replicas, self.phases.shape[1], *onsite.shape[2:])) if pairs else None
        omega = torch.zeros_like(mu)
        slope = torch.full_like(mu, found.slope_constant * matrix.size / t)
        zeta = torch.as_tensor(found.poles, device=mu.device)
        for system, pole in self._pieces(len(zeta)):
            replica, w = system // twists, weights[pole]
            green, beside, logarithm = self.resolvent(mu[replica] + t * zeta[pole], system, pairs, determinants)
            scaled = green * w.to(green.dtype)[:, None, None, None]
            onsite.index_add_(0, replica, (scaled + scaled.mH) / twists)
            trace = torch.diagonal(green, dim1=-2, dim2=-1).sum((1, 2)).to(w.dtype)
            slope.index_add_(0, replica, 2 * (slopes[pole] * trace).real / twists)
            if bonds is not None and beside is not None:
                w = w.to(green.dtype)[:, None, None, None]
                both = (w * beside[0] + (w * beside[1]).mH) * self.phases[system % twists].conj()[..., None, None]
                bonds.index_add_(0, replica, both / twists)
            if logarithm is not None:
                omega.index_add_(0, replica, -2 * (w * (logarithm - matrix.size * math.log(t))).real / twists)
        torch.diagonal(onsite, dim1=-2, dim2=-1).add_(found.constant)
        trace = matrix.mean_trace(self.phases)
        omega = omega + t * found.energy_constant * matrix.size + found.constant * (trace - mu * matrix.size)
        return onsite, bonds, omega if determinants else None, slope

    def _pieces(self, poles: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(system, pole) of the shifts that are treated at once."""
        device = self.matrix.onsite.device
        for start in range(0, poles * self.resolvent.systems, self.chunk):
            stop = min(start + self.chunk, poles * self.resolvent.systems)
            both = torch.arange(start, stop, device=device)
            yield both // poles, both % poles

    def chemical_potential(self, number: float) -> torch.Tensor:
        """mu (R,) that gives ``number`` electrons: Newton's method inside a bracket that bisection keeps."""
        size, device = self.matrix.size, self.matrix.onsite.device
        span = 40 * self.temperature
        low = torch.full((self.matrix.replicas,), self.window[0] - span, dtype=torch.float64, device=device)
        high = torch.full_like(low, self.window[1] + span)
        guess = KernelPolynomial(GUESS_MOMENTS, RandomPhase(GUESS_COLUMNS), window=self.window)
        mu = guess.solve(self.matrix, Ensemble(self.temperature, filling=number / size)).chemical_potential
        for _ in range(NEWTON_STEPS):
            onsite, _, _, slope = self.evaluate(mu)
            excess = torch.diagonal(onsite, dim1=-2, dim2=-1).real.double().sum((1, 2)) - number
            least = max(FILLING_ERROR[self.matrix.onsite.dtype], self.poles(mu).error)
            done = excess.abs() <= least * size
            if bool(done.all()):
                break
            low, high = torch.where(excess < 0, mu, low), torch.where(excess < 0, high, mu)
            following = mu - excess / slope
            inside = (following > low) & (following < high)
            mu = torch.where(done, mu, torch.where(inside, following, (low + high) / 2))
        if bool((excess.abs() > WRONG * size).any()):
            raise RuntimeError(
                f"no chemical potential gives {number:g} electrons to within {float(excess.abs().max()):g} after "
                f"{NEWTON_STEPS} steps; use a smaller tolerance of the poles, or exact diagonalization"
            )
        return mu

    def density_of_states(self, energies: torch.Tensor, broadening: float) -> torch.Tensor:
        """-Im Tr G(E + i broadening) / pi per site, (R, energies): Lorentzians of half width ``broadening``."""
        twists, sites = len(self.phases), self.matrix.lattice.sites
        density = energies.new_zeros((self.matrix.replicas, len(energies)))
        for system, point in self._pieces(len(energies)):
            green, _, _ = self.resolvent(energies[point] + 1j * broadening, system)
            trace = torch.diagonal(green, dim1=-2, dim2=-1).sum((1, 2)).imag.double()
            density.index_put_((system // twists, point), -trace / (math.pi * twists * sites), accumulate=True)
        return density
