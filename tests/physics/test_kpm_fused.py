"""The compiled recursion against sparse matrices: same numbers, which path ran, rounding, memory, threads."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
import torch

import engine
from engine.electrons import fused
from engine.electrons.electrons import Electrons
from tests import tolerances
from tests.catalogue import ENSEMBLES, LATTICES, electronic_model, random_state

pytest.importorskip("numba")
PROBES = {"identity": "identity", "coloured": 6, "random-phase": engine.RandomPhase(6, draws=3)}
ARRAYS = ("energy", "number", "onsite", "bond_density")


def solved(matrix: engine.BlockMatrix, ensemble: engine.Ensemble, moments: int = 41, **options: object) -> Electrons:
    return engine.KernelPolynomial(moments, **options).solve(matrix, ensemble)


@pytest.mark.parametrize(("name", "twists"), list(itertools.product(LATTICES, [(1, 1), (2, 3)])))
def test_fused_is_eager(name: str, twists: tuple[int, int]) -> None:
    lattice = LATTICES[name]()
    if lattice.dimension == 3:
        twists = (1, 1, 1) if twists == (1, 1) else (2, 1, 3)
    matrix = electronic_model(lattice).matrix(random_state(lattice, replicas=2).spin)
    for probes, ensemble in itertools.product(PROBES.values(), ENSEMBLES.values()):
        eager, compiled = (
            solved(matrix, ensemble, probes=probes, twists=twists, path=path) for path in ("eager", "fused")
        )
        for array in ARRAYS:
            torch.testing.assert_close(
                getattr(compiled, array), getattr(eager, array), rtol=0, atol=tolerances.EXACT_DOUBLE
            )
        assert (eager.series.path, compiled.series.path) == ("eager", "fused")


def test_the_fused_path_is_taken_and_really_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    lattice = engine.triangular(4)
    matrix = electronic_model(lattice).matrix(random_state(lattice).spin)
    calls = []
    for module, name in ((fused.fused_kernel, "forward"), (fused.fused_adjoint, "backward")):
        kernel = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, n=name, k=kernel: (calls.append(n), k(*a)))
    assert solved(matrix, ENSEMBLES["fixed-mu"]).series.path == "fused"
    assert calls == ["forward", "backward"]
    assert solved(matrix, ENSEMBLES["fixed-mu"], path="eager").series.path == "eager"
    assert calls == ["forward", "backward"]


def test_what_the_loops_cannot_serve_goes_to_sparse_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    lattice = engine.square(4)
    matrix = electronic_model(lattice).matrix(random_state(lattice).spin)
    general = engine.BlockMatrix(matrix.onsite, matrix.bond_blocks(), lattice)
    assert solved(general, ENSEMBLES["fixed-mu"]).series.path == "eager"
    with pytest.raises(ValueError, match="one real number per bond"):
        solved(general, ENSEMBLES["fixed-mu"], path="fused")
    with pytest.raises(ValueError, match="path must be"):
        engine.KernelPolynomial(64, path="quick")
    monkeypatch.setattr(fused, "fused_kernel", None)
    assert solved(matrix, ENSEMBLES["fixed-mu"]).series.path == "eager"
    with pytest.raises(ValueError, match="numba is not installed"):
        solved(matrix, ENSEMBLES["fixed-mu"], path="fused")


def test_trajectories_from_one_seed_are_the_same_on_both_paths() -> None:
    """Twenty steps with thermal noise and fresh probes at each; rounding has not grown to anything by then."""
    start = engine.preset(
        "skyrmion", size=6, force="kpm", moments=64, probes=8, temperature=0.01, dtype="float64", seed=3
    )
    ends = []
    for path in ("eager", "fused"):
        simulation = engine.updated(start, {"force.electrons.solver.path": path}).advance(20)
        assert simulation.response().electrons.series.path == path
        ends.append(simulation.state.spin)
    assert (ends[0] - start.state.spin).norm(dim=-1).mean() > 0.1
    torch.testing.assert_close(*ends, rtol=0, atol=tolerances.ROUNDING)


@pytest.mark.parametrize("path", ["eager", "fused"])
def test_vectors_recomputed_backwards_lose_few_digits(path: str) -> None:
    """2000 moments in single precision: 1000 steps there and 1000 back through the whole spectrum, edges included."""
    lattice = engine.triangular(6)
    double, single = random_state(lattice), random_state(lattice, dtype=torch.float32)
    ensemble = engine.Ensemble(0.01, chemical_potential=-1.0)
    exact, rounded = (
        solved(electronic_model(lattice).matrix(s.spin), ensemble, 2000, probes=8, path=path) for s in (double, single)
    )
    error = (rounded.spin_density.double() - exact.spin_density).norm() / exact.spin_density.norm()
    assert float(error) < tolerances.BACKWARD_SINGLE
    assert float((rounded.energy - exact.energy).abs() / exact.energy.abs()) < tolerances.BACKWARD_SINGLE


def test_memory_does_not_grow_with_the_moments() -> None:
    lattice = engine.triangular(24)
    matrix = electronic_model(lattice).matrix(random_state(lattice, dtype=torch.float32).spin)
    peaks, columns = {}, 64
    for moments in (32, 512):
        solved(matrix, ENSEMBLES["fixed-mu"], moments, probes=columns)
        tracemalloc.start()
        solved(matrix, ENSEMBLES["fixed-mu"], moments, probes=columns)
        peaks[moments] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[512] < 1.2 * peaks[32]
    assert peaks[512] < 8 * (8 * lattice.sites * 2 * columns)  # eight vectors of all columns, probes included


def test_threads_change_no_digit() -> None:
    lattice = engine.triangular(6)
    matrix = electronic_model(lattice).matrix(random_state(lattice).spin)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(solved(matrix, ENSEMBLES["fixed-mu"], probes=24).onsite)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_neighbours_are_read_once_per_run() -> None:
    """A row of a regular lattice is one long run and its ends; the table lists every neighbour of every run once."""
    lattice = engine.triangular(12)
    matrix = engine.SDModel(lattice, {1: 1.0, 3: -0.85}, 0.5).matrix(random_state(lattice).spin)
    bond, phases = matrix.bond.numpy().tobytes(), np.ones(len(lattice.bonds), dtype=np.complex128).tobytes()
    table = fused._hopping(lattice, bond, phases, "complex128", 1.0, np.dtype(np.float64))
    assert len(table.starts) - 1 <= 12 * 5
    assert np.diff(table.ends).tolist() == [12] * (len(table.starts) - 1)
    assert len(table.phase_offset) == 0
