"""Our kernel polynomials give the force of the published algorithm, written on its own in scipy, for the same probes."""

from __future__ import annotations

import pytest

import engine
from spinviz.benchmark.published_kpm import published_force
from tests import tolerances


@pytest.mark.parametrize(("moments", "probes"), [(20, 8), (100, 16), (400, 8)])
def test_same_force_for_the_same_probes(moments: int, probes: int) -> None:
    simulation = engine.preset("skyrmion", size=6, force="kpm", moments=moments, probes=probes)
    reference, seconds = published_force(simulation, moments, probes)
    ours = simulation.force.electrons(simulation.state).force[0].numpy()
    assert abs(reference).max() > 1e-3
    assert abs(ours - reference).max() < tolerances.SINGLE_PRECISION_FORCE
    assert seconds > 0


def test_what_it_cannot_do_is_refused() -> None:
    simulation = engine.preset("skyrmion", size=6, force="kpm")
    with pytest.raises(ValueError, match="even number"):
        published_force(simulation, 33, 8)
    with pytest.raises(ValueError, match="no exact"):
        published_force(engine.preset("heisenberg", size=4), 32, 8)
