"""The papers' figures as this software made them: picture, command, numbers beside the paper's, and the recorded run.

Read from ``assets/figures``: NAME.png and NAME.json of ``spinviz reproduce NAME``. The picture goes to the browser inside
the page, as a data address; nothing is computed here. Plain HTML, because it must survive changes while it is mounted.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "figures"
RUNS = {  # figure -> shipped recording of the same system and protocol, on a lattice for the screen
    "skyrmion-quench": "skyrmion quench", "skyrmion-phases": "skyrmion quench field", "spin-glass": "spin glass",
    "tetrahedral-coarsening": "tetrahedral quench", "phase-separation": "double exchange",
}  # fmt: skip
TABLE = (
    "<style>.paper-figure table{border-collapse:collapse;font-size:13px;margin:8px 0}"
    ".paper-figure th,.paper-figure td{text-align:left;vertical-align:top;padding:2px 14px 2px 0}"
    ".paper-figure img{max-width:100%;height:auto;background:#fff;border-radius:6px}"
    ".paper-figure p{margin:4px 0;font-size:13px}</style>"
)


@dataclass(frozen=True)
class ShownFigure:
    """One figure: ``picture`` (its file) and the ``record`` that was written with it."""

    name: str
    picture: Path
    record: Mapping[str, Any]

    @property
    def html(self) -> str:
        """Picture, how it was made, table of numbers, remarks."""
        record = self.record
        title = escape(record["title"])
        image = base64.b64encode(self.picture.read_bytes()).decode()
        rows = "".join(_row(one) for one in record["compared"])
        remarks = "".join(f"<p>{escape(one)}</p>" for one in record["remarks"])
        return (
            f'{TABLE}<div class="paper-figure"><img src="data:image/png;base64,{image}" alt="{title}: the numbers are in '
            f'the table below"><p>Made by <code>{escape(record["command"])}</code>: {escape(record["version"])} version, '
            f"{record['seconds']:.0f} s on {escape(record['machine'])}, {escape(record['made'])}.</p><table><thead><tr>"
            f'<th scope="col">quantity</th><th scope="col">paper</th><th scope="col">here</th><th scope="col">remark</th>'
            f"</tr></thead><tbody>{rows}</tbody></table>{remarks}</div>"
        )


def _row(compared: Mapping[str, Any]) -> str:
    cells = (compared["quantity"], compared["paper"], number(compared["ours"], compared["error"]), compared["remark"])
    return "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"


def number(value: float | None, error: float | None) -> str:
    """ "0.836 ± 0.025"; "none" where there is no number: the remark then says why."""
    if value is None:
        return "none"
    return f"{value:.4g}" if error is None else f"{value:.4g} ± {error:.2g}"


def shown_figures(folder: Path = SHIPPED) -> dict[str, ShownFigure]:
    """Figures of a folder by name: those whose picture and numbers are both there and can be read."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        picture = path.with_suffix(".png")
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if picture.is_file() and isinstance(record, dict) and record.get("figure") == path.stem:
            found[path.stem] = ShownFigure(path.stem, picture, record)
    return found


class FiguresOfThePapers:
    """Select a figure, see it with its numbers; ``replay(run)`` is called by the button of a figure that has a run."""

    def __init__(
        self, runs: Collection[str], replay: Callable[[str], None], figures: Mapping[str, ShownFigure] | None = None
    ) -> None:
        self.figures = dict(shown_figures() if figures is None else figures)
        self._runs, self._replay = runs, replay
        self.picture = pn.pane.HTML("", sizing_mode="stretch_width", margin=(4, 12))
        options = {figure.record["title"]: name for name, figure in self.figures.items()}
        first = next(iter(self.figures), None)
        self.choice = pmui.Select(label="Figure of a paper", options=options, value=first, size="small",
                                  sizing_mode="stretch_width", max_width=620, margin=(6, 12))  # fmt: skip
        self.button = pmui.Button(label="Replay its recorded run", icon="replay", size="small", margin=(10, 8),
                                  disabled=self.run_of(first) is None)  # fmt: skip
        self.choice.param.watch(lambda event: self.show(event.new), "value")
        self.button.on_click(lambda event: self._replay_shown())
        heading = pn.pane.HTML('<h3 style="margin:10px 0 0">Figures of the papers, made here</h3>', margin=(0, 12))
        row = pn.Row(self.choice, self.button, sizing_mode="stretch_width")
        self.panel = pn.Column(heading, row, self.picture, sizing_mode="stretch_width", visible=bool(self.figures),
                               styles={"flex-shrink": "0"})  # fmt: skip
        if first is not None:
            self.show(first)

    def run_of(self, name: str | None) -> str | None:
        """The recorded run that belongs to a figure and is there, or None."""
        run = RUNS.get(name or "")
        return run if run in self._runs else None

    def show(self, name: str) -> None:
        """Another figure."""
        self.picture.object = self.figures[name].html
        self.button.disabled = self.run_of(name) is None

    def _replay_shown(self) -> None:
        run = self.run_of(self.choice.value)
        if run is not None:
            self._replay(run)
