r"""CNN: a residual convolutional network from spins to torques on the sheared grid of the lattice.

Cheng et al., Phys. Rev. Research 5, 033188 (2023), figs. 1 and 2. The (L1, L2) array of sites is taken as an image of
three colours S_x, S_y, S_z with periodic padding ("flattening"; on the triangular lattice the grid is sheared, which
the kernels learn). Four residual blocks, no batch normalization,

    x -> relu(conv(relu(conv(x)))) + skip(x),      5 x 5 kernels, skip = identity or, if the width changes, 1 x 1,

then two more convolutions with a relu between. The paper widens to 512 features; ``widths`` is smaller here so that a
CPU can train it. Output: torque T = S x h (B, N, 3) in units of the buffer ``scale``, the mean torque of the training
set. The paper's output is free; here its part along S is taken away, T - (T.S) S, because no torque has one and the
spin's length would drift (``project=False``: the paper's).

Symmetric under lattice translations only. Rotations of the spins and the point group are learned from augmented data.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch.nn.functional import relu

from engine.learning.network import Network


def pad(image: torch.Tensor, width: int) -> torch.Tensor:
    """Periodic continuation of images (..., L1, L2) by ``width`` cells on every side, however many."""
    for dim in (-2, -1):
        length = image.shape[dim]
        if width > length:
            image = image.index_select(dim, torch.arange(-width, length + width, device=image.device) % length)
        elif width:
            image = torch.cat([image.narrow(dim, length - width, width), image, image.narrow(dim, 0, width)], dim)
    return image


class Convolution(torch.nn.Conv2d):
    """A convolution of odd kernel on a periodic grid: (B, C, L1, L2) -> (B, C', L1, L2)."""

    def __init__(self, wide: int, out: int, kernel: int) -> None:
        super().__init__(wide, out, kernel)
        self.margin = kernel // 2

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return super().forward(pad(image, self.margin))


class Residual(torch.nn.Module):
    """relu(conv(relu(conv(x)))) + skip(x)."""

    def __init__(self, wide: int, out: int, kernel: int) -> None:
        super().__init__()
        self.first = Convolution(wide, out, kernel)
        self.second = Convolution(out, out, kernel)
        self.skip = torch.nn.Identity() if wide == out else torch.nn.Conv2d(wide, out, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return relu(self.second(relu(self.first(image)))) + self.skip(image)


class CNN(Network):
    """Torque network of Cheng et al. ``widths``: features after each residual block; ``head``: after the first of the
    two last convolutions; ``kernel``: odd side of every kernel."""

    conservative = False
    scale: torch.Tensor

    def __init__(
        self,
        kind: str,
        widths: Sequence[int] = (16, 32, 64, 64),
        head: int = 32,
        kernel: int = 5,
        project: bool = True,
    ) -> None:
        super().__init__(kind, widths=list(widths), head=head, kernel=kernel, project=project)
        if kernel % 2 != 1 or not widths:
            raise ValueError(f"a CNN needs an odd kernel and at least one block, got kernel={kernel}, widths={widths}")
        wide = [3, *widths]
        self.blocks = torch.nn.Sequential(*(Residual(a, b, kernel) for a, b in pairwise(wide)))
        self.head = torch.nn.Sequential(
            Convolution(wide[-1], head, kernel), torch.nn.ReLU(), Convolution(head, 3, kernel)
        )
        self.project = project
        self.register_buffer("scale", torch.tensor(1.0))

    def forward(self, spin: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Torque (B, N, 3)."""
        image = spin.reshape(-1, *shape, 3).permute(0, 3, 1, 2)
        torque = self.scale * self.head(self.blocks(image)).permute(0, 2, 3, 1).reshape(spin.shape)
        return torque - (torque * spin).sum(-1, keepdim=True) * spin if self.project else torque
