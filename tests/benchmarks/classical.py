"""Classical LLG on 100 x 100 (exchange + DMI + field), one thread, beside PyPI's ``spirit`` in turns.

Rates are steps per second of processor time, so that other work on the machine counts little. Spirit works in double
precision; ours is reported in both.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

import engine

SIZE, STEPS, ROUNDS = 100, 150, 5
SPIRIT_INPUT = f"""
output_file_tag benchmark
log_to_console 0
log_to_file 0
bravais_lattice sc
n_basis_cells {SIZE} {SIZE} 1
hamiltonian heisenberg_neighbours
boundary_conditions 1 1 0
mu_s 1
n_shells_exchange 1
jij 1.0
n_shells_dmi 1
dij 0.6
dm_chirality 2
"""


def ours(integrator: type, temperature: float, dtype: torch.dtype) -> Callable[[], float]:
    lattice = engine.square(SIZE)
    model = engine.HeisenbergModel(lattice, {1: 1.0}, dmi_bulk=0.6) + engine.Zeeman((0.0, 0.0, 0.289))
    state = engine.SpinState(engine.texture("random", lattice, dtype=dtype))
    dynamics = integrator(damping=0.3, temperature=temperature, time_step=0.05)
    simulation = engine.Simulation(state, engine.ClassicalForce(model), dynamics, engine.Noise(0)).advance(10)

    def run() -> float:
        start = time.process_time()
        simulation.advance(STEPS)
        return STEPS / (time.process_time() - start)

    return run


def spirit(solver_name: str, temperature: float) -> Callable[[], float]:
    from spirit import configuration, hamiltonian, parameters, simulation, state

    solver = getattr(simulation, f"SOLVER_{solver_name}")
    path = Path(tempfile.mkdtemp()) / "input.cfg"
    path.write_text(SPIRIT_INPUT)
    system = state.State(str(path), quiet=True).__enter__()  # lives as long as the process
    hamiltonian.set_field(system, 5.0, [0, 0, 1])
    configuration.random(system)
    parameters.llg.set_temperature(system, temperature)
    parameters.llg.set_damping(system, 0.3)
    parameters.llg.set_timestep(system, 1e-3)
    parameters.llg.set_output_general(system, False, False, False)

    def run() -> float:
        start = time.process_time()
        simulation.start(system, simulation.METHOD_LLG, solver, n_iterations=STEPS, n_iterations_log=STEPS)
        return STEPS / (time.process_time() - start)

    run()
    return run


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    os.chdir(tempfile.mkdtemp())
    rows = []
    for temperature, kelvin in ((0.0, 0.0), (0.1, 5.0)):
        for integrator, solver in ((engine.HeunLLG, "HEUN"), (engine.SemiImplicitLLG, "SIB")):
            runs = {
                "ours_float32": ours(integrator, temperature, torch.float32),
                "ours_float64": ours(integrator, temperature, torch.float64),
                "spirit": spirit(solver, kelvin),
            }
            samples: dict[str, list[float]] = {name: [] for name in runs}
            for _ in range(ROUNDS):
                for name, run in runs.items():
                    samples[name].append(run())
            row = {name: statistics.median(values) for name, values in samples.items()}
            ratios = {
                f"{name}_over_spirit": statistics.median(
                    a / b for a, b in zip(samples[name], samples["spirit"], strict=True)
                )
                for name in ("ours_float32", "ours_float64")
            }
            rows.append({"solver": solver, "temperature": temperature, **row, **ratios})
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
