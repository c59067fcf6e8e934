"""Where a reader is and what is done: in the address bar (the place) and in the browser's storage (both).

    ?lesson=3&step=2        both counted from 1

What comes from outside is read with care: wrong values give the nearest place, and a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import param
from panel.custom import JSComponent

from spinviz.lessons.lesson import Lesson

LONGEST = 20_000  # characters of what a browser kept


@dataclass(frozen=True)
class Place:
    """Lesson and step, counted from 0."""

    lesson: int = 0
    step: int = 0

    @property
    def query(self) -> dict[str, int]:
        """As the address bar has it, counted from 1."""
        return {"lesson": self.lesson + 1, "step": self.step + 1}


def named_place(query: Mapping[str, Any], lessons: Sequence[Lesson]) -> tuple[Place | None, str]:
    """The place that the address names (None: it names none), and a sentence about what was wrong with it, or ""."""
    if "lesson" not in query and "step" not in query:
        return None, ""
    lesson, lesson_wrong = _within(query.get("lesson", "1"), len(lessons))
    step, step_wrong = _within(query.get("step", "1"), len(lessons[lesson].steps))
    if not lesson_wrong and not step_wrong:
        return Place(lesson, step), ""
    return Place(
        lesson, step
    ), f"This link names a place that does not exist; here is lesson {lesson + 1}, step {step + 1}."


def _within(value: Any, count: int) -> tuple[int, bool]:
    """The index (from 0) of a number from 1 to ``count`` as text, bytes or a list of them; whether it was wrong."""
    first = value[0] if isinstance(value, list | tuple) and value else value
    text = first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        return 0, True
    number = int(text)
    return min(max(number, 1), count) - 1, not 1 <= number <= count


@dataclass(frozen=True)
class Progress:
    """The place where the reader was last, and the names of the steps that are done ("01_precession/2")."""

    place: Place = Place()
    done: frozenset[str] = frozenset()

    def text(self) -> str:
        """As the browser keeps it."""
        return json.dumps({"lesson": self.place.lesson, "step": self.place.step, "done": sorted(self.done)})


def read_progress(text: Any, lessons: Sequence[Lesson]) -> Progress:
    """What the browser kept; the beginning where that is nothing or cannot be understood. Never raises."""
    try:
        data = json.loads(text) if isinstance(text, str) and len(text) <= LONGEST else {}
    except (ValueError, RecursionError):
        data = {}
    if not isinstance(data, dict):
        return Progress()
    known = {step_name(lesson, number) for lesson in lessons for number in range(len(lesson.steps))}
    done = data.get("done")
    names = frozenset(name for name in done if isinstance(name, str)) & known if isinstance(done, list) else frozenset()
    lesson, step = data.get("lesson"), data.get("step")
    if (
        type(lesson) is int
        and type(step) is int
        and 0 <= lesson < len(lessons)
        and 0 <= step < len(lessons[lesson].steps)
    ):
        return Progress(Place(lesson, step), names)
    return Progress(Place(), names)


def step_name(lesson: Lesson, step: int) -> str:
    """For example "01_precession/2", counted from 1."""
    return f"{lesson.name}/{step + 1}"


class Memory(JSComponent):
    """The browser's storage: ``progress`` (JSON) is written there; what was there is given to ``recall``, once.

    It has no size, and stands at the end of the text: :meth:`reveal` scrolls there.
    """

    progress = param.String(default="", doc="What is kept, as JSON")

    _esm = Path(__file__).parent / "memory.js"

    def __init__(self, recall: Callable[[Any], None], **parameters: Any) -> None:
        super().__init__(**parameters)
        self._recall = recall

    def reveal(self, end: bool) -> None:
        """Scroll the text to its end, where the answer is, or to its beginning."""
        self._send_msg({"reveal": end})

    def _handle_msg(self, data: Any) -> None:
        if isinstance(data, dict) and "kept" in data:
            self._recall(data["kept"])
