"""Local moments against dense matrices; the compiled sweeps against autograd; what their network makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from engine.learning import compiled_moments
from engine.learning.compiled_moments import CompiledMoments
from engine.learning.dataset import Records
from engine.learning.local_moments import LocalMoments
from engine.learning.network import LATTICES, field_and_energy, transverse
from engine.learning.networks.moments import MomentNetwork
from engine.models import SDModel
from tests import tolerances

KINDS = ["square", "triangular"]
HOPPING = [[1, 1.0], [2, 0.3]]
COUPLING = 1.7
EXACT: dict[str, Any] = {"rtol": tolerances.SYMMETRY, "atol": tolerances.SYMMETRY}
PAULI = torch.tensor(np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]]))


def random_spins(shape: tuple[int, int], batch: int = 2, seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    spin = torch.randn(batch, shape[0] * shape[1], 3, generator=source, dtype=torch.float64)
    return torch.nn.functional.normalize(spin, dim=-1)


def numbers_like(values: torch.Tensor, seed: int = 1) -> torch.Tensor:
    return torch.randn(values.shape, generator=torch.Generator().manual_seed(seed), dtype=values.dtype)


def dense_moments(moments: LocalMoments, kind: str, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """The same by powers of the whole matrix of the torus."""
    model = SDModel(LATTICES[kind](*shape, shells=3), {int(s): t for s, t in HOPPING}, COUPLING)
    matrix = model.matrix(spin).to_dense()
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype)
    scaled = (matrix - moments.centre * identity) / moments.half
    assert float(torch.linalg.matrix_norm(scaled, 2).max()) <= 1
    found, before, now = [], identity.expand_as(matrix), scaled
    for _ in range(2 * moments.products):
        sites = spin.shape[1]
        blocks = now.view(-1, sites, 2, sites, 2).diagonal(dim1=1, dim2=3).movedim(-1, 1)
        along = torch.einsum("bnij,kji,bnk->bn", blocks, PAULI, spin.to(blocks)) / 2
        found += [blocks.diagonal(dim1=-2, dim2=-1).sum(-1) / 2, along]
        before, now = now, 2 * scaled @ now - before
    return torch.stack(found, -1)


@pytest.mark.parametrize("kind", KINDS)
def test_moments_are_those_of_the_matrix(kind: str) -> None:
    """On a torus that no path of 2 K hops goes around; second neighbours reach two lattice constants along an axis."""
    moments, shape = LocalMoments(kind, HOPPING, COUPLING, 2), (9, 10)
    spin = random_spins(shape)
    exact = dense_moments(moments, kind, spin, shape)
    torch.testing.assert_close(moments(spin, shape).to(exact), exact, **EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cluster_that_ends_has_the_moments_of_its_own_matrix(kind: str) -> None:
    moments, shape, site = LocalMoments(kind, HOPPING, COUPLING, 3, reach=2), (12, 13), 5 * 13 + 6
    spin, identity = random_spins(shape, 1), torch.eye(2, dtype=torch.complex128)
    near = spin[0, moments.around(shape, spin.device)[:, site]]
    onsite = -COUPLING / moments.half * torch.einsum("ck,kab->cab", near.to(PAULI), PAULI)
    matrix = torch.kron(torch.from_numpy(moments.hops).to(PAULI), identity) + torch.block_diag(*onsite)
    matrix = matrix - moments.centre / moments.half * torch.eye(len(matrix), dtype=matrix.dtype)
    before, now, exact = torch.eye(len(matrix), dtype=matrix.dtype), matrix, []
    for _ in range(6):
        block = now[:2, :2]
        exact += [block.trace() / 2, torch.einsum("ab,kba,k->", block, PAULI, near[0].to(PAULI)) / 2]
        before, now = now, 2 * matrix @ now - before
    torch.testing.assert_close(moments(spin, shape)[0, site].to(PAULI), torch.stack(exact), **EXACT)


@pytest.mark.parametrize(("products", "reach"), [(1, 0), (2, 0), (5, 0), (5, 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_sweeps_are_the_reference_and_its_derivatives(kind: str, products: int, reach: int) -> None:
    """7 x 5 sites: the groups of sixteen do not come out even, and the clusters are larger than the torus."""
    shape = (7, 5)
    moments, spin = LocalMoments(kind, HOPPING, COUPLING, products, reach), random_spins(shape)
    compiled = CompiledMoments(moments)
    assert compiled.runs_on(spin)
    exact = moments(spin, shape)
    torch.testing.assert_close(compiled.forward(spin, shape), exact, **EXACT)
    weight, move = numbers_like(exact), numbers_like(spin)
    leaf = spin.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((weight * moments(leaf, shape)).sum(), leaf)
    torch.testing.assert_close(compiled.pullback(spin, weight, shape), gradient, **EXACT)
    _, change = torch.func.jvp(lambda s: moments(s, shape), (spin,), (move,))
    torch.testing.assert_close(compiled.tangent(spin, move, shape), change, **EXACT)
    single = compiled.forward(spin.float(), shape)
    assert single.dtype == torch.float32 and float((single - exact).abs().max()) < tolerances.NETWORK_SINGLE


def test_threads_change_nothing() -> None:
    moments, shape = LocalMoments("square", HOPPING, COUPLING, 2), (12, 13)
    spin, made, threads = random_spins(shape, 3), [], torch.get_num_threads()
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            compiled = CompiledMoments(moments)
            found = compiled.forward(spin, shape)
            made.append((found, compiled.pullback(spin, numbers_like(found), shape)))
    finally:
        torch.set_num_threads(threads)
    for other in made[1:]:
        assert all(torch.equal(one, two) for one, two in zip(made[0], other, strict=True))


def test_moments_refuse_what_is_not_there() -> None:
    for products, hopping, reach in [
        (0, HOPPING, 0),
        (2, [], 0),
        (2, [[0, 1.0]], 0),
        (2, [[40, 1.0]], 0),
        (2, HOPPING, 3),
    ]:
        with pytest.raises(ValueError, match="local moments need products >= 1, a reach from 0 to that and hopping to"):
            LocalMoments("square", hopping, 1.0, products, reach)


def small_network(kind: str = "triangular", products: int = 3) -> MomentNetwork:
    """Every weight random."""
    network = MomentNetwork(kind, HOPPING, COUPLING, products=products, width=8, depth=2).double()
    with torch.no_grad():
        for seed, parameter in enumerate(network.parameters()):
            parameter.copy_(numbers_like(parameter, seed))
    return network


@pytest.mark.parametrize("kind", KINDS)
def test_losses_have_the_same_gradient_without_the_compiled_path(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the weights, of a loss of field and energy: that is what training needs."""
    network, shape = small_network(kind), (4, 5)
    spin = random_spins(shape)

    def gradients() -> list[torch.Tensor]:
        network.zero_grad()
        field, energy = field_and_energy(network, spin, shape, differentiable=True)
        assert energy is not None
        ((field - spin).square().sum() + energy.square().sum()).backward()
        return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]

    fast = gradients()
    monkeypatch.setattr(compiled_moments, "kernel", None)
    assert not network.compiled.runs_on(spin)
    slow = gradients()
    assert len(fast) == len(slow) == len(list(network.parameters()))
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def test_beginning_knows_an_energy_that_is_linear_in_the_moments() -> None:
    """tr f(H), f of sixth degree: forces from the dense matrix are found by the linear fit of three products."""
    kind, shape = "triangular", (13, 14)
    moments = LocalMoments(kind, [[1, 1.0]], COUPLING, 3)
    model = SDModel(LATTICES[kind](*shape, shells=3), {1: 1.0}, COUPLING)
    spin = random_spins(shape, 6).requires_grad_()
    matrix = model.matrix(spin).to_dense()
    scaled = (matrix - moments.centre * torch.eye(matrix.shape[-1], dtype=matrix.dtype)) / moments.half
    square = scaled @ scaled
    cube = square @ scaled
    energies = [(0.3 * cube + 0.5 * square @ square + cube @ cube).diagonal(dim1=1, dim2=2).real.sum(-1)]
    (gradient,) = torch.autograd.grad(energies[0].sum(), spin)
    spin = spin.detach()
    records = Records(shape, spin, -gradient, energies[0].detach(), torch.zeros(6), torch.arange(6), ["{}"] * 6)
    network = MomentNetwork(kind, [[1, 1.0]], COUPLING, products=3).double()
    network.requires_grad_(False).initialise([records.where(torch.arange(6) < 5)])
    field, _ = network.evaluated(spin[5:], shape)
    wrong, right = (transverse(values, spin[5:]) for values in (field + gradient[5:], gradient[5:]))
    assert float(wrong.norm() / right.norm()) < tolerances.FITTED
