"""GPU kernels in Triton's interpreter against sparse matrices: the contract that the compiled loops have, on tiny lattices.

Triton decides when it is imported whether it interprets: test_kpm_triton.py runs this file in a process of its own.
"""

from __future__ import annotations

import pytest
import torch

import engine
from engine.electrons import triton_recursion
from tests import tolerances
from tests.catalogue import LATTICES, electronic_model, random_state
from tests.physics.test_kpm_fused import ARRAYS, solved

HOT = {
    "fixed-mu": engine.Ensemble(1.0, chemical_potential=-1.3),
    "fixed-filling": engine.Ensemble(1.0, filling=0.3),
}
CASES = {
    "square-3x5": ("fixed-mu", {"probes": "identity"}, 5, 1),
    "triangular-3": ("fixed-filling", {"probes": 6, "twists": (1, 2)}, 6, 1),
    "random-sites": ("fixed-mu", {"probes": engine.RandomPhase(4, draws=2)}, 6, 2),
}


@pytest.mark.parametrize("name", CASES)
def test_kernels_are_eager(name: str) -> None:
    ensemble, options, moments, replicas = CASES[name]
    lattice = LATTICES[name]()
    matrix = electronic_model(lattice).matrix(random_state(lattice, replicas=replicas).spin)
    eager, kernels = (solved(matrix, HOT[ensemble], moments, path=path, **options) for path in ("eager", "triton"))
    for array in ARRAYS:
        torch.testing.assert_close(getattr(kernels, array), getattr(eager, array), rtol=0, atol=tolerances.EXACT_DOUBLE)
    assert kernels.series.path == "triton"


def test_several_programs_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_recursion, "WIDTH", 4)
    monkeypatch.setattr(triton_recursion, "PROGRAM", 16)
    lattice = engine.square(3)
    matrix = electronic_model(lattice).matrix(random_state(lattice, dtype=torch.float32).spin)
    eager, kernels = (solved(matrix, HOT["fixed-mu"], 4, probes=6, path=path) for path in ("eager", "triton"))
    torch.testing.assert_close(kernels.onsite, eager.onsite, rtol=0, atol=tolerances.BACKWARD_SINGLE)


def test_two_recursions_at_once_are_refused() -> None:
    lattice = engine.square(3)
    matrix = electronic_model(lattice).matrix(random_state(lattice).spin)
    solver = engine.KernelPolynomial(4, probes=2, path="triton")
    problem = solver._prepare(matrix, HOT["fixed-mu"], 0)
    (chunk,) = solver._chunks(problem)
    first, second = solver._recursion(problem, chunk), solver._recursion(problem, chunk)
    weights = torch.ones(1, 4, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="another recursion"):
        first.gradient(weights)
    second.gradient(weights)
