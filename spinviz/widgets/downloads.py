"""What a finished recording is taken away as: its data (HDF5), and movies that are made from them when asked for.

A movie is written in a thread of its own, frame by frame from file to file, so that neither the page nor the memory
waits for it. Its caption has the parameters that held at each frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

from engine.io.trajectory import read_trajectory
from spinviz.drawing.caption import captions_of
from spinviz.drawing.film import VIEWS
from spinviz.movie import MovieWriter

FORMATS = {"MP4": "mp4", "WebM": "webm", "GIF": "gif"}
SHOWN = dict(
    zip(
        (
            "Texture",
            "Scalar chirality",
            "Charge density",
            "Structure factor",
            "Curves",
            "All of them",
            "Three dimensions",
        ),
        VIEWS,
        strict=True,
    )
)
RATE = 25  # frames per second
SLIM: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (2, 12), "size": "small"}
LABELLED = {**SLIM, "margin": (8, 12, 2, 12)}  # a field's label stands on its upper edge


class Downloads:
    """``panel`` offers the recording in ``trajectory``; movies come to lie beside it. ``close`` ends what is being
    written."""

    def __init__(self, trajectory: Path) -> None:
        self._trajectory, self._closed, self._making = trajectory, False, False
        data = pmui.FileDownload(
            label="Download data (HDF5)", filename="run.h5", auto=True, callback=lambda: str(trajectory), **SLIM
        )
        self.format = pmui.Select(label="Movie as", options=FORMATS, value="mp4", **LABELLED)
        self.view = pmui.Select(label="Movie of", options=SHOWN, value="texture", **LABELLED)
        self.notes = pmui.Switch(label="Time, parameters, colour key", value=True, margin=(2, 12))
        self.make = pmui.Button(label="Make the movie", icon="movie", variant="outlined", **SLIM)
        self.message = pn.pane.HTML("", margin=(0, 14), styles={"font-size": "12px"}, css_classes=["movie-message"])
        self._room = pmui.Column(sizing_mode="stretch_width", margin=0)
        self.make.on_click(self.produce)
        self.panel = pmui.Column(
            data, self.format, self.view, self.notes, self.make, self.message, self._room,
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    async def produce(self, event: Any = None) -> None:
        """Make the chosen movie and offer it; what cannot be made is said."""
        if self._making:
            return
        self._making, kind, view = True, self.format.value, self.view.value
        path = self._trajectory.with_name(f"{view}.{kind}")
        self._room.objects = []
        self.message.object = "The movie is being made …"
        try:
            frames = await asyncio.get_running_loop().run_in_executor(
                None, write_movie, self._trajectory, path, view, self.notes.value, lambda: self._closed
            )
        except (ValueError, OSError) as error:
            self.message.object = f"The movie cannot be made: {error}"
            return
        finally:
            self._making = False
        if self._closed:
            return
        self.message.object = f"{frames} frames, {path.stat().st_size / 2**20:.1f} MB"
        self._room.objects = [
            pmui.FileDownload(
                label=f"Download movie ({self._name(kind)})", filename=path.name, auto=True, callback=lambda: str(path),
                **SLIM,
            )
        ]  # fmt: skip

    def close(self) -> None:
        """A movie that is being written ends with the next frame."""
        self._closed = True

    @staticmethod
    def _name(kind: str) -> str:
        return next(name for name, suffix in FORMATS.items() if suffix == kind)


def write_movie(trajectory: Path, path: Path, view: str, notes: bool, ended: Callable[[], bool] = lambda: False) -> int:
    """All frames of a trajectory as a movie, until ``ended()``; answers how many there were."""
    with (
        read_trajectory(trajectory) as run,
        MovieWriter(path, RATE, caption=captions_of(run.settings), view=view, notes=notes) as movie,
    ):
        for index in range(len(run)):
            if ended():
                break
            movie.write(run[index])
        return len(movie)
