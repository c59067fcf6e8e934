"""Measurements of the spins alone. Samples and results are those of the first replica.

azimuth of the mean spin:  phi = atan2(M_y, M_x), the frequency is the slope of phi(t)
helix:                     S(q) is largest at q, the wave length is 2 pi / |q|
growth:                    L = 2 pi / < |k| >, k weighted with S_z's structure factor; the exponent of L ~ t^a
"""

from __future__ import annotations

import math

import numpy as np
import torch

from engine import Simulation
from engine.observables import observe, power_law_fit
from engine.observables.structure_factor import fold_to_zone, structure_factor
from engine.observables.topology import scalar_chirality, topological_charge, topological_charge_density
from spinviz.lessons.record import Measurement, Outcome, Record

WHOLE_NUMBER = 1e-3  # charges closer than this to a whole number are that number
TURN = 2 * math.pi


def _spin(simulation: Simulation) -> np.ndarray:
    return simulation.state.spin[0].double().cpu().numpy()


def _mean_spin(simulation: Simulation) -> np.ndarray:
    return _spin(simulation).mean(0)


def _upward(simulation: Simulation) -> np.ndarray:
    return _spin(simulation)[:, 2]


def _charge(simulation: Simulation) -> float:
    return float(topological_charge(simulation.state.spin[:1], simulation.lattice)[0])


def _energy(simulation: Simulation) -> float:
    return float(observe(("energy",), simulation.state, simulation.lattice, simulation.response())["energy"][0])


def _domain_sizes(simulation: Simulation) -> np.ndarray:
    """L (B,): the length of wall per area is proportional to 1 / L."""
    lattice, up = simulation.lattice, simulation.state.spin[..., 2].cpu().numpy() > 0
    first, second = lattice.bonds[lattice.shells == 1].T
    return 1 / np.maximum((up[:, first] != up[:, second]).mean(1), 1 / lattice.sites)


def frequency(record: Record) -> Outcome:
    """Slope of the azimuth, positive when the spin turns counter-clockwise seen from +z; error from the scatter."""
    x, y = record.samples[:, 0], record.samples[:, 1]
    if np.hypot(x, y).min() < 1e-3:
        raise ValueError("the spins have no common direction in the plane, so there is no angle to follow")
    angle, time = np.unwrap(np.arctan2(y, x)), record.elapsed
    slope, offset = np.polyfit(time, angle, 1)
    scatter = angle - slope * time - offset
    error = math.sqrt(float(scatter @ scatter) / max(len(time) - 2, 1) / float(((time - time.mean()) ** 2).sum()))
    return Outcome(float(slope), error)


def period(record: Record) -> Outcome:
    """2 pi over the frequency. Raises ValueError where nothing turns."""
    turning = frequency(record)
    if abs(turning.value) < 1e-6:
        raise ValueError("the spins do not turn, so there is no period; give them a field")
    value = TURN / abs(turning.value)
    return Outcome(value, value * turning.error / abs(turning.value))


def mean_upward(record: Record, settle: float = 0.0) -> Outcome:
    """<S_z> over spins and the time after ``settle``. The error is that of independent spins: only for those."""
    per_spin = record.samples[record.elapsed >= settle].mean(0)
    return Outcome(float(per_spin.mean()), float(per_spin.std(ddof=1)) / math.sqrt(len(per_spin)))


def crossing_time(record: Record, level: float = 0.5) -> Outcome:
    """Time at which the mean S_z first rises through ``level``, by linear interpolation."""
    height = record.samples[:, 2]
    above = np.nonzero(height >= level)[0]
    if len(above) == 0 or above[0] == 0:
        raise ValueError(f"the mean S_z did not rise through {level:g} in this run")
    late = int(above[0])
    share = (level - height[late - 1]) / (height[late] - height[late - 1])
    time = record.elapsed
    return Outcome(float(time[late - 1] + share * (time[late] - time[late - 1])))


def energy_drift(record: Record) -> Outcome:
    """Largest change of the energy per site during the run."""
    return Outcome(float(np.abs(record.samples - record.samples[0]).max()))


def charge_share(record: Record, charge: float) -> Outcome:
    """Share of the samples whose charge is ``charge``."""
    return Outcome(float(np.mean(np.abs(record.samples - charge) < WHOLE_NUMBER)))


def charge_values(record: Record) -> Outcome:
    """How many different charges the run has shown, to three digits."""
    return Outcome(float(len(np.unique(np.round(record.samples / WHOLE_NUMBER)))))


def shrinking_rate(record: Record, settle: float = 0.0) -> Outcome:
    """Rate of change of the number of spins that point down, after ``settle``, with the error of the straight line."""
    late = record.elapsed >= settle
    time, down = record.elapsed[late], (record.samples[late] < 0).sum(1)
    slope, offset = np.polyfit(time, down, 1)
    scatter = down - slope * time - offset
    error = math.sqrt(float(scatter @ scatter) / max(len(time) - 2, 1) / float(((time - time.mean()) ** 2).sum()))
    return Outcome(float(slope), error)


def growth_exponent(record: Record, after: float, before: float) -> Outcome:
    """Exponent of L ~ t^a between two times, fitted for every replica; error from the spread over the replicas."""
    sizes, time = record.samples, record.elapsed
    wanted = np.unique(np.round(np.geomspace(after, before, 24) / (time[1] - time[0])).astype(int))
    wanted = wanted[(wanted > 0) & (wanted < len(time))]
    exponents = [power_law_fit(time[wanted], size[wanted]).exponent for size in sizes.T]
    spread = float(np.std(exponents, ddof=1)) / math.sqrt(len(exponents)) if len(exponents) > 1 else 0.0
    return Outcome(float(np.mean(exponents)), spread)


def _peak(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Folded momenta but Γ (N-1, 2) and S(q) (N-1,) at the end."""
    lattice = record.last.lattice
    momenta, intensity = structure_factor(record.last.state.spin[:1], lattice)
    return fold_to_zone(momenta.numpy(), lattice)[1:], intensity[0].numpy()[1:]


def peak_momentum(record: Record) -> Outcome:
    """|q| at the highest S(q) other than Γ."""
    momenta, intensity = _peak(record)
    return Outcome(float(np.linalg.norm(momenta[intensity.argmax()])))


def wave_length(record: Record) -> Outcome:
    """2 pi over |q| of the highest peak."""
    return Outcome(TURN / peak_momentum(record).value)


def peak_count(record: Record, share: float = 0.3) -> Outcome:
    """How many momenta have an S(q) of at least ``share`` of the highest one (Γ is left out)."""
    _, intensity = _peak(record)
    return Outcome(float((intensity >= share * intensity.max()).sum()))


def charge_per_cell(record: Record, cell: int = 48) -> Outcome:
    """|Q| per ``cell`` sites at the end; 48 is the magnetic cell of the skyrmion crystals."""
    return Outcome(abs(_charge(record.last)) * cell / record.last.lattice.sites)


def reversed_spins(record: Record) -> Outcome:
    """How many spins point down (S_z < 0) at the end."""
    return Outcome(float((_upward(record.last) < 0).sum()))


def chirality(record: Record) -> Outcome:
    """Mean of S_a . (S_b x S_c) over the triangles at the end."""
    return Outcome(float(scalar_chirality(record.last.state.spin[:1], record.last.lattice).double().mean()))


def solid_angle(record: Record) -> Outcome:
    """Mean solid angle of a triangle at the end, in units of pi."""
    density = topological_charge_density(record.last.state.spin[:1], record.last.lattice)
    return Outcome(float(4 * density.mean()))


def correlation(record: Record) -> Outcome:
    """Mean of S_i . S_j over nearest neighbours at the end."""
    lattice, spin = record.last.lattice, _spin(record.last)
    first, second = lattice.bonds[lattice.shells == 1].T
    return Outcome(float((spin[first] * spin[second]).sum(1).mean()))


def berry_phase(record: Record) -> Outcome:
    """Mean phase, in units of pi, of an electron whose spin follows the spins once around a triangle at the end.

    arg <a|b><b|c><c|a> with spinors |n> = (cos t/2, e^(i p) sin t/2) along the three spins, averaged as a vector.
    """
    spin = torch.as_tensor(_spin(record.last))
    polar, turn = torch.acos(spin[:, 2].clamp(-1, 1)), torch.atan2(spin[:, 1], spin[:, 0])
    across = torch.polar(torch.sin(polar / 2), turn)
    spinor = torch.stack([torch.cos(polar / 2).to(across.dtype), across], 1)
    a, b, c = (spinor[corner] for corner in torch.as_tensor(record.last.lattice.plaquettes.T))
    product = (a.conj() * b).sum(1) * (b.conj() * c).sum(1) * (c.conj() * a).sum(1)
    return Outcome(float(torch.angle(product.mean())) / math.pi)


SPIN_MEASUREMENTS: dict[str, Measurement] = {
    "frequency": Measurement("angular frequency", "t₁/ħ", frequency, _mean_spin),
    "period": Measurement("period", "ħ/t₁", period, _mean_spin),
    "mean_upward": Measurement("mean S_z", "", mean_upward, _upward),
    "final_upward": Measurement("mean S_z at the end", "", lambda record: Outcome(float(_upward(record.last).mean()))),
    "crossing_time": Measurement("time", "ħ/t₁", crossing_time, _mean_spin),
    "energy": Measurement("energy per site", "t₁", lambda record: Outcome(_energy(record.last))),
    "energy_drift": Measurement("largest change of the energy per site", "t₁", energy_drift, _energy),
    "charge": Measurement("charge Q", "", lambda record: Outcome(_charge(record.last))),
    "charge_size": Measurement("|Q|", "", lambda record: Outcome(abs(_charge(record.last)))),
    "charge_share": Measurement("share of the time with this charge", "", charge_share, _charge),
    "charge_values": Measurement("number of different charges", "", charge_values, _charge),
    "charge_per_cell": Measurement("|Q| per magnetic cell", "", charge_per_cell),
    "correlation": Measurement("mean S·S of neighbours", "", correlation),
    "reversed_spins": Measurement("spins that point down", "", reversed_spins),
    "shrinking_rate": Measurement("change of area per time", "a² t₁/ħ", shrinking_rate, _upward),
    "growth_exponent": Measurement("growth exponent", "", growth_exponent, _domain_sizes),
    "peak_momentum": Measurement("|q| of the highest peak", "1/a", peak_momentum),
    "peak_count": Measurement("number of peaks", "", peak_count),
    "wave_length": Measurement("wave length", "a", wave_length),
    "chirality": Measurement("mean chirality of a triangle", "", chirality),
    "solid_angle": Measurement("mean solid angle of a triangle", "π", solid_angle),
    "berry_phase": Measurement("Berry phase around a triangle", "π", berry_phase),
}
