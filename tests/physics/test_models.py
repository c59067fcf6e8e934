"""Classical models against brute force and a published skyrmion; electronic models against their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import engine
from tests import tolerances
from tests.catalogue import random_state


def test_heisenberg_energy_is_the_written_sum() -> None:
    lattice = engine.triangular(4, 3)
    model = engine.HeisenbergModel(
        lattice,
        {1: 0.7, 2: -0.2},
        dmi_bulk={1: 0.5},
        dmi_interfacial={2: 0.3},
        anisotropy=0.4,
        anisotropy_axis=(0, 1, 1),
    )
    spin = random_state(lattice).spin
    expected = 0.0
    for (i, j), d, shell in zip(lattice.bonds, lattice.displacements, lattice.shells, strict=True):
        a, b = spin[0, i].numpy(), spin[0, j].numpy()
        unit = np.array([*d, 0.0]) / np.linalg.norm(d)
        expected -= {1: 0.7, 2: -0.2, 3: 0.0}[shell] * a @ b
        expected += {1: 0.5, 2: 0.0, 3: 0.0}[shell] * unit @ np.cross(a, b)
        expected += {1: 0.0, 2: 0.3, 3: 0.0}[shell] * np.cross([0, 0, 1], unit) @ np.cross(a, b)
    expected -= 0.4 * float(((spin[0] @ torch.tensor([0, 1.0, 1.0], dtype=torch.float64) / math.sqrt(2)) ** 2).sum())
    assert float(model.classical_energy(spin)) == pytest.approx(expected, abs=tolerances.ROUNDING)


@pytest.mark.parametrize(("kind", "helicity"), [("dmi_bulk", -math.pi / 2), ("dmi_interfacial", 0.0)])
def test_energy_of_a_relaxed_skyrmion(kind: str, helicity: float) -> None:
    """D/J = 0.6, h/J = 0.289419088 on 16 x 16: E/J = -584.96915 (an independent code), charge -1."""
    lattice = engine.square(16)
    model = engine.HeisenbergModel(lattice, {1: 1.0}, **{kind: 0.6}) + engine.Zeeman((0.0, 0.0, 0.289419088))
    force = engine.ClassicalForce(model)
    start = engine.texture("single_skyrmion", lattice, radius=3, helicity=helicity, dtype=torch.float64)
    relaxed = engine.Relax(torque_tolerance=1e-6).run(engine.SpinState(start), force)
    assert relaxed.converged
    assert float(relaxed.response.energy) == pytest.approx(-584.96915, abs=5e-6)  # all printed digits
    assert float(engine.topological_charge(relaxed.state.spin, lattice)) == pytest.approx(-1.0, abs=1e-9)


def test_sd_matrix_is_hermitian_and_splits_by_the_coupling() -> None:
    lattice = engine.triangular(3)
    state = random_state(lattice)
    matrix = engine.SDModel(lattice, {1: 1.0, 3: -0.85}, 0.5).matrix(state.spin)
    for twist in ((0.0, 0.0), (0.4, -1.7)):
        dense = matrix.to_dense(twist)[0]
        torch.testing.assert_close(dense, dense.mH)
    atoms = torch.linalg.eigvalsh(matrix.onsite[0])
    torch.testing.assert_close(atoms, torch.tensor([-0.5, 0.5], dtype=torch.float64).expand(9, 2))
    along = (matrix.onsite[0, 0] * torch.outer(*[torch.ones(2)] * 2)).diagonal().real
    torch.testing.assert_close(along, -0.5 * state.spin[0, 0, 2] * torch.tensor([1.0, -1.0], dtype=torch.float64))


def test_bare_susceptibility_of_the_skyrmion_preset_peaks_at_its_wave_number() -> None:
    """Weak helices along and across a bond: with -t in H the best q lies along a bond, |q| = pi/3, as in the magnetic
    crystal; with +t it would not."""
    lattice = engine.triangular(12)
    ensemble = engine.Ensemble(0.005, chemical_potential=-3.5)
    first, second = lattice.brillouin_zone().reciprocal / 12
    energies = {}
    for step in (2 * first + second, second):
        for m in (1, 2, 3):
            q = tuple((m * step).tolist())
            spin = engine.texture("helix", lattice, q=q, dtype=torch.float64)
            model = engine.SDModel(lattice, {1: 1.0, 3: -0.85}, 0.1)
            solver = engine.ExactDiagonalization((4, 4))
            energies[q] = float(engine.ElectronicForce(model, solver, ensemble)(engine.SpinState(spin)).energy)
    best = min(energies, key=energies.__getitem__)
    assert np.linalg.norm(best) == pytest.approx(np.pi / 3, rel=1e-9)
    assert abs(best[1]) == pytest.approx(0, abs=1e-9)  # a1 is the x axis


def chain() -> engine.HeisenbergModel:
    return engine.HeisenbergModel(engine.square(4), {1: 1.0})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: engine.SDModel(engine.square(4), {7: 1.0}, 1.0), "shell"),
        (lambda: engine.SDModel(engine.square(4), {}, 1.0), "empty"),
        (lambda: engine.SDModel(engine.square(4), {1: 1.0}, float("nan")), "coupling"),
        (lambda: engine.SDModel(engine.square(4), {1: float("inf")}, 1.0), "hopping"),
        (lambda: engine.HeisenbergModel(engine.square(4), {9: 1.0}), "shell"),
        (lambda: engine.HeisenbergModel(engine.square(4), {1: 1.0}, anisotropy_axis=(0, 0, 0)), "anisotropy_axis"),
        (lambda: engine.Zeeman((1.0, 2.0)), "three"),
        (lambda: engine.Zeeman((0, 0, float("nan"))), "finite"),
        (lambda: engine.Ensemble(-0.1, chemical_potential=0.0), "temperature"),
        (lambda: engine.Ensemble(0.1), "exactly one"),
        (lambda: engine.Ensemble(0.1, 0.0, 0.5), "exactly one"),
        (lambda: engine.Ensemble(0.1, filling=1.0), "filling"),
        (lambda: engine.Ensemble(0.1, filling=float("nan")), "filling"),
        (lambda: engine.ExactDiagonalization((0, 2)), "twists"),
        (lambda: engine.ExactDiagonalization(dtype=torch.float32), "complex"),
        (lambda: engine.KernelPolynomial(2), "moments"),
        (lambda: engine.KernelPolynomial(64, "gaussian"), "identity"),
        (lambda: engine.KernelPolynomial(64, window=(1.0, -1.0)), "low < high"),
        (lambda: engine.KernelPolynomial(64, kernel="lorentz"), "kernel"),
        (lambda: engine.Coloured(7, draws=2), "multiple"),
        (lambda: engine.ClassicalForce(engine.SDModel(engine.square(4), {1: 1.0}, 1.0)), "ElectronicForce"),
        (lambda: engine.ElectronicForce(engine.Zeeman((0, 0, 1)), None, None), "electrons"),
        (lambda: engine.SumForce(), "at least one"),
        (lambda: chain() + chain(), "share"),
        (lambda: engine.SpinState(torch.ones(4, 3)), "batch axis"),
        (lambda: engine.SpinState(torch.ones(1, 4, 3)), "length 1"),
        (lambda: engine.SpinState(torch.full((1, 4, 3), float("nan"))), "finite"),
        (lambda: engine.SpinState(torch.ones(1, 4, 3, dtype=torch.int64)), "float32"),
        (lambda: engine.Noise([-1]), "seeds"),
    ],
)  # fmt: skip
def test_senseless_input_is_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_spectrum_outside_the_window_is_noticed() -> None:
    lattice = engine.square(6)
    solver = engine.KernelPolynomial(200, window=(-3.0, 3.0))
    force = engine.ElectronicForce(engine.SDModel(lattice, {1: 1.0}, 0.5), solver, engine.Ensemble(0.1, 0.0))
    with pytest.raises(ValueError, match="exceeds the window"):
        force(random_state(lattice))


def test_memory_that_cannot_fit_is_refused_beforehand() -> None:
    lattice = engine.square(10)
    model, ensemble = engine.SDModel(lattice, {1: 1.0}, 0.5), engine.Ensemble(0.1, 0.0)
    for solver in (engine.ExactDiagonalization(memory=10**6), engine.KernelPolynomial(1000, memory=10**4)):
        with pytest.raises(MemoryError, match="needs"):
            engine.ElectronicForce(model, solver, ensemble)(random_state(lattice))


def test_state_of_another_size_is_refused() -> None:
    force = engine.ClassicalForce(engine.HeisenbergModel(engine.square(4), {1: 1.0}))
    with pytest.raises(ValueError, match="16 sites, the state has 25"):
        force(random_state(engine.square(5)))
