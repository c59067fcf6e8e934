"""Sliders and simulation kept in line: what the reader sets is posted to the worker, what runs is shown on the controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from spinviz.controls import BATH, CONTROLS, ELECTRONS, FIELD, Controls
from spinviz.running.changes import value_at, with_force, with_suggested_time_step, with_values
from spinviz.running.status import Status
from spinviz.session import Session

FOLLOWED = ("field_x", "field_y", "field_z", "temperature", "electron_temperature", "linked")  # by schedules


class Steering:
    """``arrange()`` shows the controls that act on the present system; ``note(text)`` shows a sentence."""

    def __init__(
        self, controls: Controls, session: Session, arrange: Callable[[], None], note: Callable[[str], None]
    ) -> None:
        self.controls, self.session = controls, session
        self._arrange, self._note = arrange, note
        self._quiet = self._suggesting = False
        for name, control in CONTROLS.items():
            if name != "speed":
                controls.param.watch(self._live if control.live else self._remake, name)
        controls.param.watch(lambda event: session.limit_speed(event.new), "speed")

    def suggest(self) -> None:
        """Take the time step that the spins' motion calls for."""
        self._suggesting = True
        self.session.post("dynamics.time_step", with_suggested_time_step)

    def adopt(self, status: Status, simulation: Any, everything: bool) -> None:
        """Controls show what is running: after a build or a refusal all of them, else the suggested time step."""
        with self._silence():
            if everything:
                self.controls.adopt(status.settings, lambda path: value_at(simulation, path))
            elif self._suggesting:
                self._suggesting = False
                self.controls.show("time_step", simulation.dynamics.time_step)

    def show_planned(self, simulation: Any) -> None:
        """Controls show the values that a schedule has set."""
        with self._silence():
            values = {
                "temperature": value_at(simulation, BATH),
                "electron_temperature": value_at(simulation, ELECTRONS),
            }
            values |= dict(zip(("field_x", "field_y", "field_z"), value_at(simulation, FIELD), strict=True))
            for name, value in values.items():
                if value is not None:
                    self.controls.show(name, value)

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """Controls that are set in here change nothing in the simulation."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def _live(self, event: Any) -> None:
        self._arrange()
        if self._quiet:
            return
        changes = self.controls.changes(event.name)
        schedule = self.session.status.schedule
        if schedule and event.name in FOLLOWED:
            self.session.stop_schedule()
            self._note(f"{schedule} stopped, because {event.name} was set by hand.")
        self.session.post(" ".join(changes), lambda present: with_values(present, changes))

    def _remake(self, event: Any) -> None:
        if self._quiet:
            return
        if event.name == "preset":
            with self._silence():
                self.controls.choose(event.new)
            self.session.rebuild(self.controls.first_settings())
        elif event.name == "force":
            settings = self.controls.settings()
            self.session.exchange(lambda present: with_force(present, settings), {"force": event.new})
        else:
            self.session.rebuild(self.controls.settings())
