"""The widget of one control, made from its parameter, and the headings between them."""

from __future__ import annotations

from typing import Any

import panel_material_ui as pmui

from spinviz.controls import CONTROLS, Controls

SLIM: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (2, 12)}
LABELLED = (7, 12, 2, 12)  # a field's label stands on its upper edge


def widget(controls: Controls, name: str) -> Any:
    """The widget of one control, named with its unit."""
    control, parameter = CONTROLS[name], controls.param[name]
    label = f"{control.label} ({control.unit})" if control.unit else control.label
    options = {"label": label, **SLIM, "description": parameter.doc}
    kinds = {
        "Selector": pmui.Select, "Boolean": pmui.Switch, "Integer": pmui.IntInput, "Number": pmui.FloatSlider,
    }  # fmt: skip
    kind = kinds[type(parameter).__name__]
    if kind is not pmui.FloatSlider:
        small = {} if kind is pmui.Switch else {"size": "small", "margin": LABELLED}
        return kind.from_param(parameter, **{**options, **small})
    return kind.from_param(parameter, format="0.0000" if control.unit == "t₁" else "0.000", **options)


def heading(text: str) -> Any:
    return pmui.Typography(text, variant="overline", margin=(6, 12, 0, 12))
