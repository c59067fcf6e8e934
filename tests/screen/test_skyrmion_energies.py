"""Crystals in their magnetic cell: geometry and energies against 12 x 12 lattices, rest, branches, where they cross."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.forces import ClassicalForce, ForceProvider, Response
from engine.lattice import triangular
from engine.models import SDModel, Zeeman
from engine.observables import topological_charge
from engine.presets import PRESETS
from engine.state import SpinState
from engine.textures import skyrmion_crystal
from spinviz.reproduce import skyrmion_energies, skyrmion_phases
from spinviz.reproduce.runs import in_field
from spinviz.reproduce.skyrmion_energies import Branch, at_rest, energy, exact, follow, magnetic_cell, start
from tests.tolerances import (
    ENERGY_OF_LEVELS,
    EXACT_DOUBLE,
    INTEGER_CHARGE,
    ROUNDING,
    SHIPPED_REST,
    SLOPE_OF_REST,
)

SHIPPED = Path(__file__).parents[2] / "assets" / "figures" / "skyrmion-phases.json"
CELL = magnetic_cell()


def branch(fields, values, slopes, coarse=None):
    fields, values = np.asarray(fields), np.asarray(values)
    coarse = values if coarse is None else np.asarray(coarse)
    return Branch(fields, values, coarse, np.zeros(len(fields)), -np.asarray(slopes), np.zeros(len(fields)))


@pytest.mark.parametrize("vectors, sites", [(((4, 4), (-4, 8)), 48), (((5, 0), (0, 3)), 15), (((2, -1), (1, 3)), 7)])
def test_a_cell_is_a_closed_piece_of_the_lattice(vectors, sites):
    cell = magnetic_cell(vectors)
    assert cell.sites == sites and len(cell.plaquettes) == 2 * sites
    first, second = cell.bonds.T
    reached = cell.positions[first] + cell.displacements - cell.wraps @ cell.periods
    assert np.abs(cell.positions[second] - reached).max() < EXACT_DOUBLE
    for shell, length in ((1, 1.0), (2, math.sqrt(3)), (3, 2.0)):
        some = cell.shells == shell
        assert np.abs(cell.distances[some] - length).max() < EXACT_DOUBLE
        assert (np.bincount(cell.bonds[some].ravel(), minlength=sites) == 6).all()  # six neighbours each
    assert abs(np.linalg.det(cell.periods) - sites * math.sqrt(3) / 2) < ROUNDING


@pytest.mark.parametrize("vectors", [((4, 4), (4, 4)), ((-4, 8), (4, 4)), ((1, 2, 3), (4, 5, 6))])
def test_periods_that_span_no_cell_are_refused(vectors):
    with pytest.raises(ValueError, match="counter-clockwise pairs"):
        magnetic_cell(vectors)


@pytest.mark.parametrize("n_sk", [2, 1, 0])
def test_levels_of_three_cells_are_those_of_a_12_x_12_lattice(n_sk, monkeypatch):
    """12 a1 = 2 A1 - A2 and 12 a2 = A1 + A2: each twist of the large lattice is three twists of the cell."""
    monkeypatch.setattr(skyrmion_energies, "KICKS", 0.0)
    whole, preset = triangular(12), PRESETS["skyrmion"]
    large = skyrmion_crystal(whole, n_sk, dtype=torch.float64)
    small = torch.nn.functional.normalize(start(n_sk, CELL).double(), dim=-1)
    assert abs(topological_charge(small, CELL).item() + n_sk) < INTEGER_CHARGE
    assert abs(topological_charge(large, whole).item() + 3 * n_sk) < INTEGER_CHARGE
    matrices = [SDModel(lattice, preset.hopping, preset.coupling).matrix(spin)
                for lattice, spin in ((whole, large), (CELL, small))]  # fmt: skip
    twist = (0.4, 1.3)
    expected = torch.linalg.eigvalsh(matrices[0].to_dense(twist))[0]
    first = [sum(twist) / 3 + 2 * math.pi * m / 3 for m in range(3)]
    found = torch.cat([torch.linalg.eigvalsh(matrices[1].to_dense((one, twist[1] - one)))[0] for one in first])
    assert (found.sort().values - expected).abs().max() < ENERGY_OF_LEVELS


@pytest.mark.parametrize("twists", [1, 3])
def test_energy_from_levels_is_that_of_exact_diagonalization(twists):
    spin = start(1, CELL)
    direct = exact(CELL, twists)(SpinState(spin)).energy
    assert abs(energy(spin, CELL, twists) - float(direct) / CELL.sites) < ENERGY_OF_LEVELS


def test_rest_is_where_the_torque_vanishes_and_the_slope_is_the_magnetization():
    force, fields = exact(CELL, 2), (0.0198, 0.02, 0.0202)
    spin = torch.nn.functional.normalize(start(0, CELL).double(), dim=-1)
    first = at_rest(spin, in_field(force, fields[1]), 60)
    rests = [at_rest(first.spin, in_field(force, field), 20) for field in fields]
    totals = [in_field(force, field)(SpinState(one.spin)) for one, field in zip(rests, fields, strict=True)]
    energies = [float(total.energy) / CELL.sites for total in totals]
    assert energies[1] < float(in_field(force, fields[1])(SpinState(spin)).energy) / CELL.sites
    along = float(rests[1].spin[..., 2].mean())
    assert abs(energies[1] - (energy(rests[1].spin, CELL, 2) - fields[1] * along)) < ROUNDING
    assert abs((energies[2] - energies[0]) / (fields[2] - fields[0]) + along) < SLOPE_OF_REST
    for one, total in zip(rests, totals, strict=True):
        torque = torch.linalg.vector_norm(torch.linalg.cross(one.spin, total.force), dim=-1).max()
        assert abs(torque - one.torque) < ROUNDING and torque < 2e-5


def test_free_spins_come_to_rest_along_the_field():
    found = at_rest(start(1, CELL), ClassicalForce(Zeeman((0.0, 0.0, 0.1))), 40)
    assert found.torque < 1e-4 and found.spin[..., 2].min() > 1 - 1e-5


def test_what_cannot_come_to_rest_is_refused():
    class Torque(ForceProvider):
        def __call__(self, state):
            return Response(torch.zeros_like(state.spin))

    with pytest.raises(ValueError, match="Torque gives no energy"):
        at_rest(start(1, CELL), Torque(), 5)
    with pytest.raises(ValueError, match="one replica"):
        at_rest(start(1, CELL).expand(2, -1, -1), Torque(), 5)


def test_branches_keep_only_their_own_charge():
    found = follow(1, (0.0045, 0.005, 1.0), CELL, (8,), (2, 3), 6)
    assert found.fields.tolist() == [0.0045, 0.005] and np.abs(found.charge - 1).max() < INTEGER_CHARGE
    assert len(found.energy) == len(found.coarse) == len(found.polarization) == len(found.torque) == 2


def test_energies_cross_at_the_root_of_their_cubic():
    fields, root = np.array([0.003, 0.0035, 0.004]), 0.00371
    cubic = np.polynomial.Polynomial.fromroots([root, 0.02, -0.01]) * 1e4
    high = branch(fields, 1 + cubic(fields), 2 + cubic.deriv()(fields), 1 + cubic(fields) + [1e-6, -1e-6, 1e-6])
    low = branch(np.append(fields, 0.006), np.ones(4), np.full(4, 2.0))
    found = skyrmion_phases._crossing(high, low)
    assert abs(found.at - root) < 1e-9
    error = skyrmion_phases._difference(high, low)[3]
    assert error >= 1e-6 and math.isclose(found.error, error / abs(cubic.deriv()(root)), rel_tol=1e-6)


def test_energies_that_do_not_cross_say_so():
    fields = np.array([0.003, 0.004])
    low = branch(fields, [0.0, 0.0], [0.0, 0.0])
    above = branch(fields, [1e-4, 2e-4], [0.1, 0.1])
    assert "does not change its sign between 0.003 and 0.004" in skyrmion_phases._crossing(above, low)
    assert "no field has both" in skyrmion_phases._crossing(branch([0.005], [0.0], [0.0]), low)


def test_shipped_branches_have_their_charges_and_the_slopes_of_rest():
    record = json.loads(SHIPPED.read_text())["numbers"]["exact"]
    for n_sk, found in record.items():
        assert np.allclose(found["charge"], int(n_sk), atol=INTEGER_CHARGE)
        fields, energies, along = (np.array(found[name]) for name in ("fields", "energy", "polarization"))
        assert (np.diff(along) > 0).all()  # E is concave: d2E/dH2 = -dM/dH < 0
        area = np.diff(fields) * (along[1:] + along[:-1]) / 2
        assert np.abs(np.diff(energies) + area).max() < SHIPPED_REST, n_sk


def test_learned_crystals_cross_replica_by_replica() -> None:
    fields, roots = np.array([0.003, 0.0035, 0.004, 0.006]), np.array([0.00362, 0.00371])
    along = np.array([[0.1, 0.2, 0.3]])[:, :, None] * np.ones(
        (4, 1, 2)
    )  # of n_sk = 2, 1, 0; constant: E is linear in H
    offset = np.stack([0.1 * roots, 0.2 * roots, np.full(2, 1.0)])[None]
    energy = offset - along * fields[:, None, None]
    charge = np.array([2.0, 1.0, 0.0])[None, :, None] * np.ones((4, 1, 2))
    charge[3, 0] = 1.0  # the crystal with two skyrmions per cell has lost one of them there
    learned = skyrmion_phases.Learned(fields, energy, charge, along)
    assert learned.branch(2, 0).fields.tolist() == fields[:3].tolist()
    found = skyrmion_phases._learned_crossing(learned, (2, 1), 2)
    assert found.at == pytest.approx(roots.mean())
    assert found.error == pytest.approx(np.ptp(roots) / 2), "the scatter alone: dE/dH = -M_z holds exactly here"
    assert learned.lowest(charge)[:, 0].tolist() == [2.0, 2.0, 1.0, 1.0]
    assert "2 of 2 replicas" in skyrmion_phases._learned_crossing(learned, (1, 0), 2)
