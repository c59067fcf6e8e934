"""Chiral domains of the tetrahedral state after a quench (paper 004, fig. 3; Fan, Zhang, Chern, PRB 110, 245105 (2024)).

Random spins meet a bath at low temperature. Kept are the scalar chirality, the domain length L(t) = 2 pi / width of its
structure factor, that structure factor, and the sixfold order of the walls' directions,

    A_6 = | sum w e^{6 i theta} | / sum w,    theta: direction of the gradient of the smoothed chirality, w = |gradient|^2,

0 for walls of all directions alike, larger for straight walls along the lattice's directions. The paper has L ~ t (not
t^(1/2), Allen-Cahn) and dynamical scaling S(k, t) = L^2 G(k L). Its temperature is lost in the text: 0.01 is our choice.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from engine.dynamics import SemiImplicitLLG
from engine.lattice import Lattice, triangular
from engine.learning.force import load_force
from engine.observables import domain_length, ring_average, scalar_chirality
from engine.observables.structure_factor import field_structure_factor, fold_to_zone
from engine.statistics import collapse_quality, growth_exponent, mean_and_error, rescaled
from engine.textures import texture
from spinviz.reproduce.figure import COLOURS, Compared, Figure, Made, panels
from spinviz.reproduce.pictures import compared_growth, draw_fit, draw_growth, draw_sites, kept_steps
from spinviz.reproduce.runs import Runs
from spinviz.reproduce.settings import Settings
from spinviz.reproduce.work import Work

SMALL: Settings = {"size": 64, "starts": 4, "steps": 200, "batch": 2}
FULL: Settings = {"size": 192, "starts": 30, "steps": 1000, "batch": 5}
NETWORK, TEMPERATURE, DAMPING, SMOOTHING = "tetrahedral/best", 0.01, 0.2, 1.5
TIME_STEP = (
    4.0  # 1, 2 and 4 give the same energies and C(1) on 15 x 15 until t = 160, within their errors of 0.001 and 0.01
)
LARGEST_CHIRALITY = 4 / (3 * np.sqrt(3))
DOMAINS = 10.0  # k L up to which the structure factor is that of domains
FORMED = 4.0  # the window begins where L is larger than the walls are wide, a few lattice constants,
FULL_SAMPLE = 0.2  # and ends where L reaches this share of the sample


def make(settings: Settings, work: Work) -> Made:
    lattice = triangular(settings["size"], settings["size"], shells=3)
    steps = kept_steps(settings["steps"], 20)
    dynamics = SemiImplicitLLG(damping=DAMPING, temperature=TEMPERATURE, time_step=TIME_STEP)
    runs = Runs("quench", lattice, load_force(NETWORK, lattice), dynamics, steps, partial(_measured, lattice), seed=41)
    start = texture("random", lattice, replicas=settings["starts"], seed=41)
    found = runs.made(start, settings["batch"], work)
    time, length, order = TIME_STEP * np.array(steps), found["length"], found["walls"]
    window = _window(time, length, lattice)
    growth = growth_exponent(time, length, window)
    structures = torch.from_numpy(found["structure"])
    rings = [ring_average(structures[:, i], lattice) for i in range(len(steps))]
    late = [i for i, t in enumerate(time) if window[0] <= t <= window[1]]
    curves = rescaled(rings[0][0][1:], np.stack([rings[i][1].numpy()[:, 1:] for i in late], 1), length[:, late])
    quality = collapse_quality([_of_domains(curve) for curve in curves]) if len(curves) > 1 else float("nan")
    sheet, axes = panels(1, 4)
    for column, index in enumerate((len(steps) // 2, len(steps) - 1)):
        draw_sites(axes[0, column], lattice, found["chirality"][0, index], f"chirality, t = {time[index]:g}", cmap="RdBu_r",
                   vmin=-LARGEST_CHIRALITY, vmax=LARGEST_CHIRALITY)  # fmt: skip
    draw_growth(axes[0, 2], time, length, COLOURS[0], "learned")
    draw_fit(axes[0, 2], growth, COLOURS[1])
    axes[0, 2].set(title="L(t)")
    axes[0, 2].legend(loc="upper left")
    for number, (x, y, _) in enumerate(curves):
        axes[0, 3].loglog(x, y, ".", color=COLOURS[number % len(COLOURS)], label=f"t = {time[late[number]]:g}")
    axes[0, 3].set(title="Scaling", xlabel="k L", ylabel="S / L²")
    axes[0, 3].legend()
    compared = [
        *compared_growth("L(t) ∝ t^n, n", "1", growth),
        Compared("sixfold order of the walls at the end", "straight, along the lattice", *_pair(order[:, -1]),
                 f"at t = {time[1]:g}: {order[:, 1].mean():.3f}"),
        Compared(f"collapse of S(k, t), k L < {DOMAINS:g}: mean square distance in errors", "scaling holds", quality, None,
                 "1: within errors; at larger k stands thermal noise, which does not scale"),
    ]  # fmt: skip
    numbers = {"time": time, "L": mean_and_error(length), "L_of_runs": length, "wall_order": mean_and_error(order)}
    return Made(
        sheet,
        numbers,
        compared,
        {**settings, "network": NETWORK, "temperature": TEMPERATURE, "damping": DAMPING, "time_step": TIME_STEP},
        [
            f"{settings['size']} x {settings['size']}, {settings['starts']} starts, T = {TEMPERATURE}, damping {DAMPING}, "
            f"to t = {time[-1]:g}; see the card of {NETWORK} for the error of its force"
        ],
    )


def _measured(lattice: Lattice, spin: torch.Tensor) -> dict[str, np.ndarray]:
    """L, order of the walls, scalar chirality of the sites and its S(q)."""
    triangles = scalar_chirality(spin, lattice).double()
    chirality = triangles.reshape(len(spin), lattice.sites, -1).mean(2)
    return {
        "length": domain_length(triangles, lattice).numpy(), "walls": _wall_order(chirality, lattice),
        "chirality": chirality.numpy(), "structure": field_structure_factor(chirality[..., None], lattice).numpy(),
    }  # fmt: skip


def _window(time: np.ndarray, length: np.ndarray, lattice: Lattice) -> tuple[float, float]:
    """Times at which there are domains and they do not feel the sample's size; at least four kept ones."""
    largest = FULL_SAMPLE * float(np.sqrt(abs(np.linalg.det(lattice.periods))))
    free = np.nonzero(length.mean(0) < largest)[0]
    last = max(int(free[-1]) if len(free) else 0, min(4, len(time) - 1))
    formed = np.nonzero(length.mean(0) > FORMED)[0]
    first = max(1, min(int(formed[0]) if len(formed) else last, last - 3))
    return float(time[first]), float(time[last])


def _of_domains(curve: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    kept = curve[0] < DOMAINS
    return curve[0][kept], curve[1][kept], curve[2][kept]


def _wall_order(field: torch.Tensor, lattice: Lattice) -> np.ndarray:
    """A_6 of every replica (B,) of a field on the sites (B, N)."""
    momenta = torch.as_tensor(fold_to_zone(lattice.momenta(), lattice)).reshape(*lattice.shape, 2)
    amplitude = torch.fft.fft2(field.reshape(-1, *lattice.shape))
    smooth = torch.exp(-0.5 * SMOOTHING**2 * momenta.square().sum(-1))
    x, y = (torch.fft.ifft2(1j * momenta[..., axis] * smooth * amplitude).real for axis in (0, 1))
    weight = x.square() + y.square()
    turned = torch.exp(6j * torch.atan2(y, x))
    return ((weight * turned).sum((1, 2)).abs() / weight.sum((1, 2))).numpy()


def _pair(values: np.ndarray) -> tuple[float, float]:
    mean, error = mean_and_error(values)
    return float(mean), float(error)


FIGURE = Figure(
    "tetrahedral-coarsening", "Chiral domains after a quench", "004 fig. 3",
    "chirality snapshots, exponent of L(t) with its error, directions of the walls, scaling collapse",
    make, SMALL, FULL, (NETWORK,),
    "192 x 192, 30 starts, 1000 steps",
)  # fmt: skip
