"""Numbers in the head line of the live page."""

from __future__ import annotations

import panel as pn

from engine.frame import Frame
from spinviz.running.status import Status
from spinviz.widgets.narrow import PHONE

STYLE = (
    ".numbers{display:flex;gap:22px;justify-content:flex-end;align-items:center;font-family:inherit;color:#fff}"
    ".cell{display:inline-flex;flex-direction:column;align-items:flex-end;min-width:84px;white-space:nowrap}"
    ".cell b{font-size:19px;line-height:1.15;font-variant-numeric:tabular-nums}.cell span{font-size:11px;opacity:.8}"
    ".value-state{font-size:13px;opacity:.85}"
    f"@media (max-width:{PHONE - 1}px){{.numbers{{gap:10px}}.cell{{min-width:0}}.cell span{{font-size:9px}}"
    ".cell-time,.cell-step,.value-state{display:none}}"
)


class Header:
    """Time, step, steps per second and charge, always in sight."""

    def __init__(self) -> None:
        self.panel = pn.pane.HTML(self._text(Status(), "–"), margin=0, sizing_mode="stretch_width", stylesheets=[STYLE])
        self._charge = "–"

    def show(self, status: Status, observed: Frame | None) -> None:
        """Numbers of this status and, where measured, this frame."""
        if observed is not None:
            charge = observed.observables.get("topological_charge")
            self._charge = (
                "–" if charge is None else f"{round(float(charge[0])):+d}".replace("-", "−").replace("+0", "0")
            )
        self.panel.object = self._text(status, self._charge)

    @staticmethod
    def _text(status: Status, charge: str) -> str:
        state = "preparing" if status.building else "running" if status.running else "paused"
        state = state if status.looking is None else "looking back"
        rate = status.steps_per_second if status.running else 0.0
        values = {
            "time": (f"{status.time:,.1f}", "time, ħ/t₁"),
            "step": (f"{status.step:,}", "step"),
            "rate": (f"{rate:.3g}", "steps per second"),
            "charge": (charge, "charge Q"),
        }
        cells = "".join(
            f'<span class="cell cell-{name}"><b class="value-{name}">{value}</b><span>{label}</span></span>'
            for name, (value, label) in values.items()
        )
        return f'<div class="numbers"><span class="value-state">{state}</span>{cells}</div>'
