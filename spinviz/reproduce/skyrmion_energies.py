"""Exact energies of skyrmion crystals at rest, each in its own magnetic cell.

Q1, Q2, Q3 of length pi/3 repeat after 4 (a1 + a2) and 4 (-a1 + 2 a2): 48 sites. A rectangle L1 a1 x L2 a2 holds whole
periods only from 12 x 12 sites = three cells on; one cell with k x k boundary twists samples as many momenta for a
ninth of the work (N^3). Energies are grand potentials per site, E(S) = Omega(S) / N - H M_z.

At rest dE/dS_perp = 0, so along a branch of such states  dE/dH = -M_z.  A branch is followed in the field: every field
starts from the rest state at its neighbour, so that a state survives where it is only metastable. Minimizer: L-BFGS
with Wolfe conditions (Nocedal and Wright, Numerical Optimization (2006), ch. 7) on x, S = x / |x|.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from engine.electrons import Ensemble, ExactDiagonalization
from engine.electrons.ensemble import grand_potential
from engine.electrons.twists import twist_mesh
from engine.forces import ElectronicForce, ForceProvider
from engine.lattice import PRIMITIVE_VECTORS, Lattice, half_stencil, triangular
from engine.models import SDModel
from engine.observables import topological_charge
from engine.presets import PRESETS
from engine.state import SpinState
from engine.textures import perturbed, texture
from spinviz.reproduce.runs import in_field

PRESET = "skyrmion"
MAGNETIC_CELL = ((4, 4), (-4, 8))  # in units of a1, a2
COMMENSURATE_LENGTH = 12  # the smallest L x L that holds whole cells
STIFFNESS = 0.03  # energy per squared angle: makes the first step of the minimizer of order one
TORQUE, LEAST_CHANGE = 1e-5, 1e-9  # rest: largest |S x h|, or the change of the energy per site in one step
MATRICES_AT_ONCE = 256  # 20 MB each hundred
KICKS = 0.05  # of the ordered starts: off the saddle points that their symmetry may be


@dataclass(frozen=True)
class Rest:
    """Spins at rest (1, N, 3), and the largest torque |S x h| left."""

    spin: torch.Tensor
    torque: float


@dataclass(frozen=True)
class Branch:
    """A kind of state along the field, arrays (F,): energy per site on the finer and the coarser mesh of twists, charge
    per cell, M_z, and the torque left. Fields where another charge was found are left out."""

    fields: np.ndarray
    energy: np.ndarray
    coarse: np.ndarray
    charge: np.ndarray
    polarization: np.ndarray
    torque: np.ndarray


def magnetic_cell(vectors: Sequence[Sequence[int]] = MAGNETIC_CELL, shells: int = 3) -> Lattice:
    """Periodic piece of the triangular lattice with periods that need not lie along a1 and a2.

    ``vectors``: rows (n1, n2), the periods n1 a1 + n2 a2, counter-clockwise. Its kind is "magnetic_cell": geometry,
    electrons and charge work, what needs L1 x L2 sites refuses it. Raises ValueError for periods that span no cell.
    """
    rows = np.array(vectors, dtype=np.int64)
    sites = round(float(np.linalg.det(rows))) if rows.shape == (2, 2) else 0
    if sites < 1:
        raise ValueError(f"periods must be two counter-clockwise pairs of integers, got {vectors}")
    reach = int(np.abs(rows).sum())
    box = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    cells = box[(_images(box, rows) == 0).all(1)]
    number = {tuple(cell): i for i, cell in enumerate(cells.tolist())}

    def at(where: np.ndarray) -> np.ndarray:
        return np.array([number[tuple(cell)] for cell in (where - _images(where, rows) @ rows).tolist()])

    stencil, shell = half_stencil("triangular", shells)
    targets = (cells[None] + stencil[:, None]).reshape(-1, 2)
    here, right, up, corner = (at(cells + step) for step in ([0, 0], [1, 0], [0, 1], [1, 1]))
    triangles = [np.stack([here, right, up], 1), np.stack([right, corner, up], 1)]
    primitive = PRIMITIVE_VECTORS["triangular"]
    return Lattice(
        kind="magnetic_cell", shape=(sites,), positions=cells @ primitive,
        bonds=np.stack([np.tile(here, len(stencil)), at(targets)], 1),
        displacements=np.repeat(stencil @ primitive, sites, axis=0), shells=np.repeat(shell, sites),
        wraps=_images(targets, rows), plaquettes=np.stack(triangles, 1).reshape(-1, 3), periods=rows @ primitive,
        options={"vectors": rows.tolist(), "shells": shells},
    )  # fmt: skip


def _images(cells: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """How many periods lie between cells (K, 2) and their place in the home cell, (K, 2); exact in integers."""
    (a, b), (c, d) = vectors.tolist()
    turns = np.stack([cells[:, 0] * d - cells[:, 1] * c, cells[:, 1] * a - cells[:, 0] * b], 1)
    return turns // (a * d - b * c)


def start(n_sk: int, lattice: Lattice, seed: int = 0) -> torch.Tensor:
    """A slightly shaken crystal with n_sk = 2, 1, 0 in its magnetic cell, (1, N, 3)."""
    length = COMMENSURATE_LENGTH
    whole = texture("skyrmion_crystal", triangular(length, length), n_sk=n_sk)
    cells = np.round(lattice.positions @ np.linalg.inv(PRIMITIVE_VECTORS["triangular"])).astype(np.int64) % length
    return perturbed(whole[:, cells[:, 0] * length + cells[:, 1]], KICKS, seed)


def exact(lattice: Lattice, twists: int) -> ElectronicForce:
    """Electrons of the preset, diagonalized on a square mesh of twists."""
    chosen = PRESETS[PRESET]
    ensemble = Ensemble(chosen.electron_temperature, chosen.chemical_potential)
    model = SDModel(lattice, chosen.hopping or {}, chosen.coupling)
    return ElectronicForce(model, ExactDiagonalization((twists, twists)), ensemble)


def energy(spin: torch.Tensor, lattice: Lattice, twists: int) -> float:
    """Grand potential per site of spins (1, N, 3) without field, from levels alone: half the work of a force."""
    electrons = exact(lattice, twists)
    matrix, ensemble = electrons.model.matrix(spin), electrons.ensemble
    assert matrix is not None and ensemble.chemical_potential is not None
    total = 0.0
    for some in twist_mesh((twists, twists), 2, spin.dtype, spin.device).split(MATRICES_AT_ONCE):
        levels = torch.linalg.eigvalsh(matrix.add_onsite(matrix.to_dense_bonds(some))).double()
        total += float(grand_potential(levels - ensemble.chemical_potential, ensemble.temperature).sum())
    return total / (twists**2 * lattice.sites)


def at_rest(spin: torch.Tensor, force: ForceProvider, most: int) -> Rest:
    """The lowest state met downhill from spins (1, N, 3) in about ``most`` evaluations of the force (a line search is
    finished).

    Raises ValueError for more than one replica or a force without energy.
    """
    if spin.shape[0] != 1:
        raise ValueError(f"one replica is brought to rest at a time, got {spin.shape[0]}; call once for each")
    loose = spin.clone()
    scale = 1 / STIFFNESS
    minimizer = torch.optim.LBFGS(
        [loose], lr=1.0, max_iter=most, max_eval=most, tolerance_grad=scale * TORQUE,
        tolerance_change=scale * LEAST_CHANGE * spin.shape[1], history_size=20, line_search_fn="strong_wolfe",
    )  # fmt: skip
    met: list[tuple[float, Rest]] = []

    def closure() -> torch.Tensor:
        length = torch.linalg.vector_norm(loose, dim=-1, keepdim=True)
        unit = loose / length
        response = force(SpinState(unit))
        if response.energy is None:
            raise ValueError(f"rest is where the energy is lowest; {type(force).__name__} gives no energy")
        uphill = unit * (unit * response.force).sum(-1, keepdim=True) - response.force
        loose.grad = scale * uphill / length
        torque = float(torch.linalg.vector_norm(uphill, dim=-1).max())
        met.append((float(response.energy), Rest(unit, torque)))
        return scale * response.energy[0]

    minimizer.step(closure)  # type: ignore[no-untyped-call]
    return min(met, key=lambda one: one[0])[1]


def follow(
    n_sk: int, fields: Sequence[float], lattice: Lattice, twists: Sequence[int], meshes: Sequence[int], most: int
) -> Branch:
    """States of one kind at ascending fields, at most ``most`` force evaluations each; energies on two ``meshes``.

    The crystal is relaxed first at the middle field, on every mesh of ``twists`` in turn, then followed up and down on
    the last one.
    """
    middle, force = len(fields) // 2, exact(lattice, twists[-1])
    spin = start(n_sk, lattice)
    for rough in twists[:-1]:
        spin = at_rest(spin, in_field(exact(lattice, rough), fields[middle]), most).spin
    found: dict[float, Rest] = {}
    for path in (fields[middle:], fields[:middle][::-1]):
        for field in path:
            found[field] = at_rest(spin, in_field(force, field), most)
            spin = found[field].spin
        spin = found[fields[middle]].spin
    rests = [found[field] for field in fields]
    charges = np.array([float(topological_charge(rest.spin, lattice).abs()) for rest in rests])
    kept = np.abs(charges - n_sk) < 0.5
    polarization = np.array([float(rest.spin[..., 2].double().mean()) for rest in rests])
    fine, coarse = (
        np.array([energy(rest.spin, lattice, mesh) for rest in rests]) - np.array(fields) * polarization
        for mesh in (max(meshes), min(meshes))
    )
    torque = np.array([rest.torque for rest in rests])
    return Branch(np.array(fields)[kept], fine[kept], coarse[kept], charges[kept], polarization[kept], torque[kept])
