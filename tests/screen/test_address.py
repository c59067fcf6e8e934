"""The address bar: what is written is read back exactly, what is wrong is said and left out."""

from __future__ import annotations

import random

import pytest

from engine import PRESETS, snapshot
from spinviz.controls import Controls
from spinviz.running.changes import built, value_at
from spinviz.serving.address import LONGEST, SMALLEST, VERSION, limits_of, of_simulation, parse_query, query


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_set_up_is_read_back_to_the_last_digit(preset: str) -> None:
    draw = random.Random(preset)
    for _ in range(20):
        settings = {
            "preset": preset, "size": draw.randint(10, 300), "force": draw.choice(["ed", "kpm", "classical"]),
            "texture": draw.choice(["random", "ferromagnet"]), "seed": draw.randint(0, 999_999),
            "field": tuple(draw.uniform(*limits_of(preset, f"field_{axis}")) for axis in "xyz"),
            **{name: draw.uniform(*limits_of(preset, name))
               for name in ("temperature", "electron_temperature", "damping", "time_step", "filling")},
            "speed": draw.choice([0, 3, 10, 30, 100]), "view": "domains", "theme": draw.choice(["light", "dark"]),
        }  # fmt: skip
        assert parse_query(query(settings)) == (settings, [])


def test_a_link_makes_the_same_run() -> None:
    controls = Controls()
    controls.choose("heisenberg")
    controls.param.update(size=12, seed=7, temperature=1 / 3, field_z=0.1 + 0.2, damping=0.07)
    settings, warnings = parse_query(query({**controls.settings(), "speed": 30}))
    assert not warnings
    here, there = built(controls.settings()), built(of_simulation(settings))
    assert value_at(there, "force.zeeman.model.field") == (0.0, 0.0, 0.1 + 0.2)
    for _ in range(3):
        assert (snapshot(here).spin == snapshot(there).spin).all()
        here, there = here.advance(2), there.advance(2)


def test_an_empty_address_is_the_default_preset() -> None:
    assert parse_query({}) == ({"preset": "skyrmion"}, [])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("preset", "unicorn"), ("size", "12.5"), ("size", "big"), ("size", "²"), ("size", ""), ("seed", "1e3"),
        ("seed", "9" * 40), ("force", "/etc/passwd"), ("force", "../x.safetensors"), ("texture", "knot"),
        ("temperature", "nan"), ("temperature", "inf"), ("damping", "0,1"), ("field", "1,2"), ("field", "a,b,c"),
        ("speed", "7"), ("view", "moon"), ("theme", "pink"), ("colour", "red"),
        ("temperature", "__import__('os')"), ("v", "9"),
    ],
)  # fmt: skip
def test_wrong_values_are_left_out_with_a_sentence(name: str, text: str) -> None:
    settings, warnings = parse_query({"seed": "5", name: text} if name != "seed" else {name: text})
    assert name not in settings or settings[name] == "skyrmion"
    assert len(warnings) == 1 and warnings[0].endswith(".") and (name in warnings[0] or name == "v")
    assert name == "seed" or settings["seed"] == 5, "one wrong value must not take the others along"


def test_values_outside_the_range_are_cut() -> None:
    settings, warnings = parse_query({"size": "99999", "seed": "-3", "damping": "2", "field": "0,0,-50"})
    assert settings["size"] == 512 and settings["seed"] == 0 and settings["damping"] == 1.0
    assert settings["field"] == (0.0, 0.0, -1.0)
    assert len(warnings) == 4 and all("is used" in warning for warning in warnings)
    assert parse_query({"size": "1"})[0]["size"] == SMALLEST
    assert parse_query({"preset": "spin_glass", "size": "1000"})[0]["size"] == 300


def test_what_a_preset_does_not_have_is_left_out() -> None:
    settings, warnings = parse_query({"preset": "spin_glass", "texture": "skyrmion_crystal"})
    assert "texture" not in settings and len(warnings) == 1
    both, warnings = parse_query({"filling": "0.3", "chemical_potential": "-3"})
    assert "chemical_potential" not in both and both["filling"] == 0.3 and len(warnings) == 1


def test_lists_bytes_and_long_nonsense_do_no_harm() -> None:
    settings, _ = parse_query({"seed": [b"4", b"5"], "v": [str(VERSION)]})
    assert settings["seed"] == 4
    _, (warning,) = parse_query({"texture": "x" * 10_000})
    assert len(warning) < 800 and "x" * (LONGEST + 1) not in warning


def test_unknown_settings_have_no_address() -> None:
    with pytest.raises(ValueError, match="colour"):
        query({"preset": "skyrmion", "colour": "red"})
