"""Figures of the papers on the gallery page: every shipped one with its numbers; the run that belongs to it is replayed."""

import base64
import json
from html import escape
from pathlib import Path

import pytest

from spinviz.pages.figures_shown import RUNS, SHIPPED, FiguresOfThePapers, number, shown_figures
from spinviz.pages.gallery import GalleryPage
from spinviz.pages.recordings import offered


def test_shipped_figures_are_shown_with_their_numbers() -> None:
    figures = shown_figures()
    assert {path.stem for path in SHIPPED.glob("*.png")} == set(figures)
    for name, figure in figures.items():
        assert base64.b64encode(figure.picture.read_bytes()).decode() in figure.html
        assert f"spinviz reproduce {name}" in figure.html and "http" not in figure.html
        for row in figure.record["compared"]:
            assert escape(row["quantity"]) in figure.html and number(row["ours"], row["error"]) in figure.html
            assert row["ours"] is not None or row["remark"]


def test_runs_of_the_figures_are_shipped() -> None:
    assert set(RUNS.values()) <= set(offered(None))


@pytest.mark.parametrize(
    "value, error, text", [(0.8361, 0.0251, "0.8361 ± 0.025"), (57.8, None, "57.8"), (None, None, "none")]
)
def test_numbers(value: float | None, error: float | None, text: str) -> None:
    assert number(value, error) == text


def test_spoiled_files_are_left_out_and_text_is_escaped(tmp_path: Path) -> None:
    record = {"figure": "good", "title": "<b>A</b>", "command": "x", "version": "small", "seconds": 1.0, "machine": "m",
              "made": "d", "compared": [], "remarks": ["<script>"]}  # fmt: skip
    for name, text in (("good", json.dumps(record)), ("broken", "{"), ("other", json.dumps(record)), ("list", "[]")):
        (tmp_path / f"{name}.json").write_text(text)
        (tmp_path / f"{name}.png").write_bytes(b"\x89PNG")
    (tmp_path / "alone.json").write_text(json.dumps({**record, "figure": "alone"}))
    figures = shown_figures(tmp_path)
    assert list(figures) == ["good"]
    assert "<script>" not in figures["good"].html and "&lt;script&gt;" in figures["good"].html
    assert not FiguresOfThePapers([], print, {}).panel.visible


def test_button_replays_the_run_of_the_figure() -> None:
    page = GalleryPage()
    try:
        figures = page.figures
        figures.choice.value = "hall"
        assert figures.button.disabled and "spinviz reproduce hall" in figures.picture.object
        figures.choice.value = "skyrmion-quench"
        assert not figures.button.disabled
        page.choose("A", "chiral magnet")
        figures.button.param.trigger("clicks")
        shown = page.replays["A"].run
        assert shown is not None and shown.name == RUNS["skyrmion-quench"] and page.slider.value == 0
        page.stop()
    finally:
        page.close()
