"""The gallery: recorded runs to replay, scrub, play and compare, two of them locked in time; uploads are checked first.

Below them stand the papers' figures as they were made here. Time is the physical one: the slider walks through the frames
of both runs in order of their times, and each run shows its last frame at or before that time. Frames are read from the
file when they are shown; nothing is simulated.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from spinviz.components.network import Network
from spinviz.pages.figures_shown import FiguresOfThePapers
from spinviz.pages.index import links
from spinviz.pages.recorded_run import RecordedRun, run_of_trajectory
from spinviz.pages.recordings import offered, recordings_folder
from spinviz.pages.replay import Replay
from spinviz.serving.upload import LARGEST_UPLOAD, read_upload
from spinviz.theme import MATERIAL
from spinviz.widgets.message import Message
from spinviz.widgets.narrow import GROWN, MAIN, PHONE, SIDE, STACKED, WRAPPED, below, fitted

SPEEDS = {"2 frames/s": 2, "5 frames/s": 5, "10 frames/s": 10, "20 frames/s": 20, "40 frames/s": 40}
NONE = "–"
CARD: dict[str, Any] = {"elevation": 1, "sizing_mode": "stretch_both", "margin": 4, "sx": {"padding": "4px 8px"}}
SLIM: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (6, 12), "size": "small"}
TALL = {"height": "max(560px, calc(100vh - 84px))", "flex": "0 0 auto", "min-height": "560px"}
SMALL = {"font-size": "12px", "line-height": "1.4"}
TABLE = (
    "<style>.run-settings td{{padding:1px 8px 1px 0;vertical-align:top;overflow-wrap:anywhere}}"
    "code{{white-space:normal;overflow-wrap:anywhere;font-size:11px}}</style><h4 style='margin:6px 0'>{title}</h4>{made}"
)


class GalleryPage:
    """Everything of one tab. ``recordings``: a folder with the reader's own .h5 files, beside the shipped ones."""

    def __init__(self, recordings: Path | None = None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="spinviz-gallery-"))
        self.offered: dict[str, Path] = offered(recordings)
        self._uploaded: dict[str, RecordedRun] = {}
        self._open: dict[str, RecordedRun] = {}
        self.replays = {letter: Replay(letter) for letter in "AB"}
        self.moments = np.zeros(1)
        self._playing: Any = None
        self._quiet = False
        self._make_widgets()
        self.figures = FiguresOfThePapers(self.offered, self.replay)
        # a height of its own: the page would squeeze the replays to make room for the figures below
        tall = pn.Column(self._main(), sizing_mode="stretch_both", styles=TALL, stylesheets=[GROWN])
        self.page = pmui.Page(
            title="spinviz · gallery", header=[links("gallery")], sidebar=[self._sidebar()],
            main=[pn.Column(tall, self.figures.panel, sizing_mode="stretch_both")],
            sidebar_width=300, sidebar_variant="persistent", theme_config=MATERIAL, busy_indicator=None,
        )  # fmt: skip
        self.page.param.watch(lambda event: pn.state.execute(self._dress, schedule=True), "dark_theme")
        self._dress()
        first = next(iter(self.offered), None)
        if first is None:
            self.say("There are no recordings yet. Upload one, or start the server with --recordings FOLDER.")
        else:
            self.choice["A"].value = first
            self.choose("A", first)

    def close(self) -> None:
        """Close the files and remove the uploads."""
        for run in {**self._uploaded, **self._open}.values():
            run.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def say(self, sentence: str) -> None:
        """A sentence for the reader; "" takes it away."""
        self.message.say(sentence)

    def choose(self, letter: str, name: str) -> None:
        """Show what became of a run, as A or B; NONE ends the comparison."""
        self.say("")
        self.stop()
        if name != NONE:
            try:
                self.replays[letter].load(self._run(name))
            except (ValueError, OSError) as error:
                self.say(" ".join(str(error).split()))
                return
        self.compared.visible = self.choice["B"].value != NONE and self.replays["B"].run is not None
        self.side.visible = not self.compared.visible
        runs = self._runs()
        self.moments = np.unique(np.concatenate([run.times for run in runs.values()]))
        last = len(self.moments) - 1
        self.slider.param.update(end=max(1, last), value=last, disabled=last < 1)
        self.play.disabled = last < 1
        self.made.object = "".join(TABLE.format(title=f"{key}: {escape(run.name)}", made=run.made)
                                   for key, run in runs.items())  # fmt: skip
        self.show()

    def replay(self, name: str) -> None:
        """Show a run alone, as A, from its start, and play it."""
        self.choice["B"].value = NONE
        self.choice["A"].value = name
        self.choose("A", name)
        self.toggle()

    def show(self) -> None:
        """Both runs at the present time."""
        index = min(int(self.slider.value), len(self.moments) - 1)
        time = float(self.moments[index])
        for letter in self._runs():
            self.replays[letter].show(time)
        self.clock.object = f'<span class="gallery-time">t = {time:.4g} ħ/t₁</span>'

    def toggle(self) -> None:
        """Play from here (from the start at the end), or stop."""
        if self._playing is not None:
            self.stop()
            return
        if self.slider.value >= len(self.moments) - 1:
            self.slider.value = 0
        self._playing = pn.state.add_periodic_callback(self.advance, period=round(1000 / self.speed.value))
        self.play.label, self.play.icon = "Pause", "pause"

    def stop(self) -> None:
        if self._playing is not None:
            self._playing.stop()
            self._playing = None
        self.play.label, self.play.icon = "Play", "play_arrow"

    def advance(self) -> None:
        """One frame on; stops at the end."""
        if self.slider.value >= len(self.moments) - 1:
            self.stop()
        else:
            self.slider.value += 1

    def upload(self, name: str, content: bytes) -> None:
        """Take a file of the reader; a wrong one gets a sentence and nothing changes."""
        try:
            run = read_upload(name, content, self._folder)
        except ValueError as error:
            self.say(f"This file cannot be shown: {error}")
            return
        self._uploaded[run.name] = run
        for letter, widget in self.choice.items():
            widget.options = self._names(letter)
        self.choice["A"].value = run.name

    def _dress(self) -> None:
        """Pictures follow the theme of the page."""
        for replay in self.replays.values():
            replay.dress("dark" if self.page.dark_theme else "light")

    def _runs(self) -> dict[str, RecordedRun]:
        """The runs that are shown."""
        shown = {"A": self.replays["A"].run, "B": self.replays["B"].run if self.compared.visible else None}
        return {letter: run for letter, run in shown.items() if run is not None}

    def _run(self, name: str) -> RecordedRun:
        if name in self._uploaded:
            return self._uploaded[name]
        if name not in self._open:
            self._open[name] = run_of_trajectory(self.offered[name], name)
        return self._open[name]

    def _names(self, letter: str) -> list[str]:
        return ([NONE] if letter == "B" or not self.offered else []) + [*self._uploaded, *self.offered]

    def _make_widgets(self) -> None:
        names = {letter: self._names(letter) for letter in "AB"}
        labels = {"A": "Recorded run", "B": "Compare with"}
        self.choice = {
            letter: pmui.Select(label=labels[letter], options=names[letter], value=None, **SLIM) for letter in "AB"
        }
        self.choice["B"].value = NONE
        self.play = pmui.Button(label="Play", icon="play_arrow", variant="contained", width=104, size="small",
                                margin=(4, 8))  # fmt: skip
        self.slider = pmui.IntSlider(label="Moment of the recording", start=0, end=1, value=0, show_value=False,
                                     sizing_mode="stretch_width", margin=(0, 16))  # fmt: skip
        self.speed = pmui.Select(label="Speed", options=SPEEDS, value=10, width=130, size="small", margin=(4, 8))
        self.clock = pn.pane.HTML(
            "", width=130, margin=(12, 8), styles={"font-variant-numeric": "tabular-nums"},
            stylesheets=[below(PHONE, "display: none")],
        )  # fmt: skip
        self.file = pmui.FileInput(
            label=f"Upload a run (at most {LARGEST_UPLOAD // 2**20} MB)", accept=".h5,.hdf5,.ovf,.omf,.ckpt,.safetensors",
            max_file_size=LARGEST_UPLOAD, variant="outlined",
            description="A trajectory (HDF5), an OVF 2.0 file or a checkpoint", **SLIM,
        )  # fmt: skip
        self.message = Message()
        self.made = pn.pane.HTML("", margin=(0, 14), sizing_mode="stretch_width", styles=SMALL)
        locked = pn.state.execute
        for letter, widget in self.choice.items():
            widget.param.watch(
                lambda event, letter=letter: locked(lambda: self.choose(letter, event.new), schedule=True), "value"
            )
        self.slider.param.watch(lambda event: locked(self.show, schedule=True), "value")
        self.speed.param.watch(lambda event: self._set_speed(), "value")
        self.play.on_click(lambda event: self.toggle())
        self.file._process_chunk = limited(self.file, LARGEST_UPLOAD)  # what the browser promises is no protection
        self.file.param.watch(lambda event: locked(self._take, schedule=True), "value")

    def _set_speed(self) -> None:
        if self._playing is not None:
            self.stop()
            self.toggle()

    def _take(self) -> None:
        if self.file.value:
            name = self.file.filename
            self.upload(name if isinstance(name, str) else str(name), bytes(self.file.value))

    def _sidebar(self) -> Any:
        heading = pmui.Typography("How it was made", variant="overline", margin=(6, 12, 0, 12))
        return pmui.Column(*self.choice.values(), self.file, heading, self.made, sizing_mode="stretch_width")

    def _main(self) -> Any:
        a, b = self.replays["A"], self.replays["B"]
        left = pn.Column(
            a.heading, pmui.Paper(a.spin.panel, **CARD), pmui.Paper(a.series.panel, **flat(178)),
            sizing_mode="stretch_both", margin=0, stylesheets=[MAIN],
        )  # fmt: skip
        self.side = pn.Column(
            pmui.Paper(a.chirality.panel, **CARD), pmui.Paper(a.structure.panel, **CARD),
            pmui.Paper(a.domains.panel, **CARD), width=300, sizing_mode="stretch_height", margin=0,
            stylesheets=[SIDE],
        )  # fmt: skip
        self.compared = pn.Column(
            b.heading, pmui.Paper(b.spin.panel, **CARD), pmui.Paper(b.series.panel, **flat(178)),
            sizing_mode="stretch_both", margin=0, visible=False, stylesheets=[MAIN],
        )  # fmt: skip
        transport = pmui.Row(
            self.play, self.slider, self.clock, self.speed, sizing_mode="stretch_width", margin=(2, 0), sx=WRAPPED
        )
        pictures = pn.Row(
            left, self.side, self.compared, sizing_mode="stretch_both", margin=0,
            stylesheets=[STACKED],
        )  # fmt: skip
        return pn.Column(
            self.message, transport, pictures, sizing_mode="stretch_both", margin=0, min_height=560,
            stylesheets=[below(PHONE, "height: auto", "flex: none")],
        )  # fmt: skip


def limited(widget: Any, largest: int) -> Callable[[dict[str, Any]], None]:
    """The widget's own way to take a piece of a file, but for no more than ``largest`` bytes held at once.

    Beyond, everything held is dropped and ValueError is raised (in the server's log; our browser refuses before it sends).
    """
    taken = widget._process_chunk

    def take(piece: dict[str, Any]) -> None:
        held = sum(len(part) for file in widget._file_buffer.values() for part in file["chunks"].values())
        held += sum(len(file["value"]) for file in widget._buffer)
        if held + len(piece["data"]) > largest:
            widget._file_buffer.clear()
            widget._buffer.clear()
            raise ValueError(f"an upload of more than {largest} bytes was sent; it is dropped")
        taken(piece)

    return take


def flat(height: int) -> dict[str, Any]:
    """A card of fixed height."""
    return {**CARD, "sizing_mode": "stretch_width", "height": height}


def gallery_page() -> Any:
    """The page of one tab; files are closed and uploads removed when it is closed."""
    pn.extension(reconnect=True)
    gallery = GalleryPage(recordings_folder())
    pn.state.on_session_destroyed(lambda context: gallery.close())
    gallery.page.main = [*gallery.page.main, Network()]
    return fitted(gallery.page)
