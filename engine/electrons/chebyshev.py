"""Kernel polynomial method: the density matrix as the derivative of an estimated grand potential.

Omega_est = sum_m c_m mu_m with c_m the Chebyshev coefficients of -T ln(1 + exp(-(e - mu)/T)) and mu_m estimated with
probe columns; rho = d Omega_est / dh by the reverse recursion (engine.electrons.recursion). So the force is the gradient
of the returned energy to rounding, for any number of moments and any probes. No kernel by default: the Fermi function is
smooth at T > 0 and plain Chebyshev converges like exp(-pi T M / half_width). The Jackson kernel serves densities of
states and T = 0.

Cost: 1.5 ``moments`` products of the matrix with the columns; memory a few vectors of all columns at once
(engine.electrons.recursion), split into chunks of columns that fit in ``memory``.

One recursion, three paths: "fused" (compiled loops, engine.electrons.fused) wherever it can serve, else "eager" (sparse
matrices of torch, any device); "triton" (GPU kernels, engine.electrons.triton_recursion) when asked for. :func:`chosen_path`
is the one place that decides; Electrons.series says which one ran.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from engine.block_matrix import BlockMatrix
from engine.electrons import series, truncation
from engine.electrons.electrons import Electrons, ElectronSolver, SeriesReport
from engine.electrons.ensemble import Ensemble
from engine.electrons.fused import FusedRecursion
from engine.electrons.probes import Probes, as_probes
from engine.electrons.quadrature import Quadrature
from engine.electrons.recursion import Recursion, Scaled, SparseRecursion
from engine.electrons.triton_recursion import TritonRecursion
from engine.electrons.twists import check_twists, twist_mesh

PATHS: dict[str, type[Recursion]] = {room.path: room for room in (FusedRecursion, TritonRecursion, SparseRecursion)}
MOMENT_SLACK = 1e-3


class _Problem(NamedTuple):
    """One call, prepared: groups are (replica, twist, draw)."""

    matrix: BlockMatrix
    replica: torch.Tensor
    twist: torch.Tensor
    draw: torch.Tensor
    phases: torch.Tensor
    quadrature: Quadrature
    columns: int
    step: int
    path: type[Recursion]
    moments: int

    @property
    def order(self) -> int:
        """Number of recursion steps: half the moments, rounded up."""
        return (self.moments + 1) // 2


class _Chunk(NamedTuple):
    groups: slice
    columns: slice


@dataclass(frozen=True)
class KernelPolynomial(ElectronSolver):
    """Chebyshev solver.

    Parameters
    ----------
    moments : M >= 4, default 512; the force error at temperature T falls like exp(-pi T M / half_width).
    tolerance : relative error of the transverse force that cutting the series may cause (engine.electrons.truncation has
        the model and its calibration). Alone it chooses the moments from temperature and half width; with ``moments``
        these are refused when they miss it. At fixed filling mu is taken in the middle of the window, which is safe.
    probes : "identity" (exact trace), a number of coloured columns, or a Probes object.
    kernel : None (plain) or "jackson"; at T = 0 the Jackson kernel is always used.
    twists : mesh of boundary twists, as in ExactDiagonalization.
    window : (low, high) enclosing the spectrum; default: bounds that are always safe.
    dtype : torch.complex64 or torch.complex128; default: the partner of the state's dtype.
    memory : bytes for the vectors of the recursion.
    path : None ("fused" where it can serve, else "eager"), "fused", "triton" or "eager".

    Raises ValueError for wrong numbers, or (from solve) when the window does not enclose the spectrum or the path cannot
    serve the matrix; MemoryError when not even the fewest columns fit, with the bytes needed.
    """

    moments: int | None = None
    probes: Probes | int | str = "identity"
    kernel: str | None = None
    twists: tuple[int, ...] = (1, 1)
    window: tuple[float, float] | None = None
    dtype: torch.dtype | None = None
    memory: int = 2**29
    path: str | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if self.moments is not None and (int(self.moments) != self.moments or self.moments < 4):
            raise ValueError(f"moments must be an integer >= 4, got {self.moments}")
        if self.kernel not in (None, "jackson"):
            raise ValueError(f'kernel must be None or "jackson", got {self.kernel!r}')
        if self.window is not None and not (len(self.window) == 2 and self.window[0] < self.window[1]):
            raise ValueError(f"window must be (low, high) with low < high, got {self.window}")
        if self.dtype not in (None, torch.complex64, torch.complex128):
            raise ValueError(f"dtype must be torch.complex64 or torch.complex128, got {self.dtype}")
        if self.tolerance is not None and not (0 < self.tolerance < 1 and self.kernel is None):
            raise ValueError(
                f"tolerance must lie between 0 and 1, without a kernel, got {self.tolerance}, {self.kernel!r}"
            )
        if self.path is not None and self.path not in PATHS:
            raise ValueError(f"path must be None or one of {tuple(PATHS)}, got {self.path!r}")
        object.__setattr__(self, "probes", as_probes(self.probes))
        object.__setattr__(self, "twists", check_twists(self.twists))

    @property
    def family(self) -> Probes:
        """The probes; short forms were replaced when this solver was made."""
        assert isinstance(self.probes, Probes)
        return self.probes

    def solve(self, matrix: BlockMatrix, ensemble: Ensemble, step: int = 0) -> Electrons:
        problem = self._prepare(matrix.to(self.dtype or matrix.onsite.dtype), ensemble, step)
        chunks = list(self._chunks(problem))
        moments = matrix.onsite.new_zeros((len(problem.replica), 2 * problem.order), dtype=torch.float64)
        running = None
        if ensemble.filling is not None:  # mu, and so the series, is known only after all moments
            for chunk in chunks:
                running = self._recursion(problem, chunk)
                moments[chunk.groups] += running.moments
        mu = self._chemical_potential(problem, moments, ensemble)
        coefficients = problem.quadrature.coefficients(mu, ensemble.temperature)[problem.replica]
        if ensemble.filling is not None:
            onsite, _ = self._gradient(problem, chunks, coefficients, running=running if len(chunks) == 1 else None)
        else:
            onsite, _ = self._gradient(problem, chunks, coefficients, moments=moments)
        _check_window(problem, moments)
        averaged = self._averaged(problem, moments)
        energies, number = problem.quadrature.grand_potential(averaged, mu, ensemble.temperature)
        if ensemble.filling is not None:
            energies = energies + (mu * ensemble.filling * matrix.size)[:, None]
        replicas = matrix.replicas
        onsite = onsite.view(replicas, -1, self.family.draws, *onsite.shape[1:]).mean(1)

        def bonds() -> torch.Tensor:
            return self._bonds(problem, coefficients)

        def spectrum(points: torch.Tensor, broadening: float) -> torch.Tensor:
            return problem.quadrature.density_of_states(averaged.mean(1), points) / matrix.lattice.sites

        return Electrons(
            energies.mean(1), number, mu, onsite.mean(1), bonds, spectrum, problem.matrix,
            _standard_error(energies), _standard_error(onsite), self._report(problem, chunks, ensemble.temperature, mu),
        )  # fmt: skip

    def _prepare(self, matrix: BlockMatrix, ensemble: Ensemble, step: int) -> _Problem:
        device, real = matrix.onsite.device, matrix.onsite.real.dtype
        thetas = twist_mesh(self.twists, matrix.lattice.dimension, real, device)
        phases = matrix.twist_phases(thetas)
        replica, twist, draw = (
            x.reshape(-1)
            for x in torch.meshgrid(
                *(torch.arange(k, device=device) for k in (matrix.replicas, len(thetas), self.family.draws)),
                indexing="ij",
            )
        )
        low, high = self.window or series.spectral_bounds(matrix)
        centre, half_width = (low + high) / 2, (high - low) / 2
        mu = centre if ensemble.chemical_potential is None else ensemble.chemical_potential
        plain = self.kernel is None
        moments = truncation.moments_for(
            self.tolerance, self.moments, ensemble.temperature if plain else 0.0, mu - centre, half_width
        )
        factors = torch.zeros(moments + moments % 2, dtype=torch.float64, device=device)  # as many as two per step
        kernel = "jackson" if ensemble.temperature == 0 else self.kernel
        factors[:moments] = series.damping_factors(kernel, moments, device)
        return _Problem(
            matrix, replica, twist, draw, phases, Quadrature(centre, half_width, factors),
            self.family.columns(matrix.lattice, matrix.components), step, chosen_path(matrix, self.path), moments,
        )  # fmt: skip

    def _chunks(self, problem: _Problem) -> Iterator[_Chunk]:
        """Rectangles of groups and columns whose stored vectors fit in memory."""
        block = problem.path.block
        least = int(problem.path.vectors * block * problem.matrix.size * problem.matrix.onsite.element_size())
        fitting = self.memory // least * block
        if fitting < 1:
            raise MemoryError(
                f"{block} column(s) of {problem.matrix.size} numbers each, the fewest that can be taken at once, needs "
                f"{least} bytes, the limit is memory={self.memory}; raise it to at least {least}"
            )
        if fitting < problem.columns:
            for g in range(len(problem.replica)):
                for start in range(0, problem.columns, fitting):
                    yield _Chunk(slice(g, g + 1), slice(start, min(start + fitting, problem.columns)))
            return
        rows = max(1, fitting // problem.columns)
        for g in range(0, len(problem.replica), rows):
            yield _Chunk(slice(g, min(g + rows, len(problem.replica))), slice(0, problem.columns))

    def _recursion(self, problem: _Problem, chunk: _Chunk) -> Recursion:
        """The recursion of one chunk, run forwards."""
        matrix = problem.matrix
        keys = list(zip(problem.twist[chunk.groups].tolist(), problem.draw[chunk.groups].tolist(), strict=True))
        drawn = {
            (twist, draw): self.family.block(
                matrix.lattice, matrix.components, problem.step, twist, draw, chunk.columns
            )
            for twist, draw in dict.fromkeys(keys)
        }
        replica, twist = problem.replica[chunk.groups], problem.twist[chunk.groups]
        window = problem.quadrature.centre, problem.quadrature.half_width
        scaled = Scaled(matrix, replica, twist, problem.phases, *window)
        return problem.path(scaled, [drawn[key] for key in keys], problem.order)

    def _gradient(
        self, problem: _Problem, chunks: list[_Chunk], coefficients: torch.Tensor,
        running: Recursion | None = None, moments: torch.Tensor | None = None,
        pairs: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
        """rho_ii (G, N, o, o) and, with ``pairs``, rho_ij (G, E, o, o); ``moments`` are added up on the way if given."""
        o, dtype = problem.matrix.components, problem.matrix.onsite.dtype
        groups, sites = len(problem.replica), problem.matrix.lattice.sites
        onsite = torch.zeros((groups, sites, o, o), dtype=dtype, device=coefficients.device)
        bonds = None if pairs is None else onsite.new_zeros((groups, len(pairs), o, o))
        for chunk in chunks:
            recursion = running or self._recursion(problem, chunk)
            if moments is not None:
                moments[chunk.groups] += recursion.moments
            gradient, pair = recursion.gradient(coefficients[chunk.groups], pairs)
            onsite[chunk.groups] += gradient
            if bonds is not None and pair is not None:
                bonds[chunk.groups] += pair
        return onsite, bonds

    def _bonds(self, problem: _Problem, coefficients: torch.Tensor) -> torch.Tensor:
        if not problem.path.has_pairs:
            problem = problem._replace(path=SparseRecursion)
        pairs = problem.matrix.lattice.tensor("bonds", problem.matrix.onsite.device)
        _, bonds = self._gradient(problem, list(self._chunks(problem)), coefficients, pairs=pairs)
        assert bonds is not None
        phased = bonds * problem.phases[problem.twist].conj()[..., None, None]
        return phased.unflatten(0, (problem.matrix.replicas, -1)).mean(1)

    def _averaged(self, problem: _Problem, moments: torch.Tensor) -> torch.Tensor:
        """Moments of every draw, averaged over twists, (B, draws, 2 order)."""
        return moments.view(problem.matrix.replicas, -1, self.family.draws, moments.shape[1]).mean(1)

    def _chemical_potential(self, problem: _Problem, moments: torch.Tensor, ensemble: Ensemble) -> torch.Tensor:
        """mu (B,), given or found from the moments."""
        if ensemble.filling is None:
            assert ensemble.chemical_potential is not None
            return moments.new_full((problem.matrix.replicas,), ensemble.chemical_potential)
        mean = self._averaged(problem, moments).mean(1)
        number = ensemble.filling * problem.matrix.size
        return problem.quadrature.chemical_potential(mean, number, ensemble.temperature)

    def _report(self, problem: _Problem, chunks: list[_Chunk], temperature: float, mu: torch.Tensor) -> SeriesReport:
        vector = problem.matrix.size * problem.matrix.onsite.element_size()
        widest = max((c.groups.stop - c.groups.start) * (c.columns.stop - c.columns.start) for c in chunks)
        centre, half_width = problem.quadrature.centre, problem.quadrature.half_width
        error = None
        if self.kernel is None and temperature > 0:
            distance = float((mu - centre).abs().amin())
            error = truncation.truncation_error(problem.moments, temperature, distance, half_width)
        window = centre - half_width, centre + half_width
        return SeriesReport(
            problem.path.path, problem.moments, window, int(problem.path.vectors * widest * vector), error
        )


def chosen_path(matrix: BlockMatrix, path: str | None = None) -> type[Recursion]:
    """The recursion for a matrix; ValueError when a path is asked for that cannot serve it."""
    recursion = PATHS[path or FusedRecursion.path]
    reason = recursion.refusal(matrix)
    if path and reason is not None:
        raise ValueError(f'path="{path}" cannot be used: {reason}; use path="eager" or None')
    return SparseRecursion if reason is not None else recursion


def _standard_error(draws: torch.Tensor) -> torch.Tensor | None:
    """Standard error of the mean over draws (B, D, ...); None for a single draw, which has no spread."""
    count = draws.shape[1]
    if count < 2:
        return None
    deviation = (draws - draws.mean(1, keepdim=True)).abs()
    return ((deviation**2).sum(1) / (count * (count - 1))).sqrt()


def _check_window(problem: _Problem, moments: torch.Tensor) -> None:
    """|mu_m| <= mu_0 holds for any spectrum inside the window; outside, the recursion grows exponentially."""
    worst = float((moments.abs().amax(1) / moments[:, 0].clamp(min=1e-300)).amax())
    if not worst <= 1 + MOMENT_SLACK:
        centre, half_width = problem.quadrature.centre, problem.quadrature.half_width
        raise series.window_error(problem.matrix, centre - half_width, centre + half_width)
