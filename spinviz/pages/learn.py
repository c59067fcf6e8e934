"""The learn page: guided lessons beside a running simulation. All arithmetic happens in the session's worker thread.

A step is read, predicted, measured and answered; where the reader is stands in the address bar, and what is done in
the browser's own storage, so that a lesson can be left and taken up again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from panel.util import edit_readonly

from spinviz.lessons import Experiment, Lesson, Step, load_lessons, look, prepared, turned
from spinviz.lessons.memory import Memory, Place, Progress, named_place, read_progress, step_name
from spinviz.lessons.reader import Reader
from spinviz.pages.index import links
from spinviz.running.threads import limit_threads
from spinviz.serving.sharing import SERVER
from spinviz.serving.tabs import attached, send_at_once
from spinviz.session import Session
from spinviz.theme import MATERIAL
from spinviz.views import ChiralityView, DomainView, SpinView, StructureFactorView, TimeSeriesView, View
from spinviz.views.time_series_view import COLUMNS
from spinviz.widgets.message import Message
from spinviz.widgets.narrow import NARROW, STACKED_RULES, below

POLL_MILLISECONDS = 20
SHORT = 3.0  # seconds: shorter waits are not announced
TITLES = {
    "curves": "Charge, magnetization and energy against time",
    "structure": "Structure factor √S(q)",
    "chirality": "Scalar chirality χ of the triangles",
    "domains": "Domain size against time",
}
FILLED: dict[str, Any] = {"sizing_mode": "stretch_both", "margin": 4}


class LearnPage:
    """Everything of one browser tab. ``page`` is the Panel object; ``close`` frees the worker."""

    def __init__(self, lessons: Sequence[Lesson] | None = None, query: Mapping[str, Any] | None = None) -> None:
        self.lessons = tuple(lessons or load_lessons())
        named, warning = named_place(query or {}, self.lessons)
        self.place, self._named = named or Place(), named is not None
        self.done: frozenset[str] = frozenset()
        self.session = Session(prepared, self.step.setup, look, running=False, prepare=limit_threads, share=SERVER)
        self.memory = Memory(self._recall)
        self.reader = Reader(self.lessons, self.memory)
        self.spin = SpinView()
        self.curves = TimeSeriesView()
        self.views: dict[str, View] = {
            "curves": self.curves, "structure": StructureFactorView(), "chirality": ChiralityView(),
            "domains": DomainView(),
        }  # fmt: skip
        self.cards: dict[str, Any] = {}
        self._check: Any = None
        self._told = -1
        self._quiet = False
        self._pictures()
        self._connect()
        self.page = self._page()
        self._enter(rebuild=False)
        self.reader.note.param.update(object=warning, visible=bool(warning))

    @property
    def lesson(self) -> Lesson:
        return self.lessons[self.place.lesson]

    @property
    def step(self) -> Step:
        return self.lesson.steps[self.place.step]

    def watch(self) -> None:
        """Look for new frames, from now on."""
        send_at_once(pn.state.curdoc)
        pn.state.curdoc.add_periodic_callback(self.poll, POLL_MILLISECONDS)
        if self._named:
            self._address()

    def close(self) -> None:
        """Stop the worker."""
        self.session.stop()

    def poll(self) -> None:
        """Show what is new."""
        frame, observed = self.session.take_frame(), self.session.take_observed()
        if frame is not None:
            self.spin.show(frame)
        else:
            self.spin.panel.send_newest()
        if observed is not None:
            with pn.io.hold():
                self.spin.describe(observed)
                for view in self.views.values():
                    view.show(observed)
        self._follow()

    def go(self, place: Place) -> None:
        """Turn to a step."""
        self.place = place
        self._enter(rebuild=True)
        self._address()

    def _enter(self, rebuild: bool) -> None:
        """Show the present step at rest, at the beginning of its set-up."""
        self._check = None
        self.session.limit_speed(self.step.speed)
        self.session.pause()
        if rebuild:
            self.session.rebuild(self.step.setup)
        with pn.io.hold():
            self._quiet = True
            self.reader.mark(self.place, self.done)
            self._quiet = False
            self.reader.show(self.place)
            self._forget_curves()
            self._show_card(self.step.view)
        for widget in self.reader.answer.objects:
            widget.param.watch(lambda event: self.reader.ready(self.step), "value")
        for name, knob in self.reader.knobs.items():
            knob.param.watch(lambda event, name=name: self._turn(name, event.new), "value")

    def _turn(self, knob: str, value: float) -> None:
        self.session.post(f"knob {knob}", lambda present: turned(present, knob, value))

    def _measure(self) -> None:
        """Begin the measurement of this step, from the beginning of its set-up, with the knobs as they stand."""
        session, check = self.session, self.step.check
        if check is None or (self.step.question is not None and self.reader.given(self.step) is None):
            return
        wanted = self._check = replace(check)  # a new object: it tells this measurement from all others
        session.restart(lambda present: present.measuring(wanted, session.first.state))
        session.start()
        self.reader.busy(0.0, "Measuring …")

    def _follow(self) -> None:
        """Bring buttons, message and measurement in line with what the worker did."""
        status, simulation = self.session.status, self.session.simulation
        stamp = hash((status.running, status.building, status.message, status.refused))
        if stamp != self._told:
            self._told = stamp
            with pn.io.hold():
                self.play.label, self.play.icon = ("Pause", "pause") if status.running else ("Run", "play_arrow")
                self.message.say(status.message)
                if status.message and self._check is not None:
                    self._check = None
                    self.reader.idle(self.step)
        if self._check is None or not isinstance(simulation, Experiment) or simulation.check is not self._check:
            return
        if simulation.outcome is not None:
            self._conclude(simulation)
        elif status.running:
            self._report(simulation.progress, status.steps_per_second)

    def _report(self, share: float, rate: float) -> None:
        """How far the measurement is, and how long it will take where that is long."""
        assert self.step.check is not None
        left = (1 - share) * self.step.check.steps / rate if rate > 0 else 0.0
        words = f"Measuring … about {left:.0f} s" if left > SHORT else "Measuring …"
        if round(100 * share) != self.reader.progress.value or words not in self.reader.hint.object:
            with pn.io.hold():
                self.reader.busy(share, words)

    def _conclude(self, experiment: Experiment) -> None:
        """The measurement is done: stop, and answer the prediction."""
        assert experiment.outcome is not None
        self._check = None
        self.session.pause()
        with pn.io.hold():
            found = self.reader.conclude(self.step, experiment.outcome)
            if found.sound:
                self.done |= {step_name(self.lesson, self.place.step)}
                self._quiet = True
                self.reader.mark(self.place, self.done)
                self._quiet = False
                self._keep()

    def _again(self) -> None:
        session = self.session
        self._check = None
        session.restart(lambda present: Experiment(replace(present.simulation, state=session.first.state)))
        self.reader.idle(self.step)

    def _connect(self) -> None:
        reader = self.reader
        for button, action in (
            (reader.measure, self._measure), (self.play, self.session.toggle), (self.again, self._again),
            (reader.back, lambda: self._walk(-1)), (reader.forward, lambda: self._walk(1)),
        ):  # fmt: skip
            button.on_click(lambda event, action=action: action())
        reader.lesson.param.watch(lambda event: self._chosen(Place(event.new, 0)), "value")
        reader.step.param.watch(lambda event: self._chosen(Place(self.place.lesson, event.new)), "value")

    def _chosen(self, place: Place) -> None:
        if not self._quiet and place != self.place:
            self.go(place)

    def _walk(self, way: int) -> None:
        """One step on or back, over the ends of lessons."""
        places = [Place(i, j) for i, lesson in enumerate(self.lessons) for j in range(len(lesson.steps))]
        index = places.index(self.place) + way
        if 0 <= index < len(places):
            self.go(places[index])

    def _recall(self, kept: Any) -> None:
        """What the browser remembers; an address that names a place is stronger."""
        progress = read_progress(kept, self.lessons)
        self.done |= progress.done
        if self._named or progress.place == self.place:
            self._quiet = True
            self.reader.mark(self.place, self.done)
            self._quiet = False
        else:
            self.go(progress.place)

    def _address(self) -> None:
        if pn.state.location is not None:
            pn.state.location.update_query(**self.place.query)
        self._keep()

    def _keep(self) -> None:
        self.memory.progress = Progress(self.place, self.done).text()

    def _pictures(self) -> None:
        small: dict[str, Any] = {"size": "small", "margin": (0, 4)}
        self.play = pmui.Button(label="Run", icon="play_arrow", variant="outlined", width=104, **small)
        self.again = pmui.Button(label="Start again", icon="replay", variant="outlined", **small)
        self.message = Message()
        self.lower = pmui.Column(sizing_mode="stretch_width", height=230, margin=0)

    def _forget_curves(self) -> None:
        """Another run begins at time 0, where the last one may stand, too."""
        self.curves.show_all({name: np.empty(0) for name in COLUMNS})

    def _show_card(self, name: str) -> None:
        """Show one of the lower pictures. Each is made when it is first wanted and then stays: Bokeh's figures do not
        bear to be taken out and put in again."""
        if name not in self.cards:
            self.cards[name] = self._card(name)
            self.lower.append(self.cards[name])
        for other, card in self.cards.items():
            card.visible = other == name

    def _card(self, name: str) -> Any:
        heading = pn.pane.HTML(
            f'<div style="font-size:13px;font-weight:600">{TITLES[name]}</div>', margin=(0, 4), height=18
        )
        return pmui.Paper(heading, self.views[name].panel, elevation=1, sx={"padding": "4px 8px"}, **FILLED)

    def _page(self) -> Any:
        """Text on the left and pictures on the right; on a narrow screen pictures below the text."""
        right = pn.Column(
            pmui.Row(self.play, self.again, margin=(4, 0, 2, 0)), self.message,
            pmui.Paper(self.spin.panel, elevation=1, sx={"padding": "4px 8px"}, **FILLED),
            self.lower, sizing_mode="stretch_both", margin=0, stylesheets=[below(NARROW, "flex: none", "height: 720px")],
        )  # fmt: skip
        left = pn.Column(
            self.reader.panel, sizing_mode="stretch_height", width=500, margin=0, scroll="y-auto",
            stylesheets=[below(NARROW, "width: 100%", "min-width: 0", "height: auto", "flex: none", "overflow: visible")],
        )  # fmt: skip
        main = pn.Row(
            left, right, sizing_mode="stretch_both", margin=0, styles={"height": "calc(100vh - 84px)"},
            stylesheets=[below(NARROW, *STACKED_RULES)],
        )  # fmt: skip
        page = pmui.Page(
            title="spinviz · learn", header=[links("learn")], main=[main], theme_config=MATERIAL, busy_indicator=None
        )
        with edit_readonly(page):
            page.busy = False  # else every poll would toggle it and cost 20 ms
        return page


def learn_page() -> Any:
    """The page of one browser tab, with its own worker; freed when the tab is closed."""
    pn.extension("mathjax", reconnect=True)
    return attached(LearnPage(query=pn.state.session_args or {}))
