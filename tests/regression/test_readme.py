"""The README's example and command lines run as printed (on smaller lattices), and its pictures exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from spinviz.cli import build_parser, main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(compile(example, "README.md", "exec"), {})
    assert "energy per site -0.2" in capsys.readouterr().out


def commands() -> list[list[str]]:
    """Arguments of every line ``    spinviz ...`` of the README."""
    lines = re.findall(r"^    spinviz (.*)$", README, re.M)
    return [shlex.split(line, comments=True) for line in lines]


def test_every_command_line_is_understood() -> None:
    assert len(commands()) > 10
    for arguments in commands():
        build_parser().parse_args(arguments)


def test_the_first_command_lines_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run, movie, export, resume: each needs a file of the one before."""
    monkeypatch.chdir(tmp_path)
    for arguments in commands()[:4]:
        small = {"--size": "6", "--steps": "2"}
        shorter = [small.get(before, word) for before, word in zip(["", *arguments], arguments, strict=False)]
        assert main(shorter) == 0, arguments
    assert {"run.h5", "run.mp4", "all.webm", "last.ovf", "run.ckpt"} <= {path.name for path in tmp_path.iterdir()}


def test_the_pictures_exist() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).read_bytes().startswith(b"\x89PNG")
