"""FewPoles: against exact diagonalization, and what fixed filling, the fit and the training of the rest must do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import engine
from engine.electrons.rational import fermi_poles
from engine.electrons.twists import twist_mesh
from engine.learnable import source
from engine.learning import train as training
from engine.learning.dataset import Records
from engine.learning.force import LearnedForce
from engine.learning.network import Network, transverse
from engine.learning.networks.few_poles import FewPoles
from engine.learning.pole_fit import RationalStep, fit_poles, spectrum
from engine.learning.pole_sum import PoleSum
from engine.learning.run import TrainingOptions
from engine.learning.weights import find, read_network
from engine.models import SDModel
from engine.state import SpinState
from tests import tolerances
from tests.learning.own_networks import MESSAGES, make, random_spins

REST = {"network": "messages", **MESSAGES}
FILLED: dict[str, Any] = {"hopping": {1: 1.0}, "coupling": 3.0, "temperature": 0.1, "filling": 0.25, "rest": REST}
STEP = RationalStep(
    np.array([0.1 + 0.3j, -0.2 + 1.4j]), np.array([0.12 + 0.01j, 0.4 + 0.1j]), np.array([0.4, -0.07, 0.006])
)


def with_function(network: FewPoles, function: RationalStep) -> FewPoles:
    network.pole.copy_(torch.view_as_real(torch.from_numpy(function.poles)))
    network.weight.copy_(torch.view_as_real(torch.from_numpy(function.weights)))
    network.polynomial.copy_(torch.from_numpy(function.polynomial))
    network.rise.fill_(0.08)
    network.guess[0] = -3.0
    return network


def filled(function: RationalStep = STEP, **changes: Any) -> FewPoles:
    poles = [[p.real, p.imag] for p in function.poles]
    return with_function(
        FewPoles("triangular", **{**FILLED, "poles": poles, "period": 6, **changes}).double(), function
    )


def test_with_the_poles_of_the_fermi_function_it_is_exact() -> None:
    exact = engine.preset("tetrahedral", size=6, force="ed", coupling=3.0, electron_temperature=0.1, seed=4)
    state = SpinState(exact.state.spin.double())
    true = exact.force.electrons(state)  # type: ignore[attr-defined]
    found = fermi_poles(-200.0, 200.0, 1e-9)
    function = RationalStep(0.1 * found.poles, 0.1 * found.weights, np.array([found.constant, 0.0, 0.0]))
    field, energy = filled(function).electrons(state.spin, (6, 6))
    wrong = transverse(field - true.force, state.spin).norm() / transverse(true.force, state.spin).norm()
    assert float(wrong) < tolerances.FEW_POLES_MU
    other = SpinState(random_spins((6, 6), batch=1))
    apart = exact.force.electrons(other).energy - true.energy  # type: ignore[attr-defined]
    assert float(filled(function).electrons(other.spin, (6, 6))[1] - energy) == pytest.approx(
        float(apart), abs=tolerances.FEW_POLES_MU
    )


def test_a_repeated_sample_is_the_sample_with_its_twists() -> None:
    network = make("poles", "triangular")
    assert isinstance(network, FewPoles)
    spin = random_spins((3, 3))
    repeated = spin.unflatten(1, (3, 3)).repeat(1, 2, 2, 1).flatten(1, 2)
    field, energy = network.electrons(spin, (3, 3))
    large_field, large_energy = network.electrons(repeated, (6, 6))
    torch.testing.assert_close(large_energy, 4 * energy, rtol=tolerances.SYMMETRY, atol=tolerances.SYMMETRY)
    first = large_field.unflatten(1, (6, 6))[:, :3, :3].flatten(1, 2)
    torch.testing.assert_close(first, field, rtol=tolerances.SYMMETRY, atol=tolerances.SYMMETRY)


def test_every_pole_has_the_twists_of_its_own_period() -> None:
    """The sum of two networks with one pole each (of the polynomial, energies alone know) is that with both."""
    single = {"filling": None, "chemical_potential": -2.9}
    spin, halves = random_spins((3, 4)), []
    for pole, period in ((0, 9), (1, 3)):
        alone = RationalStep(STEP.poles[[pole]], STEP.weights[[pole]], STEP.polynomial / 2)
        halves.append(filled(alone, period=period, **single).electrons(spin, (3, 4)))
    field, energy = filled(STEP, period=(9, 3), **single).electrons(spin, (3, 4))
    close = {"rtol": tolerances.SYMMETRY, "atol": tolerances.SYMMETRY}
    torch.testing.assert_close(field, halves[0][0] + halves[1][0], **close)
    torch.testing.assert_close(energy, halves[0][1] + halves[1][1], **close)
    other, _ = filled(STEP, period=3, **single).electrons(spin, (3, 4))
    assert float((other - field).norm() / field.norm()) > 100 * tolerances.SYMMETRY


@pytest.mark.parametrize("length", [12, 15, 18, 20, 24, 27, 30, 32, 36, 48])
def test_shipped_poles_beyond_the_first_have_enough_momenta_for_ferromagnets(length: int) -> None:
    """Free electrons split by a moment m have log det in closed form; they scatter least and know the sample's size most."""
    network = read_network(find("skyrmion/best"))[0]
    assert isinstance(network, FewPoles)
    c = network.configuration
    hopping, xi, weight = (
        dict(c["hopping"]),
        *(torch.view_as_complex(t).numpy()[1:] for t in (network.pole, network.weight)),
    )

    def energy(count: int, m: float) -> np.ndarray:
        k1, k2 = np.meshgrid(*[2 * np.pi * np.arange(count) / count] * 2)
        bands = -2 * sum(
            t * (np.cos(n * k1) + np.cos(n * k2) + np.cos(n * (k1 - k2))) for n, t in ((1, hopping[1]), (2, hopping[3]))
        )
        levels = np.stack([bands + sign * c["coupling"] * m for sign in (1, -1)])
        argument = c["chemical_potential"] + xi[:, None, None, None] - levels
        return -2 * (weight * np.log(argument).mean((2, 3)).sum(1)).real

    for (k, _), number in zip(network.meshes((length, length))[1:], range(len(xi)), strict=True):
        wrong = [energy(length * k, m)[number] - energy(300, m)[number] for m in np.linspace(0, 1, 11)]
        assert np.abs(wrong).max() < tolerances.FERROMAGNET_ENERGY, (length, k)


def test_at_fixed_filling_the_field_is_the_derivative() -> None:
    network, spin = filled(), random_spins((6, 6))
    field, _ = network.electrons(spin, (6, 6))
    direction = torch.linalg.cross(spin, random_spins((6, 6), seed=8))
    step = 1e-3
    ends = [torch.nn.functional.normalize(spin + s * direction, dim=-1) for s in (step, -step)]
    slope = (network.electrons(ends[0], (6, 6))[1] - network.electrons(ends[1], (6, 6))[1]) / (2 * step)
    expected = -(field * direction).sum((1, 2))
    torch.testing.assert_close(slope, expected, rtol=tolerances.FEW_POLES_MU, atol=tolerances.FEW_POLES_MU)


def test_on_a_few_sites_the_number_of_electrons_is_that_of_the_levels() -> None:
    """Third neighbours of a 3 x 3 lattice are first ones on the other side: Tr h^2 must know which way."""
    network, spin = filled(hopping={1: 1.0, 3: -0.5}, period=1), random_spins((3, 3), batch=1)
    problem = PoleSum(network, spin, (3, 3))
    mu = torch.tensor([-1.0], dtype=torch.float64)
    _, number, _ = problem.evaluate(mu)
    (mesh, _), matrix = network.meshes((3, 3)), problem.matrix
    thetas = twist_mesh(mesh, 2, torch.float64, spin.device, centred=True)
    levels = torch.linalg.eigvalsh(matrix.add_onsite(matrix.to_dense_bonds(thetas).clone())[0])
    expected = STEP.occupation((levels - mu).flatten().numpy()).sum() / len(thetas)
    assert float(number) == pytest.approx(expected, abs=tolerances.ROUNDING)


def test_a_filling_that_cannot_be_reached_is_said_to_be() -> None:
    flat = RationalStep(STEP.poles, 0 * STEP.weights, np.array([0.4, 0.0, 0.0]))
    with pytest.raises(RuntimeError, match="no chemical potential gives 18 electrons"):
        filled(flat).electrons(random_spins((6, 6)), (6, 6))


@pytest.mark.parametrize("guess", [-4.0, -3.0, -1.5])
def test_a_bad_guess_of_mu_costs_time_only(guess: float) -> None:
    network, spin = filled(), random_spins((6, 6))
    field, energy = network.electrons(spin, (6, 6))
    network.guess[0] = guess
    again, same = network.electrons(spin, (6, 6))
    assert float((again - field).norm() / field.norm()) < tolerances.FEW_POLES_MU
    torch.testing.assert_close(same, energy, rtol=0, atol=tolerances.FEW_POLES_MU)


def test_replicas_find_their_mu_apart() -> None:
    """Each stops where it would alone, whatever others need."""
    network, random = filled(), random_spins((6, 6))
    spin = torch.cat((engine.textures.texture("ferromagnet", engine.triangular(6)).to(random.dtype), random))
    together = network.electrons(spin, (6, 6))
    apart = [torch.cat(parts) for parts in zip(*(network.electrons(one[None], (6, 6)) for one in spin), strict=True)]
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerances.SYMMETRY, atol=tolerances.SYMMETRY)


def test_in_single_precision_it_is_the_same_force() -> None:
    """A force converts a network to the dtype of the state, all that it has in double precision too."""
    network, spin = filled().eval(), random_spins((6, 6))
    double, single = (LearnedForce(network, {}, (6, 6))(SpinState(s)) for s in (spin, spin.float()))
    assert float((single.force - double.force).norm() / double.force.norm()) < tolerances.FEW_POLES_MU
    torch.testing.assert_close(single.energy, double.energy, rtol=0, atol=tolerances.FEW_POLES_MU)


def labelled(count: int, network: FewPoles, exact: bool) -> Records:
    """Random spins on 6 x 6, labelled by exact diagonalization or by the poles of a network."""
    spin = random_spins((6, 6), count, seed=1)
    if exact:
        what = source("tetrahedral", (1, 1), (6, 6))
        answer = what.exact(what.lattice((6, 6)))(SpinState(spin))
        assert answer.energy is not None
        force, energy = answer.force, answer.energy
    else:
        force, energy = network.electrons(spin, (6, 6))
    return Records((6, 6), spin, force, energy, torch.zeros(count), torch.arange(count), ["{}"] * count)


def test_the_fit_finds_the_function_that_made_the_data() -> None:
    network = filled()
    data = labelled(8, network, exact=False)
    model = SDModel(network.lattice((6, 6)), {1: 1.0}, 3.0)
    spectra = [spectrum(model, (1, 1), s, f, 0.1, None, 0.25, 1) for s, f in zip(data.spin, data.force, strict=True)]
    fit = fit_poles(spectra, 0.1, [0.2j, 1.2j])
    assert fit.epsilon < tolerances.FEW_POLES_FIT and fit.rise.min() > 0
    x = np.linspace(-3, 3, 50)
    constant = float(np.mean(fit.function.occupation(x) - STEP.occupation(x)))
    assert abs(constant) < tolerances.FEW_POLES_SHIFT
    farther = fit_poles(spectra, 0.1, [0.2j, 1.2j], nearest=0.5)  # than the pole that made them
    assert farther.function.poles.imag.min() >= 0.5 and farther.epsilon > fit.epsilon


def test_poles_are_ordered_as_their_periods() -> None:
    network = filled(poles=((0.0, 1.2), (0.0, 0.2)))
    network.initialise([labelled(8, network, exact=True)])
    assert network.pole[0, 1] < network.pole[1, 1]


def test_training_leaves_the_poles_alone_and_goes_on_after_an_interruption(tmp_path: Path) -> None:
    def network() -> Network:
        changed = {**FILLED, "kind": "triangular", "temperature": 0.02, "period": 6}
        return training.initial_network("poles", changed, seed=2).double()

    whole, parts = network(), network()
    data, options = [labelled(60, whole, exact=True)], TrainingOptions(steps=12, batch=4, validate_every=6)
    errors = [p.validation for p in training.train(whole, data, options, tmp_path / "a.safetensors", 1)]
    assert errors[-1] is not None and errors[-1] == pytest.approx(
        training.epsilon(whole, training.split(data)[1]), rel=1e-3
    )
    steps = training.train(parts, data, options, tmp_path / "b.safetensors", 1)
    for _ in range(5):
        next(steps)
    steps.close()  # type: ignore[attr-defined]
    again = network()
    for _ in training.train(again, data, options, tmp_path / "b.safetensors", 1):
        pass
    assert torch.equal(again.state_dict()["pole"], whole.state_dict()["pole"])
    for name, array in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], array, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"chemical_potential": -3.0}, "a chemical potential or a filling"),
        ({"poles": ((0.0, -0.1),)}, "with Im > 0"),
        ({"rest": {"network": "cnn"}}, "must be an energy"),
        ({"period": (36, 12)}, "one for each of 3 poles"),
        ({"period": 0}, "positive length"),
    ],
)
def test_wrong_input_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FewPoles("triangular", **{**FILLED, **changes})
