"""All figures by name, and making one."""

from __future__ import annotations

import difflib
import os
import platform
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib
import torch

from engine.io.trajectory import installed_version
from engine.learning.weights import find as find_network
from engine.learning.weights import shipped
from spinviz.ensemble.workers import cluster_client
from spinviz.reproduce import (
    equivariance,
    hall,
    locality,
    phase_separation,
    scaling,
    skyrmion_healing,
    skyrmion_phases,
    skyrmion_quench,
    spin_glass,
    tetrahedral_coarsening,
)
from spinviz.reproduce.figure import STYLE, Compared, Figure, write
from spinviz.reproduce.settings import Settings, changed
from spinviz.reproduce.work import Work, clocks, pieces_folder

MODULES = (
    skyrmion_phases, skyrmion_healing, skyrmion_quench, locality, tetrahedral_coarsening, phase_separation, spin_glass,
    scaling, hall, equivariance,
)  # fmt: skip
KINDS = {"best": "poles", "fast": "rings"}  # what figures need by these names
FIGURES: dict[str, Figure] = {module.FIGURE.name: module.FIGURE for module in MODULES}


@dataclass(frozen=True)
class Reproduced:
    """Files written, comparisons, seconds of wall and of processor time."""

    files: Sequence[Path]
    compared: Sequence[Compared]
    remarks: Sequence[str]
    seconds: float


def find(name: str) -> Figure:
    """The figure of that name. Raises ValueError with the nearest known one."""
    if name not in FIGURES:
        near = difflib.get_close_matches(name, FIGURES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown figure {name!r}{hint} Known: {', '.join(FIGURES)}")
    return FIGURES[name]


def missing_weights(figure: Figure) -> tuple[str, ...]:
    """Networks that the figure needs and this installation lacks."""
    there = shipped()
    return tuple(name for name in figure.weights if name not in there)


def networks_read(figure: Figure, settings: Settings) -> list[Path]:
    """Files of the networks that a figure computes with. Raises ValueError for one that is not there."""
    there = shipped()
    chosen = [str(settings["network"])] if "network" in settings else []
    shown = [name for name in figure.optional if name in there]
    return [find_network(name) for name in (*figure.weights, *shown, *chosen)]


def reproduce(
    name: str, folder: Path, full: bool = False, changes: Sequence[str] = (), say: Callable[[str], None] = lambda text: None,
    workers: int = 0, scheduler: str | None = None,
) -> Reproduced:  # fmt: skip
    """Compute, draw and write one figure. ``full``: with the papers' sizes (for a GPU or a long night); ``changes``:
    "KEY=VALUE" for single settings. Interrupted and asked for again it goes on with the pieces that are ready. Pieces are
    computed by this process, by so many ``workers`` of this machine, or by those of a Dask ``scheduler``.

    Raises ValueError for an unknown name or setting, a folder that cannot be written, networks that are not there and a
    scheduler that cannot be reached.
    """
    figure = find(name)
    settings = changed(name, figure.large if full else figure.small, changes)
    if missing := missing_weights(figure):
        preset, network = missing[0].split("/")
        raise ValueError(
            f"figure {name!r} needs the network {', '.join(missing)}, which is not there; train it with "
            f"'spinviz dataset {preset} --out data.h5' and "
            f"'spinviz train {preset} --network {KINDS.get(network, network)} --data data.h5 "
            f"--out assets/weights/{missing[0]}.safetensors'"
        )
    networks = networks_read(figure, settings)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out must be a folder, got the file {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    pieces = pieces_folder(folder, name, settings, installed_version(), networks)
    began = clocks()
    with ExitStack() as stack, matplotlib.rc_context(STYLE):
        work = Work(say, pieces, _client(stack, workers, scheduler, say))
        made = figure.make(settings, work)
    seconds, processor = (float(spent) for spent in clocks() - began + work.before)
    facts = {
        "paper": figure.paper, "shows": figure.shows, "version": "full" if full else "small",
        "command": " ".join(["spinviz reproduce", name, *["--full"] * full, *(f"--set {one}" for one in changes)]),
        "seconds": round(seconds, 1), "processor_seconds": round(processor, 1),
        "threads": torch.get_num_threads(), "spinviz_version": installed_version(), "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors", "made": datetime.now(UTC).strftime("%Y-%m-%d"),
    }  # fmt: skip
    files = write(folder, name, f"{figure.title} ({figure.paper})", made, facts)
    work.finished()
    return Reproduced(files, made.compared, made.remarks, seconds)


def _client(stack: ExitStack, workers: int, scheduler: str | None, say: Callable[[str], None]) -> Any:
    """Of Dask, for the time of ``stack``; None: without."""
    if scheduler is None and workers == 0:
        return None
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else None
    return cluster_client(stack, workers, scheduler, devices, say)
