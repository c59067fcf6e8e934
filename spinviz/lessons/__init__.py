"""Guided lessons: data and text in TOML files, measurements of the running simulation, and what a reader is told."""

from spinviz.lessons.checks import LAWS, MEASUREMENTS, Outcome, agrees, exact_value
from spinviz.lessons.experiment import Experiment, look, measured, prepared, turned
from spinviz.lessons.lesson import Check, Lesson, Step, load_lesson, load_lessons

__all__ = [
    "LAWS",
    "MEASUREMENTS",
    "Check",
    "Experiment",
    "Lesson",
    "Outcome",
    "Step",
    "agrees",
    "exact_value",
    "load_lesson",
    "load_lessons",
    "look",
    "measured",
    "prepared",
    "turned",
]
