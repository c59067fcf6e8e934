"""Error against cost of one force of the skyrmion electrons, 24 x 24 sites, T = 0.01: assets/error_cost.png.

    python -m tests.benchmarks.error_cost

Transverse error relative to the transverse rms on random spins, against diagonalization in double precision, and
processor seconds of one thread (the best of a few). Columns: 32, 72, 128, 288, 512, colours 4, 6, 8, 12, 16 sites
apart; M = 500. Control variate: the force of second order in the coupling (RKKY) with the same columns is
subtracted and its exact value, which is not paid, added. Deflation: levels near mu exactly, and not paid; columns only for
what is left, the Fermi function at ``SMOOTH``, with the moments that this needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import engine
from engine.electrons import Coloured, ElectronSolver, Ensemble, ExactDiagonalization, KernelPolynomial, PoleExpansion

SIZE, TEMPERATURE, MU, COUPLING = 24, 0.01, -3.5, 0.5
MOMENTS, COUNTS, TOLERANCES = 500, (32, 72, 128, 288, 512), (0.1, 1e-2, 1e-3, 1e-5)
WEAK = 0.005  # coupling of the control variate: its force is of first order, the energy of second
SMOOTH = 0.1  # temperature of what deflation leaves
ROUNDS = 4
TARGET = Path(__file__).parents[2] / "assets" / "error_cost.png"
Measured = tuple[str, np.ndarray, np.ndarray]  # name, seconds, errors


class Sample:
    """Random spins, and forces on them."""

    def __init__(self) -> None:
        lattice = engine.triangular(SIZE)
        self.spin = engine.texture("random", lattice, seed=0, dtype=torch.float64)
        self.models = {J: engine.SDModel(lattice, {1: 1.0, 3: -0.85}, J) for J in (COUPLING, WEAK)}
        self.exact = self.force(ExactDiagonalization(), double=True)

    def force(
        self, solver: ElectronSolver, step: int = 0, coupling: float = COUPLING, temperature: float = TEMPERATURE,
        double: bool = False,
    ) -> torch.Tensor:  # fmt: skip
        """Transverse spin density (N, 3), which the force is proportional to."""
        matrix = self.models[coupling].matrix(self.spin if double else self.spin.float())
        found = solver.solve(matrix, Ensemble(temperature, MU), step).spin_density[0].double()
        return found - (found * self.spin[0]).sum(-1, keepdim=True) * self.spin[0]

    def error(self, found: torch.Tensor) -> float:
        return float((found - self.exact).norm() / self.exact.norm())


def measured(sample: Sample, ways: dict[str, list[Callable[[int], torch.Tensor]]]) -> list[Measured]:
    """Seconds and error of every estimate, a function of the step; all in turns, so that a slow minute meets all."""
    seconds = {label: np.full(len(estimates), np.inf) for label, estimates in ways.items()}
    squares = {label: np.zeros(len(estimates)) for label, estimates in ways.items()}
    for step in range(ROUNDS + 1):  # the first one compiles and fills tables
        for label, estimates in ways.items():
            for k, estimate in enumerate(estimates):
                start = time.process_time()
                found = estimate(step)
                taken = time.process_time() - start
                if step:
                    seconds[label][k] = min(seconds[label][k], taken)
                    squares[label][k] += sample.error(found) ** 2 / ROUNDS
    series = []
    for label in ways:
        errors = np.sqrt(squares[label])
        print(label, "; ".join(f"{t:.3f} s, {e:.2g}" for t, e in zip(seconds[label], errors, strict=True)), sep=": ")
        series.append((label, seconds[label], errors))
    return series


def main() -> None:
    torch.set_num_threads(1)
    sample = Sample()

    def columns(count: int, draws: int = 1, covariant: bool = True) -> KernelPolynomial:
        return KernelPolynomial(MOMENTS, Coloured(count * draws, draws=draws, covariant=covariant))

    weak = sample.force(ExactDiagonalization(), coupling=WEAK, double=True)
    smooth = sample.force(ExactDiagonalization(), temperature=SMOOTH, double=True)

    def controlled(count: int, step: int) -> torch.Tensor:
        noisy = sample.force(columns(count), step, WEAK)
        return sample.force(columns(count), step) - (noisy - weak) * (COUPLING / WEAK)

    def deflated(count: int, step: int) -> torch.Tensor:
        left = KernelPolynomial(probes=Coloured(count, covariant=True), tolerance=0.01)
        return sample.force(left, step, temperature=SMOOTH) + sample.exact - smooth

    ways = {
        "columns, independent phases": [partial(sample.force, columns(n, 1, False)) for n in COUNTS],
        "columns, the same phases for both spins": [partial(sample.force, columns(n)) for n in COUNTS],
        "mean of two draws of these": [partial(sample.force, columns(n, 2)) for n in COUNTS[:-1]],
        "with RKKY as control variate": [partial(controlled, n) for n in COUNTS[:-1]],
        "levels near μ exactly (not paid), columns for the rest": [partial(deflated, n) for n in COUNTS],
        "poles": [partial(sample.force, PoleExpansion(t)) for t in TOLERANCES],
        "diagonalization": [partial(sample.force, ExactDiagonalization())],
    }
    draw(measured(sample, ways))
    print(TARGET)


def draw(series: list[Measured]) -> None:
    figure = Figure(figsize=(8.8, 5.6), layout="constrained")
    axes = figure.add_subplot()
    for (label, seconds, errors), marker in zip(series, "ov^sD*X", strict=True):
        axes.loglog(seconds, errors, f"{marker}-", label=label)
    axes.set_title(f"One force: skyrmion electrons, {SIZE} × {SIZE}, T = {TEMPERATURE}")
    axes.set_xlabel("processor seconds")
    axes.set_ylabel("transverse error ε")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    figure.savefig(TARGET, dpi=100)


if __name__ == "__main__":
    main()
