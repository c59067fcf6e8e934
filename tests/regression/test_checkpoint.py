"""Checkpoints: the loaded run continues bit for bit; damaged or foreign files are refused with a reason."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.checkpoint import FORMAT, describe, known_classes, load_checkpoint, save_checkpoint
from engine.dynamics import HeunLLG, Relax, SemiImplicitLLG
from engine.electrons import Coloured, Ensemble, ExactDiagonalization, KernelPolynomial
from engine.forces import ClassicalForce, ElectronicForce, ForceProvider, Response, SumForce
from engine.lattice import random_sites, triangular
from engine.models import ExponentialHopping, HeisenbergModel, SDModel, Zeeman
from engine.noise import Noise
from engine.simulation import Simulation
from engine.state import SpinState
from tests.toy_forces import UniformField

FIELD = ClassicalForce(Zeeman(field=(0.0, 0.1, 0.2)))
MAGNET = HeisenbergModel(triangular(4, 3, shells=2), exchange={1: 1.0, 2: -0.2}, dmi_interfacial=0.3)
KONDO = SDModel(triangular(4, shells=3), hopping={1: 1.0, 3: -0.85}, coupling=0.5)
GLASS = SDModel(random_sites(8, seed=2), hopping=ExponentialHopping(), coupling=6.0)
FORCES: dict[str, ForceProvider] = {
    "classical": SumForce(exchange=ClassicalForce(MAGNET), zeeman=FIELD),
    "exact": SumForce(
        electrons=ElectronicForce(KONDO, ExactDiagonalization(twists=(2, 1)), Ensemble(0.05, chemical_potential=-3.5)),
        zeeman=FIELD,
    ),
    "chebyshev": ElectronicForce(
        KONDO,
        KernelPolynomial(moments=64, probes=Coloured(8, seed=3), dtype=torch.complex64),
        Ensemble(0.2, filling=0.3),
    ),
    "glass": ElectronicForce(GLASS, ExactDiagonalization(), Ensemble(temperature=0.1, filling=0.5)),
}


def simulation(force: ForceProvider, sites: int, dynamics=None, dtype: torch.dtype = torch.float32) -> Simulation:
    spin = Noise(4).normal(0, (2, sites, 3), dtype=torch.float64)[0]
    state = SpinState((spin / spin.norm(dim=-1, keepdim=True)).to(dtype), time=1.5, step=7)
    dynamics = dynamics or SemiImplicitLLG(damping=0.1, temperature=0.01, time_step=0.1)
    return Simulation(state, force, dynamics, Noise([1, 2**40]), {"preset": "test", "field": [0, 0, 0.1], "none": None})


def sites_of(name: str) -> int:
    return {"classical": 12, "exact": 16, "chebyshev": 16, "glass": 8}[name]


@pytest.mark.parametrize("name", FORCES)
def test_resume_is_continue(name: str, tmp_path: Path) -> None:
    start = simulation(FORCES[name], sites_of(name)).advance(2)
    save_checkpoint(tmp_path / "run.checkpoint", start)
    loaded = load_checkpoint(tmp_path / "run.checkpoint")
    assert torch.equal(loaded.state.spin, start.state.spin) and loaded.state.step == 9
    assert torch.equal(loaded.state.time, start.state.time)
    assert loaded.settings == start.settings and loaded.noise == start.noise and loaded.dynamics == start.dynamics
    continued, resumed = start.advance(3), loaded.advance(3)
    assert torch.equal(continued.state.spin, resumed.state.spin)
    assert torch.equal(continued.response().energy, resumed.response().energy)
    np.testing.assert_array_equal(loaded.lattice.bonds, start.lattice.bonds)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_types_and_dynamics_survive(dtype: torch.dtype, tmp_path: Path) -> None:
    for dynamics in (HeunLLG(damping=0.1, time_step=1 / 3), Relax(torque_tolerance=1e-3)):
        start = simulation(FORCES["classical"], 12, dynamics, dtype)
        save_checkpoint(tmp_path / "run.checkpoint", start)
        loaded = load_checkpoint(tmp_path / "run.checkpoint", device="cpu")
        assert loaded.state.spin.dtype == dtype and loaded.dynamics == dynamics
        assert torch.equal(start.advance(2).state.spin, loaded.advance(2).state.spin)


def test_own_classes_must_be_named(tmp_path: Path) -> None:
    start = simulation(UniformField((0.0, 0.0, 1.0)), 5)
    path = tmp_path / "run.checkpoint"
    with pytest.raises(ValueError, match=r"simulation\.force"):
        save_checkpoint(path, start)
    save_checkpoint(path, start, classes=[UniformField])
    with pytest.raises(ValueError, match="unknown class 'UniformField'"):
        load_checkpoint(path)
    assert load_checkpoint(path, classes=[UniformField]).force == start.force


def test_a_function_cannot_be_written(tmp_path: Path) -> None:
    model = SDModel(random_sites(8, seed=2), hopping=lambda distance: np.exp(-distance), coupling=6.0)
    force = ElectronicForce(model, ExactDiagonalization(), Ensemble(temperature=0.1, filling=0.5))
    with pytest.raises(ValueError, match=r"simulation\.force\.model\.hopping: a function"):
        save_checkpoint(tmp_path / "run.checkpoint", simulation(force, 8))
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class Learned(ForceProvider):
    """A force with arrays of its own."""

    weights: torch.Tensor
    table: np.ndarray

    def __call__(self, state: SpinState) -> Response:
        return Response(state.spin * self.weights + float(self.table[0]))


def test_arrays_and_odd_numbers_survive(tmp_path: Path) -> None:
    start = simulation(Learned(torch.arange(3.0), np.array([0.5])), 5)
    start.settings["limit"] = float("inf")
    save_checkpoint(tmp_path / "run.checkpoint", start, classes=[Learned])
    loaded = load_checkpoint(tmp_path / "run.checkpoint", classes=[Learned])
    assert torch.equal(loaded.force.weights, torch.arange(3.0)) and loaded.force.table.tolist() == [0.5]
    assert loaded.settings["limit"] == float("inf")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    save_checkpoint(path, simulation(FORCES["classical"], 12))
    content = path.read_bytes()
    for length in (0, 4, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="not a complete checkpoint"):
            load_checkpoint(path)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(path)
    path.write_bytes(content.replace(b"0.01", b"0.02"))
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(path)
    path.write_bytes(b"hello, this is no checkpoint at all")
    with pytest.raises(ValueError, match="not a complete checkpoint"):
        load_checkpoint(path)
    with pytest.raises(FileNotFoundError, match="save_checkpoint"):
        load_checkpoint(tmp_path / "absent")


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="not a checkpoint"):
        load_checkpoint(path)
    save_file({"a": torch.zeros(2)}, path, {"format": FORMAT})
    with pytest.raises(ValueError, match="not a complete checkpoint"):
        load_checkpoint(path)


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.checkpoint"
    save_checkpoint(path, simulation(FORCES["classical"], 12))
    content = path.read_bytes()

    def fail(*arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(path, simulation(FORCES["exact"], 16))
    assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]


def test_description_is_json_and_complete() -> None:
    text = json.dumps(describe(simulation(FORCES["exact"], 16)))
    for word in ("SDModel", "coupling", "ExactDiagonalization", "SemiImplicitLLG", "seeds", "triangular"):
        assert word in text
    assert {"SDModel", "Zeeman", "Ensemble", "Coloured", "SumForce", "HeunLLG", "Relax"} <= set(known_classes())
