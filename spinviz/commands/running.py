"""What each command of ``spinviz`` does, once its arguments are parsed (see cli.py)."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import sys
from argparse import Namespace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from engine.checkpoint import describe, load_checkpoint
from engine.frame import Frame
from engine.io.ovf import read_ovf, read_vector_field, write_ovf
from engine.io.trajectory import Trajectory, TrajectoryWriter, installed_version, read_trajectory
from engine.io.vtk import write_vtk
from engine.presets import PRESETS, preset
from engine.simulation import Simulation
from engine.state import SpinState
from spinviz.commands import labelling, learning
from spinviz.commands.bench import bench
from spinviz.commands.ensemble import ensemble
from spinviz.commands.headless import FrameWriter, Recorded, asked_to_stop, record, use_threads
from spinviz.commands.reproduce import reproduce
from spinviz.commands.serve import serve
from spinviz.drawing.caption import caption_of, captions_of
from spinviz.movie import MovieWriter

PRESET_SETTINGS = (
    "force", "field", "temperature", "electron_temperature", "damping", "time_step", "seed", "replicas", "texture",
    "twists", "moments", "probes", "chemical_potential", "filling", "coupling", "device", "dtype",
)  # fmt: skip
SAMPLING = ("moments", "probes")
USELESS = {"ed": SAMPLING, "poles": SAMPLING,
           "classical": (*SAMPLING, "twists", "filling", "chemical_potential", "coupling",
                         "electron_temperature")}  # fmt: skip
OF_NETWORKS = (*SAMPLING, "twists")
DEFAULT_OBSERVABLES = ("energy", "magnetization")
PACKAGES = ("spinviz", "torch", "numpy", "h5py", "panel", "bokeh", "av")


def run(arguments: Namespace) -> int:
    """``spinviz run PRESET``."""
    changes = {name: getattr(arguments, name) for name in PRESET_SETTINGS if getattr(arguments, name) is not None}
    use_threads(arguments.threads)
    simulation = _simulation(arguments.preset, arguments.size, changes)
    _check_used(str(changes.get("force", PRESETS[arguments.preset].force)).lower(), changes)
    return _record(simulation, arguments, append=False)


def resume(arguments: Namespace) -> int:
    """``spinviz resume CHECKPOINT``."""
    use_threads(arguments.threads)
    simulation = load_checkpoint(arguments.file)
    arguments.checkpoint = arguments.checkpoint or arguments.file
    return _record(simulation, arguments, append=True)


def movie(arguments: Namespace) -> int:
    """``spinviz movie RUN.h5 OUT.mp4``."""
    with read_trajectory(arguments.file) as trajectory:
        if not len(trajectory):
            raise ValueError(f"{arguments.file} has no frames")
        caption = arguments.caption or captions_of(trajectory.settings)
        style = (arguments.frames_per_second, arguments.height, caption, True, arguments.replica)
        look = {"view": arguments.view, "notes": not arguments.plain}
        chosen = range(0, len(trajectory), arguments.every)
        with MovieWriter(arguments.out, *style, **look) as writer:
            for i in tqdm(chosen, desc="movie", unit="frame", file=sys.stderr):
                writer.write(trajectory[i])
    print(f"{arguments.out}: {len(chosen)} frames")
    return 0


def export(arguments: Namespace) -> int:
    """``spinviz export RUN.h5 OUT.ovf|OUT.vtk``."""
    suffix = Path(arguments.out).suffix.lower()
    if suffix not in (".ovf", ".omf", ".vtk"):
        raise ValueError(f"export writes .ovf, .omf or .vtk, got {arguments.out!r}; choose one of these endings")
    with read_trajectory(arguments.file) as trajectory:
        frame = trajectory[arguments.frame]
    title = f"spinviz step {frame.step}"
    if suffix == ".vtk":
        write_vtk(arguments.out, frame, arguments.replica, title=title)
    else:
        write_ovf(arguments.out, frame, arguments.replica, arguments.representation, title)
    print(f"{arguments.out}: step {frame.step}, t = {frame.time[arguments.replica]:.6g}")
    return 0


def info(arguments: Namespace) -> int:
    """``spinviz info [FILE]``."""
    facts = _file_facts(Path(arguments.file)) if arguments.file else _installation_facts()
    if arguments.json:
        print(json.dumps(facts, allow_nan=False))
        return 0
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{name}:")
            print("\n".join(f"  {key}: {json.dumps(item) if isinstance(item, dict) else item}"
                            for key, item in value.items()))  # fmt: skip
        else:
            print(f"{name}: {value}")
    return 0


COMMANDS = {
    "run": run, "resume": resume, "movie": movie, "export": export, "info": info, "serve": serve,
    "dataset": labelling.dataset, "train": learning.train, "evaluate": learning.evaluate,
    "ensemble": ensemble, "reproduce": reproduce, "bench": bench,
}  # fmt: skip


def _simulation(name: str, size: int | None, changes: dict[str, Any]) -> Simulation:
    """The preset; a texture that ends in .ovf or .omf is read from that file."""
    start = changes.get("texture", "")
    if Path(start).suffix.lower() not in (".ovf", ".omf"):
        return preset(name, size, **changes)
    simulation = preset(name, size, **{key: value for key, value in changes.items() if key != "texture"})
    spin = torch.from_numpy(read_ovf(start, simulation.lattice).spin).to(simulation.state.spin)
    state = SpinState(spin.expand(simulation.state.replicas, -1, -1).contiguous())
    return dataclasses.replace(simulation, state=state, settings=simulation.settings | {"texture": start})


def _record(simulation: Simulation, arguments: Namespace, append: bool) -> int:
    """Run and record with a progress bar; print the summary."""
    parts = {name: part for name, part in describe(simulation).items() if name != "settings"}
    settings = simulation.settings | {"parts": parts}
    checkpoint = _checkpoint_path(arguments)
    if append and arguments.out:
        _check_same_run(simulation, Path(arguments.out))
    observables = arguments.observables or _usual_observables(simulation, arguments, append)
    writers: list[FrameWriter] = []
    if arguments.out:
        writers.append(TrajectoryWriter(arguments.out, settings, observables, append=append))
    if arguments.movie:
        style = (arguments.frames_per_second, arguments.height, caption_of(settings))
        writers.append(MovieWriter(arguments.movie, *style, view=arguments.view, notes=not arguments.plain))
    with (
        asked_to_stop() as asked,
        tqdm(
            total=arguments.steps, unit="step", desc=str(simulation.settings.get("preset", "run")), file=sys.stderr
        ) as bar,
    ):

        def progress(steps_more: int, frame: Frame) -> None:
            bar.set_postfix(_shown(frame), refresh=False)
            bar.update(steps_more)

        done = record(simulation, arguments.steps, arguments.every, observables, writers, checkpoint, progress, asked)
    files = {"trajectory": arguments.out, "movie": arguments.movie, "checkpoint": checkpoint and str(checkpoint)}
    _print_summary(done, {name: path for name, path in files.items() if path}, arguments.json)
    if done.stopped == "interrupted":
        again = f"; go on with 'spinviz resume {checkpoint}'" if checkpoint else ""
        print(f"spinviz: interrupted at step {done.simulation.state.step}{again}", file=sys.stderr)
        return 130
    if done.stopped:
        print(f"spinviz: error: {' '.join(done.stopped.split())}", file=sys.stderr)
        return 1
    return 0


def _check_used(force: str, changes: dict[str, Any]) -> None:
    """Raises ValueError for options that this force has no use for."""
    useless = USELESS.get(force, () if force == "kpm" else OF_NETWORKS)
    if given := [f"--{name.replace('_', '-')}" for name in useless if name in changes]:
        raise ValueError(
            f"{', '.join(given)}: force {force!r} has no use for it; leave it out, or choose another force"
        )


def _check_same_run(simulation: Simulation, path: Path) -> None:
    """Raises ValueError where ``path`` holds another run, whose frames would be lost."""
    if not path.exists():
        return
    with read_trajectory(path) as trajectory:
        before = {name: value for name, value in trajectory.settings.items() if name != "parts"}
    now = json.loads(json.dumps(simulation.settings))
    if changed := sorted(name for name in {*before, *now} if before.get(name) != now.get(name)):
        raise ValueError(f"{path} holds another run ({', '.join(changed)} differ); give another --out")


def _usual_observables(simulation: Simulation, arguments: Namespace, append: bool) -> tuple[str, ...]:
    """Those of the file that is continued, or those of the preset."""
    if append and arguments.out and Path(arguments.out).exists():
        with read_trajectory(arguments.out) as trajectory:
            return trajectory.observables
    known = PRESETS.get(str(simulation.settings.get("preset")))
    return known.observables if known else DEFAULT_OBSERVABLES


def _checkpoint_path(arguments: Namespace) -> Path | None:
    """Where asked for, else beside the trajectory."""
    chosen = arguments.checkpoint or (arguments.out and str(Path(arguments.out).with_suffix(".ckpt")))
    if not chosen:
        return None
    path = Path(chosen)
    if arguments.checkpoint and (not path.parent.is_dir() or path.is_dir()):
        raise ValueError(f"the checkpoint needs a file name in an existing folder, got {chosen!r}")
    for option, other in (("--out", arguments.out), ("--movie", arguments.movie)):
        if other and Path(other).resolve() == path.resolve():
            raise ValueError(f"the checkpoint would be written over {option} {other}; give another name to one of them")
    return path


def _print_summary(done: Recorded, files: dict[str, str], as_json: bool) -> None:
    settings = done.simulation.settings
    speed = done.steps / done.seconds if done.seconds > 0 else 0.0
    summary: dict[str, Any] = {
        "preset": settings.get("preset"),
        "size": settings.get("size"),
        "steps": done.steps,
        "step": done.simulation.state.step,
        "time": [float(value) for value in done.simulation.state.time],
        "seconds": round(done.seconds, 4),
        "steps_per_second": round(speed, 4),
        "observables": {name: _json_numbers(value) for name, value in done.last.observables.items()
                        if value[0].size <= 16},
        "files": files,
        "stopped": done.stopped,
    }  # fmt: skip
    if as_json:
        print(json.dumps(summary, allow_nan=False), flush=True)
        return
    print(f"{done.steps} steps in {done.seconds:.2f} s ({speed:.3g} steps/s), t = {summary['time'][0]:.6g}")
    for name, value in summary["observables"].items():
        print(f"  {name}: {value[0] if len(value) == 1 else value}")
    for name, path in files.items():
        print(f"  {name}: {path}")


def _json_numbers(value: Any) -> Any:
    """Nested lists of numbers; None for what JSON cannot say."""
    if isinstance(value, np.ndarray | list):
        return [_json_numbers(item) for item in value]
    number = float(value)
    return number if math.isfinite(number) else None


def _shown(frame: Frame) -> dict[str, str]:
    """What the progress bar says of the first replica."""
    shown = {"topological_charge": "Q", "energy": "E"}
    return {short: f"{frame.observables[name][0]:.5g}" for name, short in shown.items() if name in frame.observables}


def _installation_facts() -> dict[str, Any]:
    devices = ["cpu", *(f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count()))]
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "devices": devices,
        "threads": torch.get_num_threads(),
        "presets": {name: system.title for name, system in PRESETS.items()},
    }


def _version(package: str) -> str:
    if package == "spinviz":
        return installed_version()
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _file_facts(path: Path) -> dict[str, Any]:
    """What is in a file; its first bytes say which kind it is."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; give a trajectory, a checkpoint or an OVF file")
    with open(path, "rb") as file:
        beginning = file.read(16)
    if beginning.startswith(b"\x89HDF"):
        with read_trajectory(path) as trajectory:
            return _trajectory_facts(trajectory)
    if beginning.lower().startswith(b"# oommf"):
        field = read_vector_field(path)
        return {"kind": "OVF 2.0", "points": len(field.vectors), "nodes": field.nodes, "header": field.header}
    simulation = load_checkpoint(path, device="cpu")
    state = simulation.state
    facts = {"kind": "checkpoint", "step": state.step, "time": float(state.time[0]), "replicas": state.replicas}
    return facts | {"lattice": simulation.lattice.description(), "settings": simulation.settings}


def _trajectory_facts(trajectory: Trajectory) -> dict[str, Any]:
    steps = trajectory.steps
    return {
        "kind": "trajectory",
        "written by": f"spinviz {trajectory.version}",
        "closed": not trajectory.interrupted,
        "frames": len(trajectory),
        "steps": [int(steps[0]), int(steps[-1])] if len(steps) else [],
        "replicas": trajectory.replicas,
        "observables": list(trajectory.observables),
        "lattice": trajectory.lattice.description(),
        "settings": trajectory.settings,
    }
