"""How far a force sees (paper 000, fig. S3; paper 001, fig. 10).

One spin is replaced by a random one; R(r) is the rms change of the transverse field at distance r, in units of the rms
transverse field, exactly and by each network. All sites around the replaced one count, so that few diagonalizations do.

Floor of the error when nothing beyond a radius is known: the conditional variance of the field is at most half the sum
of the squared responses of the unknown spins (B. Efron and C. Stein, Ann. Stat. 9, 586 (1981)),

    epsilon(r)^2 <= 1/2 sum_{j: |r_j - r_i| > r} R(r_ij)^2,       equal for a force that is linear in the unknown spins.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from engine.lattice import Lattice
from engine.learning.network import Network, field_and_energy, transverse
from engine.observables.spin import nearest_image
from engine.textures import texture
from spinviz.reproduce.figure import COLOURS, Compared, Figure, Made, panels
from spinviz.reproduce.networks import exact_force, field, networks_of
from spinviz.reproduce.settings import Settings
from spinviz.reproduce.work import Work

PRESET = "skyrmion"
SMALL: Settings = {"size": 15, "twists": 4, "samples": 4}
FULL: Settings = {"size": 30, "twists": 4, "samples": 16}
SHARE = 0.9  # of the squared response: the effective receptive field
FAR = 7.0  # paper 000: "almost no correlation" from there on
Field = Callable[[torch.Tensor], torch.Tensor]


def make(settings: Settings, work: Work) -> Made:
    length, samples = settings["size"], settings["samples"]
    force, lattice = exact_force(PRESET, length, settings["twists"])
    before = texture("random", lattice, replicas=samples, seed=11)
    after = before.clone()
    after[:, 0] = texture("random", lattice, replicas=samples, seed=12)[:, 0]
    distance = np.linalg.norm(nearest_image(lattice.positions, lattice), axis=1).round(6)
    fields: dict[str, Field] = {"exact": partial(field, force)}
    for name, network in networks_of(PRESET).items():
        fields[name] = partial(_learned, network, (length, length))
    table = {}
    for name, ask in fields.items():
        work.say(f"response: {name}")
        table[name] = _response(ask, before, after)
    return _drawn(table, distance, lattice, settings)


def _learned(network: Network, shape: tuple[int, int], spin: torch.Tensor) -> torch.Tensor:
    return field_and_energy(network, spin, shape)[0].detach()


def _response(ask: Field, before: torch.Tensor, after: torch.Tensor) -> np.ndarray:
    """Squared change of the transverse field over its mean square, (samples, N)."""
    first = transverse(ask(before), before)
    change = transverse(ask(after) - ask(before), before).square().sum(-1)
    return (change / first.square().sum(-1).mean()).double().cpu().numpy()


def _drawn(table: dict[str, np.ndarray], distance: np.ndarray, lattice: Lattice, settings: dict) -> Made:
    radii = np.unique(distance)[1:]
    shells = [distance == radius for radius in radii]
    sheet, axes = panels(1, 3)
    numbers: dict = {"distance": radii}
    for number, (name, squares) in enumerate(table.items()):
        per_shell = np.stack([squares[:, shell].mean(1) for shell in shells], 1)
        response, floor = np.sqrt(per_shell.mean(0)), np.sqrt(_floor(per_shell.mean(0), shells))
        style = {"color": COLOURS[number % len(COLOURS)], "label": name, "marker": ".", "lw": 2 if not number else 1}
        axes[0, 0].semilogy(radii, np.maximum(response, 1e-9), **style)
        axes[0, 1].plot(radii, floor, **style)
        numbers[name] = {"response": response, "floor": floor, "radius": _radius(per_shell, shells, radii)}
    axes[0, 0].set(title="Change of the field after one new spin", xlabel="distance r", ylabel="R(r)", ylim=(1e-5, 1))
    axes[0, 1].set(title="Error if all beyond r is unknown", xlabel="radius r", ylabel="ε at most", ylim=(0, 1))
    axes[0, 0].legend(ncols=2)
    _map(axes[0, 2], table["exact"].mean(0), lattice)
    return Made(sheet, numbers, _compared(table, shells, radii, distance), {"preset": PRESET, **settings, "seeds": [11, 12]},
                [
                    f"random spins on {lattice.shape[0]} x {lattice.shape[1]}, T = 0.005, {settings['twists']} x "
                    f"{settings['twists']} twists, {settings['samples']} samples; the sample ends at r = {radii[-1]:.1f}"
                ])  # fmt: skip


def _compared(table: dict, shells: list, radii: np.ndarray, distance: np.ndarray) -> list[Compared]:
    exact = table["exact"]
    far, near = (distance >= FAR) & (distance > 0), distance == 1
    each = np.sqrt(exact[:, far].mean(1) / exact[:, near].mean(1))
    found = [
        Compared(
            f"mean response beyond r = {FAR:g} over that at r = 1", "almost none (000 fig. S3)", float(each.mean()),
            float(each.std(ddof=1) / np.sqrt(len(each))), f"but {far.sum()} spins are there",
        )
    ]  # fmt: skip
    for name, paper in (("exact", "about 5 (001 fig. 10: of its network)"), ("cnn", "about 5 (001 fig. 10)")):
        if name in table:
            single = [
                _radius(np.stack([row[shell].mean() for shell in shells])[None], shells, radii) for row in table[name]
            ]
            found.append(
                Compared(f"radius with {SHARE:.0%} of the squared response, {name}", paper, float(np.mean(single)),
                         float(np.std(single, ddof=1) / np.sqrt(len(single))))
            )  # fmt: skip
    return found


def _floor(mean_square: np.ndarray, shells: list[np.ndarray]) -> np.ndarray:
    """epsilon^2 beyond every radius, (radii,)."""
    weights = mean_square * np.array([shell.sum() for shell in shells])
    return 0.5 * (weights.sum() - np.cumsum(weights))


def _radius(per_shell: np.ndarray, shells: list[np.ndarray], radii: np.ndarray) -> float:
    """Radius within which ``SHARE`` of the squared response lies."""
    total = np.cumsum(per_shell.mean(0) * np.array([shell.sum() for shell in shells]))
    return float(np.interp(SHARE * total[-1], total, radii))


def _map(axes, squares: np.ndarray, lattice: Lattice) -> None:
    places = nearest_image(lattice.positions, lattice)
    shown = axes.scatter(
        *places.T, c=np.log10(np.sqrt(squares) + 1e-9), s=38, marker="h", cmap="magma", vmin=-2.2, vmax=-0.3
    )
    axes.set(title="Exact response (log₁₀ R) around the new spin", aspect="equal")
    axes.set_axis_off()
    axes.figure.colorbar(shown, ax=axes, shrink=0.7)


FIGURE = Figure(
    "locality", "How far a force sees", "000 fig. S3; 001 fig. 10",
    "response of the force to one new spin against distance, exact and of each network; effective receptive field; error "
    "floor against radius", make, SMALL, FULL, ("skyrmion/best", "skyrmion/cnn"), "30 x 30, 16 samples",
)  # fmt: skip
