"""Lessons: every check passes on its set-up and fails on a wrong one, and wrong input is explained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import Simulation, preset, triangular
from engine.observables import scalar_chirality
from spinviz.lessons import LAWS, MEASUREMENTS, Check, Lesson, Outcome, Step, agrees, exact_value, load_lesson, measured
from spinviz.lessons.checks import predicted, spoken, verdict
from spinviz.lessons.electron_measurements import susceptibility
from spinviz.lessons.experiment import Experiment, prepared, turned
from spinviz.lessons.lesson import KNOBS, load_lessons
from spinviz.lessons.memory import Place, Progress, named_place, read_progress
from spinviz.lessons.reader import prose
from tests.tolerances import EXACT_DOUBLE, LANGEVIN_INTEGRAL, SUSCEPTIBILITY

LESSONS = load_lessons()
STEPS = [
    pytest.param(step, id=f"{lesson.name}-{number}")
    for lesson in LESSONS
    for number, step in enumerate(lesson.steps, 1)
    if step.check is not None
]
FREE: dict[str, Any] = {
    "preset": "heisenberg", "force": "classical", "exchange": {"1": 0.0}, "dmi_bulk": 0.0, "temperature": 0.0,
    "size": 4, "field": [0.0, 0.0, 1.0],
}  # fmt: skip
MINIMAL = """
title = "A"
summary = "B"
[[step]]
title = "C"
text = "D"
[step.setup]
preset = "heisenberg"
"""
known: dict[str, Outcome] = {}


def outcome(step: Step, changes: dict[str, Any], knobs: dict[str, float]) -> Outcome:
    """As :func:`measured`; runs that differ only in what is expected of them are made once."""
    check = step.check
    assert check is not None
    what = [{**step.setup, **changes}, knobs, check.measure, check.steps, check.every, dict(check.options)]
    key = json.dumps(what, sort_keys=True)
    if key not in known:
        known[key] = measured(step, changes, knobs)
    return known[key]


@pytest.mark.parametrize("step", STEPS)
def test_the_check_passes_on_its_set_up_and_fails_on_a_wrong_one(step: Step) -> None:
    check = step.check
    assert check is not None
    right = outcome(step, {}, dict(step.solution))
    assert agrees(check, right), f"{right} is not {exact_value(check)} or in {check.bounds}"
    wrong = outcome(step, dict(check.wrong), {})
    assert not agrees(check, wrong), f"{wrong} passes although the set-up is wrong"
    question = step.question
    if question is None:
        return
    if question.options:
        fitting = [option for option in question.options if option.holds(right.value)]
        assert len(fitting) == 1, "exactly one option fits the measurement"
        assert all(option.why for option in question.options if option not in fitting), "wrong options are explained"
        exact = exact_value(check)
        assert exact is None or fitting[0].holds(exact), "it fits the exact value, too"
    else:
        exact = exact_value(check)
        assert exact is not None and predicted(question, exact, right.value), "the exact value is a right prediction"
        assert not any(predicted(question, mistake.value, right.value) for mistake in question.mistakes)


def test_every_lesson_has_three_to_six_steps_that_ask_something() -> None:
    assert [lesson.name[:2] for lesson in LESSONS] == [f"{n:02d}" for n in range(1, 11)]
    for lesson in LESSONS:
        assert 3 <= len(lesson.steps) <= 6 and lesson.summary
        assert sum(step.check is not None for step in lesson.steps) >= 3
        for step in lesson.steps:
            assert step.after and len(step.text.split()) < 150, f"{step.title}: one idea, few words"
            for text in (step.text, step.after):
                assert text.replace("$$", "").count("$") == 0, "single dollars are not rendered"


def test_laws_are_what_they_are_called() -> None:
    u = np.linspace(-1, 1, 20001)
    weight = np.exp(u * 1.3 / 0.7)
    assert LAWS["langevin"](field=1.3, temperature=0.7) == pytest.approx(
        np.trapezoid(u * weight, u) / np.trapezoid(weight, u), abs=LANGEVIN_INTEGRAL
    )
    time = LAWS["crossing"](field=2.0, damping=0.1, level=0.6)
    assert LAWS["tanh"](field=2.0, damping=0.1, time=time) == pytest.approx(0.6, abs=EXACT_DOUBLE)
    angle = np.linspace(0, np.pi, 100_001)
    best = angle[np.argmin(-np.cos(angle) - 0.4 * np.sin(angle))]
    assert LAWS["helix"](exchange=1.0, dmi=0.4) == pytest.approx(2 * np.pi / best, rel=1e-4)
    with pytest.raises(ValueError, match="unknown law 'luck'"):
        exact_value(Check("charge", 1, {}, exact={"law": "luck"}))


def run(setup: dict[str, Any], measure: str, steps: int = 1, **options: Any) -> Outcome:
    return measured(Step("", "", setup=setup, check=Check(measure, steps, {}, options=options, exact=0.0)))


def test_a_run_is_the_same_in_pieces_and_holds_no_response() -> None:
    check = Check("mean_upward", 6, {}, every=2, exact=0.0)
    start = prepared({**FREE, "texture": "random", "temperature": 0.3}).measuring(check)
    whole, pieces = start.advance(6), start
    for _ in range(6):
        pieces = pieces.advance(1)
    assert whole.outcome == pieces.outcome is not None and len(whole.samples) == 4 and whole.progress == 1
    assert whole.advance(3).outcome is whole.outcome, "the measurement is over"
    start.response()
    assert start.simulation._response is not None and replace(start).simulation._response is None


def test_knobs_turn_the_running_simulation() -> None:
    present = prepared({**FREE, "damping": 0.1})
    for knob, value in (("field", 0.25), ("temperature", 0.5), ("damping", 0.75)):
        present = turned(present, knob, value)
    assert isinstance(present, Experiment) and isinstance(present.simulation, Simulation)
    assert present.simulation.force.zeeman.model.field == (0.0, 0.0, 0.25)  # type: ignore[attr-defined]
    assert (present.simulation.dynamics.temperature, present.simulation.dynamics.damping) == (0.5, 0.75)  # type: ignore[attr-defined]
    assert set(KNOBS) == {"field", "temperature", "damping"}
    with pytest.raises(ValueError, match="temperature"):
        turned(present, "temperature", -1.0)


def test_berry_phase_is_half_the_solid_angle_of_any_texture() -> None:
    setup = {"preset": "skyrmion", "force": "classical", "size": 12, "texture": "skyrmion_crystal", "time_step": 0.001}
    spin = prepared(setup).advance(1).state.spin.double()
    a, b, c = (spin[0, corner] for corner in torch.as_tensor(triangular(12, 12).plaquettes.T))
    trace = 1 + (a * b + b * c + c * a).sum(1)
    expected = torch.atan2(scalar_chirality(spin, triangular(12, 12))[0].sum(), trace.sum()) / np.pi
    assert run(setup, "berry_phase").value == pytest.approx(float(expected), abs=1e-5)


def test_susceptibility_of_free_electrons_is_the_sum_over_states() -> None:
    momenta, values = susceptibility({1: 1.0, 3: -0.85}, -3.5, 0.3, mesh=12, stride=4)
    simulation = preset("skyrmion", size=12, force="classical", texture="ferromagnet")
    lattice = simulation.lattice

    def energy(q: np.ndarray) -> np.ndarray:
        total = np.zeros(q.shape[:-1])
        for shell, t in ((1, 1.0), (3, -0.85)):
            total -= 2 * t * np.cos(q @ lattice.displacements[lattice.shells == shell][:: lattice.sites].T).sum(-1)
        return total + 3.5

    k = lattice.momenta()
    for q, value in zip(momenta, values, strict=True):
        first, second = energy(k), energy(k + q)
        gap = np.where(np.abs(second - first) > 1e-6, second - first, 1e-4)
        second = first + gap
        fermi = lambda e: 1 / (1 + np.exp(e / 0.3))  # noqa: E731
        assert value == pytest.approx(float(((fermi(first) - fermi(second)) / gap).mean()), abs=SUSCEPTIBILITY)


def test_measurements_say_why_they_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="do not turn"):
        run({**FREE, "field": [0.0, 0.0, 0.0], "texture": "ferromagnet", "texture_options": {"direction": [1, 0, 0]}},
            "period", 5)  # fmt: skip
    with pytest.raises(ValueError, match="no common direction"):
        run({**FREE, "texture": "ferromagnet"}, "frequency", 5)
    with pytest.raises(ValueError, match=r"did not rise through 0\.9"):
        run(
            {**FREE, "texture": "ferromagnet", "texture_options": {"direction": [1, 0, 0]}},
            "crossing_time",
            2,
            level=0.9,
        )
    with pytest.raises(ValueError, match="needs electrons"):
        run(FREE, "susceptibility_peak")
    assert all(measurement.name for measurement in MEASUREMENTS.values())


def test_answers_are_explained_not_marked() -> None:
    step = next(step for step in LESSONS[0].steps if step.title == "How fast?")
    for answer, words, right in ((12.5, "Your prediction fits", True), (6.28, "the period at h = 1", False),
                                 (9.0, "You expected 9; it is more.", False), (40.0, "it is less", False)):  # fmt: skip
        found = verdict(step, Outcome(12.567), answer)
        assert words in found.reply and found.right is right and found.sound
        assert found.headline == "Measured: period = 12.57 ħ/t₁. Exact: 12.57."
    unsound = verdict(step, Outcome(10.0), 10.0)
    assert unsound.right and not unsound.sound and "not what theory has" in unsound.reply
    choice = verdict(LESSONS[0].steps[1], Outcome(1.0), 1)
    assert not choice.right and "minus sign" in choice.reply and "counter-clockwise" in choice.reply
    task = LESSONS[0].steps[4]
    assert verdict(task, Outcome(5.02), None).right
    assert "Not yet: 5 ħ/t₁ is asked for" in verdict(task, Outcome(6.0), None).reply


def test_numbers_are_spoken_with_the_digits_that_mean_something() -> None:
    assert spoken(-0.53718, 0.0036) == "−0.5372 ± 0.0036"
    assert spoken(12.566, 2e-9) == "12.57" and spoken(0.0) == "0" and spoken(-2.0) == "−2"


def test_formulas_survive_markdown() -> None:
    from panel.pane import Markdown

    html = Markdown()._transform_object(prose("S_z is *so*: $$a_{i}\\,b_{j} < \\{c\\}$$ and \\(x_y\\)."))["object"]
    assert "$$a_{i}\\,b_{j}" in html.replace("&amp;", "&") and "\\{c\\}$$" in html and "\\(x_y\\)" in html
    assert "S&lt;sub&gt;z" in html or "S<sub>z</sub>" in html


@pytest.mark.parametrize(
    "change, message",
    [
        (MINIMAL.replace('title = "C"\n', ""), "step 1: missing title"),
        (MINIMAL.replace('text = "D"', 'text = "D"\nsteed = 3'), "step 1: unknown steed; a step has title"),
        (MINIMAL.replace('preset = "heisenberg"', "size = 3"), "needs a preset"),
        (MINIMAL.replace('text = "D"', 'text = "D"\nview = "sound"'), "view must be one of"),
        (MINIMAL.replace('text = "D"', 'text = "D"\ntask = "E"'), "a check goes with one question or one task"),
        ('title = "A"\nsummary = "B"', "at least one"),
        ("title = ", "is not TOML"),
        (
            MINIMAL + '[step.question]\ntext="?"\nnear=1\n[step.check]\nmeasure="charge"\nsteps=1\nexact=1\nwrong={}',
            "wrong",
        ),
        (
            MINIMAL + '[step.question]\ntext="?"\n[step.check]\nmeasure="charge"\nsteps=1\nexact=1\nwrong={size=3}',
            "how near",
        ),
        (
            MINIMAL + '[step.question]\ntext="?"\nnear=1\n[step.check]\nmeasure="charge"\nsteps=1\nwrong={size=3}',
            "exact",
        ),
        (MINIMAL + "[step.knobs]\nvolume=[1.0,2.0]", "knob must be one of"),
        (MINIMAL + "[step.knobs]\nfield=[2.0,1.0]", "a range goes up"),
    ],
)
def test_a_lesson_that_cannot_be_is_refused(tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "01_bad.toml"
    path.write_text(change, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_lesson(path)


def test_a_minimal_lesson_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "01_small.toml"
    path.write_text(MINIMAL + "size = 5\n[[step]]\ntitle = 'C2'\ntext = 'D2'\nsetup = {seed = 2}", encoding="utf-8")
    lesson = load_lesson(path)
    assert isinstance(lesson, Lesson) and lesson.name == "01_small"
    assert lesson.steps[1].setup == {"preset": "heisenberg", "size": 5, "seed": 2}


def test_the_address_names_a_place() -> None:
    assert named_place({}, LESSONS) == (None, "")
    assert named_place({"lesson": [b"3"], "step": [b"2"]}, LESSONS) == (Place(2, 1), "")
    assert named_place({"lesson": "3"}, LESSONS) == (Place(2, 0), "")
    for query in (
        {"lesson": "99"},
        {"lesson": "-1"},
        {"lesson": "x"},
        {"lesson": ["²"]},
        {"step": "77"},
        {"lesson": []},
    ):
        place, words = named_place(query, LESSONS)
        assert place is not None and "does not exist" in words
        assert 0 <= place.lesson < 10 and 0 <= place.step < len(LESSONS[place.lesson].steps)
    assert Place(2, 1).query == {"lesson": 3, "step": 2}


def test_what_the_browser_kept_is_read_with_care() -> None:
    kept = Progress(Place(2, 1), frozenset({"01_precession/2"}))
    assert read_progress(kept.text(), LESSONS) == kept
    for text in (None, 7, "", "{", "[]", "[" * 9000, '{"lesson": 99, "step": 0}', '{"lesson": true, "step": 0}',
                 '{"done": "all"}', '{"done": [1, {}]}', '{"done": ["nonsense/1"]}'):  # fmt: skip
        assert read_progress(text, LESSONS) == Progress()
