"""Pictures about learning, drawn as pixels: training curve, parity, histograms, errors by kind, receptive field."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.learning.evaluate import Comparison, angles

WIDTH, HEIGHT = 880, 560
LEFT, RIGHT, TOP, BOTTOM = 90, 24, 64, 60
COLOURS = ("#0b6e99", "#d1495b", "#3c8d2f", "#8d6a00", "#6a4c93", "#333333")
INK, FAINT, PAPER = "#222222", "#dddddd", "#ffffff"
BLOCKS = "▁▂▃▄▅▆▇█"
MOST_POINTS = 20000


@dataclass(frozen=True)
class Series:
    """Numbers to draw: as "line", "points", "markers" (large points), or "bars" (x: centres, all equally wide)."""

    label: str
    x: np.ndarray
    y: np.ndarray
    style: str = "line"


def draw(
    path: Path, title: str, axes: tuple[str, str], series: Sequence[Series], log: tuple[bool, bool] = (False, False)
) -> None:
    """One chart as PNG; numbers that are not finite, or not positive on a logarithmic axis, are left out."""
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(16)
    kept = [_finite(s, log) for s in series]
    x, place_x = _axis(np.concatenate([s.x for s in kept]), log[0], LEFT, WIDTH - RIGHT)
    heights = [s.y for s in kept] + [np.zeros(1) for s in kept if s.style == "bars" and not log[1]]
    y, place_y = _axis(np.concatenate(heights), log[1], HEIGHT - BOTTOM, TOP)
    for tick in x:
        at = float(place_x(np.array(tick)))
        pen.line([(at, TOP), (at, HEIGHT - BOTTOM)], FAINT)
        pen.text((at, HEIGHT - BOTTOM + 6), f"{tick:.4g}", INK, font, anchor="ma")
    for tick in y:
        at = float(place_y(np.array(tick)))
        pen.line([(LEFT, at), (WIDTH - RIGHT, at)], FAINT)
        pen.text((LEFT - 8, at), f"{tick:.3g}", INK, font, anchor="rm")
    pen.rectangle([LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM], outline=INK)
    for s, colour in zip(kept, COLOURS * len(kept), strict=False):
        _draw_series(pen, s, colour, place_x, place_y)
    pen.text((8, 8), title, INK, ImageFont.load_default(20))
    pen.text(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 28), axes[0], INK, font, anchor="ma")
    pen.text((8, 40), axes[1], INK, font)
    for number, (s, colour) in enumerate(zip(kept, COLOURS * len(kept), strict=False)):
        if s.style == "markers" and len(s.x) == 1:  # one mark has its name beside it
            x_mark, y_mark = float(place_x(s.x)[0]), float(place_y(s.y)[0])
            left = x_mark > (LEFT + WIDTH - RIGHT) / 2
            pen.text((x_mark + (-14 if left else 14), y_mark), s.label, colour, font, anchor="rm" if left else "lm")
        else:
            pen.text((WIDTH - RIGHT - 10, TOP + 8 + 20 * number), s.label, colour, font, anchor="ra")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def training_curve(path: Path, history: Sequence[Sequence[float]]) -> None:
    """[step, loss, validation error] so far."""
    table = np.array(history, dtype=float).reshape(-1, 3)
    series = [Series("loss", table[:, 0], table[:, 1]), Series("validation error", table[:, 0], table[:, 2])]
    draw(path, "Training", ("step", "loss, error"), series, log=(False, True))


def evaluation_plots(folder: Path, comparisons: Sequence[Comparison], report: dict) -> list[Path]:
    """All pictures of an evaluation; returns their paths."""
    exact = np.concatenate([c.exact.reshape(-1, 3) for c in comparisons]).astype(float)
    learned = np.concatenate([c.learned.reshape(-1, 3) for c in comparisons]).astype(float)
    rms = math.sqrt((exact**2).sum(-1).mean())
    paths = {name: folder / f"{name}.png" for name in ("parity", "angle", "magnitude", "kinds", "receptive_field")}
    flat = np.linspace(0, exact.size - 1, min(exact.size, MOST_POINTS)).astype(int)
    points = Series("sites", exact.ravel()[flat] / rms, learned.ravel()[flat] / rms, "points")
    diagonal = np.array([points.x.min(), points.x.max()])
    draw(paths["parity"], f"Transverse field, epsilon = {report['all']['epsilon']:.3f}",
         ("exact component / rms", "learned component / rms"), [points, Series("exact", diagonal, diagonal)])  # fmt: skip
    _histogram(paths["angle"], "Angle between learned and exact torque", "degrees", angles(exact, learned, rms))
    size = (np.linalg.norm(learned, axis=1) - np.linalg.norm(exact, axis=1)) / rms
    _histogram(paths["magnitude"], "Magnitude, learned - exact", "in rms of the exact field", size)
    kinds = report["by_kind"]
    bars = [
        Series(f"{i}: {k}", np.array([float(i)]), np.array([kinds[k]["epsilon"]]), "bars") for i, k in enumerate(kinds)
    ]
    draw(paths["kinds"], "Error by kind", ("kind", "epsilon"), bars)
    field = report["receptive_field"]
    line = Series("one flipped spin", np.array(field["distance"]), np.array(field["response"]))
    draw(paths["receptive_field"], "Receptive field", ("distance", "rms change of the field"), [line], (False, True))
    return list(paths.values())


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """The last numbers as a line of text, logarithmic: ▇▅▃▂▁."""
    shown = [math.log(value) for value in values if value > 0 and math.isfinite(value)]
    if not shown:
        return ""
    picked = [shown[round(i)] for i in np.linspace(0, len(shown) - 1, min(width, len(shown)))]
    low, high = min(picked), max(picked)
    steps = [(value - low) / (high - low) if high > low else 0.0 for value in picked]
    return "".join(BLOCKS[min(len(BLOCKS) - 1, int(step * len(BLOCKS)))] for step in steps)


def _histogram(path: Path, title: str, label: str, values: np.ndarray) -> None:
    count, edges = np.histogram(values, bins=60, range=tuple(np.percentile(values, [0.1, 99.9])))
    draw(path, title, (label, "share"), [Series("sites", (edges[1:] + edges[:-1]) / 2, count / len(values), "bars")])


def _finite(series: Series, log: tuple[bool, bool]) -> Series:
    good = np.isfinite(series.x) & np.isfinite(series.y)
    good &= ((series.x > 0) | (not log[0])) & ((series.y > 0) | (not log[1]))
    return Series(series.label, series.x[good], series.y[good], series.style)


def _axis(
    values: np.ndarray, log: bool, start: float, end: float
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Ticks, and the function from numbers to pixels."""
    shown = np.log10(values) if log else values
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)
    margin = 0.04 * (high - low) or 0.5
    low, high = low - margin, high + margin

    def place(numbers: np.ndarray) -> np.ndarray:
        at = np.log10(numbers) if log else numbers
        return start + (end - start) * (at - low) / (high - low)

    if log:
        whole = np.arange(math.floor(low), math.ceil(high) + 1)
        ticks = np.concatenate([factor * 10.0**whole for factor in ((1,) if high - low > 2 else (1, 2, 5))])
    else:
        raw = (high - low) / 6
        step = min((m * 10.0 ** math.floor(math.log10(raw)) for m in (1, 2, 5, 10)), key=lambda s: abs(s - raw))
        ticks = np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step
        return ticks, place
    return ticks[(np.log10(ticks) >= low) & (np.log10(ticks) <= high)], place


def _draw_series(pen: ImageDraw.ImageDraw, series: Series, colour: str, place_x: Callable, place_y: Callable) -> None:
    across, up = place_x(series.x), place_y(series.y)
    if series.style == "line":
        pen.line([(float(a), float(b)) for a, b in zip(across, up, strict=True)], colour, 2)
    elif series.style == "points":
        for a, b in zip(across, up, strict=True):
            pen.point((float(a), float(b)), colour)
    elif series.style == "markers":
        for a, b in zip(across, up, strict=True):
            pen.ellipse([float(a) - 7, float(b) - 7, float(a) + 7, float(b) + 7], fill=colour)
    else:
        half = 0.45 * float(np.diff(across).min()) if len(across) > 1 else 30.0
        floor = float(place_y(np.array(0.0)))
        for a, b in zip(across, up, strict=True):
            pen.rectangle([float(a) - half, min(float(b), floor), float(a) + half, floor], fill=colour)
