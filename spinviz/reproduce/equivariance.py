"""How well each network keeps the symmetries, beside how well it predicts (paper 001, fig. 9).

For every test configuration the field is asked before and after a symmetry operation g:  err = f(g S) - g f(S). Rotations
of all spins, translations, the point group of the lattice and time reversal S -> -S are tested; the error is the rms of
the transverse part in units of the rms of the exact transverse field, as the prediction error epsilon is.
"""

from __future__ import annotations

import numpy as np
import torch

from engine.learning.evaluate import symmetry_errors
from engine.learning.network import Network, field_and_energy, transverse
from engine.statistics import mean_and_error
from spinviz.reproduce.figure import COLOURS, Compared, Figure, Made, panels
from spinviz.reproduce.networks import exact_force, field, networks_of, test_states
from spinviz.reproduce.settings import Settings
from spinviz.reproduce.work import Work

PRESET, LENGTH = "skyrmion", 12
SMALL: Settings = {"records": 6, "twists": 6}
FULL: Settings = {"records": 40, "twists": 12}
SYMMETRIES = {"rotation": "spin rotation", "translation": "translation", "point_group": "point group",
              "time_reversal": "time reversal"}  # fmt: skip
EXACT = 1e-9  # below this a symmetry is exact but for rounding


def make(settings: Settings, work: Work) -> Made:
    force, lattice = exact_force(PRESET, LENGTH, settings["twists"])
    spin = test_states(lattice, settings["records"], seed=7)
    work.say(f"exact forces of {len(spin)} configurations")
    exact = transverse(field(force, spin), spin).double()
    rms = float(exact.square().sum(-1).mean().sqrt())
    table = {}
    for name, network in networks_of(PRESET).items():
        work.say(f"network {name}")
        table[name] = _errors(network, spin, exact, rms)
    cnn = networks_of(PRESET)["cnn"]
    prediction, symmetry = _distributions(cnn, spin, exact, rms)
    share = symmetry.std() / prediction.std()
    sheet, axes = panels(1, 2)
    _bars(axes[0, 0], table)
    edges = np.linspace(-1.5, 1.5, 61)
    axes[0, 1].hist(prediction, edges, density=True, color=COLOURS[0], alpha=0.6, label="prediction error")
    axes[0, 1].hist(symmetry, edges, density=True, color=COLOURS[1], alpha=0.6, label="equivariance error (rotation)")
    axes[0, 1].set(title="Torque CNN: errors of a component", xlabel="error / rms of the field", ylabel="density")
    axes[0, 1].legend()
    ratios = [
        float(np.sqrt(np.mean(one["rotation"] ** 2)) / np.sqrt(np.mean(one["prediction"] ** 2)))
        for one in table.values()
    ]
    compared = [
        Compared("CNN, equivariance error over prediction error", "below 1 (fig. 9)", float(share),
                 _ratio_error(table["cnn"]), "rms of components, one rotation per record"),
        Compared("best network, rotation error", "exact by construction (000), approximate (001)",
                 *_pair(table["best"]["rotation"]), "double precision"),
    ]  # fmt: skip
    numbers = {name: {key: dict(zip(("mean", "error"), _pair(v), strict=True)) for key, v in one.items()}
               for name, one in table.items()}  # fmt: skip
    return Made(sheet, {"networks": numbers, "rotation_over_prediction": dict(zip(table, ratios, strict=True))}, compared,
                {"preset": PRESET, "size": LENGTH, **settings, "seed": 7},
                [f"{len(spin)} records of {LENGTH} x {LENGTH}, half random, half shaken crystals; exact forces with "
                 f"{settings['twists']} x {settings['twists']} twists"])  # fmt: skip


def _errors(network: Network, spin: torch.Tensor, exact: torch.Tensor, rms: float) -> dict[str, np.ndarray]:
    """Prediction and symmetry errors of every record (R,)."""
    shape = (LENGTH, LENGTH)
    learned = transverse(field_and_energy(network, spin, shape)[0].detach(), spin).double()
    found = {"prediction": ((learned - exact).square().sum(-1).mean(1).sqrt() / rms).numpy()}
    each = [symmetry_errors(network, one[None], shape, seed=number) for number, one in enumerate(spin)]
    own = (
        learned.square().sum(-1).mean(1).sqrt().numpy() / rms
    )  # symmetry_errors are relative to the network's own field
    return found | {key: np.array([one[key] for one in each]) * own for key in SYMMETRIES}


def _distributions(
    network: Network, spin: torch.Tensor, exact: torch.Tensor, rms: float
) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and rotation errors of all components, in units of rms."""
    shape, draw = (LENGTH, LENGTH), torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=draw))[0]
    turn = turn * torch.linalg.det(turn).sign()
    before = transverse(field_and_energy(network, spin, shape)[0].detach(), spin)
    after = transverse(field_and_energy(network, spin @ turn, shape)[0].detach(), spin @ turn)
    scale = rms / np.sqrt(3)
    return ((before - exact).numpy().ravel() / scale, (after - before @ turn).numpy().ravel() / scale)


def _bars(axes, table: dict[str, dict[str, np.ndarray]]) -> None:
    keys = ["prediction", *SYMMETRIES]
    floor = 1e-17
    for number, key in enumerate(keys):
        at = np.arange(len(table)) + (number - 2) * 0.16
        pairs = [_pair(one[key]) for one in table.values()]
        axes.bar(at, [max(p[0], floor) for p in pairs], 0.15, yerr=[p[1] for p in pairs], color=COLOURS[number],
                 label=SYMMETRIES.get(key, "prediction error ε"))  # fmt: skip
    axes.set_yscale("log")
    axes.set(title="Errors of every network", ylabel="error / rms of the exact field", ylim=(floor, 1e7))
    axes.set_xticks(np.arange(len(table)), list(table))
    axes.legend(ncols=2, loc="upper left")


def _pair(values: np.ndarray) -> tuple[float, float]:
    mean, error = mean_and_error(values)
    return float(mean), float(error)


def _ratio_error(one: dict[str, np.ndarray]) -> float:
    ratio = one["rotation"] / one["prediction"]
    return float(ratio.std(ddof=1) / np.sqrt(len(ratio)))


FIGURE = Figure(
    "equivariance", "Symmetry beside accuracy", "001 fig. 9",
    "symmetry error of each network beside its prediction error: spin rotation, translation, point group, time reversal",
    make, SMALL, FULL, ("skyrmion/best", "skyrmion/cnn"), "40 records, 12 x 12 twists",
)  # fmt: skip
