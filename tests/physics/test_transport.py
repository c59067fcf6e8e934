"""Spectra and conductivities from Chebyshev moments against diagonalization, sum rules, symmetries and statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import engine
from engine.electrons.series import jackson
from engine.electrons.spectral_moments import Sampling, needed_moments, trace_moments
from engine.electrons.twists import twist_mesh
from engine.observables.electron import hall_conductivity, velocities
from engine.observables.spectra import electron_density, local_density_of_states, sampled_density_of_states
from engine.observables.transport import conductivity
from tests import tolerances
from tests.catalogue import electronic_model, random_state

EXACT = Sampling(None, (2, 2))
TEMPERATURE, RELAXATION, MU = 0.3, 0.4, [-4.0, -1.0, 2.0]
TETRAHEDRAL_GAP = -3.305


def generic(replicas: int = 1) -> tuple[engine.SDModel, torch.Tensor]:
    lattice = engine.triangular(4, 3)
    return electronic_model(lattice), random_state(lattice, replicas).spin


def tetrahedral(size: int = 4) -> tuple[engine.SDModel, torch.Tensor]:
    lattice = engine.triangular(size, shells=1)
    return engine.SDModel(lattice, {1: 1.0}, 3.0), engine.texture("tetrahedral", lattice, dtype=torch.float64)


def kubo(model: engine.SDModel, spin: torch.Tensor, twists: tuple[int, int]) -> torch.Tensor:
    """The formula as it stands, level by level: (M, 2, 2)."""
    matrix, total = model.matrix(spin), 0
    mesh = twist_mesh(twists, 2, torch.float64, torch.device("cpu"))
    mu = torch.tensor(MU, dtype=torch.float64)[:, None]
    for theta in mesh:
        levels, states = torch.linalg.eigh(matrix.to_dense(tuple(theta.tolist()))[0])
        v = [states.mH @ part[0, 0] @ states for part in velocities(matrix, theta[None])]
        filled = torch.sigmoid((mu - levels) / TEMPERATURE)
        gap = levels[:, None] - levels
        change = filled[:, :, None] - filled[:, None, :]
        slope = -(filled * (1 - filled))[:, :, None] / TEMPERATURE * torch.eye(len(levels))
        ratio = torch.where(gap.abs() > 1e-9, change / torch.where(gap == 0, 1.0, gap), slope)
        lorentz = 1 / (gap**2 + RELAXATION**2)
        product = torch.stack([torch.stack([a * b.mT for b in v]) for a in v])
        hall = torch.einsum("mkl,abkl->mab", (change * lorentz), product.imag)
        total = total + hall - torch.einsum("mkl,abkl->mab", ratio * lorentz * RELAXATION, product.real)
    return total * 2 * math.pi / (len(mesh) * abs(np.linalg.det(model.lattice.periods)))


class TestConductivity:
    def test_tensor_is_the_sum_over_levels(self):
        model, spin = generic(replicas=2)
        half_width = 8.0
        moments = needed_moments(half_width, RELAXATION, 1e-5)
        found = conductivity(model, spin, MU, TEMPERATURE, RELAXATION, EXACT, moments)
        assert found.tensor.shape == (2, 3, 2, 2) and found.error is None and found.moments == moments
        for replica in range(2):
            expected = kubo(model, spin[replica : replica + 1], (2, 2))
            torch.testing.assert_close(found.tensor[replica], expected, rtol=0, atol=tolerances.CONDUCTIVITY)
        assert found.hall_error is None
        hall = hall_conductivity(model, spin, MU, (2, 2), TEMPERATURE, RELAXATION)
        torch.testing.assert_close(found.hall, hall, rtol=0, atol=tolerances.CONDUCTIVITY)
        assert hall.abs().max() > 0.03

    def test_truncation_is_as_small_as_promised_and_too_few_moments_are_refused(self):
        model, spin = generic()
        exact = kubo(model, spin, (2, 2))
        found = conductivity(model, spin, MU, TEMPERATURE, RELAXATION, EXACT)
        assert (found.tensor[0] - exact).abs().max() < 2e-3 * exact.abs().max()  # 0.1 % each of two factors
        with pytest.raises(ValueError, match=r"10 moments do not resolve .* at least \d+ are needed, \d+ for 0.1 %"):
            conductivity(model, spin, MU, TEMPERATURE, RELAXATION, EXACT, 10)

    def test_tetrahedral_gap_is_quantized(self):
        model, spin = tetrahedral()
        mu = [-9.0, TETRAHEDRAL_GAP, 9.0]
        found = conductivity(model, spin.float(), mu, 0.05, 0.12, Sampling(None, (6, 6)), 300).tensor[0]
        hall = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
        torch.testing.assert_close(found[:, 0, 1], hall, rtol=0, atol=tolerances.HALL_RELAXED)
        torch.testing.assert_close(found[:, 1, 0], -hall, rtol=0, atol=tolerances.HALL_RELAXED)

    def test_ferromagnet_has_no_hall_effect_and_reversal_changes_its_sign(self):
        model, spin = generic()
        aligned = engine.texture("ferromagnet", model.lattice, dtype=torch.float64)
        stack = torch.cat([spin, -spin, aligned])
        tensor = conductivity(model, stack, MU, TEMPERATURE, RELAXATION, EXACT, 60).tensor
        torch.testing.assert_close(tensor[1], tensor[0].mT, rtol=0, atol=tolerances.SYMMETRY)  # Onsager
        torch.testing.assert_close(tensor[2], tensor[2].mT, rtol=0, atol=tolerances.SYMMETRY)
        assert (tensor[0, :, 0, 1] - tensor[0, :, 1, 0]).abs().max() > 0.02
        assert (tensor[..., [0, 1], [0, 1]] > 0).all()  # dissipation

    def test_random_vectors_are_unbiased_and_their_errors_honest(self):
        model, spin = tetrahedral()
        mu = [-5.0, TETRAHEDRAL_GAP, 0.0]
        exact = conductivity(model, spin, mu, TEMPERATURE, RELAXATION, Sampling(None), 60).tensor
        runs = [conductivity(model, spin, mu, TEMPERATURE, RELAXATION, Sampling(12, seed=s), 60) for s in range(12)]
        hall = (exact[..., 0, 1] - exact[..., 1, 0]) / 2
        z = torch.stack([torch.cat([((run.tensor - exact) / run.error).flatten(), ((run.hall - hall) / run.hall_error)[0]])
                         for run in runs])  # fmt: skip
        spread = z.square().mean(0).sqrt()  # of a Student variable with 11 degrees of freedom: about 1.1
        assert (z.mean(0).abs() / z.std(0) * math.sqrt(12)).max() < tolerances.SIGMAS
        assert (spread < 2.2).all() and (spread > 0.4).all()

    def test_parts_that_fit_in_memory_give_the_same(self):
        model, spin = generic()
        column = 2 * 24 * 16  # two directions, 24 components, complex128
        whole = conductivity(model, spin, MU, TEMPERATURE, RELAXATION, Sampling(2), 64)
        parts = conductivity(model, spin, MU, TEMPERATURE, RELAXATION, Sampling(2, memory=60 * column), 64)
        torch.testing.assert_close(parts.tensor, whole.tensor, rtol=0, atol=tolerances.ROUNDING)
        with pytest.raises(MemoryError, match="raise memory="):
            conductivity(model, spin, MU, TEMPERATURE, RELAXATION, Sampling(2, memory=20 * column), 64)

    def test_single_precision_and_progress(self):
        model, spin = generic()
        calls: list[tuple[int, int]] = []
        noted = Sampling(3, (1, 2), progress=lambda done, total: calls.append((done, total)))
        double = conductivity(model, spin, MU, TEMPERATURE, RELAXATION, noted, 60)
        assert calls == [(k, 6) for k in range(1, 7)]
        single = conductivity(model, spin.float(), MU, TEMPERATURE, RELAXATION, Sampling(3, (1, 2)), 60)
        torch.testing.assert_close(single.tensor, double.tensor, rtol=0, atol=1e-4)  # 6e-8 times 60 moments times 24

    def test_refusals_teach(self):
        model, spin = generic()
        with pytest.raises(ValueError, match="temperature and relaxation must be > 0"):
            conductivity(model, spin, MU, 0.0, RELAXATION)
        with pytest.raises(ValueError, match="temperature and relaxation must be > 0"):
            conductivity(model, spin, MU, TEMPERATURE, -1.0)
        with pytest.raises(ValueError, match="chemical_potentials must be finite"):
            conductivity(model, spin, [math.nan], TEMPERATURE, RELAXATION)
        with pytest.raises(ValueError, match="use an SDModel"):
            conductivity(engine.HeisenbergModel(model.lattice, {1: 1.0}), spin, MU, TEMPERATURE, RELAXATION)
        glass = engine.random_sites(10)
        with pytest.raises(ValueError, match="two-dimensional"):
            conductivity(electronic_model(glass), random_state(glass).spin, MU, TEMPERATURE, RELAXATION)
        with pytest.raises(ValueError, match="relaxation must be a rate"):
            hall_conductivity(model, spin, MU, relaxation=-0.1)
        for wrong in ({"vectors": 0}, {"vectors": 2.5}, {"seed": -1}, {"window": (1.0, 0.0)}, {"dtype": torch.float32}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                Sampling(**wrong)


class TestSpectra:
    @pytest.mark.parametrize("moments", [31, 64])
    def test_moments_are_sums_over_levels(self, moments):
        model, spin = generic(replicas=2)
        matrix = model.matrix(spin)
        found, centre, half = trace_moments(matrix, moments, EXACT)
        thetas = twist_mesh((2, 2), 2, torch.float64, torch.device("cpu"))
        levels = torch.linalg.eigvalsh(matrix.add_onsite(matrix.to_dense_bonds(thetas).expand(2, -1, -1, -1).clone()))
        angles = torch.arccos((levels.flatten(1) - centre) / half)
        expected = torch.cos(torch.arange(moments)[:, None, None] * angles).sum(2).T / 4
        torch.testing.assert_close(found[:, 0], expected, rtol=0, atol=tolerances.ROUNDING)

    def test_sum_rules_of_the_density_of_states(self):
        model, spin = generic()
        matrix, moments = model.matrix(spin), 128
        _, centre, half = trace_moments(matrix, 4, EXACT)
        angle = (torch.arange(2000, dtype=torch.float64) + 0.5) * math.pi / 2000
        energies = centre + half * torch.cos(angle)
        density = sampled_density_of_states(model, spin, energies, EXACT, moments).density[0]
        assert density.min() > -1e-12  # the kernel is positive
        measure = density * half * torch.sin(angle) * math.pi / 2000
        thetas = twist_mesh((2, 2), 2, torch.float64, torch.device("cpu"))
        x = matrix.add_onsite(matrix.to_dense_bonds(thetas).clone())[0]
        x = (x - centre * torch.eye(matrix.size)) / half
        traces = [float((part.diagonal(dim1=1, dim2=2).real.sum(1)).mean()) / 12 for part in (x, x @ x)]
        damping, shifted = jackson(moments), (energies - centre) / half
        assert float(measure.sum()) == pytest.approx(2, abs=1e-9)
        assert float((measure * shifted).sum()) == pytest.approx(traces[0] * float(damping[1]), abs=1e-9)
        second = ((2 * traces[1] - 2) * float(damping[2]) + 2) / 2  # x^2 = (T_2 + 1) / 2
        assert float((measure * shifted**2).sum()) == pytest.approx(second, abs=1e-9)

    def test_local_densities_add_up_and_agree_with_diagonalization(self):
        model, spin = generic(replicas=2)
        energies, sites = [-6.0, -1.0, 0.5], list(range(model.lattice.sites))
        local = local_density_of_states(model, spin, energies, sites, EXACT, 100).density
        total = sampled_density_of_states(model, spin, energies, EXACT, 100).density
        torch.testing.assert_close(local.mean(1), total, rtol=0, atol=tolerances.ROUNDING)
        some = local_density_of_states(model, spin, energies, [7, 2], EXACT, 100).density
        torch.testing.assert_close(some, local[:, [7, 2]], rtol=0, atol=tolerances.ROUNDING)
        density = electron_density(model, spin, [-2.0, 1.0], 0.3, sites, EXACT, 300)
        for k, mu in enumerate((-2.0, 1.0)):
            exact = engine.ExactDiagonalization((2, 2)).solve(model.matrix(spin), engine.Ensemble(0.3, mu)).density
            torch.testing.assert_close(density[:, :, k], exact, rtol=0, atol=tolerances.CHEBYSHEV)

    def test_random_vectors_agree_in_sigma(self):
        lattice = engine.triangular(6)
        model, spin = electronic_model(lattice), random_state(lattice).spin
        energies = torch.linspace(-8, 6, 15, dtype=torch.float64)
        exact = sampled_density_of_states(model, spin, energies, Sampling(None), 48).density
        found = sampled_density_of_states(model, spin, energies, Sampling(40), 48)
        assert ((found.density - exact) / found.error.clamp(min=1e-9)).abs().max() < tolerances.SIGMAS
        everywhere = electron_density(model, spin, [-1.0], 0.5, sampling=Sampling(200), moments=48)[0, :, 0]
        columns = electron_density(model, spin, [-1.0], 0.5, range(36), Sampling(None), 48)[0, :, 0]
        # off-diagonal elements of rho scatter: variance per vector <= 2 sum_j |rho_ij|^2 <= 2 * 2
        assert ((everywhere - columns).abs() < tolerances.SIGMAS * math.sqrt(4 / 200)).all()
        assert (everywhere - columns).abs().max() > 0

    def test_random_sites_and_refusals(self):
        glass = engine.random_sites(10)
        model, spin = electronic_model(glass), random_state(glass).spin
        found = sampled_density_of_states(model, spin, [0.0], Sampling(None), 16)
        assert found.density.shape == (1, 1) and found.error is None
        with pytest.raises(ValueError, match="use an SDModel"):
            sampled_density_of_states(engine.HeisenbergModel(engine.square(3), {1: 1.0}), spin[:, :9], [0.0])
        with pytest.raises(ValueError, match="energies must be finite"):
            local_density_of_states(model, spin, [math.inf])
        with pytest.raises(ValueError, match="moments must be an integer"):
            local_density_of_states(model, spin, [0.0], moments=2)
        with pytest.raises(ValueError, match="sites must be whole numbers from 0 to 9"):
            local_density_of_states(model, spin, [0.0], sites=[10])
        with pytest.raises(ValueError, match="temperature must be > 0"):
            electron_density(model, spin, [0.0], 0.0)
