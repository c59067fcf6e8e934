"""Checks: all measurements and exact laws by name, and what is said to a prediction.

Laws (h field, T temperature, a damping, t time, all in t1 and hbar/t1):

    langevin   coth(h/T) - T/h          mean S_z of a free spin
    tanh       tanh(a h t)              S_z of a damped spin that began in the plane
    crossing   atanh(S_z) / (a h)       when it reaches S_z
    period     2 pi / h                 of the precession
    helix      2 pi / atan(D / J)       wave length along a bond
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from spinviz.lessons.electron_measurements import ELECTRON_MEASUREMENTS
from spinviz.lessons.lesson import Check, Question, Step
from spinviz.lessons.record import Measurement, Outcome, Record
from spinviz.lessons.spin_measurements import SPIN_MEASUREMENTS

__all__ = [
    "LAWS",
    "MEASUREMENTS",
    "Outcome",
    "Record",
    "Verdict",
    "agrees",
    "exact_value",
    "predicted",
    "verdict",
]

LEAST_ERROR = 1e-5  # in proportion to the value; smaller errors are those of rounding, and not shown
MEASUREMENTS: dict[str, Measurement] = {**SPIN_MEASUREMENTS, **ELECTRON_MEASUREMENTS}

LAWS: dict[str, Callable[..., float]] = {
    "langevin": lambda field, temperature: 1 / math.tanh(field / temperature) - temperature / field,
    "tanh": lambda field, damping, time: math.tanh(damping * field * time),
    "crossing": lambda field, damping, level: math.atanh(level) / (damping * field),
    "period": lambda field: 2 * math.pi / field,
    "helix": lambda exchange, dmi: 2 * math.pi / math.atan(dmi / exchange),
}


def exact_value(check: Check) -> float | None:
    """The exact result of a check; None where there are only bounds. Raises ValueError for an unknown law."""
    if not isinstance(check.exact, Mapping):
        return None if check.exact is None else float(check.exact)
    numbers = dict(check.exact)
    name = numbers.pop("law", None)
    if name not in LAWS:
        raise ValueError(f"unknown law {name!r}; known: {', '.join(LAWS)}")
    return LAWS[name](**numbers)


def agrees(check: Check, outcome: Outcome) -> bool:
    """True when the outcome is what theory gives for the set-up."""
    exact = exact_value(check)
    if exact is None:
        assert check.bounds is not None
        return check.bounds[0] <= outcome.value <= check.bounds[1]
    return abs(outcome.value - exact) <= check.tolerance + check.sigmas * outcome.error


def predicted(question: Question, answer: float | int, value: float) -> bool:
    """True when the answer (a number, or the index of an option) fits the measured value."""
    if question.options:
        return question.options[int(answer)].holds(value)
    return abs(float(answer) - value) <= question.near


def spoken(value: float, error: float = 0.0) -> str:
    """A number with the digits that mean something: four, or down to the second digit of its error."""
    if error > LEAST_ERROR * abs(value):
        digits = max(0, min(6, 1 - math.floor(math.log10(error))))
        return f"{value:.{digits}f} ± {error:.{digits}f}".replace("-", "−")
    text = "0" if abs(value) < 1e-12 else f"{value:.4g}"
    return text.replace("-", "−")


@dataclass(frozen=True)
class Verdict:
    """``headline`` says what was measured and what theory has; ``reply`` answers the prediction or the task; ``right``
    tells whether that was right, ``sound`` whether measurement and theory agree."""

    headline: str
    reply: str
    right: bool
    sound: bool


def verdict(step: Step, outcome: Outcome, answer: float | None) -> Verdict:
    """What the reader is told. ``answer``: the number, or the index of the option; None for a task."""
    assert step.check is not None
    measurement, exact = MEASUREMENTS[step.check.measure], exact_value(step.check)
    unit = f" {measurement.unit}" if measurement.unit else ""
    sound = agrees(step.check, outcome)
    headline = f"Measured: {measurement.name} = {spoken(outcome.value, outcome.error)}{unit}."
    if exact is not None and not step.task:
        headline += f" Exact: {spoken(exact)}."
    if step.task:
        reply = (
            "Solved."
            if sound
            else f"Not yet: {spoken(exact or 0.0)}{unit} is asked for. Turn the knob and measure again."
        )
        return Verdict(headline, reply, sound, sound)
    assert step.question is not None and answer is not None
    right = predicted(step.question, answer, outcome.value)
    reply = "Your prediction fits." if right else _explained(step.question, answer, outcome.value)
    if not sound:
        reply += (
            " But this is not what theory has for this step: was something changed? Start again and measure once more."
        )
    return Verdict(headline, reply, right, sound)


def _explained(question: Question, answer: float, value: float) -> str:
    """Why the prediction does not fit the measured value."""
    if question.options:
        chosen = question.options[int(answer)]
        right = next((option.text for option in question.options if option.holds(value)), None)
        return f"{chosen.why}" + (f" It is: *{right}*" if right else "")
    near = min(question.mistakes, key=lambda mistake: abs(mistake.value - answer), default=None)
    if near is not None and abs(near.value - answer) <= max(question.near, 0.02 * abs(near.value)):
        return f"You expected {spoken(answer)}. {near.why}"
    way = "more" if answer < value else "less"
    return f"You expected {spoken(answer)}; it is {way}."
