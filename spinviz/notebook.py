"""In a notebook: ``spinviz.show(simulation)`` is the live picture of any simulation, with play, pause and step.

    import engine, spinviz
    view = spinviz.show(engine.preset("skyrmion", size=24, force="fast"))
    view            # the last line of a cell shows it
    view.simulation # the present state, to go on with in Python

The simulation runs in a worker thread of its own; the one that was handed over is never changed.
"""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
from panel.viewable import Viewer

from engine import Simulation, snapshot
from spinviz.running.status import Status
from spinviz.session import Session
from spinviz.views import SpinView
from spinviz.widgets.message import Message

POLL_MILLISECONDS = 30
HEIGHT = 520


class NotebookView(Viewer):
    """Texture, time, play, pause, step and reset. Made by :func:`show`; ``close()`` ends its thread."""

    def __init__(self, simulation: Simulation, running: bool = False, height: int = HEIGHT) -> None:
        if not isinstance(simulation, Simulation):
            raise ValueError(
                f"show needs a Simulation, got {type(simulation).__name__}; make one with engine.preset(...)"
            )
        super().__init__()
        self.session = Session(lambda settings: simulation, {}, snapshot, running=running)
        self.spin = SpinView()
        small: dict[str, Any] = {"size": "small", "margin": (4, 4)}
        self.play = pmui.Button(label="Play", icon="play_arrow", variant="contained", width=104, **small)
        self.step = pmui.Button(label="Step", icon="skip_next", variant="outlined", **small)
        self.reset = pmui.Button(label="Reset", icon="replay", variant="outlined", **small)
        self.numbers = pn.pane.HTML("", margin=(10, 8), styles={"font-variant-numeric": "tabular-nums"})
        self.message = Message()
        self.play.on_click(lambda event: self.session.toggle())
        self.step.on_click(lambda event: self.session.step())
        self.reset.on_click(lambda event: self.session.restart(lambda present: self.session.first))
        self.panel = pmui.Column(
            pmui.Row(self.play, self.step, self.reset, self.numbers, margin=0), self.message, self.spin.panel,
            height=height, sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self._seen = Status()
        self._polling: Any = None

    @property
    def simulation(self) -> Simulation | None:
        """The present simulation; None while it is being prepared."""
        return self.session.simulation

    def poll(self) -> None:
        """Show what is new; called by a clock once the view is on the screen."""
        frame = self.session.take_frame()
        if frame is not None:
            self.spin.show(frame)
        observed = self.session.take_observed()
        if observed is not None:
            self.spin.describe(observed)
        status = self.session.status
        if status == self._seen:
            return
        self._seen = status
        self.play.label, self.play.icon = ("Pause", "pause") if status.running else ("Play", "play_arrow")
        self.numbers.object = (
            f'<span class="notebook-time">t = {status.time:,.4g} ħ/t₁ · step {status.step:,}</span>'
        )  # fmt: skip
        self.message.say(status.message)

    def close(self) -> None:
        """Stop the clock and the worker."""
        if self._polling is not None:
            self._polling.stop()
            self._polling = None
        self.session.stop()

    def __panel__(self) -> Any:
        if self._polling is None:
            self._polling = pn.state.add_periodic_callback(self.poll, POLL_MILLISECONDS)
            if pn.state.curdoc and pn.state.curdoc.session_context:
                pn.state.on_session_destroyed(lambda context: self.close())
        return self.panel


def show(simulation: Simulation, running: bool = False, height: int = HEIGHT) -> NotebookView:
    """A live view of ``simulation`` for a notebook (or any Panel application), ``height`` pixels high.

    ``running=True`` starts at once. Raises ValueError for anything but a Simulation.
    """
    pn.extension()
    return NotebookView(simulation, running, height)
