"""Files of networks and the force they give."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import engine
from engine.learnable import electrons_of
from engine.learning import weights
from engine.learning.force import LearnedForce, load_force
from engine.learning.networks import CNN, ECNN
from engine.learning.weights import FORMAT, read_network, save_network
from tests import tolerances

CARD = {"preset": "skyrmion", "electrons": electrons_of("skyrmion")}
STEP = 1e-5


def network(kind: str = "triangular") -> ECNN:
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        return ECNN(kind, channels=2, blocks=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_network(path, network(), CARD)
    return path


def state(lattice: engine.Lattice, replicas: int = 2, dtype: torch.dtype = torch.float64) -> engine.SpinState:
    return engine.SpinState(engine.texture("random", lattice, replicas=replicas, seed=3, dtype=dtype))


def test_weights_and_card_come_back(file: Path) -> None:
    saved = network()
    read, card = read_network(file)
    assert type(read) is ECNN and read.configuration == saved.configuration
    assert all(torch.equal(a, b) for a, b in zip(read.state_dict().values(), saved.state_dict().values(), strict=True))
    assert not any(parameter.requires_grad for parameter in read.parameters())
    assert card == json.loads(file.with_suffix(".json").read_text())
    assert card["format"] == FORMAT and card["network"] == "ecnn" and card["lattice"] == "triangular"


def test_force_is_that_of_the_energy_of_directions(file: Path) -> None:
    """Spins of any length, as integrators may ask for: no force along them, and the derivative of the energy across."""
    lattice = engine.triangular(4)
    force, start = load_force(file, lattice), state(lattice, 1)
    spin = start.spin * torch.linspace(0.5, 1.5, 16, dtype=torch.float64)[:, None]
    response = force(start.with_spin(spin))
    assert float((response.force * spin).sum(-1).abs().max()) < tolerances.ROUNDING
    assert float(response.force.norm()) > 0.01
    move = torch.randn(spin.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    ends = [force(start.with_spin(spin + sign * STEP * move)).energy for sign in (1, -1)]
    assert ends[0] is not None and ends[1] is not None
    slope = float(ends[0] - ends[1]) / (2 * STEP)
    assert slope == pytest.approx(-float((response.force * move).sum()), rel=tolerances.GRADIENT)


def test_reading_leaves_the_random_generator_alone(file: Path) -> None:
    before = torch.get_rng_state()
    read_network(file)
    assert torch.equal(torch.get_rng_state(), before)


def test_files_that_are_not_networks_are_refused(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.safetensors").write_text("weights")
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors", {"format": "pt"})
    for name in ("cut", "text", "foreign"):
        with pytest.raises(ValueError, match=r"is not a network.*spinviz network 1"):
            read_network(tmp_path / f"{name}.safetensors")
    with pytest.raises(FileNotFoundError, match="no network at"):
        read_network(tmp_path / "nothing.safetensors")
    with pytest.raises(ValueError, match=r"ends in \.safetensors"):
        save_network(tmp_path / "a.pt", network(), CARD)


def test_wrong_tensors_are_refused(file: Path) -> None:
    metadata = {"format": FORMAT, "card": file.with_suffix(".json").read_text()}
    tensors = load_file(file)
    name = next(iter(tensors))
    for wrong, message in (
        ({k: v for k, v in tensors.items() if k != name}, "do not fit its network 'ecnn'"),
        ({**tensors, "scale": torch.zeros(3)}, "do not fit its network 'ecnn'"),
        ({**tensors, "scale": torch.tensor(float("nan"))}, "scale is not finite"),
    ):
        save_file(wrong, file, metadata)
        with pytest.raises(ValueError, match=message):
            read_network(file)


def test_unknown_names_list_what_there_is(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_network(tmp_path / "skyrmion" / "best.safetensors", network(), CARD)
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    assert load_force("skyrmion/best").card["preset"] == "skyrmion"
    with pytest.raises(ValueError, match=r"unknown network 'skyrmion/bets'; shipped: skyrmion/best"):
        load_force("skyrmion/bets")
    with pytest.raises(ValueError, match="unknown force 'bset'; did you mean 'best'"):
        engine.preset("skyrmion", 6, force="bset")
    simulation = engine.preset("skyrmion", 6, force="best", temperature=0.01).advance(2)
    assert simulation.lattice.shape == (6, 6)
    assert isinstance(simulation.force.electrons, LearnedForce)  # type: ignore[attr-defined]
    again = engine.preset("skyrmion", 6, force="skyrmion/best", temperature=0.01).advance(2)
    assert torch.equal(again.state.spin, simulation.state.spin)


def test_lattices_and_sizes_that_do_not_fit(file: Path) -> None:
    with pytest.raises(ValueError, match=r"trained for the triangular lattice.*got a square lattice"):
        load_force(file, engine.square(6))
    with pytest.raises(ValueError, match=r"20 sites are not an L x L lattice.*load_force\(name, lattice="):
        load_force(file)(state(engine.triangular(4, 5)))
    with pytest.raises(ValueError, match=r"4 x 5 lattice, the state has 16 sites"):
        load_force(file, engine.triangular(4, 5))(state(engine.triangular(4)))
    assert load_force(file, engine.triangular(4, 5))(state(engine.triangular(4, 5))).force.shape == (2, 20, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coupling": 1.0}, "not for coupling 1"),
        ({"electron_temperature": 0.1}, "not for electron_temperature 0.1"),
        ({"chemical_potential": -3.0}, "not for chemical_potential -3"),
        ({"filling": 0.2}, "filling 0.2"),
        ({"name": "tetrahedral"}, "not for hopping"),
    ],
)
def test_other_electrons_are_refused(file: Path, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"trained for the triangular lattice of preset 'skyrmion'.*{message}"):
        engine.preset(**({"name": "skyrmion", "size": 6, "force": str(file)} | changes))


def test_force_is_the_derivative_of_the_energy(file: Path) -> None:
    force = load_force(file)
    start = state(engine.triangular(5))
    response = force(start)
    assert response.energy is not None and response.energy.dtype == torch.float64
    direction = torch.randn(start.spin.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ends = [force(dataclasses.replace(start, spin=start.spin + s * STEP * direction)).energy for s in (1, -1)]
    slope = (ends[0] - ends[1]) / (2 * STEP)  # type: ignore[operator]
    torch.testing.assert_close(-(response.force * direction).sum((1, 2)), slope, rtol=1e-6, atol=1e-7)
    assert not response.force.requires_grad


def test_zeeman_is_separate(file: Path) -> None:
    field = (0.1, 0.2, 0.3)
    simulation = engine.preset("skyrmion", 6, force=str(file), field=field)
    bare = load_force(file)(simulation.state).force
    torch.testing.assert_close(simulation.response().force - bare, torch.tensor(field).expand_as(bare))


def test_replicas_in_pieces_give_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = state(engine.triangular(4), replicas=5)
    whole = load_force(file)(start)
    monkeypatch.setattr("engine.learning.force.SITES_AT_ONCE", {"cpu": 32})
    pieces = load_force(file)(start)
    torch.testing.assert_close(pieces.force, whole.force)
    torch.testing.assert_close(pieces.energy, whole.energy)


def test_dtype_follows_the_state_and_the_network_stays(file: Path) -> None:
    force = load_force(file)
    single, double = (force(state(engine.triangular(4), dtype=dtype)) for dtype in (torch.float32, torch.float64))
    assert (single.force.dtype, double.force.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(single.force.double(), double.force, rtol=1e-4, atol=1e-5)
    assert all(parameter.dtype == torch.float32 for parameter in force.network.parameters())


def test_a_torque_network_gives_a_transverse_force_and_no_energy(tmp_path: Path) -> None:
    path = tmp_path / "torque.safetensors"
    save_network(path, CNN("triangular", widths=(4,), head=4, kernel=3), CARD)
    start = state(engine.triangular(4))
    response = load_force(path)(start)
    assert response.energy is None
    assert float((response.force * start.spin).sum(-1).abs().max()) < 1e-12
