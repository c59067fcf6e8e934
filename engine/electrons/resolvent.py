"""Selected elements of (z - h)^-1 and ln det(z - h), exact, batched over shifts z.

With A = z - h on the fronts of a nested dissection (own sites s, border b),

    eliminate, leaves first:    X = A_ss^-1,   A_bb <- A_bb - A_bs X A_sb                       (Schur complement)
    go back, root first:        G_sb = -X A_sb G_bb,   G_bs = -G_bb A_bs X,   G_ss = X - X A_sb G_bs

gives G = A^-1 on all pairs within a front, which include all bonds. Lin, Lu, Ying, Car, E, Commun. Math. Sci. 7, 755
(2009).

ln det A = sum over fronts of ln det A_ss. The branch is the continuous one: A has a positive definite anti-Hermitian
part B = Im z (so have all Schur complements), and with A = A' + i B, B = L L+, the eigenvalues x_k of L^-1 A' L^-+ are
real, so that ln det A = 2 ln det L + sum_k ln(x_k + i). Eigenvalues are slow: a front is first cut into blocks of
``BLOCK`` numbers, whose Schur complements have the same property.
"""

from __future__ import annotations

import torch

from engine.block_matrix import BlockMatrix
from engine.electrons.dissection import Group, Join, dissect
from engine.threads import shared_singly

BLOCK = 24  # numbers at most of a determinant that eigenvalues are computed for: the quickest at 48 x 48 sites


class Resolvent:
    """Selected elements of (z - h)^-1 for many shifts.

    matrix : h; ``phases`` (K, E) of its twists. Shift q of a call belongs to system[q] = replica * K + twist.
    all_bonds : elements of bonds without hopping are wanted too (the cuts may then be wider).
    On CPUs shifts are shared among torch's threads, each of which works with one.
    """

    def __init__(self, matrix: BlockMatrix, phases: torch.Tensor, all_bonds: bool = False) -> None:
        self.matrix, self.tree, self.o = matrix, dissect(matrix, all_bonds), matrix.components
        self.phases, self.systems = phases, matrix.replicas * len(phases)
        device = matrix.onsite.device
        self.index = {
            id(group): [torch.as_tensor(a, device=device) for a in (group.own, group.bonds, group.rows, group.places)]
            for level in self.tree.levels
            for group in level
        }

    def __call__(
        self, shifts: torch.Tensor, system: torch.Tensor, pairs: bool = False, determinants: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """For shifts z (Q,), Im z > 0: G_ii (Q, N, o, o); G_ij and G_ji on the bonds (2, Q, E, o, o) if ``pairs``;

        ln det(z - h) (Q,) complex128 if ``determinants``.
        """
        onsite = self.matrix.onsite
        green = onsite.new_empty((len(shifts), *onsite.shape[1:]))
        bonds = onsite.new_zeros((2, len(shifts), self.phases.shape[1], self.o, self.o)) if pairs else None
        logarithm = torch.zeros(len(shifts), dtype=torch.complex128, device=shifts.device) if determinants else None

        def part(first: int, last: int) -> None:
            here = slice(first, last)
            _Inversion(
                self, shifts[here], system[here], green[here], None if bonds is None else bonds[:, here],
                None if logarithm is None else logarithm[here],
            ).run()  # fmt: skip

        if onsite.device.type == "cpu":
            shared_singly(len(shifts), part)
        else:
            part(0, len(shifts))
        return green, bonds, logarithm


class _Inversion:
    """Some shifts, and where their G_ii, G_ij and ln det go."""

    def __init__(
        self, resolvent: Resolvent, shifts: torch.Tensor, system: torch.Tensor, onsite: torch.Tensor,
        bonds: torch.Tensor | None, logarithm: torch.Tensor | None,
    ) -> None:  # fmt: skip
        self.tree, self.index, self.o = resolvent.tree, resolvent.index, resolvent.o
        self.shifts, self.onsite, self.bonds, self.logarithm = shifts, onsite, bonds, logarithm
        used, self.system = torch.unique(system, return_inverse=True)
        matrix, twists = resolvent.matrix, len(resolvent.phases)
        replica, twist = used // twists, used % twists
        self.minus_onsite = -matrix.onsite[replica]
        hopping = matrix.bond_blocks().expand(matrix.replicas, -1, -1, -1)
        self.minus_bonds = -hopping[replica] * resolvent.phases[twist][..., None, None]

    def run(self) -> None:
        kept = self._eliminate()
        above: list[_Blocks] = []
        for depth, level in enumerate(self.tree.levels):
            above = [
                _back(*factors, border)
                for factors, border in zip(kept.pop(), self._on_borders(depth, above), strict=True)
            ]
            for group, green in zip(level, above, strict=True):
                self._collect(group, green)

    def _eliminate(self) -> list[list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]]:
        """X, -X A_sb and -A_bs X of all fronts, leaves first."""
        kept = []
        updates: list[torch.Tensor] = []
        for level in reversed(self.tree.levels):
            factors, following = [], []
            for group in level:
                front = self._front(group)
                for join in group.children:
                    for rows, columns, here, there in self._blocks(join):
                        front[rows][columns][join.parents, :, *there] += updates[join.group][join.rows, :, *here]
                (own, beside), (below, border) = front
                if self.logarithm is not None:
                    self.logarithm += _log_determinant(own)
                inverse = torch.linalg.inv(own)
                minus = -inverse
                right = minus @ beside
                factors.append((inverse, right, below @ minus))
                following.append(_plus_product(border, below, right) if group.children else below @ right)
            kept.append(factors)
            updates = following
        return kept

    def _front(self, group: Group) -> _Blocks:
        """z - h on the fronts of a group, in blocks of own sites and border; there is none on the border yet."""
        own, bonds, rows, places = self.index[id(group)]
        (g, s), o = own.shape, self.o
        b = group.border.shape[1]
        systems = len(self.minus_onsite)
        part = self.onsite.new_zeros((g, s, s + b, systems, o, o))  # rows of the own sites
        diagonal = torch.arange(s, device=own.device)
        part[:, diagonal, diagonal] = self.minus_onsite[:, own].permute(1, 2, 0, 3, 4)
        blocks = self.minus_bonds[:, bonds].transpose(0, 1)
        for (first, second), block in ((places.T, blocks), (places.T.flip(0), blocks.mH.resolve_conj())):
            inside = first < s
            part.index_put_((rows[inside], first[inside], second[inside]), block[inside], accumulate=True)
        part = part.permute(0, 3, 1, 4, 2, 5).reshape(g, systems, s * o, (s + b) * o)
        inner, beside = part[..., : s * o][:, self.system], part[..., s * o :][:, self.system]
        torch.diagonal(inner, dim1=-2, dim2=-1).add_(self.shifts.to(inner.dtype)[:, None])
        below = beside.mH.resolve_conj().contiguous()
        border = (inner.new_zeros if group.children else inner.new_empty)((g, len(self.shifts), b * o, b * o))
        return (inner, beside), (below, border)

    def _on_borders(self, depth: int, above: list[_Blocks]) -> list[torch.Tensor]:
        """G of the fronts of a level on their borders, taken from their parents."""
        greens = [
            self.onsite.new_empty((len(g.own), len(self.shifts), *[g.border.shape[1] * self.o] * 2))
            for g in self.tree.levels[depth]
        ]
        for group, green in zip(self.tree.levels[depth - 1] if depth else (), above, strict=True):
            for join in group.children:
                for rows, columns, here, there in self._blocks(join):
                    greens[join.group][join.rows, :, *here] = green[rows][columns][join.parents, :, *there]
        return greens

    def _blocks(self, join: Join) -> list[tuple[int, int, tuple[slice, slice], tuple[slice, slice]]]:
        """Rectangles: in which block of the parents, where on the children's borders, where in that block."""

        def of(first: int, length: int) -> slice:
            return slice(self.o * first, self.o * (first + length))

        runs = [(run.part, of(run.here, run.length), of(run.there, run.length)) for run in join.runs]
        return [(a[0], b[0], (a[1], b[1]), (a[2], b[2])) for a in runs for b in runs]

    def _collect(self, group: Group, green: _Blocks) -> None:
        own, numbers, rows, places = self.index[id(group)]
        inner = green[0][0].unflatten(-1, (-1, self.o)).unflatten(-3, (-1, self.o))  # g, Q, s, o, s, o
        self.onsite[:, own.flatten()] = torch.diagonal(inner, dim1=2, dim2=4).permute(1, 0, 4, 2, 3).flatten(1, 2)
        if self.bonds is not None:
            whole = torch.cat([torch.cat(row, -1) for row in green], -2)
            blocks = whole.unflatten(-1, (-1, self.o)).unflatten(-3, (-1, self.o))
            first, second = places.T
            self.bonds[0][:, numbers] = blocks[rows, :, first, :, second].transpose(0, 1)
            self.bonds[1][:, numbers] = blocks[rows, :, second, :, first].transpose(0, 1)


_Blocks = tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]  # own, border by own, border


def _plus_product(target: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """target += left @ right for (g, Q, ., .)."""
    target.flatten(0, 1).baddbmm_(left.flatten(0, 1), right.flatten(0, 1))
    return target


def _back(inverse: torch.Tensor, right: torch.Tensor, left: torch.Tensor, border: torch.Tensor) -> _Blocks:
    """G on whole fronts from G on their borders."""
    below = border @ left
    return (_plus_product(inverse, right, below), right @ border), (below, border)


def _log_determinant(matrices: torch.Tensor) -> torch.Tensor:
    """ln det of matrices (g, Q, s, s) with a positive definite anti-Hermitian part, on the branch above; (Q,)."""
    matrices = matrices.to(torch.complex128)
    if (size := matrices.shape[-1]) > BLOCK:
        k = size // 2
        first, beside, below = matrices[..., :k, :k], matrices[..., :k, k:], matrices[..., k:, :k]
        rest = _plus_product(matrices[..., k:, k:].clone(), below, torch.linalg.solve(first, -beside))
        return _log_determinant(first) + _log_determinant(rest)
    factor = torch.linalg.cholesky((matrices - matrices.mH) / 2j)
    half = torch.linalg.solve_triangular(factor, (matrices + matrices.mH) / 2, upper=False)
    levels = torch.linalg.eigvalsh(torch.linalg.solve_triangular(factor, half.mH, upper=False))
    moduli = 2 * torch.diagonal(factor, dim1=-2, dim2=-1).real.log().sum(-1)
    return (moduli + torch.log(levels + 1j).sum(-1)).sum(0)
