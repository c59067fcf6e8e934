"""The reader's side of the learn page: where one is, text, question, knobs, measurement, and what came of it.

Widgets only; what they do is decided in :mod:`spinviz.pages.learn`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui

from spinviz.lessons.checks import MEASUREMENTS, Verdict, verdict
from spinviz.lessons.lesson import Lesson, Step
from spinviz.lessons.memory import Memory, Place, step_name
from spinviz.lessons.record import Outcome

FORMULA = re.compile(r"(\$\$.+?\$\$|\\\(.+?\\\))", re.DOTALL)
SUBSCRIPT = re.compile(r"\b([A-Za-zσ])_([a-z]+)\b")
WIDE: dict[str, Any] = {"sizing_mode": "stretch_width"}
PROSE = {"font-size": "15px", "line-height": "1.5", "overflow-wrap": "break-word"}
TIGHT = "p {margin: 6px 0} h3 {margin: 4px 0 2px; font-size: 18px} mjx-container {margin: 2px 0 !important}"
KNOB_LABELS = {"field": "Field h along z (t₁)", "temperature": "Temperature T (t₁)", "damping": "Damping α"}
KNOB_STEPS = 100
SMALL = "font-size:13px;opacity:.8;white-space:nowrap"


class Choice(pmui.RadioBoxGroup):
    """Radio buttons of which none is chosen at first; Panel and the browser (which says "") would choose the first."""

    _allows_none = True

    def _process_property_change(self, props: dict[str, Any]) -> dict[str, Any]:
        said = {name: value for name, value in props.items() if (name, value) not in (("value", ""), ("value", None))}
        return super()._process_property_change(said)


class Reader:
    """Everything on the left of the page. ``panel`` is what goes there."""

    def __init__(self, lessons: Sequence[Lesson], memory: Memory) -> None:
        self._lessons, self._memory = lessons, memory
        small: dict[str, Any] = {"size": "small", "margin": (4, 6)}
        self.lesson = pmui.Select(label="Lesson", options={}, margin=(10, 6, 4, 6), size="small", **WIDE)
        self.step = pmui.RadioButtonGroup(label="", options={}, margin=(2, 0), size="small", color="primary")
        self.done = pn.pane.HTML("", margin=(8, 8))
        heading = pn.pane.HTML(f'<div style="{SMALL}">Step</div>', margin=(8, 8))
        self.steps = pmui.Row(heading, self.step, self.done, margin=0)
        self.text = pn.pane.Markdown("", styles=PROSE, stylesheets=[TIGHT], margin=(0, 8), **WIDE)
        self.question = pn.pane.Markdown("", styles=PROSE, stylesheets=[TIGHT], margin=(0, 8), **WIDE)
        self.answer = pmui.Column(margin=(0, 2), **WIDE)
        self.knobs: dict[str, Any] = {}
        self.measure = pmui.Button(label="Measure", icon="science", variant="contained", **small)
        self.hint = pn.pane.HTML("", margin=(10, 6), **WIDE)
        self.progress = pmui.LinearProgress(value=0, max=100, visible=False, margin=(2, 8), **WIDE)
        self.result = pmui.Alert(object="", severity="info", visible=False, margin=(2, 8), **WIDE)
        self.reply = pn.pane.Markdown("", styles=PROSE, stylesheets=[TIGHT], margin=(0, 8), visible=False, **WIDE)
        self.back = pmui.Button(label="Back", icon="arrow_back", variant="text", **small)
        self.forward = pmui.Button(label="Next", end_icon="arrow_forward", variant="outlined", **small)
        self.note = pmui.Alert(object="", severity="warning", visible=False, closeable=True, margin=(2, 8), **WIDE)
        self.panel = pmui.Column(
            self.lesson, self.steps, self.note, self.text, self.question, self.answer,
            pmui.Row(self.measure, self.hint, margin=0, **WIDE), self.progress, self.result, self.reply,
            pmui.Row(self.back, self.forward, margin=(4, 0)), memory, margin=0, sizing_mode="stretch_width",
        )  # fmt: skip

    def mark(self, place: Place, done: frozenset[str]) -> None:
        """Say where the reader is and what is done."""
        lesson = self._lessons[place.lesson]
        lessons = {f"{number}. {one.title}": number - 1 for number, one in enumerate(self._lessons, 1)}
        self.lesson.param.update(options=lessons, value=place.lesson)
        self.step.param.update(options={str(step + 1): step for step in range(len(lesson.steps))}, value=place.step)
        here = [str(step + 1) for step in range(len(lesson.steps)) if step_name(lesson, step) in done]
        count = sum(len(one.steps) for one in self._lessons)
        words = f"✓ {', '.join(here)} done here, " if here else ""
        self.done.object = f'<div class="spinviz-done" style="{SMALL}">{words}{len(done)} of {count} in all</div>'

    def show(self, place: Place) -> None:
        """Text, question and knobs of a step; what came of the last one goes."""
        lesson = self._lessons[place.lesson]
        step = lesson.steps[place.step]
        opening = f"*{lesson.summary}*\n\n" if place.step == 0 else ""
        self.text.object = prose(f"{opening}### {step.title}\n\n{step.text}")
        asked = step.question.text if step.question is not None else step.task
        self.question.param.update(object=prose(f"**{asked}**"), visible=bool(asked))
        self.knobs = {name: _knob(step, name) for name in step.knobs}
        self.answer.objects = [*_answer(step), *self.knobs.values()]
        self.measure.visible = step.check is not None
        self.result.visible = self.reply.visible = self.progress.visible = False
        self.forward.variant = "outlined" if step.check is not None else "contained"
        last_lesson = place.lesson == len(self._lessons) - 1
        last = place.step == len(lesson.steps) - 1
        self.forward.param.update(label="Next lesson" if last else "Next", disabled=last and last_lesson)
        self.back.disabled = place == Place()
        self.ready(step)
        self._memory.reveal(end=False)

    def given(self, step: Step) -> float | None:
        """The prediction, None where there is none yet."""
        if step.question is None:
            return None
        value = self.answer.objects[0].value
        return None if value is None else float(value)

    def ready(self, step: Step) -> None:
        """The measurement can begin once there is a prediction."""
        waiting = step.question is not None and self.given(step) is None
        self.measure.disabled = waiting
        self.measure.label = "Measure"
        self.tell("Predict first." if waiting else "")

    def busy(self, share: float, words: str) -> None:
        """A measurement is under way."""
        for widget in self.answer.objects:
            widget.disabled = True
        self.measure.disabled = True
        self.result.visible = self.reply.visible = False
        self.progress.param.update(visible=True, value=round(100 * share))
        self.tell(words)

    def idle(self, step: Step) -> None:
        """No measurement is under way any more."""
        self.progress.visible = False
        for widget in self.answer.objects:
            widget.disabled = False
        self.ready(step)

    def conclude(self, step: Step, outcome: Outcome) -> Verdict:
        """Show what was measured and what it says about the prediction."""
        found = verdict(step, outcome, self.given(step))
        self.idle(step)
        self.measure.label = "Measure again"
        good = found.right and found.sound
        self.result.param.update(object=found.headline, severity="success" if good else "info", visible=True)
        after = f"\n\n{step.after}" if found.sound else ""
        self.reply.param.update(
            object=prose(f"**{found.reply}**{after}" if good else f"{found.reply}{after}"), visible=True
        )
        self.forward.variant = "contained" if found.sound else "outlined"
        self._memory.reveal(end=True)
        return found

    def tell(self, words: str) -> None:
        """A few words beside the button."""
        self.hint.object = f'<span role="status" style="font-size:13px;opacity:.8">{words}</span>'


def prose(text: str) -> str:
    """Markdown whose formulas reach the browser as they are (it would eat their backslashes), with S_z as a subscript."""
    pieces = FORMULA.split(text.strip())
    for index in range(0, len(pieces), 2):
        pieces[index] = SUBSCRIPT.sub(r"\1<sub>\2</sub>", pieces[index])
    for index in range(1, len(pieces), 2):
        pieces[index] = re.sub(r"([\\_*])", r"\\\1", pieces[index]).replace("<", "&lt;").replace("\n", " ")
    return "".join(pieces)


def _answer(step: Step) -> list[Any]:
    """The widget for the prediction."""
    if step.question is None:
        return []
    if step.question.options:
        options = {option.text: index for index, option in enumerate(step.question.options)}
        return [Choice(label="Your prediction", options=options, margin=(0, 10), size="small", **WIDE)]
    assert step.check is not None
    unit = MEASUREMENTS[step.check.measure].unit
    label = f"Your prediction ({unit})" if unit else "Your prediction"
    return [pmui.FloatInput(label=label, value=None, mode="float", placeholder="a number", margin=(4, 8), width=240)]


def _knob(step: Step, name: str) -> Any:
    """A slider from the range of the step, at the value of its set-up."""
    low, high = step.knobs[name]
    value = step.setup["field"][2] if name == "field" else step.setup[name]
    return pmui.FloatSlider(
        label=KNOB_LABELS[name], start=low, end=high, value=value, step=(high - low) / KNOB_STEPS, format="0.000",
        margin=(6, 16), **WIDE,
    )  # fmt: skip
