"""Every lattice, solver, ensemble and integrator: contract tests run over all of them."""

from __future__ import annotations

import torch

import engine

LATTICES = {
    "triangular-3": lambda: engine.triangular(3),
    "triangular-6x4": lambda: engine.triangular(6, 4),
    "square-4": lambda: engine.square(4),
    "square-3x5": lambda: engine.square(3, 5),
    "random-sites": lambda: engine.random_sites(14, box=3.0, seed=3),
}
REGULAR = [name for name in LATTICES if name != "random-sites"]


def electronic_model(lattice: engine.Lattice, coupling: float = 0.8) -> engine.SDModel:
    """An s-d model with generic numbers on any lattice."""
    hopping = {1: 1.0, 2: 0.2, 3: -0.35} if lattice.is_regular else engine.ExponentialHopping()
    return engine.SDModel(lattice, hopping, coupling)


def classical_model(lattice: engine.Lattice) -> engine.SumModel:
    """Exchange, both DMIs, a tilted anisotropy and a tilted field."""
    model = engine.HeisenbergModel(
        lattice, {1: 1.0, 2: -0.3}, dmi_bulk={1: 0.4}, dmi_interfacial=0.2, anisotropy=0.3, anisotropy_axis=(1, 2, 3)
    )
    return model + engine.Zeeman((0.1, -0.2, 0.3))


# name: (solver, deterministic). Random probes are derivatives of their own estimate but break lattice symmetries.
SOLVERS = {
    "exact": (engine.ExactDiagonalization(), True),
    "exact-twists": (engine.ExactDiagonalization(twists=(2, 3)), True),
    "poles": (engine.PoleExpansion(tolerance=1e-9), True),
    "poles-twists": (engine.PoleExpansion(tolerance=1e-9, twists=(2, 3)), True),
    "chebyshev-identity": (engine.KernelPolynomial(moments=64), True),
    "chebyshev-odd-jackson": (engine.KernelPolynomial(moments=33, kernel="jackson"), True),
    "chebyshev-twists": (engine.KernelPolynomial(moments=40, twists=(2, 3)), True),
    "chebyshev-coloured": (engine.KernelPolynomial(moments=40, probes=8), False),
    "chebyshev-random-phase": (engine.KernelPolynomial(moments=40, probes=engine.RandomPhase(6, draws=3)), False),
}
ENSEMBLES = {
    "fixed-mu": engine.Ensemble(0.1, chemical_potential=-1.3),
    "fixed-filling": engine.Ensemble(0.1, filling=0.3),
}


def random_state(
    lattice: engine.Lattice, replicas: int = 1, seed: int = 0, dtype: torch.dtype = torch.float64
) -> engine.SpinState:
    return engine.SpinState(engine.texture("random", lattice, replicas=replicas, seed=seed, dtype=dtype))


def fits(lattice: engine.Lattice, solver: object) -> bool:
    """Meshes of two twists belong to two-dimensional lattices."""
    return lattice.dimension == 2 or all(k == 1 for k in solver.twists)


def rotation(seed: int = 0) -> torch.Tensor:
    """A generic proper rotation (3, 3)."""
    matrix = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    q, _ = torch.linalg.qr(matrix)
    return q * torch.linalg.det(q)
