"""What a reproduced figure is, and how it is written: PNG, SVG and JSON beside one another.

Below the panels of every figure stand the paper's numbers next to ours +- one standard error. Where the statistics are
too thin, the sentence that says so stands in place of a number.
"""

from __future__ import annotations

import io
import json
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from engine.files import write_whole
from spinviz.reproduce.settings import Settings
from spinviz.reproduce.work import Work
from spinviz.theme import LINES, PAGE

COLOURS = (*LINES["light"], "#5b6472", "#7a3fb0", "#0e7490", "#111827")
PANEL_INCHES = (3.7, 2.9)
LINE_INCHES, LETTERS_PER_INCH = 0.19, 14.5
DOTS_PER_INCH = 100
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],  # ships with matplotlib and has ₁ ∝ ⟨ ⟩
    "font.size": 9, "axes.titlesize": 9.5, "axes.labelsize": 9, "legend.fontsize": 7.5, "legend.frameon": False,
    "axes.edgecolor": "#5a6275", "axes.spines.top": False, "axes.spines.right": False, "text.color": PAGE["light"]["text"],
    "svg.fonttype": "path", "svg.hashsalt": "spinviz", "lines.linewidth": 1.4, "lines.markersize": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """A number of the paper beside ours. ``ours`` None: ``remark`` says why there is none."""

    quantity: str
    paper: str
    ours: float | None
    error: float | None = None
    remark: str = ""

    @property
    def text(self) -> str:
        """One line: "critical field: paper 0.00325, here 0.0031 ± 0.0002"."""
        if self.ours is None:
            return f"{self.quantity}: paper {self.paper}, here none: {self.remark}"
        remark = f" ({self.remark})" if self.remark else ""
        return f"{self.quantity}: paper {self.paper}, here {with_error(self.ours, self.error)}{remark}"


@dataclass(frozen=True)
class Made:
    """A computed figure: the drawn ``sheet``, numbers (JSON-ready or arrays), comparisons, settings, remarks."""

    sheet: Sheet
    numbers: Mapping[str, Any]
    compared: Sequence[Compared]
    settings: Mapping[str, Any]
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Figure:
    """An entry of the registry. ``make(settings, work)`` computes and draws, with the settings ``small``, in minutes on two
    cores, or ``large``, as the papers'; ``weights``: networks it needs, ``optional``: it shows if they are there (another
    one may be named by the setting "network"); ``full``: what is large, in words."""

    name: str
    title: str
    paper: str
    shows: str
    make: Callable[[Settings, Work], Made]
    small: Settings
    large: Settings
    weights: tuple[str, ...] = ()
    full: str = field(default="")
    optional: tuple[str, ...] = ()


def panels(rows: int, columns: int, **options: Any) -> tuple[Sheet, Any]:
    """A sheet with rows x columns axes, as an array (rows, columns)."""
    width, height = PANEL_INCHES
    width = width if columns > 2 else 1.3 * width
    sheet = Sheet(figsize=(width * columns, height * rows), dpi=DOTS_PER_INCH)
    FigureCanvasAgg(sheet)
    return sheet, sheet.subplots(rows, columns, squeeze=False, **options)


def write(folder: Path, name: str, title: str, made: Made, facts: Mapping[str, Any]) -> list[Path]:
    """NAME.png, NAME.svg and NAME.json in ``folder``; each appears complete or not at all."""
    _captioned(made.sheet, title, [c.text for c in made.compared] + list(made.remarks))
    record = {
        "figure": name, "title": title, **facts, "settings": plain(made.settings),
        "compared": [plain(asdict(c)) for c in made.compared], "remarks": list(made.remarks), "numbers": plain(made.numbers),
    }  # fmt: skip
    text = json.dumps(record, indent=1, allow_nan=False)
    written = []
    with matplotlib.rc_context(STYLE):
        for ending in ("png", "svg"):
            buffer = io.BytesIO()
            made.sheet.savefig(buffer, format=ending, metadata={"Date": None} if ending == "svg" else None)
            written.append(folder / f"{name}.{ending}")
            write_whole(written[-1], _small_png(buffer) if ending == "png" else buffer.getvalue(), 0o644)
    written.append(folder / f"{name}.json")
    write_whole(written[-1], (text + "\n").encode(), 0o644)
    return written


def _small_png(picture: io.BytesIO) -> bytes:
    """The PNG with a palette of 256 colours: a third of the size."""
    small = io.BytesIO()
    Image.open(picture).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()


def _captioned(sheet: Sheet, title: str, sentences: Sequence[str]) -> None:
    """Title above, sentences below the panels; the sheet grows by what they need."""
    width, height = sheet.get_size_inches()
    lines = [
        part for one in sentences for part in textwrap.wrap(one, int(LETTERS_PER_INCH * width), subsequent_indent="   ")
    ]
    below, above = LINE_INCHES * (len(lines) + 0.5), 0.3
    whole = height + below + above
    sheet.set_size_inches(width, whole)
    sheet.set_layout_engine(ConstrainedLayoutEngine(rect=(0, below / whole, 1, height / whole)))
    sheet.text(0.01, 1 - 0.5 * above / whole, title, fontsize=11, fontweight="bold", va="center")
    for number, line in enumerate(lines):
        sheet.text(0.01, (len(lines) - number - 0.4) * LINE_INCHES / whole, line, fontsize=8.2, va="center")


def with_error(value: float, error: float | None) -> str:
    """ "0.0031 ± 0.0002": as many digits as the error has two of."""
    if error is None or not math.isfinite(error):
        return f"{value:.4g}"
    if error < 1e-9 * abs(value):
        return f"{value:.6g} (no scatter)"
    if error < 1e-5 * abs(value):
        return f"{value:.6g} ± {error:.0e}"
    digits = 1 - math.floor(math.log10(error))
    if -3 <= math.floor(math.log10(max(abs(value), error))) < 5 and digits <= 7:
        return f"{value:.{max(0, digits)}f} ± {error:.{max(0, digits)}f}"
    power = math.floor(math.log10(max(abs(value), error)))
    scale = 10.0**power
    return f"({value / scale:.{max(0, digits + power)}f} ± {error / scale:.{max(0, digits + power)}f})e{power:+d}"


def plain(value: Any) -> Any:
    """JSON-ready: arrays as lists, numbers rounded to 6 digits, None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_) or value is None or isinstance(value, str):
        return bool(value) if isinstance(value, np.bool_) else value
    if isinstance(value, int | np.integer):
        return int(value)
    number = float(value)
    return float(f"{number:.6g}") if math.isfinite(number) else None
