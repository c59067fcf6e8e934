"""Committee: two networks of one system, an accurate and a quick one. Where they disagree, at least one is wrong.

The disagreement of a site is |h_perp(best) - h_perp(fast)| in units of the rms of |h_perp(best)|, but of at least REST of
the rms in the data: near rest all forces vanish, and their errors do not as quickly. The live warning is the share of sites
above DOUBTFUL; a configuration counts as outside the data when it exceeds OUTSIDE_SHARE. Both are rules of thumb:
agreement is no proof, for both members may be wrong alike. Measured on 60 fresh configurations of 12 x 12 of the skyrmion
preset (random, quenches, textures; exact with 18 x 18 twists), in units of the rms force; "error" is the rms over the sites
of a row, of the fast member and of the best one:

    disagreement of a site   0-0.02  0.02-0.04  0.04-0.06  0.06-0.08  0.08-0.12  0.12-0.2
    part of all sites         0.187      0.304      0.262      0.148      0.087     0.012
    error of fast             0.019      0.033      0.051      0.070      0.095     0.138
    error of best             0.014      0.013      0.013      0.013      0.013     0.013

So it is the error of the fast member, nearly. Above DOUBTFUL it is more than twice the usual one, which within the data
happens at about one site in a hundred.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch

from engine import ForceProvider, Frame, LearnedForce, Simulation, SumForce, load_force, snapshot
from engine.learning.network import transverse
from spinviz.controls import networks

PARTNERS = {"best": "fast", "fast": "best", "adjustable": "adjustable_fast", "adjustable_fast": "adjustable"}
DOUBTFUL = 0.12
OUTSIDE_SHARE = 0.5
DISAGREEMENT = "disagreement"
SHARE, LONGEST_REST = 0.03, 30.0  # of the worker's time; seconds
SMALLEST_FORCE = 1e-9
REST = 0.5


def absence(preset: str, force: str) -> str:
    """Why there is no disagreement to show; "" where there is one."""
    known = networks(preset)
    paired = [name for name in known if PARTNERS.get(name) in known]
    if not paired:
        return "There is no second network for this system, so nothing can be said about where the first is at home."
    if force not in paired:
        return f"Shown while one of the networks {', '.join(paired)} drives the run."
    return ""


class Committee:
    """Snapshots with the disagreement of the two members, where both are shipped and one of them runs.

    The other member may be slow: its forces take at most ``SHARE`` of the time; snapshots in between are without.
    """

    def __init__(self) -> None:
        self._key: tuple[str, ...] = ()
        self._due = 0.0
        self._other: ForceProvider | None = None

    def snapshot(self, simulation: Simulation, names: tuple[str, ...] = ()) -> Frame:
        """:func:`engine.snapshot`, which does not know the name "disagreement"; (B, N), absent without a committee."""
        frame = snapshot(simulation, [name for name in names if name != DISAGREEMENT])
        other = self._partner(simulation) if DISAGREEMENT in names else None
        begin = time.perf_counter()
        if other is None or begin < self._due:
            return frame
        found = disagreement(simulation, other).numpy()
        end = time.perf_counter()
        self._due = end + min((end - begin) / SHARE, LONGEST_REST)
        return replace(frame, observables={**frame.observables, DISAGREEMENT: found})

    def _partner(self, simulation: Simulation) -> ForceProvider | None:
        """The member that does not run, for the electrons that run; loaded once."""
        settings = simulation.settings
        preset, force = settings.get("preset", ""), settings.get("force", "")
        term = getattr(simulation.force, "terms", {}).get("electrons")
        electrons = term.electrons if isinstance(term, LearnedForce) else None
        key = (preset, force, str(simulation.lattice.shape), str(electrons))
        if key != self._key:
            about = electrons._asdict() if electrons else {}
            name = f"{preset}/{PARTNERS.get(force, '')}"
            self._other = None if absence(preset, force) else load_force(name, simulation.lattice, **about)
            self._key, self._due = key, 0.0
        return self._other


def disagreement(simulation: Simulation, other: ForceProvider) -> torch.Tensor:
    """Difference (B, N) between the transverse forces of the network that runs and of ``other``, in the units above."""
    spin, terms = simulation.state.spin, simulation.force.terms  # type: ignore[attr-defined]
    field: Any = SumForce({name: term for name, term in terms.items() if name != "electrons"})
    own = transverse(simulation.response().force - field(simulation.state).force, spin)
    difference = own - transverse(other(simulation.state).force, spin)
    card = getattr(terms["electrons"], "card", {})
    least = max(SMALLEST_FORCE, REST * float(card.get("errors", {}).get("all", {}).get("rms_field", 0.0)))
    size = own.square().sum(-1).mean(-1, keepdim=True).sqrt().clamp_min(least)
    return (difference.norm(dim=-1) / size).cpu()
