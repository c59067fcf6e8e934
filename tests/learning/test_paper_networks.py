"""ECNN, CNN and BP: symmetries, derivatives, and the tensor products against e3nn and against loops over sites."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from e3nn import o3

from engine.lattice import square, triangular
from engine.learning.descriptors.bp import Descriptor, Neighbours
from engine.learning.irreps import coupling, harmonics, point_group, representations
from engine.learning.network import Network, field_and_energy
from engine.learning.networks.bp import BP
from engine.learning.networks.cnn import CNN, pad
from engine.learning.networks.ecnn import ECNN, EquivariantConvolution, filters, places

KINDS = ["square", "triangular"]
LATTICES = {"square": square, "triangular": triangular}
SHAPE = (4, 5)
SMALL = {
    ECNN: {"channels": 3, "blocks": 2, "output": [2]},
    CNN: {"widths": [4, 6], "head": 5},
    BP: {"bonds": 3, "pairs": 2, "chiralities": 2, "hidden": [12, 6]},
}
ENERGIES = [ECNN, BP]


def make(family: type[Network], kind: str) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return family(kind, **SMALL[family]).double()


def random_spins(shape: tuple[int, int] = SHAPE, batch: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    spin = torch.randn(batch, math.prod(shape), 3, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(spin, dim=-1)


def rotation() -> torch.Tensor:
    q = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64))[0]
    return q * torch.linalg.det(q)


def shifted(values: torch.Tensor, shape: tuple[int, int] = SHAPE) -> torch.Tensor:
    return torch.roll(values.unflatten(1, shape), (1, 2), (1, 2)).flatten(1, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", SMALL)
def test_shapes_batches_and_rebuilding(family, kind: str) -> None:
    network, spin = make(family, kind), random_spins(batch=3)
    out = network(spin, SHAPE)
    assert out.shape == ((3,) if network.conservative else (3, 20, 3))
    torch.testing.assert_close(out, torch.cat([network(one[None], SHAPE) for one in spin]))
    again = family(**json.loads(json.dumps(network.configuration))).double()
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(spin, SHAPE), out)
    single = network.float()(spin.float(), SHAPE)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), out, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", SMALL)
def test_neighbours_may_wrap(family) -> None:
    """A 3 x 3 configuration repeated to 6 x 6 has the same local energies or torques."""
    network, spin = make(family, "triangular"), random_spins((3, 3))
    repeated = spin.unflatten(1, (3, 3)).repeat(1, 2, 2, 1)
    small, large = network(spin, (3, 3)), network(repeated.flatten(1, 2), (6, 6))
    torch.testing.assert_close(large, 4 * small if network.conservative else large)
    if not network.conservative:
        torch.testing.assert_close(large.unflatten(1, (6, 6))[:, :3, :3].flatten(1, 2), small)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", SMALL)
def test_translations(family, kind: str) -> None:
    network, spin = make(family, kind), random_spins()
    out = network(spin, SHAPE)
    torch.testing.assert_close(network(shifted(spin), SHAPE), out if network.conservative else shifted(out))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ENERGIES)
def test_rotated_spins_have_the_same_energy_and_the_rotated_field(family, kind: str) -> None:
    network, spin, turn = make(family, kind), random_spins(), rotation()
    field, energy = field_and_energy(network, spin, SHAPE)
    turned_field, turned_energy = field_and_energy(network, spin @ turn.T, SHAPE)
    torch.testing.assert_close(turned_energy, energy)
    torch.testing.assert_close(turned_field, field @ turn.T)
    assert field.abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_bp_point_group_and_time_reversal(kind: str) -> None:
    shape = (4, 4)
    network, spin = make(BP, kind), random_spins(shape)
    energy = network(spin, shape)
    for _, permutation in LATTICES[kind](*shape).point_group():
        moved = torch.empty_like(spin)
        moved[:, permutation] = spin
        torch.testing.assert_close(network(moved, shape), energy)
    torch.testing.assert_close(network(-spin, shape), energy)
    scrambled = spin[:, torch.randperm(16, generator=torch.Generator().manual_seed(1))]
    assert (network(scrambled, shape) - energy).abs().min() > 1e-4  # not because it sees nothing


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ENERGIES)
def test_field_is_the_derivative_and_can_be_trained(family, kind: str) -> None:
    network, spin = make(family, kind), random_spins(batch=1)
    field, _ = field_and_energy(network, spin, SHAPE)
    direction = torch.randn(spin.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    step = 1e-5
    slope = (network(spin + step * direction, SHAPE) - network(spin - step * direction, SHAPE)) / (2 * step)
    torch.testing.assert_close(slope, -(field * direction).sum((1, 2)), atol=1e-8, rtol=1e-6)

    def loss() -> torch.Tensor:
        return field_and_energy(network, spin, SHAPE, differentiable=True)[0].square().mean()

    parameter = next(network.parameters())
    (gradient,) = torch.autograd.grad(loss(), parameter)
    change = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    with torch.no_grad():
        losses = []
        for sign in (1, -1):
            parameter += sign * step * change
            losses.append(loss())
            parameter -= sign * step * change
    slope = (losses[0] - losses[1]) / (2 * step)
    torch.testing.assert_close(slope, (gradient * change).sum(), atol=1e-9, rtol=1e-5)


@pytest.mark.parametrize("family", SMALL)
def test_training_may_follow_inference(family) -> None:
    network, spin = make(family, "square"), random_spins((3, 7))
    with torch.inference_mode():
        out = network(spin, (3, 7))
    network(spin, (3, 7)).square().sum().backward()
    torch.testing.assert_close(network(spin, (3, 7)), out.clone())


@pytest.mark.parametrize("family", ENERGIES)
def test_scale_and_offset_are_per_site(family) -> None:
    network, spin = make(family, "square"), random_spins()
    energy = network(spin, SHAPE).detach()
    network.scale.fill_(2.0)
    network.offset.fill_(-3.0)
    torch.testing.assert_close(network(spin, SHAPE).detach(), 2 * energy - 3 * 20)


def test_ferromagnets_have_a_finite_field() -> None:
    """Norms and phases have no derivative where they vanish: both networks must survive perfect order."""
    spin = torch.zeros(1, 16, 3, dtype=torch.float64)
    spin[..., 2] = 1.0
    for family in ENERGIES:
        network = make(family, "triangular")
        field, _ = field_and_energy(network, spin, (4, 4), differentiable=True)
        field.square().mean().backward()
        assert field.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
        assert torch.linalg.cross(field, spin.expand_as(field)).abs().max() < 1e-10


def test_cnn_torque_is_perpendicular_and_periodic() -> None:
    spin = random_spins()
    torque = make(CNN, "triangular")(spin, SHAPE)
    assert (torque * spin).sum(-1).abs().max() < 1e-12
    field, energy = field_and_energy(make(CNN, "triangular"), spin, SHAPE)
    assert energy is None
    torch.testing.assert_close(torch.linalg.cross(spin, field), torque)
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    for width in (0, 2, 5):  # 5: more than once around
        rows, columns = (np.arange(-width, length + width) % length for length in (3, 4))
        assert torch.equal(pad(image, width), image[:, :, rows][..., columns])


@pytest.mark.parametrize("family", SMALL)
def test_what_cannot_be_is_refused(family) -> None:
    with pytest.raises(ValueError, match="random_sites"):
        family("random_sites")


def test_unusual_ranges() -> None:
    """Shells that reach around the lattice, and descriptors without pairs or chiralities."""
    spin = random_spins((3, 4))
    for network in (
        ECNN("triangular", shells=(2, 9), channels=2, blocks=1, degree=1),
        BP("triangular", 7, 0, 0, hidden=[4]),
        BP("square", 1, 2, 0, hidden=[4]),
        BP("triangular", 1, 0, 3, hidden=[4], activation="relu"),
    ):
        field, energy = field_and_energy(network.double(), spin @ rotation().T, (3, 4))
        torch.testing.assert_close(energy, network(spin, (3, 4)).detach())
        assert field.isfinite().all()


def test_bad_options_are_refused() -> None:
    for bad in (lambda: ECNN("square", shells=()), lambda: ECNN("square", degree=0), lambda: CNN("square", kernel=4)):
        with pytest.raises(ValueError, match="needs"):
            bad()
    with pytest.raises(ValueError, match="activation"):
        BP("square", activation="sine")
    with pytest.raises(ValueError, match="bonds"):
        BP("square", bonds=0)


def test_harmonics_and_couplings_agree_with_e3nn() -> None:
    """Same real basis, same normalization; the free sign of a coupling may differ."""
    spin = random_spins(batch=1)[0]
    expected = o3.spherical_harmonics([0, 1, 2], spin, normalize=False, normalization="component")
    torch.testing.assert_close(torch.cat(harmonics(spin, 2, -1), -1), expected)
    for l1 in range(3):
        for l2 in range(3):
            for l3 in range(abs(l1 - l2), min(2, l1 + l2) + 1):
                theirs = o3.wigner_3j(l1, l2, l3, dtype=torch.float64).numpy() * np.sqrt(2 * l3 + 1)
                ours = coupling(l1, l2, l3)
                np.testing.assert_allclose(ours, theirs * np.sign((ours * theirs).sum()), atol=1e-12)
    with pytest.raises(ValueError, match="no coupling"):
        coupling(0, 0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_equivariant_convolution_agrees_with_e3nn(kind: str) -> None:
    """One layer, weights of its own for every place, as tensor products of e3nn summed over the neighbours."""
    wide, out, shells = 2, 3, {"square": (1,), "triangular": (1, 3)}[kind]
    cells = places(kind, shells)
    assert len(cells) == {"square": 5, "triangular": 13}[kind]
    layer = EquivariantConvolution(cells, wide, out, 2, 2).double()
    grid = random_spins().unflatten(1, SHAPE).permute(0, 3, 1, 2)
    generator = torch.Generator().manual_seed(7)
    feature = {d: torch.randn(2, 2 * d + 1, wide, *SHAPE, generator=generator, dtype=torch.float64) for d in range(3)}
    ours = layer(feature, filters(grid, 2))

    irreps = [o3.Irreps([(count, (degree, 1)) for degree in range(3)]) for count in (wide, out)]
    paths = [(a, f, b) for a, found in layer.paths.items() for f, b in found]
    product = o3.TensorProduct(
        irreps[0], "1x0e+1x1e", irreps[1], [(*path, "uvw", True) for path in paths],
        irrep_normalization="component", path_normalization="none", internal_weights=False, shared_weights=True,
    ).double()  # fmt: skip
    harmonic = o3.spherical_harmonics([0, 1], grid.movedim(1, -1), normalize=False, normalization="component")
    total = torch.zeros(())
    for k, cell in enumerate(cells.tolist()):
        rolled = [torch.roll(feature[d], (-cell[0], -cell[1]), (-2, -1)) for d in range(3)]
        neighbour = torch.cat([x.permute(0, 3, 4, 2, 1).flatten(3) for x in rolled], -1)
        weights = []
        for a, f, b in paths:
            weight = layer.weights[str(a)][layer.paths[a].index((f, b)), :, :, k]
            sign = np.sign((coupling(a, f, b) * o3.wigner_3j(a, f, b).numpy()).sum())
            weights.append(float(sign) * weight.T.reshape(-1))
        total = total + product(neighbour, harmonic, torch.cat(weights))
    for (degree, values), part in zip(sorted(ours.items()), irreps[1].slices(), strict=True):
        theirs = total[..., part].unflatten(-1, (out, 2 * degree + 1)).permute(0, 4, 3, 1, 2)
        torch.testing.assert_close(values, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_representations_multiply_as_the_group_and_are_orthogonal(kind: str) -> None:
    operations = point_group(kind)
    table = [
        [next(k for k, x in enumerate(operations) if np.allclose(x, a @ b)) for b in operations] for a in operations
    ]
    found = representations(kind)
    assert sum(d.shape[1] ** 2 for d in found.values()) == len(operations)
    for d in found.values():
        np.testing.assert_allclose(np.einsum("gij,hjk->ghik", d, d), d[table], atol=1e-12)
    characters = np.stack([np.trace(d, axis1=1, axis2=2) for d in found.values()])
    np.testing.assert_allclose(characters @ characters.T, len(operations) * np.eye(len(found)), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_descriptor_keeps_every_variable_and_starts_with_the_sums_of_bonds(kind: str) -> None:
    descriptor = Descriptor(kind, 3, 2, 2)
    spin = random_spins((6, 6), batch=1)
    features = descriptor(spin.unflatten(1, (6, 6))).flatten(1, 2)[0]
    lattice = LATTICES[kind](6, 6, shells=3)
    for shell in (1, 2, 3):  # A1 copies are ordered by shell: sum of S_i . S_j over the shell
        bonds = lattice.bonds[lattice.shells == shell]
        sums = torch.zeros(36, dtype=torch.float64)
        for i, j in bonds.tolist():
            sums[i] += spin[0, i] @ spin[0, j]
            sums[j] += spin[0, i] @ spin[0, j]
        count = 2 * len(bonds) / 36
        torch.testing.assert_close(features[:, shell - 1], sums * (3 / count) ** 0.5)
    for block, deviation2 in (("block0", 1 / 3), ("block1", 1 / 3), ("block2", 2 / 9)):
        matrix = descriptor.matrices[block]
        used = matrix[np.abs(matrix).sum(1) > 0]
        np.testing.assert_allclose(used @ used.T * deviation2, np.eye(len(used)), atol=1e-12)
    assert features.std(0).min() > 1e-3


def test_neighbours_differentiate_twice() -> None:
    values = torch.randn(1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    cells = [(1, 0), (-1, 2), (0, 4)]
    assert torch.autograd.gradcheck(lambda x: Neighbours.apply(x, cells).square(), values)
    assert torch.autograd.gradgradcheck(lambda x: Neighbours.apply(x, cells).square(), values)
