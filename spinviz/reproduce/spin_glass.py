"""Quench of an amorphous metallic spin glass (paper 002, figs. 4.2 to 4.5).

N random sites in a periodic box, t = exp(-R / l), J = 6, half filling, damping 0.05, T = 0.001; averages over realizations
and starts. Shown: density of states at J = 0, C(r, t), and the correlation length of the averaged C,

    xi(t) = int r |C| dr / int |C| dr,      xi ~ (ln t)^(1/psi)   (paper: psi = 1.02),

with exact forces, of which only the part perpendicular to the spins (0.03) is kept: the part along them (6) moves nothing
but would need time steps below 0.03. The learned force is drawn beside them where its weights are there. 1/psi is the
slope of ln xi against ln ln t after the time of the smallest xi; its error is a bootstrap over realizations. The noise of
|C| alone, with C = 0 as at t = 0, gives xi = 1.3, from which xi falls as the nearest spins turn against each other; with
less than FEWEST times after that no exponent is given.

The thesis gives two times: C = -0.4 at the smallest distance from about 30 on, C > 0 near r = 1.5 from about 150 on. The
quench is repeated with ten times the damping, because only then do both come out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from engine.dynamics import SemiImplicitLLG
from engine.electrons import Ensemble, ExactDiagonalization
from engine.forces import ElectronicForce, ForceProvider
from engine.lattice import Lattice, random_sites
from engine.learning.force import load_force
from engine.learning.weights import shipped
from engine.models import ExponentialHopping, SDModel
from engine.noise import Noise
from engine.observables import power_law_fit
from engine.observables.spin import nearest_image
from engine.presets import PRESETS
from engine.state import SpinState
from engine.statistics import bootstrap, mean_and_error
from engine.textures import texture
from spinviz.reproduce.figure import COLOURS, Compared, Figure, Made, panels
from spinviz.reproduce.pictures import kept_steps
from spinviz.reproduce.runs import visited
from spinviz.reproduce.settings import Settings
from spinviz.reproduce.work import Work

SMALL: Settings = {"sites": 100, "realizations": 10, "starts": 1, "steps": 1000, "spectra": 40}
FULL: Settings = {"sites": 100, "realizations": 30, "starts": 4, "steps": 5000, "spectra": 500}
NETWORK, WIDTH, LEAST_REALIZATIONS, FEWEST = "spin_glass/best", 0.1, 10, 5
TIME_STEP = 5.0  # dt |h_perp| is about 0.1
SHOWN = (30.0, 150.0)
STRONGER = 10.0  # damping of the second quench, in units of the first
CONTACT, NEAR_PEAK = -0.4, (1.4, 1.6)


def make(settings: Settings, work: Work) -> Made:
    steps = kept_steps(settings["steps"], 20)
    time = TIME_STEP * np.array(steps)
    forces = ["exact"] + (["learned"] if NETWORK in shipped() else [])
    edges = np.arange(0.5, 2.55, WIDTH)
    centres = (edges[1:] + edges[:-1]) / 2
    found: dict[str, np.ndarray] = {}
    for name in forces:
        found[name] = _quench(name, settings, PRESETS["spin_glass"].damping, steps, edges, work)
    damped = _quench("exact", settings, STRONGER * PRESETS["spin_glass"].damping, steps, edges, work)
    energies, density, uncertain = _density_of_states(settings, work)
    sheet, axes = panels(1, 3)
    axes[0, 0].plot(energies, density, color=COLOURS[0])
    axes[0, 0].fill_between(energies, density - uncertain, density + uncertain, color=COLOURS[0], alpha=0.3, lw=0)
    axes[0, 0].axvline(0, color="#9aa3b5", ls="--")
    axes[0, 0].set(title="Density of states, J = 0", xlabel="energy - Fermi energy", ylabel="states per site")
    _draw_correlations(axes[0, 1], centres, found, time)
    _draw_length(axes[0, 2], centres, found, time)
    numbers = {
        "energies": energies,
        "density_of_states": density,
        "distance": centres,
        "time": time,
        "damped": {"C": _averaged(damped), "xi": _length(_averaged(damped), centres)},
        **{name: {"C": _averaged(rows), "xi": _length(_averaged(rows), centres)} for name, rows in found.items()},
    }
    compared = [
        *_compared(found, centres, time), *_times(found["exact"], centres, time, 1.0),
        *_times(damped, centres, time, STRONGER), _growth(damped, centres, time, f", {STRONGER:g} times the damping"),
    ]  # fmt: skip
    used = {**settings, "bin": WIDTH, "time_step": TIME_STEP, "network": NETWORK, "stronger_damping": STRONGER}
    return Made(sheet, numbers, compared, used, _remarks(settings, found))


def _quench(name: str, settings: dict, damping: float, steps: list[int], edges: np.ndarray, work: Work) -> np.ndarray:
    """Sums and numbers of pairs of every realization (R, 2, T, bins), by exact or learned forces."""
    pairs = {
        f"{name}-{damping:g}-{number}": partial(_pairs, name, steps, settings, edges, number, damping)
        for number in range(settings["realizations"])
    }
    found = work.all(f"{name}, damping {damping:g}, realizations", pairs)
    return np.stack([one["pairs"] for one in found.values()])


def _exact(lattice: Lattice) -> ForceProvider:
    known = PRESETS["spin_glass"]
    model = SDModel(lattice, ExponentialHopping(), known.coupling)
    ensemble = Ensemble(known.electron_temperature, None, known.filling)
    return ElectronicForce(model, ExactDiagonalization((1, 1)), ensemble)


def _pairs(
    name: str, steps: list[int], settings: Settings, edges: np.ndarray, number: int, damping: float
) -> dict[str, np.ndarray]:
    """ "pairs", (2, T, bins): sums of S_i . S_j over the pairs of every bin, mean over starts, and numbers of pairs."""
    known, starts, seed = PRESETS["spin_glass"], settings["starts"], 100 * number
    lattice = random_sites(settings["sites"], seed=number)
    force = _exact(lattice) if name == "exact" else load_force(NETWORK, lattice)
    start = SpinState(texture("random", lattice, replicas=starts, seed=seed))
    dynamics = SemiImplicitLLG(damping=damping, temperature=known.temperature, time_step=TIME_STEP)
    noise, rows = Noise([seed + start for start in range(starts)]), []
    first, second = np.triu_indices(lattice.sites, 1)
    distance = np.linalg.norm(nearest_image(lattice.positions[second] - lattice.positions[first], lattice), axis=1)
    counts, _ = np.histogram(distance, edges)
    for state in visited(start, dynamics, force, noise, steps):
        spin = state.spin.double().numpy()
        product = (spin[:, first] * spin[:, second]).sum(-1).mean(0)
        rows.append(np.histogram(distance, edges, weights=product)[0])
    return {"pairs": np.stack([np.stack(rows), np.tile(counts, (len(rows), 1))])}


def _averaged(rows: np.ndarray) -> np.ndarray:
    """C(r, t) (T, bins), mean over all pairs of all realizations (R, 2, T, bins); 0 in bins without a pair."""
    sums, counts = rows.sum(0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), 0.0)


def _left_out(rows: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Standard error of function(averaged C), by leaving out one realization after the other (jackknife)."""
    each = np.stack([function(_averaged(np.delete(rows, i, 0))) for i in range(len(rows))])
    return np.sqrt((len(rows) - 1) * each.var(0))


def _length(correlation: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """xi (T,) of an averaged C (T, bins)."""
    size = np.abs(correlation)
    return (size * centres).sum(-1) / size.sum(-1)


def _density_of_states(settings: dict, work: Work) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Histogram over realizations of the hopping matrix's levels from the Fermi energy at half filling."""
    work.say("density of states")
    edges, rows = np.linspace(-8, 3, 111), []
    for number in range(settings["spectra"]):
        lattice = random_sites(settings["sites"], seed=1000 + number)
        matrix = np.zeros((lattice.sites, lattice.sites))
        matrix[lattice.bonds[:, 0], lattice.bonds[:, 1]] = -np.exp(-lattice.distances)
        levels = np.linalg.eigvalsh(matrix + matrix.T)
        middle = len(levels) // 2
        fermi = (levels[middle - 1] + levels[middle]) / 2
        rows.append(np.histogram(levels - fermi, edges)[0] / (len(levels) * (edges[1] - edges[0])))
    mean, error = mean_and_error(np.stack(rows))
    return (edges[1:] + edges[:-1]) / 2, mean, error


def _slope(rows: np.ndarray, centres: np.ndarray, time: np.ndarray, first: int) -> float:
    """1/psi: slope of ln xi against ln ln t from the time ``first`` on."""
    return power_law_fit(np.log(time[first:]), _length(_averaged(rows), centres)[first:]).exponent


def _draw_correlations(axes, centres: np.ndarray, found: dict, time: np.ndarray) -> None:
    for number, wanted in enumerate((*SHOWN, float(time[-1]))):
        at = int(np.abs(time - wanted).argmin())
        for name, rows in found.items():
            mean, error = _averaged(rows)[at], _left_out(rows, lambda c: c)[at]
            style = (
                {"marker": "o", "ls": "-" if len(found) == 1 else "", "mfc": "none"} if name == "exact" else {"ls": "-"}
            )
            axes.errorbar(centres, mean, error, color=COLOURS[number], label=f"{name}, t = {time[at]:g}", **style)
    axes.axhline(0, color="#d9dde8", zorder=0)
    axes.set(title="C(r, t)", xlabel="distance r / l")
    axes.legend()


def _draw_length(axes, centres: np.ndarray, found: dict, time: np.ndarray) -> None:
    kept = time > 0
    for number, (name, rows) in enumerate(found.items()):
        error = _left_out(rows, lambda c: _length(c, centres))
        axes.errorbar(np.log(time[kept]), _length(_averaged(rows), centres)[kept], error[kept], marker="o",
                      color=COLOURS[number], label=name)  # fmt: skip
    axes.set(title="Correlation length ξ", xlabel="ln t", ylabel="ξ / l")
    axes.legend()


def _compared(found: dict, centres: np.ndarray, time: np.ndarray) -> list[Compared]:
    exact = found["exact"]
    contact, spread = _averaged(exact)[-1, 0], _left_out(exact, lambda c: c[-1, 0])

    def zero(rows: np.ndarray) -> float:
        mean = _averaged(rows)[-1]
        above = int((mean > 0).argmax())
        return float(np.interp(0, mean[above - 1 : above + 1], centres[above - 1 : above + 1])) if above else np.nan

    rows = [
        Compared("C at the smallest distance, late", "-0.4 (002 fig. 4.4)", float(contact), float(spread),
                 f"bin 0.5 to 0.6, t = {time[-1]:g}; paper: from t about 30"),
    ]  # fmt: skip
    if np.isfinite(zero(exact)):
        where = bootstrap(exact, zero)
        rows.append(Compared("first zero of C(r), late", "1.4", where.value, where.error))
    else:
        why = "statistics too thin: C does not go from negative to positive"
        rows.append(Compared("first zero of C(r), late", "1.4", None, None, why))
    if "learned" in found:
        rows.append(_agreement(found))
    return [*rows, _growth(exact, centres, time)]


def _times(rows: np.ndarray, centres: np.ndarray, time: np.ndarray, damping: float) -> list[Compared]:
    """When C at the smallest distance, and C around the weak peak, reach what the thesis says."""
    near = (centres > NEAR_PEAK[0]) & (centres < NEAR_PEAK[1])
    which = "" if damping == 1 else f", {damping:g} times the damping"
    contact = _passing(rows, time, lambda c: CONTACT - c[:, 0])
    peak = _passing(rows, time, lambda c: c[:, near].mean(1))
    return [
        Compared(f"t at which C is {CONTACT} at the smallest distance{which}", "about 30 (002, section 4.4)", *contact),
        Compared(f"t at which C is positive for r = {NEAR_PEAK[0]} to {NEAR_PEAK[1]}{which}", "about 150", *peak),
    ]


def _passing(
    rows: np.ndarray, time: np.ndarray, function: Callable[[np.ndarray], np.ndarray]
) -> tuple[float | None, float | None, str]:
    """The time after which function(averaged C) (T,) stays positive, its error, and why there is none."""

    def passes(some: np.ndarray) -> float:
        curve = function(_averaged(some))
        below = np.nonzero(curve <= 0)[0]
        last = int(below[-1]) if len(below) else 0
        if last + 1 == len(curve):
            return math.nan
        low, high = curve[last : last + 2]
        return float(time[last] + (time[last + 1] - time[last]) * max(0.0, -low) / (high - min(low, 0.0)))

    if not math.isfinite(passes(rows)):
        return None, None, f"not until t = {time[-1]:g}"
    if len(rows) < LEAST_REALIZATIONS:
        return None, None, f"statistics too thin: {len(rows)} realizations, at least {LEAST_REALIZATIONS} are needed"
    found = bootstrap(rows, passes)
    return found.value, found.error, ""


def _agreement(found: dict) -> Compared:
    """rms over r of learned - exact C at the last time; same realizations, starts and noise."""

    def distance(both: np.ndarray) -> float:
        learned, exact = (_averaged(both[:, i])[-1] for i in (0, 1))
        return float(np.sqrt(((learned - exact) ** 2).mean()))

    both = bootstrap(np.stack([found["learned"], found["exact"]], 1), distance)
    return Compared("C(r) learned - exact, rms over r, late", "agree well (002 fig. 4.4)", both.value, both.error)


def _growth(rows: np.ndarray, centres: np.ndarray, time: np.ndarray, which: str = "") -> Compared:
    """1/psi, or why there is none."""
    quantity, paper = f"ξ ∝ (ln t)^(1/ψ), 1/ψ{which}", "0.98 (ψ = 1.02)"
    if len(rows) < LEAST_REALIZATIONS:
        why = f"statistics too thin: {len(rows)} realizations, at least {LEAST_REALIZATIONS} are needed"
        return Compared(quantity, paper, None, None, why)
    first = int(_length(_averaged(rows), centres).argmin())
    if len(time) - first < FEWEST:
        why = (
            f"ξ falls until t = {time[first]:g}; {len(time) - first} times from there on, at least {FEWEST} are needed"
        )
        return Compared(quantity, paper, None, None, why)
    fitted = bootstrap(rows, lambda some: _slope(some, centres, time, first))
    window = f"from t = {time[first]:g}, where ξ is smallest, to {time[-1]:g}"
    if fitted.value < 2 * fitted.error:
        why = f"no growth {window} (slope {fitted.value:.2f} ± {fitted.error:.2f}): too early, or too few pairs"
        return Compared(quantity, paper, None, None, why)
    return Compared(quantity, paper, fitted.value, fitted.error, window)


def _remarks(settings: dict, found: dict) -> list[str]:
    learned = "" if "learned" in found else "; no learned force: spin_glass/best is not there"
    return [f"N = {settings['sites']}, {settings['realizations']} realizations x {settings['starts']} starts, exact forces, "
            f"T = 0.001, damping {PRESETS['spin_glass'].damping}{learned}"]  # fmt: skip


FIGURE = Figure(
    "spin-glass", "Quench of an amorphous spin glass", "002 figs. 4.2-4.5",
    "density of states, C(r, t), correlation length against ln t with ψ; exact and, with weights, learned",
    make, SMALL, FULL, (), "30 realizations x 4 starts to t = 25 000", (NETWORK,),
)  # fmt: skip
