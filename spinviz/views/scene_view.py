"""The texture in three dimensions, on demand: a button draws the present frame, sliders turn it, small or enlarged."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from PIL import Image

from engine.frame import Frame
from spinviz.components.picture_tools import PictureTools
from spinviz.views.download import csv_bytes
from spinviz.views.view import View, size_text

SIZE = (960, 720)
WHOLE = {"max-width": f"calc((100vh - 90px) * {SIZE[0] / SIZE[1]:.4f})"}  # enlarged, it is seen at once
MARKERS = {"Arrows": "arrow", "Spheres": "sphere"}
LARGEST = 65_536  # sites: one picture of 256 x 256 arrows takes seconds
HELP = (
    "<b>Scene</b><p>Every spin as an arrow, or a sphere, where its site lies; the small ball shows all spins as points "
    "of the unit sphere (order parameter space). Hue is the in-plane angle, white is +z, black is −z. The picture is "
    "made on the server when you ask for it; it does not follow the run. Enlarged, it fills the window with its sliders "
    "beside it; Escape puts it back.</p>"
)


class SceneView(View):
    """Drawn only when the button is pressed, or a slider is let go after that. ``close`` frees the drawing context.

    ``enlarge`` moves picture and widgets into ``dialog``, that fills the window; they come back when it is closed.

    Drawing has one thread of its own: it takes tenths of a second, loads VTK the first time, and a drawing context
    belongs to the thread that made it. ``newest`` is asked for the frame that the button draws; without it, that is the
    one shown last.
    """

    def __init__(self, theme: str = "light", newest: Callable[[], Frame | None] | None = None) -> None:
        self.theme, self._newest = theme, newest
        self._frame: Frame | None = None
        self._drawn: tuple[Frame, bytes] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spinviz-scene")
        small: dict[str, Any] = {"size": "small", "margin": (4, 6), "sizing_mode": "stretch_width"}
        self.button = pmui.Button(label="Draw this moment", icon="view_in_ar", variant="outlined", **small)
        self.marker = pmui.Select(label="Sites as", options=list(MARKERS), value="Arrows", **small)
        self.azimuth = pmui.FloatSlider(label="Azimuth (°)", start=-180, end=180, step=5, value=20, **small)
        self.elevation = pmui.FloatSlider(label="Elevation (°)", start=0, end=90, step=5, value=35, **small)
        self.message = pn.pane.HTML("", margin=(0, 8), styles={"font-size": "12px"})
        self.image = pn.pane.PNG(None, alt_text="Scene: nothing drawn yet", sizing_mode="scale_width", margin=(2, 6))
        self.tools = PictureTools(self.file, title="scene", help=HELP)
        self.enlarge = pmui.Button(label="Enlarge the scene", icon="open_in_full", variant="outlined", **small)
        self.dialog = pmui.Dialog(
            title="Scene", full_screen=True, close_on_click=True, show_close_button=True,
            sx={"& .MuiIconButton-root": {"color": "inherit"}},
        )  # fmt: skip
        self._above, self._below = (pn.Column(sizing_mode="stretch_width", margin=0) for _ in range(2))
        self.panel = pn.Column(  # the button stays where it is: the focus returns to it
            self._above, self.enlarge, self._below, self.dialog, sizing_mode="stretch_width", margin=0
        )
        self._arrange()
        self.enlarge.on_click(lambda event: self.dialog.param.update(open=True))
        self.dialog.param.watch(lambda event: pn.state.execute(self._move, schedule=True), "open")
        self.button.on_click(self.draw)
        self.marker.param.watch(self._again, "value")
        for slider in (self.azimuth, self.elevation):
            slider.param.watch(self._again, "value_throttled")

    def show(self, frame: Frame) -> None:
        """Keep this frame: it is drawn when asked for."""
        self._frame = frame

    async def draw(self, event: Any = None) -> None:
        """Draw the newest frame. What cannot be drawn is said."""
        if self._newest is not None and event is not None:
            self._frame = self._newest()
        frame = self._frame
        if frame is None:
            self.message.object = "There is nothing to draw yet."
            return
        if frame.spin.shape[1] > LARGEST:
            self.message.object = (
                f"The scene is drawn up to {LARGEST:,} sites; this lattice has {frame.spin.shape[1]:,}."
            )
            return
        self.message.object = "Drawing …"
        options = {"marker": MARKERS[self.marker.value], "page": self.theme}
        angles = (float(self.azimuth.value), float(self.elevation.value))
        try:
            data = await asyncio.get_running_loop().run_in_executor(self._thread, _png, frame, angles, options)
        except (RuntimeError, ImportError) as error:
            self.message.object = f"The scene cannot be drawn: {error}"
            return
        self._drawn = frame, data
        self.image.object = data
        self.image.alt_text = (
            f"{self.marker.value} on the {size_text(frame.lattice)} at time {float(frame.time[0]):.4g}, seen from "
            f"azimuth {angles[0]:.0f}° and elevation {angles[1]:.0f}°; unit sphere of all spins"
        )
        self.message.object = f"t = {float(frame.time[0]):.4g}"

    def file(self, kind: str) -> bytes:
        """What is drawn as "png", or as "csv": position and spin of every site."""
        if self._drawn is None:
            raise ValueError("there is no scene to download yet; draw one first")
        frame, data = self._drawn
        if kind == "png":
            return data
        if kind == "svg":
            raise ValueError("the scene is a picture of pixels; download it as PNG")
        spin, positions = frame.spin[0], frame.lattice.positions
        columns = {f"{'xyz'[k]} (a)": positions[:, k] for k in range(frame.lattice.dimension)}
        return csv_bytes({**columns, **{f"S{'xyz'[k]}": np.asarray(spin[:, k]) for k in range(3)}})

    def close(self) -> None:
        """End the drawing thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _move(self) -> None:
        """Into the dialog, or out of it and the focus back to where it was."""
        self._arrange()
        if not self.dialog.open:
            self.enlarge.focus()

    def _arrange(self) -> None:
        """Picture and widgets in the dialog while it is open, else in their place on the page; never in both."""
        widgets = [self.message, self.tools, self.marker, self.azimuth, self.elevation]
        self.image.styles = WHOLE if self.dialog.open else {}
        if self.dialog.open:
            self._above.objects = self._below.objects = []
            side = pn.Column(self.button, *widgets, width=300, margin=0)
            self.dialog.objects = [pn.Row(self.image, side, sizing_mode="stretch_width", margin=0)]
        else:
            self.dialog.objects = []
            self._above.objects, self._below.objects = [self.button], [self.image, *widgets]

    async def _again(self, event: Any) -> None:
        if self._drawn is not None:
            await self.draw()


def _png(frame: Frame, angles: tuple[float, float], options: dict[str, Any]) -> bytes:
    """A scene as PNG. VTK is loaded here: no page waits for it that does not draw."""
    from spinviz.drawing.scene import Camera, picture

    pixels = picture(frame, SIZE, camera=Camera(*angles), **options)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()
