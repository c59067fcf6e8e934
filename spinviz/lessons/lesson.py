"""Lessons as data: one TOML file each, read and checked here. Adding a lesson needs a file and no code.

A lesson has a title, a summary and steps. A step has a text (Markdown, formulas between $$), a set-up (keywords of
:func:`engine.preset`; without a preset it changes that of the step before), perhaps knobs, and a check: a named measurement
of the running simulation with the number of steps it takes, what it must give, and a set-up for which it must fail.
The reader predicts: a number, or one of several statements, each of which holds where the measured value lies in its
range; or is given a task, to be solved with a knob. So it is the measurement that says who is right.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
VIEWS = ("curves", "structure", "chirality", "domains")
KNOBS = {
    "field": "force.zeeman.model.field",
    "temperature": "dynamics.temperature",
    "damping": "dynamics.damping",
}
Range = tuple[float, float]


@dataclass(frozen=True)
class Option:
    """A statement that holds when the measured value lies between two numbers; ``why`` answers who chose it wrongly."""

    text: str
    between: Range
    why: str = ""

    def holds(self, value: float) -> bool:
        """True when the measured value lies in the range, ends included."""
        return self.between[0] <= value <= self.between[1]


@dataclass(frozen=True)
class Mistake:
    """A number that is often predicted wrongly, and what led there."""

    value: float
    why: str


@dataclass(frozen=True)
class Question:
    """What is asked before the run: one of ``options``, or a number (no options), right when ``near`` the measurement."""

    text: str
    options: tuple[Option, ...] = ()
    near: float = 0.0
    mistakes: tuple[Mistake, ...] = ()


@dataclass(frozen=True)
class Check:
    """A measurement of the running simulation.

    measure : name in :data:`spinviz.lessons.checks.MEASUREMENTS`; ``options`` its keywords. steps : length of the run;
    every : steps between two samples. exact : a number, or {"law": name, ...}; agreement means
    |value - exact| <= tolerance + sigmas * standard error. Instead of it ``bounds`` (low, high) for what has no exact
    value. wrong : changes of the set-up for which the check must fail.
    """

    measure: str
    steps: int
    wrong: Mapping[str, Any]
    every: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: float | Mapping[str, Any] | None = None
    tolerance: float = 0.0
    sigmas: float = 0.0
    bounds: Range | None = None


@dataclass(frozen=True)
class Step:
    """One idea. ``after`` is read when the measurement is done. ``solution``: knob values that solve the ``task``."""

    title: str
    text: str
    setup: Mapping[str, Any] = field(default_factory=dict)
    after: str = ""
    view: str = "curves"
    speed: float = 0.0
    knobs: Mapping[str, Range] = field(default_factory=dict)
    question: Question | None = None
    task: str = ""
    solution: Mapping[str, float] = field(default_factory=dict)
    check: Check | None = None


@dataclass(frozen=True)
class Lesson:
    """``name`` is the file's; steps are numbered from 1 on the page."""

    name: str
    title: str
    summary: str
    steps: tuple[Step, ...]


def load_lessons(folder: Path = FOLDER) -> tuple[Lesson, ...]:
    """All lessons of a folder in the order of their file names. Raises ValueError that names file and step."""
    return tuple(load_lesson(path) for path in sorted(folder.glob("*.toml")))


def load_lesson(path: Path) -> Lesson:
    """One lesson. Raises ValueError that says what was expected where."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is not TOML: {error}") from error
    given = data.pop("step", None)
    if not isinstance(given, list) or not given:
        raise ValueError(f"{path.name}: a lesson needs at least one [[step]]")
    steps: list[Step] = []
    for number, values in enumerate(given, 1):
        where = f"{path.name}, step {number}"
        own = values.get("setup", {})
        values["setup"] = own if "preset" in own or not steps else {**steps[-1].setup, **own}
        steps.append(_step(values, where))
    return _made(Lesson, {**data, "name": path.stem, "steps": tuple(steps)}, path.name)


def _step(values: dict[str, Any], where: str) -> Step:
    if "question" in values:
        question = dict(values["question"])
        question["options"] = tuple(_option(option, where) for option in question.get("options", []))
        question["mistakes"] = tuple(_made(Mistake, mistake, where) for mistake in question.get("mistakes", []))
        values["question"] = _made(Question, question, where)
    if "check" in values:
        check = dict(values["check"])
        if "bounds" in check:
            check["bounds"] = _range(check["bounds"], where)
        values["check"] = _made(Check, check, where)
    values["knobs"] = {name: _range(ends, where) for name, ends in values.get("knobs", {}).items()}
    step = _made(Step, values, where)
    _consistent(step, where)
    return step


def _option(values: dict[str, Any], where: str) -> Option:
    return _made(Option, {**values, "between": _range(values.get("between"), where)}, where)


def _range(ends: Any, where: str) -> Range:
    if not (isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, int | float) for end in ends)):
        raise ValueError(f"{where}: a range is two numbers [low, high], got {ends!r}")
    low, high = float(ends[0]), float(ends[1])
    if not low < high:
        raise ValueError(f"{where}: a range goes up, got {ends!r}")
    return low, high


def _made(kind: type, values: Mapping[str, Any], where: str) -> Any:
    """``kind(**values)``, or ValueError with the names that are unknown or missing."""
    known = {item.name: item for item in fields(kind)}
    unknown = set(values) - set(known)
    missing = {
        name
        for name, item in known.items()
        if item.default is MISSING and item.default_factory is MISSING and name not in values
    }
    if unknown or missing:
        what = f"unknown {', '.join(sorted(unknown))}" if unknown else f"missing {', '.join(sorted(missing))}"
        raise ValueError(f"{where}: {what}; a {kind.__name__.lower()} has {', '.join(known)}")
    return kind(**values)


def _consistent(step: Step, where: str) -> None:
    """Raise ValueError where the parts of a step do not fit each other."""
    if not step.setup.get("preset"):
        raise ValueError(f"{where}: the set-up needs a preset, for example preset = 'heisenberg'")
    if step.view not in VIEWS:
        raise ValueError(f"{where}: view must be one of {', '.join(VIEWS)}, got {step.view!r}")
    for name in [*step.knobs, *step.solution]:
        if name not in KNOBS:
            raise ValueError(f"{where}: knob must be one of {', '.join(KNOBS)}, got {name!r}")
    if bool(step.question or step.task) != bool(step.check) or (step.question and step.task):
        raise ValueError(f"{where}: a check goes with one question or one task, and each of them with a check")
    if step.task and not (step.solution and set(step.solution) <= set(step.knobs)):
        raise ValueError(f"{where}: a task needs knobs, and a solution in their terms")
    if step.check is None:
        return
    if (step.check.exact is None) == (step.check.bounds is None):
        raise ValueError(f"{where}: a check needs either an exact value or bounds")
    if step.check.steps < 1 or step.check.every < 1:
        raise ValueError(f"{where}: steps and every must be at least 1")
    if not step.check.wrong and not step.task:
        raise ValueError(f"{where}: a check needs a wrong set-up for which it fails")
    question = step.question
    if question is not None and not question.options and not (question.near > 0 and math.isfinite(question.near)):
        raise ValueError(f"{where}: a number is right when near the measured one; say how near")
