r"""ECNN: equivariant convolution over the hopping neighbourhood, filtered by spherical harmonics of the centre spin.

Miyazaki, arXiv:2305.03804, eqs. 5-8. Features V_l (2l + 1 components, l = 0, 1, 2; c channels) of every site start as
Y_l(S_r). A convolution adds up the sites r' that r hops to, and r itself, each place with weights of its own,

    U^p_r,co,m = sum_r',ci W^p_(r'-r),co,ci V_r',ci,m          one path p per (l_in, l_filter, l_out): 9 of them,
    V'_r,co,lo = sum_p C^p (U^p_r,co x Y_lf(S_r)),              C: Clebsch-Gordan, l_filter = 0, 1.

The centre spin does not depend on r', so the sum over places is an ordinary periodic convolution (first line) and the
tensor product is local (second line): no graph. Between convolutions: skip connection, then V_0 -> swish(V_0),
V_l -> swish(|V_l|) V_l / |V_l| = sigmoid(|V_l|) V_l. Eq. 6 has a bias inside this swish; it is left out, as in the
released code: with it the field jumps where V_l = 0, for example in a ferromagnet. Output: a convolution to l = 0,
then point-wise 8 -> 4 -> 2 -> 1 with swish between: the local energy.

Symmetric under global rotations of the spins and lattice translations. NOT under the point group (each place has its
own weights), nor under time reversal S -> -S (l = 1 x 1 -> 1 is allowed): the paper's network is not either; turned
configurations in the training set teach it the first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch.nn.functional import conv2d, silu

from engine.lattice import half_stencil
from engine.learning.irreps import coupling, harmonics
from engine.learning.network import Network
from engine.learning.networks.cnn import pad

HOPPING_SHELLS = {"square": (1,), "triangular": (1, 3)}  # of the paper's two models
FLOOR = 1e-12  # of |V|^2, where a norm has no derivative
Features = dict[int, torch.Tensor]  # degree l -> (B, 2l + 1, channels, L1, L2)
Filters = dict[tuple[int, int], torch.Tensor]  # (l_in, l_out) -> C Y_1(S), (B, 2 l_out + 1, 2 l_in + 1, L1, L2)


def places(kind: str, shells: Sequence[int]) -> np.ndarray:
    """Cell displacements (K, 2) of the neighbourhood: the site itself, then both directions of each bond."""
    stencil, shell = half_stencil(kind, max(shells))
    stencil = stencil[np.isin(shell, shells)]
    return np.concatenate([np.zeros((1, 2), dtype=np.int64), stencil, -stencil])


@cache
def _couplings(degree: int, dtype: torch.dtype, device: torch.device) -> dict[tuple[int, int], torch.Tensor]:
    """C of l_in x 1 -> l_out, times sqrt(3) of Y_1(S) = sqrt(3) S; not buffers, which keep what .float() rounded."""
    pairs = [(a, b) for a in range(degree + 1) for b in range(degree + 1) if abs(a - 1) <= b <= a + 1]
    with torch.inference_mode(False):  # made once, perhaps by a simulation, and then used in training
        return {(a, b): torch.tensor(3**0.5 * coupling(a, 1, b)).to(device, dtype) for a, b in pairs}


def filters(spin: torch.Tensor, degree: int) -> Filters:
    """Tensor products with the centre spins (B, 3, L1, L2), made once and used by every convolution."""
    tensors = _couplings(degree, spin.dtype, spin.device)
    return {pair: torch.einsum("ifo,bfxy->boixy", tensor, spin) for pair, tensor in tensors.items()}


class EquivariantConvolution(torch.nn.Module):
    """Equivariant convolution (eq. 5) from ``wide`` to ``out`` channels, degrees 0..l_in to 0..l_out.

    weights[l_in] (paths, out, wide, K): the paths of one l_in share one periodic convolution. Each starts from a normal
    distribution of variance 1 / (number of terms added up in an output), so that features stay of order one.
    """

    taps: torch.Tensor

    def __init__(self, cells: np.ndarray, wide: int, out: int, l_in: int, l_out: int) -> None:
        super().__init__()
        self.out, self.margin = out, int(np.abs(cells).max())
        self.side = 2 * self.margin + 1
        taps = (cells[:, 0] + self.margin) * self.side + cells[:, 1] + self.margin
        self.register_buffer("taps", torch.eye(self.side**2)[taps], persistent=False)  # (K, side^2)
        self.paths: dict[int, list[tuple[int, int]]] = {}  # l_in -> (l_filter, l_out)
        for a in range(l_in + 1):
            paths = [(f, b) for f in (0, 1) for b in range(l_out + 1) if abs(a - f) <= b <= a + f]
            if paths:
                self.paths[a] = paths
        into = [sum(b == o for paths in self.paths.values() for _, b in paths) for o in range(l_out + 1)]
        self.weights = torch.nn.ParameterDict()
        for a, paths in self.paths.items():
            deviation = torch.tensor([(into[b] * wide * len(cells)) ** -0.5 for _, b in paths])
            values = torch.randn(len(paths), out, wide, len(cells)) * deviation[:, None, None, None]
            self.weights[str(a)] = torch.nn.Parameter(values)

    def forward(self, feature: Features, local: Filters) -> Features:
        made: Features = {}
        for a, paths in self.paths.items():
            parts = self.gathered(feature[a], a).split(self.out, 2)
            for (f, b), part in zip(paths, parts, strict=True):
                term = (local[a, b][:, :, :, None] * part[:, None]).sum(2) if f else part
                made[b] = made[b] + term if b in made else term
        return made

    def gathered(self, feature: torch.Tensor, degree: int) -> torch.Tensor:
        """U: (B, 2l + 1, wide, L1, L2) -> (B, 2l + 1, paths * out, L1, L2)."""
        weight = self.weights[str(degree)].flatten(0, 1)
        kernel = (weight @ self.taps).unflatten(-1, (self.side, self.side))
        return conv2d(pad(feature.flatten(0, 1), self.margin), kernel).unflatten(0, feature.shape[:2])


def activate(feature: Features) -> Features:
    """Swish of the scalars, swish of the norm for the rest."""
    made = {0: silu(feature[0])}
    for degree in list(feature)[1:]:
        value = feature[degree]
        made[degree] = torch.sigmoid((value.square().sum(1, keepdim=True) + FLOOR).sqrt()) * value
    return made


class ECNN(Network):
    """Energy network of Miyazaki.

    Parameters
    ----------
    shells : neighbourhood besides the site itself, the shells that electrons hop to; default: the paper's, 1 on the
        square lattice, 1 and 3 on the triangular one.
    channels, blocks, degree : channels of every l, interaction blocks, largest l (1 or 2).
    output : widths between ``channels`` and the energy.
    """

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(
        self,
        kind: str,
        shells: Sequence[int] | None = None,
        channels: int = 8,
        blocks: int = 4,
        degree: int = 2,
        output: Sequence[int] = (4, 2),
    ) -> None:
        shells = list(HOPPING_SHELLS.get(kind, ()) if shells is None else shells)
        super().__init__(kind, shells=shells, channels=channels, blocks=blocks, degree=degree, output=list(output))
        if not shells or min(shells) < 1 or blocks < 1 or degree not in (1, 2):
            raise ValueError(f"an ECNN needs shells >= 1, blocks >= 1, degree 1 or 2: {shells}, {blocks}, {degree}")
        cells = places(kind, shells)
        wide = [1] + [channels] * blocks
        self.degree = degree
        self.blocks = torch.nn.ModuleList(
            EquivariantConvolution(cells, a, b, degree, degree) for a, b in pairwise(wide)
        )
        self.last = EquivariantConvolution(cells, channels, channels, degree, 0)
        widths = [channels, *output, 1]
        self.mix = torch.nn.ModuleList(torch.nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("offset", torch.tensor(0.0))

    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Energy (B,)."""
        grid = spin.reshape(-1, *shape, 3).permute(0, 3, 1, 2)
        products = filters(grid, self.degree)
        feature = {degree: y[:, :, None] for degree, y in enumerate(harmonics(grid, self.degree, 1))}
        for number, block in enumerate(self.blocks):
            made = block(feature, products)
            feature = activate({degree: made[degree] + feature[degree] for degree in made} if number else made)
        local = self.last(feature, products)[0][:, 0]
        for number, mix in enumerate(self.mix):
            local = mix(silu(local) if number else local)
        return (self.scale * local + self.offset).sum((1, 2, 3))
