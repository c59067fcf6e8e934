"""Chebyshev moments of spectra and of products of two operators, for observables at scale.

    T_0 = 1,  T_1 = X,  T_{m+1} = 2 X T_m - T_{m-1},                                  X = (h - centre) / half_width
    mu_m = Tr T_m(X),      mu_m(i) = sum_a <i a|T_m(X)|i a>,      mu_nm = Tr[T_n(X) A T_m(X) B]

Traces are taken over all columns (exact) or over random phases r, Tr O = <r|O|r> on average: the error falls like
1 / sqrt(N vectors). mu_m uses doubling: <r|T_2m|r> = 2 |T_m r|^2 - mu_0. mu_nm = <A+ T_n r|T_m B r> needs all T_m B r at
once, or as many as fit in memory: T_n r is then made anew for every part. Weisse, Wellein, Alvermann, Fehske, Rev. Mod.
Phys. 78, 275 (2006); Garcia, Covaci, Rappoport, Phys. Rev. Lett. 114, 116602 (2015).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from engine.block_matrix import BlockMatrix
from engine.electrons import series
from engine.electrons.twists import check_twists, twist_mesh
from engine.noise import Noise

STREAM = 3 << 20  # of the random phases; probes of forces use others
PHASES = np.array([1, 1j, -1, -1j])
LEFT_ORDERS = 32  # orders n that are multiplied with all m at once
EXACT_COLUMNS = 32  # columns treated at once in an exact trace
WINDOW_STEPS, WINDOW_SLACK = 128, 1e-3  # of the check of a window; a spectrum outside by 1 % of it grows a millionfold

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sampling:
    """How a trace is taken.

    vectors : random vectors, or None for all columns (exact). twists : mesh of boundary twists. seed : of the vectors;
    every replica, twist and vector has its own. window : (low, high) enclosing the spectrum; default: safe bounds.
    dtype : torch.complex64 or torch.complex128; default: the partner of the spins' dtype. memory : bytes for vectors.
    progress : called with (done, total) after each block of vectors.

    Raises ValueError for wrong numbers.
    """

    vectors: int | None = 16
    twists: tuple[int, ...] = (1, 1)
    seed: int = 0
    window: tuple[float, float] | None = None
    dtype: torch.dtype | None = None
    memory: int = 2**30
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.vectors is not None and (int(self.vectors) != self.vectors or self.vectors < 1):
            raise ValueError(f"vectors must be an integer >= 1, or None for an exact trace, got {self.vectors}")
        if self.window is not None and not (len(self.window) == 2 and self.window[0] < self.window[1]):
            raise ValueError(f"window must be (low, high) with low < high, got {self.window}")
        if self.dtype not in (None, torch.complex64, torch.complex128):
            raise ValueError(f"dtype must be torch.complex64 or torch.complex128, got {self.dtype}")
        if self.seed < 0:
            raise ValueError(f"seed must be >= 0, got {self.seed}")
        object.__setattr__(self, "twists", check_twists(self.twists))


@dataclass(frozen=True, eq=False)
class System:
    """One replica at one twist: ``double`` = 2 X, all columns' ``count``, and the blocks of probe columns."""

    matrix: BlockMatrix
    replica: int
    twist: int
    theta: torch.Tensor
    double: torch.Tensor
    sampling: Sampling

    def blocks(self) -> Iterator[tuple[int, torch.Tensor]]:
        """(draw, columns (n, S)): one random vector per draw, or blocks of basis vectors, all of draw 0."""
        n, like = self.matrix.size, self.matrix.onsite
        if self.sampling.vectors is None:
            for start in range(0, n, EXACT_COLUMNS):
                chosen = torch.arange(start, min(start + EXACT_COLUMNS, n), device=like.device)
                columns = like.new_zeros((n, len(chosen)))
                columns[chosen, chosen - start] = 1
                yield 0, columns
            return
        for draw in range(self.sampling.vectors):
            yield draw, self.random_vector(draw)

    def random_vector(self, draw: int) -> torch.Tensor:
        """Phases 1, i, -1, -i, (n, 1)."""
        generator = Noise(self.sampling.seed + self.replica).generator(0, draw, STREAM + self.twist)
        phases = PHASES[generator.integers(0, 4, size=(self.matrix.size, 1))]
        return torch.as_tensor(phases, dtype=self.matrix.onsite.dtype, device=self.matrix.onsite.device)

    def velocities(self) -> tuple[torch.Tensor, ...]:
        """dh/dk_a as sparse matrices: bonds carry i d_a h_ij."""
        lattice, blocks = self.matrix.lattice, self.matrix.bond_blocks()
        steps = lattice.tensor("displacements", blocks.device, blocks.real.dtype)
        empty = torch.zeros_like(self.matrix.onsite)
        parts = (BlockMatrix(empty, 1j * steps[:, a, None, None] * blocks, lattice) for a in range(lattice.dimension))
        return tuple(sparse(part, self.replica, self.theta) for part in parts)


def systems(matrix: BlockMatrix, sampling: Sampling) -> tuple[list[System], float, float]:
    """All replicas and twists, twists fastest; centre and half width of the window they share.

    Raises ValueError when a window that was given does not enclose the spectrum: then |T_m(X) r| <= |r| is broken.
    """
    matrix = matrix.to(sampling.dtype or matrix.onsite.dtype)
    low, high = sampling.window or series.spectral_bounds(matrix)
    centre, half = (low + high) / 2, (high - low) / 2
    identity = torch.eye(matrix.components, dtype=matrix.onsite.dtype, device=matrix.onsite.device)
    scaled = BlockMatrix((matrix.onsite - centre * identity) * (2 / half), matrix.bond * (2 / half), matrix.lattice)
    thetas = twist_mesh(sampling.twists, matrix.lattice.dimension, matrix.onsite.real.dtype, matrix.onsite.device)
    found = [
        System(matrix, replica, k, theta, sparse(scaled, replica, theta), sampling)
        for replica in range(matrix.replicas)
        for k, theta in enumerate(thetas)
    ]
    if sampling.window is not None:
        for system in found:
            start = system.random_vector(0)
            last = next(islice(vectors(system.double, start), WINDOW_STEPS, None))
            if not float(last.norm()) <= (1 + WINDOW_SLACK) * float(start.norm()):
                raise series.window_error(matrix, low, high)
    return found, centre, half


def check_window(matrix: BlockMatrix, window: tuple[float, float], twists: tuple[int, ...]) -> None:
    """Raises ValueError when ``window`` (low, high) does not enclose the spectrum of all replicas at all twists."""
    systems(matrix, Sampling(vectors=1, twists=twists, window=window))


def sparse(matrix: BlockMatrix, replica: int, theta: torch.Tensor) -> torch.Tensor:
    """One replica at one twist as a complex CSR matrix (n, n)."""
    o, n, device = matrix.components, matrix.size, matrix.onsite.device
    blocks = matrix.bond_blocks()
    blocks = blocks[replica if blocks.shape[0] > 1 else 0] * matrix.twist_phases(theta[None])[0][:, None, None]
    pairs, sites = matrix.lattice.tensor("bonds", device), torch.arange(matrix.lattice.sites, device=device)
    inner = torch.arange(o, device=device)
    rows, columns, values = [], [], []
    for start, end, part in (
        (pairs[:, 0], pairs[:, 1], blocks), (pairs[:, 1], pairs[:, 0], blocks.mH), (sites, sites, matrix.onsite[replica])
    ):  # fmt: skip
        keep = part.resolve_conj() != 0
        rows.append((start[:, None, None] * o + inner[:, None]).expand_as(part)[keep])
        columns.append((end[:, None, None] * o + inner).expand_as(part)[keep])
        values.append(part.resolve_conj()[keep])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")
        index = torch.stack([torch.cat(rows), torch.cat(columns)])
        return (
            torch.sparse_coo_tensor(index, torch.cat(values), (n, n), check_invariants=False).coalesce().to_sparse_csr()
        )


def vectors(double: torch.Tensor, start: torch.Tensor) -> Iterator[torch.Tensor]:
    """T_0 r, T_1 r, T_2 r, ... without end; each is overwritten two steps later."""
    previous, current = start.clone(), (double @ start) / 2
    while True:
        yield previous
        previous, current = current, previous.neg_().addmm_(double, current)


def trace_moments(matrix: BlockMatrix, moments: int, sampling: Sampling) -> tuple[torch.Tensor, float, float]:
    """mu_m of all draws, averaged over twists, (B, draws, moments) float64; centre and half width."""
    found, centre, half = systems(matrix, sampling)
    out = _table(matrix, sampling, moments + 1)
    for system, draw, columns in _all_blocks(found, sampling):
        both: list[torch.Tensor] = []
        for m, vector in enumerate(vectors(system.double, columns)):
            both = [*both, vector.clone()][-2:]
            out[system.replica, draw, 2 * m : 2 * m + 1] += _dot(both[-1], both[-1])
            if m:
                out[system.replica, draw, 2 * m - 1 : 2 * m] += _dot(both[0], both[1])
            if 2 * m >= moments:
                break
    out /= len(found) // matrix.replicas
    first = out[..., :2].clone()
    out = 2 * out - first[..., torch.arange(out.shape[-1], device=out.device) % 2]
    out[..., :2] = first
    return out[..., :moments], centre, half


def local_moments(
    matrix: BlockMatrix, moments: int, sites: np.ndarray | None, sampling: Sampling
) -> tuple[torch.Tensor, float, float]:
    """mu_m(i) averaged over twists, (B, sites, moments) float64.

    With ``sites`` the columns of these sites (exact; ``vectors`` is not used), else all sites from the draws' mean.
    """
    found, centre, half = systems(matrix, sampling)
    count = matrix.lattice.sites if sites is None else len(sites)
    out = torch.zeros((matrix.replicas, count, moments), dtype=torch.float64, device=matrix.onsite.device)
    o, twists = matrix.components, len(found) // matrix.replicas
    for system, chosen, columns in _local_blocks(found, sites, sampling):
        for m, vector in zip(range(moments), vectors(system.double, columns), strict=False):
            overlap = (columns.conj() * vector).real.double().unflatten(0, (-1, o)).sum(1)  # (N, S)
            if sites is None:
                out[system.replica, :, m] += overlap.sum(1) / (twists * (sampling.vectors or 1))
            else:
                out[system.replica, chosen, m] += overlap.sum(0).unflatten(0, (-1, o)).sum(1) / twists
    return out, centre, half


def current_moments(
    system: System, columns: torch.Tensor, moments: int, operators: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    """sum over columns r of <r|T_n v_a T_m v_b|r>, (d, d, moments, moments) complex128 [a, b, n, m].

    Raises MemoryError when the vectors of four orders do not fit.
    """
    d, (n, s) = len(operators), columns.shape
    order = n * s * columns.element_size() * d
    part = min(moments, int(system.sampling.memory // order) - LEFT_ORDERS - 8)
    if part < 4:
        raise MemoryError(
            f"double moments of {n} x {n} matrices need {(LEFT_ORDERS + 12) * order / 2**20:.3g} MiB, the limit is "
            f"{system.sampling.memory / 2**20:.3g} MiB; raise memory="
        )
    out = torch.zeros((d, d, moments, moments), dtype=torch.complex128, device=columns.device)
    rights = [vectors(system.double, v @ columns) for v in operators]
    right = columns.new_empty((d, part, n * s))
    for first in range(0, moments, part):
        stop = min(first + part, moments)
        for m in range(stop - first):
            for b in range(d):
                right[b, m] = next(rights[b]).reshape(-1)
        _multiply(system, columns, operators, right[:, : stop - first], out[..., first:stop])
    return out


def _multiply(
    system: System, columns: torch.Tensor, operators: tuple[torch.Tensor, ...], right: torch.Tensor, out: torch.Tensor
) -> None:
    """out[a, b, n, m] = <v_a T_n r|right[b, m]>."""
    d, part, length = right.shape
    moments = out.shape[2]
    left = columns.new_empty((LEFT_ORDERS, d, length))
    stream = vectors(system.double, columns)
    for first in range(0, moments, LEFT_ORDERS):
        count = min(LEFT_ORDERS, moments - first)
        for n in range(count):
            vector = next(stream)
            for a in range(d):
                left[n, a] = (operators[a] @ vector).reshape(-1)
        product = left[:count].reshape(count * d, length).conj() @ right.reshape(d * part, length).T
        out[:, :, first : first + count] = product.view(count, d, d, part).permute(1, 2, 0, 3).to(out.dtype)


def needed_moments(half_width: float, scale: float, error: float = 1e-3) -> int:
    """Moments that resolve a feature of an analytic function at distance ``scale`` from the real axis to ``error``."""
    return max(8, math.ceil(half_width * math.log(1 / error) / scale))


def _table(matrix: BlockMatrix, sampling: Sampling, moments: int) -> torch.Tensor:
    shape = (matrix.replicas, sampling.vectors or 1, moments + moments % 2)
    return torch.zeros(shape, dtype=torch.float64, device=matrix.onsite.device)


def _all_blocks(found: list[System], sampling: Sampling) -> Iterator[tuple[System, int, torch.Tensor]]:
    """Every block of every system, with progress."""
    size = found[0].matrix.size
    per_system = math.ceil(size / EXACT_COLUMNS) if sampling.vectors is None else sampling.vectors
    done = 0
    for system in found:
        for draw, columns in system.blocks():
            yield system, draw, columns
            done += 1
            if sampling.progress is not None:
                sampling.progress(done, per_system * len(found))


def _local_blocks(
    found: list[System], sites: np.ndarray | None, sampling: Sampling
) -> Iterator[tuple[System, torch.Tensor, torch.Tensor]]:
    """(system, positions in ``sites``, columns): one site's components side by side, or the random vectors."""
    nothing = torch.empty(0, dtype=torch.int64)
    if sites is None:
        for system, _, columns in _all_blocks(found, sampling):
            yield system, nothing, columns
        return
    done, total = 0, len(found) * len(sites)
    for system in found:
        o, like = system.matrix.components, system.matrix.onsite
        step = EXACT_COLUMNS // o
        for first in range(0, len(sites), step):
            chosen = torch.arange(first, min(first + step, len(sites)), device=like.device)
            picked = torch.as_tensor(sites, device=like.device)[chosen]
            rows = (picked[:, None] * o + torch.arange(o, device=like.device)).flatten()
            columns = like.new_zeros((system.matrix.size, len(rows)))
            columns[rows, torch.arange(len(rows), device=like.device)] = 1
            yield system, chosen, columns
            done += len(chosen)
            if sampling.progress is not None:
                sampling.progress(done, total)


def _dot(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vecdot(left, right, dim=0).real.double().sum()
