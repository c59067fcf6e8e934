"""A sentence for the reader of a page.

Plain HTML of Bokeh, not a component of Panel's Material UI: those lose what changes while they are being mounted, and a
refusal that nobody sees is worse than none.
"""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn

STYLES = {
    "background": "#fdecea", "color": "#611a15", "border-left": "4px solid #d32f2f", "border-radius": "4px",
    "padding": "6px 12px", "font-size": "14px", "overflow-wrap": "anywhere",
}  # fmt: skip


class Message(pn.pane.HTML):
    """An error in words, read out by screen readers; hidden while there is none."""

    def __init__(self, **params: Any) -> None:
        self._sentence = ""
        super().__init__(
            "", visible=False, sizing_mode="stretch_width", margin=(2, 4), css_classes=["spinviz-message"],
            styles=STYLES, **params,
        )  # fmt: skip

    @property
    def sentence(self) -> str:
        """What is said now."""
        return self._sentence

    def say(self, sentence: str) -> None:
        """Show a sentence; "" takes it away."""
        if sentence != self._sentence:
            self._sentence = sentence
            self.object, self.visible = f'<div role="alert">{escape(sentence, quote=False)}</div>', bool(sentence)
