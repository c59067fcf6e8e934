"""Pages on projectors, tablets and phones: controls put away at first, pictures below one another."""

from __future__ import annotations

from typing import Any

import panel as pn

from spinviz.components.bridge import Bridge

NARROW = 1000  # pixels, below which controls and pictures do not fit beside one another
CROWDED = 1100  # below which a title beside buttons would break into many lines
PHONE = 700  # below which pictures do not


def below(width: int, *rules: str) -> str:
    """A style sheet for the outer box of a component that holds in windows narrower than ``width`` pixels."""
    return f"@media (max-width: {width - 1}px) {{ :host {{ {' '.join(f'{rule} !important;' for rule in rules)} }} }}"


# Style sheets for phones: parts that were beside one another, the main part among them, the column beside it
STACKED_RULES = ("flex-direction: column", "height: auto", "flex: none", "min-width: 0", "max-width: 100vw")
STACKED = below(PHONE, *STACKED_RULES)
MAIN = below(PHONE, "height: 720px", "flex: none")
SIDE = below(PHONE, "width: 100%", "min-width: 0", "height: 900px", "flex: none")
GROWN = below(PHONE, "height: auto")  # a page as high as its parts
WRAPPED = {f"@media (max-width: {PHONE - 1}px)": {"flexWrap": "wrap"}}  # for the ``sx`` of a row of buttons


def put_away(page: Any, bridge: Bridge) -> None:
    """Close the sidebar of a page that opens in a narrow window."""

    def fit(width: int) -> None:
        if width < NARROW:
            page.sidebar_open = False

    bridge.on_ready(fit)


def fitted(page: Any) -> Any:
    """The page, with its sidebar closed at first in a narrow window."""
    bridge = Bridge()
    put_away(page, bridge)
    place = pn.Column(width=0, height=0, margin=0)
    page.main = [*page.main, place]
    pn.state.onload(lambda: place.append(bridge))  # what it says before the server listens is lost
    return page
