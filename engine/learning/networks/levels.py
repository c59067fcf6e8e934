r"""Levels: the energy of electrons that are shared among all sites, at a fixed number of them.

Every site offers K levels at energies e_ik with weights a_ik, sum_k a_ik = 1, made by a small network from what the site
knows of its surroundings: a local density of states. One chemical potential fills them,

    sum_ik a_ik f((mu - e_ik) / s_k) = filling N,        f(x) = 1 / (1 + exp(-x)),

    E = -sum_ik a_ik s_k log(1 + exp((mu - e_ik) / s_k)) + mu filling N,

which is stationary in mu, as the free energy of electrons is: a hole goes where in the whole lattice its energy is
lowest, and the force on a spin is that at constant mu. The widths s_k are learned.
"""

from __future__ import annotations

import torch
from torch import nn

HALVINGS = 40
REACH = 20.0  # widths beyond the outermost level: there all are full, or empty
UNIT = 5.0  # of the energies, in units of the network's scale (the rms force)


class Levels(nn.Module):
    """Features (B, N, C) of the sites -> energy (B,). ``count`` levels per site; ``filling`` of them is occupied.

    Raises ValueError for fewer than one level, and a filling that is not between 0 and 1.
    """

    def __init__(self, channels: int, width: int, count: int, filling: float) -> None:
        super().__init__()
        if count < 1 or not 0 < filling < 1:
            raise ValueError(f"levels need a number from 1 and a filling between 0 and 1, got {count} and {filling}")
        self.filling = filling
        self.offers = nn.Sequential(nn.Linear(channels, width), nn.SiLU(), nn.Linear(width, 2 * count))
        for parameter in self.offers[-1].parameters():
            nn.init.zeros_(parameter)  # all sites alike: no force
        self.place = nn.Parameter(torch.linspace(-1.0, 1.0, count))
        self.log_width = nn.Parameter(torch.full((count,), -1.5))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        weights, shifts = self.offers(features).chunk(2, -1)
        weights, energies, widths = weights.softmax(-1), self.place + shifts, self.log_width.exp()
        wanted = self.filling * features.shape[1]
        potential = self._filled(weights, energies, widths, wanted)
        x = (potential[:, None, None] - energies) / widths
        grand = -(weights * widths * nn.functional.softplus(x)).sum((1, 2))
        return UNIT * (grand + potential * wanted)

    @staticmethod
    def _filled(
        weights: torch.Tensor, energies: torch.Tensor, widths: torch.Tensor, wanted: float
    ) -> torch.Tensor:
        """mu (B,), by halving; a last step of Newton gives it the right derivatives by weights, energies and widths."""
        with torch.no_grad():
            low = energies.amin((1, 2)) - REACH * widths.max()
            high = energies.amax((1, 2)) + REACH * widths.max()
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                many = (weights * ((middle[:, None, None] - energies) / widths).sigmoid()).sum((1, 2)) > wanted
                low, high = torch.where(many, low, middle), torch.where(many, middle, high)
        middle = (low + high) / 2
        filled = ((middle[:, None, None] - energies) / widths).sigmoid()
        with torch.no_grad():
            slope = (weights * filled * (1 - filled) / widths).sum((1, 2))
        return middle - ((weights * filled).sum((1, 2)) - wanted) / slope
