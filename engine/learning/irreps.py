r"""Irreducible representations: of spin rotations (l <= 2, real basis) and of the point groups D6 and D4.

Spin rotations. Degree l has 2l + 1 real components: l = 1 is (x, y, z), l = 2 the symmetric traceless matrices in the
order xz, xy, 2yy - xx - zz, yz, zz - xx (the order of e3nn; its couplings are ours up to signs). A coupling
C (2 l1 + 1, 2 l2 + 1, 2 l3 + 1) is the one tensor that no rotation changes: the null vector of its three generators,

    (X_a x 1 x 1 + 1 x X_a x 1 + 1 x 1 x X_a) C = 0,    |C|^2 = 2 l3 + 1,    its first entry that is not zero positive,

so that unit-variance factors give a unit-variance product.

Point groups. A rotation by phi acts in the irreducible representation number k as a rotation by k phi, a mirror as
the mirror at k phi; k = 0 and k = n / 2 fall apart into A1, A2 and B1, B2. Variables that the group permutes, up to a
sign, v_j -> s v_g(j), are taken apart by the projections

    P_ab = (d / |G|) sum_g D(g)_ab rho(g):     copies r = orthonormal basis of the range of P_00, partners P_a0 r,

by Gram-Schmidt in the order of the variables, which is the same on every machine (eigenvectors would not be).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from engine.lattice import square, triangular

ZERO = 1e-8  # below: rounding


def harmonics(spin: torch.Tensor, degree: int, dim: int) -> list[torch.Tensor]:
    """Y_0 ... Y_degree of vectors along ``dim``, which get 2l + 1 components; |Y_l|^2 = 2l + 1 at |S| = 1."""
    x, y, z = (spin.narrow(dim, a, 1) for a in range(3))
    found = [torch.ones_like(x)]
    if degree >= 1:
        found.append(3**0.5 * spin)
    if degree >= 2:
        quadratic = [2 * x * z, 2 * x * y, (2 * y * y - x * x - z * z) / 3**0.5, 2 * y * z, z * z - x * x]
        found.append(15**0.5 / 2 * torch.cat(quadratic, dim))
    return found


@cache
def coupling(l1: int, l2: int, l3: int) -> np.ndarray:
    """Clebsch-Gordan tensor C (2 l1 + 1, 2 l2 + 1, 2 l3 + 1) of l1 x l2 -> l3, real. Raises ValueError if none."""
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        raise ValueError(f"no coupling of l = {l1} and {l2} to {l3}")
    sizes = [2 * degree + 1 for degree in (l1, l2, l3)]
    rows = []
    for a in range(3):
        first, second, third = (_generators(degree)[a] for degree in (l1, l2, l3))
        one = [np.eye(size) for size in sizes]
        rows.append(
            np.kron(np.kron(first, one[1]), one[2])
            + np.kron(np.kron(one[0], second), one[2])
            + np.kron(np.kron(one[0], one[1]), third)
        )
    null = np.linalg.svd(np.concatenate(rows))[2][-1]
    null *= np.sign(null[np.abs(null) > ZERO][0]) * np.sqrt(sizes[2])
    return np.where(np.abs(null) > ZERO, null, 0.0).reshape(sizes)


@cache
def point_group(kind: str) -> np.ndarray:
    """The operations of D6 ("triangular") or D4 ("square") as matrices (|G|, 2, 2), the identity first."""
    lattice = triangular(3) if kind == "triangular" else square(3)
    return np.stack([matrix for matrix, _ in lattice.point_group()])


@cache
def representations(kind: str) -> dict[str, np.ndarray]:
    """Name -> matrices D(g) (|G|, d, d) of all irreducible representations, in the order of :func:`point_group`."""
    operations = point_group(kind)
    order = len(operations) // 2
    angle = np.arctan2(operations[:, 1, 0], operations[:, 0, 0])  # of the image of the x axis
    parity = np.round(np.linalg.det(operations))  # -1: mirror
    alternating = np.round(np.cos(angle * order / 2))
    found = {"A1": np.ones_like(parity), "A2": parity, "B1": alternating, "B2": alternating * parity}
    matrices = {name: values[:, None, None] for name, values in found.items()}
    for k in range(1, order // 2):
        c, s = np.cos(k * angle), np.sin(k * angle)
        matrices[f"E{k}"] = np.stack([np.stack([c, -parity * s], -1), np.stack([s, parity * c], -1)], 1)
    return matrices


def adapted(kind: str, images: np.ndarray, signs: np.ndarray) -> dict[str, np.ndarray]:
    """Symmetry-adapted combinations of K variables of which operation g sends v_j to signs[g, j] v_images[g, j].

    images, signs (|G|, K). Returns name -> coefficients (K, copies, d): xi = v @ coefficients turns with D(g); names
    without a copy are left out. All coefficients together are an orthogonal matrix.
    """
    count, variables = images.shape
    action = np.zeros((count, variables, variables))
    for g in range(count):
        action[g, images[g], np.arange(variables)] = signs[g]
    found = {}
    for name, matrices in representations(kind).items():
        size = matrices.shape[1]
        projections = size / count * np.einsum("ga,gij->aij", matrices[:, :, 0], action)
        copies = _orthonormal(projections[0])
        if copies:
            found[name] = np.stack([[projections[a] @ copy for a in range(size)] for copy in copies]).transpose(2, 0, 1)
    return found


@cache
def triple_invariant(kind: str, names: tuple[str, str, str]) -> np.ndarray | None:
    """The invariant tensor (d1, d2, d3) of three irreducible representations (bispectrum), None if there is none."""
    d = [representations(kind)[name] for name in names]
    average = np.einsum("gai,gbj,gck->abcijk", *d) / len(d[0])
    size = int(np.prod(average.shape[:3]))
    found = _orthonormal(average.reshape(size, size))
    return found[0].reshape(average.shape[:3]) if found else None


def _orthonormal(projection: np.ndarray) -> list[np.ndarray]:
    """Orthonormal basis of the range of a projection: Gram-Schmidt of its columns from the first one on."""
    basis: list[np.ndarray] = []
    for column in projection.T:
        rest = column - sum((b * (b @ column) for b in basis), np.zeros_like(column))
        if np.linalg.norm(rest) > 1e-6:
            basis.append(rest / np.linalg.norm(rest))
    return basis


@cache
def _generators(degree: int) -> tuple[np.ndarray, ...]:
    """Infinitesimal rotations about x, y, z of degree 0, 1 or 2, antisymmetric (2l + 1, 2l + 1)."""
    if degree == 0:
        return (np.zeros((1, 1)),) * 3
    vector = [np.cross(np.eye(3)[a], np.eye(3)).T for a in range(3)]
    if degree == 1:
        return tuple(vector)
    basis = np.zeros((5, 3, 3))
    for m, (a, b) in ((0, (0, 2)), (1, (0, 1)), (3, (1, 2))):
        basis[m, a, b] = basis[m, b, a] = 0.5**0.5
    basis[2] = np.diag([-1, 2, -1]) / 6**0.5
    basis[4] = np.diag([-1, 0, 1]) / 2**0.5
    return tuple(np.einsum("mij,nij->mn", basis, x @ basis - basis @ x) for x in vector)
