"""Selected elements of (z - h)^-1 and ln det(z - h), exact, batched over shifts z.

With A = z - h on the fronts of a nested dissection (own sites s, border b),

    eliminate, leaves first:    X = A_ss^-1,   A_bb <- A_bb - A_bs X A_sb                       (Schur complement)
    go back, root first:        G_sb = -X A_sb G_bb,   G_bs = -G_bb A_bs X,   G_ss = X + X A_sb G_bb A_bs X

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
from engine.electrons.dissection import Child, Group, dissect
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
        bonds = matrix.bond_blocks().expand(matrix.replicas, -1, -1, -1)
        self.minus_bonds = -bonds[replica] * resolvent.phases[twist][..., None, None]

    def run(self) -> None:
        kept = self._eliminate()
        above: list[torch.Tensor] = []
        for depth, level in enumerate(self.tree.levels):
            above = self._on_borders(depth, above)
            for group, factors, green in zip(level, kept.pop(), above, strict=True):
                _back(*factors, green)
                self._collect(group, green)

    def _eliminate(self) -> list[list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]]:
        """X, X A_sb and A_bs X of all fronts, leaves first."""
        kept = []
        updates: list[torch.Tensor] = []
        for level in reversed(self.tree.levels):
            factors, following = [], []
            for group in level:
                front, s = self._front(group), group.own.shape[1] * self.o
                self._add_children(group, front, updates)
                own, beside, below = front[..., :s, :s], front[..., :s, s:], front[..., s:, :s]
                if self.logarithm is not None:
                    self.logarithm += _log_determinant(own)
                inverse = torch.linalg.inv(own)
                right = inverse @ beside
                factors.append((inverse, right, below @ inverse))
                following.append(_minus_product(front[..., s:, s:], below, right))
            kept.append(factors)
            updates = following
        return kept

    def _front(self, group: Group) -> torch.Tensor:
        """z - h on the fronts of a group, (g, Q, f o, f o); border-border parts are zero."""
        own, bonds, rows, places = self.index[id(group)]
        (g, s), o = own.shape, self.o
        f = s + group.border.shape[1]
        systems = len(self.minus_onsite)
        part = self.onsite.new_zeros((g, s, f, systems, o, o))  # rows of the own sites
        diagonal = torch.arange(s, device=own.device)
        part[:, diagonal, diagonal] = self.minus_onsite[:, own].permute(1, 2, 0, 3, 4)
        blocks = self.minus_bonds[:, bonds].transpose(0, 1)
        for (first, second), block in ((places.T, blocks), (places.T.flip(0), blocks.mH.resolve_conj())):
            inside = first < s
            part.index_put_((rows[inside], first[inside], second[inside]), block[inside], accumulate=True)
        part = part.permute(0, 3, 1, 4, 2, 5).reshape(g, systems, s * o, f * o)
        front = part.new_empty((g, len(self.shifts), f * o, f * o))
        front[..., : s * o, :] = part[:, self.system]
        front[..., s * o :, : s * o] = front[..., : s * o, s * o :].mH
        front[..., s * o :, s * o :] = 0
        torch.diagonal(front, dim1=-2, dim2=-1)[..., : s * o].add_(self.shifts.to(front.dtype)[:, None])
        return front

    def _add_children(self, group: Group, front: torch.Tensor, updates: list[torch.Tensor]) -> None:
        for row, children in enumerate(group.children):
            for child in children:
                update = updates[child.group][child.row]
                for here, there in self._blocks(child):
                    front[row][:, there[0], there[1]] += update[:, here[0], here[1]]

    def _on_borders(self, depth: int, above: list[torch.Tensor]) -> list[torch.Tensor]:
        """G of the fronts of a level, so far on their borders only, taken from their parents."""
        greens = [
            self.onsite.new_empty((len(g.own), len(self.shifts), *[(g.own.shape[1] + g.border.shape[1]) * self.o] * 2))
            for g in self.tree.levels[depth]
        ]
        for group, green in zip(self.tree.levels[depth - 1] if depth else (), above, strict=True):
            for row, children in enumerate(group.children):
                for child in children:
                    s = self.tree.levels[depth][child.group].own.shape[1] * self.o
                    border = greens[child.group][child.row][:, s:, s:]
                    for here, there in self._blocks(child):
                        border[:, here[0], here[1]] = green[row][:, there[0], there[1]]
        return greens

    def _blocks(self, child: Child) -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
        """Rectangles of a child's border: there and among the parent's rows and columns."""
        runs = [[slice(self.o * part.start, self.o * part.stop) for part in run] for run in child.runs]
        return [((a[0], b[0]), (a[1], b[1])) for a in runs for b in runs]

    def _collect(self, group: Group, green: torch.Tensor) -> None:
        own, numbers, rows, places = self.index[id(group)]
        blocks = green.unflatten(-1, (-1, self.o)).unflatten(-3, (-1, self.o))  # g, Q, f, o, f, o
        diagonal = torch.diagonal(blocks, dim1=2, dim2=4)[..., : own.shape[1]]  # g, Q, o, o, s
        self.onsite[:, own.flatten()] = diagonal.permute(1, 0, 4, 2, 3).flatten(1, 2)
        if self.bonds is not None:
            first, second = places.T
            self.bonds[0][:, numbers] = blocks[rows, :, first, :, second].transpose(0, 1)
            self.bonds[1][:, numbers] = blocks[rows, :, second, :, first].transpose(0, 1)


def _minus_product(target: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """target - left @ right for (g, Q, ., .)."""
    flat = (part.flatten(0, 1) for part in (target, left, right))
    return torch.baddbmm(*flat, alpha=-1).unflatten(0, target.shape[:2])


def _back(inverse: torch.Tensor, right: torch.Tensor, left: torch.Tensor, green: torch.Tensor) -> None:
    """Complete G on whole fronts from G on their borders."""
    s = inverse.shape[-1]
    border = green[..., s:, s:]
    green[..., s:, :s] = -(border @ left)
    green[..., :s, s:] = -(right @ border)
    green[..., :s, :s] = _minus_product(inverse, right, green[..., s:, :s])


def _log_determinant(matrices: torch.Tensor) -> torch.Tensor:
    """ln det of matrices (g, Q, s, s) with a positive definite anti-Hermitian part, on the branch above; (Q,)."""
    matrices = matrices.to(torch.complex128)
    if (size := matrices.shape[-1]) > BLOCK:
        k = size // 2
        first, beside, below = matrices[..., :k, :k], matrices[..., :k, k:], matrices[..., k:, :k]
        rest = _minus_product(matrices[..., k:, k:], below, torch.linalg.solve(first, beside))
        return _log_determinant(first) + _log_determinant(rest)
    factor = torch.linalg.cholesky((matrices - matrices.mH) / 2j)
    half = torch.linalg.solve_triangular(factor, (matrices + matrices.mH) / 2, upper=False)
    levels = torch.linalg.eigvalsh(torch.linalg.solve_triangular(factor, half.mH, upper=False))
    moduli = 2 * torch.diagonal(factor, dim1=-2, dim2=-1).real.log().sum(-1)
    return (moduli + torch.log(levels + 1j).sum(-1)).sum(0)
