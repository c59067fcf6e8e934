"""Presets: they run, they are what they say, and they refuse what they do not know."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import engine
from tests import tolerances

SMALL = {"spin_glass": 20}


@pytest.mark.parametrize("name", engine.PRESETS)
def test_every_preset_runs_and_repeats_itself(name: str) -> None:
    options = {} if engine.PRESETS[name].force == "classical" else {"moments": 64, "probes": 8}
    first = engine.preset(name, size=SMALL.get(name, 6), seed=3, **options).advance(2)
    second = engine.preset(name, size=SMALL.get(name, 6), seed=3, **options).advance(2)
    other = engine.preset(name, size=SMALL.get(name, 6), seed=4, **options).advance(2)
    assert torch.equal(first.state.spin, second.state.spin)
    assert not torch.equal(first.state.spin, other.state.spin)
    json.dumps(first.settings)


def test_replica_b_is_the_run_with_seed_plus_b() -> None:
    together = engine.preset("heisenberg", size=8, seed=5, replicas=3).advance(5)
    for replica in range(3):
        alone = engine.preset("heisenberg", size=8, seed=5 + replica).advance(5)
        torch.testing.assert_close(together.state.spin[replica], alone.state.spin[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("force", ["ed", "kpm", "classical"])
def test_force_kinds_share_their_terms(force: str) -> None:
    simulation = engine.preset("skyrmion", size=6, force=force, field=(0.0, 0.0, 0.01), moments=64, probes=8)
    assert ("electrons" in simulation.force.terms) == (force != "classical")
    assert simulation.force.zeeman.model.field == (0.0, 0.0, 0.01)


def test_electrons_follow_the_bath_unless_unlinked() -> None:
    def temperature(**changes: float) -> float:
        return engine.preset("skyrmion", size=6, force="ed", **changes).force.electrons.ensemble.temperature

    assert temperature() == engine.PRESETS["skyrmion"].electron_temperature
    assert temperature(temperature=0.02) == 0.02
    assert temperature(temperature=0.02, electron_temperature=0.01) == 0.01


def test_published_skyrmion_crystals_win_in_their_fields() -> None:
    """Relaxed on 12 x 12 with 4 x 4 twists: n_sk = 2 below n_sk = 1 at H = 0.002, the reverse at H = 0.005."""
    energies = {}
    for field in (0.002, 0.005):
        for number in (1, 2):
            simulation = engine.preset(
                "skyrmion", size=12, force="ed", twists=(4, 4), texture="skyrmion_crystal", dtype="float64",
                texture_options={"n_sk": number}, field=(0.0, 0.0, field), electron_temperature=0.002,
            )  # fmt: skip
            relaxed = engine.Relax(torque_tolerance=2e-4, time_step=20.0, maximum_steps=60).run(
                simulation.state, simulation.force
            )
            charge = abs(float(engine.topological_charge(relaxed.state.spin, simulation.lattice)))
            assert charge == pytest.approx(3 * number, abs=1e-6)
            energies[field, number] = float(relaxed.response.energy) / 144
    assert energies[0.002, 2] < energies[0.002, 1]
    assert energies[0.005, 1] < energies[0.005, 2]


def test_quench_orders_at_the_wave_number_of_the_fermi_surface() -> None:
    """Exact quench from random spins: the structure factor ends on the six |Q| = pi/3."""
    simulation = engine.preset("skyrmion", size=12, force="ed", twists=(2, 2), time_step=10.0, seed=1).advance(40)
    q, intensity = engine.structure_factor(simulation.state.spin, simulation.lattice)
    from engine.observables import fold_to_zone

    length = np.linalg.norm(fold_to_zone(np.asarray(q), simulation.lattice), axis=1)
    ring = np.abs(length - np.pi / 3) < 0.12
    finite = length > 1e-9
    assert ring.sum() == 6
    assert float(intensity[0][torch.tensor(ring)].sum()) > 0.8 * float(intensity[0][torch.tensor(finite)].sum())
    assert float(intensity.sum()) == pytest.approx(1.0, abs=tolerances.SINGLE_PRECISION_FORCE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "skyrmions"}, "did you mean 'skyrmion'"),
        ({"temprature": 0.1}, "did you mean 'temperature'"),
        ({"size": 2}, ">= 3"),
        ({"temperature": -1.0}, "temperature"),
        ({"damping": -0.1}, "damping"),
        ({"time_step": 0.0}, "time_step"),
        ({"filling": 1.5}, "filling"),
        ({"field": (0, 0)}, "three"),
        ({"force": "dft"}, "unknown force"),
        ({"texture": "spiral"}, "unknown texture"),
        ({"seed": -1}, "seed"),
        ({"replicas": 0}, "replicas"),
        ({"device": "cuda:7"}, "cuda"),
        ({"device": "toaster"}, "unknown device"),
        ({"dtype": "float16"}, "dtype"),
    ],
)
def test_senseless_settings_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        engine.preset(**({"name": "skyrmion", "size": 6, "force": "ed"} | options))


def test_anisotropy_and_dmi_act_beside_electrons_too() -> None:
    plain, more = (
        engine.preset("skyrmion", 6, force="ed", seed=1, **o) for o in ({}, {"anisotropy": 0.5, "dmi_bulk": 0.3})
    )
    model = engine.HeisenbergModel(more.lattice, {}, anisotropy=0.5, dmi_bulk=0.3)
    added = engine.ClassicalForce(model)(more.state).force
    torch.testing.assert_close(
        more.response().force - plain.response().force, added, rtol=0, atol=tolerances.EXACT_SINGLE
    )


def test_exact_diagonalization_that_cannot_fit_is_refused() -> None:
    with pytest.raises(MemoryError, match="kpm"):
        engine.preset("skyrmion", size=96, force="ed")


def test_spin_glass_has_no_classical_model() -> None:
    with pytest.raises(ValueError, match="no classical model"):
        engine.preset("spin_glass", size=20, force="classical")


def test_suggested_time_step_does_not_mistake_probe_noise_for_stiffness() -> None:
    """Random probes are redrawn at every step of a run, but not inside the trial of the advice."""
    advice = [
        engine.suggest_time_step(simulation.state, simulation.force, damping=1.0)
        for simulation in (
            engine.preset("skyrmion", size=6, force="ed"),
            engine.preset("skyrmion", size=6, force="kpm", moments=64, probes=8),
        )
    ]
    assert 0.2 < advice[1] / advice[0] < 5.0  # noise at every step would make it a hundred times smaller
