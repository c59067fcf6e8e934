r"""Rings: the energy of electrons that scatter from four spins, and its exact field, by Fourier transforms.

For every bond (i, k = i + d) with its complex field m(i) = sum_R G(R) G(R - d) S(i + R),

    X = Re (m.S_i)(m.S_k),        Y = Re (m.m) (S_i.S_k),        E = sum_bonds  x_d X + y_d Y

(see :mod:`engine.learning.networks.rings`). The gradient is written out: dX/dS_i = m (m.S_k), dX/dm = S_i (m.S_k) +
S_k (m.S_i), dY/dS_i = (m.m) S_k, dY/dm = 2 m (S_i.S_k), real parts; what acts on m goes back to the spins through the
adjoint convolution, summed over bonds in reciprocal space. Bonds are taken a few at a time, so that their fields stay in
the cache: memory is linear in N.

Floor of one bond: 3 complex transforms of N numbers there and 3 back, and about 100 N multiplications.
"""

from __future__ import annotations

import numpy as np
import torch

try:
    from engine.lanes import LANES
    from engine.learning import ring_kernel
except ImportError:  # numba is not installed
    ring_kernel = None  # type: ignore[assignment]

CHUNK_SITES = 80_000  # bonds x replicas x sites at once: their fields fit in the cache
SIGN = (1.0, -1.0)  # Re (a + i b)^2 = a^2 - b^2


def ring_products(
    spin: torch.Tensor, waves: torch.Tensor, response: torch.Tensor, forward: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """X and Y (B, bonds, N) of these bonds, differentiable: spin (B, 3, L1, L2), waves = rfft2(spin), response (bonds, 2,
    L1, L2 // 2 + 1), forward (bonds, N) the sites i + d."""
    m = torch.fft.irfft2(waves[:, None, None] * response[:, :, None], s=spin.shape[-2:]).flatten(-2)
    site = spin.flatten(-2)
    other = site[:, :, forward].movedim(2, 1)  # (B, bonds, 3, N)
    here, there = (m * site[:, None, None]).sum(3), (m * other[:, :, None]).sum(3)  # (B, bonds, 2, N)
    across = (site[:, None] * other).sum(2)
    sign = m.new_tensor(SIGN)[:, None]
    return (here * there * sign).sum(2), ((m * m).sum(3) * sign).sum(2) * across


def ring_gradients(
    spin: torch.Tensor, response: torch.Tensor, bonds: np.ndarray, group: torch.Tensor, groups: int
) -> torch.Tensor:
    """-dX/dS and -dY/dS summed over the bonds of each group: (B, 2 groups, 3, L1, L2), X of all groups first."""
    found = []
    for weights in spin.new_tensor([[[1.0], [0.0]], [[0.0], [1.0]]]):
        for number in range(groups):
            chosen = (group == number).nonzero()[:, 0]
            some = weights.expand(2, len(chosen))
            found.append(ring_energy_and_field(spin, response[chosen], bonds[chosen.cpu().numpy()], some)[1])
    return torch.stack(found, 1)


def joined(response: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Real and imaginary kernels (bonds, 2, L1, L2 // 2 + 1) as one complex kernel each, (bonds, L1, L2): one complex
    transform gives m, in a third of the time of two real ones."""
    kernels = torch.fft.irfft2(response, s=shape)
    return torch.fft.fft2(torch.complex(kernels[:, 0], kernels[:, 1])).contiguous()


def ring_energy_and_field(
    spin: torch.Tensor, response: torch.Tensor, bonds: np.ndarray, weights: torch.Tensor, chunk: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """E (B,) and -dE/dS (B, 3, L1, L2) of ``bonds`` (bonds, 2) with weights (2, bonds) of X and Y; ``response`` (bonds, L1,
    L2) complex, see :func:`joined`."""
    chunk = chunk or max(1, CHUNK_SITES // spin[:, 0].numel())
    spin, weights = spin.contiguous(), weights.detach()
    waves = torch.fft.fft2(spin)
    surroundings = _Surroundings(spin, int(np.abs(bonds).max(initial=0)))
    steps = _Compiled if ring_kernel is not None and spin.device.type == "cpu" else _Tensors
    run = steps(spin, surroundings)
    energy, pulled = spin.new_zeros(len(spin)), torch.zeros_like(waves)
    for start in range(0, len(response), chunk):
        part = slice(start, start + chunk)
        m = torch.fft.ifft2(run.spread(waves, response[part]))  # (B, bonds, 3, L1, L2)
        some, to_m = run.swept(m, bonds[part], weights[:, part])
        energy += some
        run.gather(torch.fft.fft2(to_m), response[part], pulled)
    return energy, -(run.gradient() + torch.fft.ifft2(pulled).real)


class _Surroundings:
    """The spins continued periodically, so that the other ends of all bonds are slices of one array, and an array of the
    same form in which gradients at these ends are collected."""

    def __init__(self, spin: torch.Tensor, reach: int) -> None:
        self.reach, self.shape = reach, spin.shape[-2:]
        self.index = [torch.arange(-reach, n + reach, device=spin.device) % n for n in self.shape]
        self.spin = spin.index_select(2, self.index[0]).index_select(3, self.index[1])  # (B, 3, ..)
        self.gradient = torch.zeros_like(self.spin)

    def part(self, array: torch.Tensor, bond: np.ndarray) -> torch.Tensor:
        """(B, 3, L1, L2): what every site finds at the other end of this bond."""
        (d1, d2), (n1, n2), r = bond, self.shape, self.reach
        return array[:, :, r + d1 : r + d1 + n1, r + d2 : r + d2 + n2]

    def gathered(self) -> torch.Tensor:
        """The collected gradient (B, 3, L1, L2)."""
        n1, n2 = self.shape
        rows = self.gradient.new_zeros(*self.gradient.shape[:2], n1, self.gradient.shape[3])
        rows.index_add_(2, self.index[0], self.gradient)
        return rows.new_zeros(*rows.shape[:3], n2).index_add_(3, self.index[1], rows)


class _Tensors:
    """The products and the local part of some bonds, on any device."""

    def __init__(self, spin: torch.Tensor, surroundings: _Surroundings) -> None:
        self.spin, self.surroundings = spin, surroundings

    def spread(self, waves: torch.Tensor, response: torch.Tensor) -> torch.Tensor:
        """Transforms of the fields of these bonds, (B, bonds, 3, L1, L2)."""
        return waves[:, None] * response[None, :, None]

    def gather(self, moved: torch.Tensor, response: torch.Tensor, pulled: torch.Tensor) -> None:
        """The adjoint of :meth:`spread`, added to ``pulled`` (B, 3, L1, L2)."""
        pulled += (moved * response[None, :, None].conj()).sum(1)

    def swept(self, m: torch.Tensor, bonds: np.ndarray, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Energy (B,), and what acts on m; what acts on the spins is collected for :meth:`gradient`.

        With m = a + i b the energy of a bond is S.M K = (a.Q a - b.Q b) / 2, K = S_k, with the symmetric matrices
        M = x (a a - b b) + y (a.a - b.b) and Q = x (S K + K S) + 2 y S.K of every site.
        """
        surroundings = self.surroundings
        here = self.spin.movedim(1, 0)[:, :, None]  # (3, B, 1, L1, L2)
        there = torch.stack([surroundings.part(surroundings.spin, bond) for bond in bonds], 2).movedim(1, 0)
        x, y = weights[:, :, None, None]
        across = (here * there).sum(0)
        square = torch.zeros_like(across)
        to_here, to_there = torch.zeros_like(there), torch.zeros_like(there)
        to_m = []
        for field, sign in ((m.real.movedim(2, 0), 1.0), (m.imag.movedim(2, 0), -1.0)):
            at_here, at_there = (field * here).sum(0).mul_(sign * x), (field * there).sum(0).mul_(sign * x)
            square.add_((field * field).sum(0).mul_(sign * y))
            to_here.addcmul_(field, at_there)
            to_there.addcmul_(field, at_here)
            to_field = field * (across * (2 * sign * y))
            to_m.append(to_field.addcmul_(here, at_there).addcmul_(there, at_here).movedim(0, 2))
        to_here.addcmul_(square, there)
        to_there.addcmul_(square, here)
        surroundings.part(surroundings.gradient, np.zeros(2, int)).add_(to_here.sum(2).movedim(1, 0))
        for number, bond in enumerate(bonds):
            surroundings.part(surroundings.gradient, bond).add_(to_there[:, :, number].movedim(1, 0))
        return (to_here * here).sum((0, 2, 3, 4)), torch.complex(*to_m)

    def gradient(self) -> torch.Tensor:
        """What acts on the spins, but through m: (B, 3, L1, L2)."""
        return self.surroundings.gathered()


class _Compiled(_Tensors):
    """The same in compiled loops, bond by bond."""

    def __init__(self, spin: torch.Tensor, surroundings: _Surroundings) -> None:
        super().__init__(spin, surroundings)
        self.here = torch.zeros_like(spin)
        self.work = spin.new_empty(2, spin[0].numel()).numpy()
        self.spare = spin.new_empty(5, 6 * LANES).numpy()

    def spread(self, waves: torch.Tensor, response: torch.Tensor) -> torch.Tensor:
        out = waves.new_empty(len(waves), len(response), *waves.shape[1:])
        ring_kernel.spread(_flat(waves, 2), _flat(response, 1), _flat(out, 3))
        return out

    def gather(self, moved: torch.Tensor, response: torch.Tensor, pulled: torch.Tensor) -> None:
        ring_kernel.gather(_flat(moved, 3), _flat(response, 1), _flat(pulled, 2))

    def swept(self, m: torch.Tensor, bonds: np.ndarray, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """m is overwritten by what acts on it."""
        energy, around, weights = np.zeros(len(m)), self.surroundings, weights.contiguous()
        fields = _flat(torch.view_as_real(m), 2)
        ring_kernel.sweep_bonds(
            _flat(self.spin, 1), around.spin.numpy(), fields, bonds, weights.numpy(), around.reach, _flat(self.here, 1),
            around.gradient.numpy(), self.work, self.spare, self.spare.dtype.type(-1), energy,
        )  # fmt: skip
        return torch.from_numpy(energy).to(self.spin.dtype), m

    def gradient(self) -> torch.Tensor:
        return self.here + super().gradient()


def _flat(array: torch.Tensor, kept: int) -> np.ndarray:
    """The numbers themselves, with all but the first ``kept`` axes as one."""
    return array.view(*array.shape[:kept], -1).numpy()
