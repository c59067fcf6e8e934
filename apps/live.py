"""Live magnets: `panel serve apps/live.py`."""

from spinviz.layout import live_page

live_page().servable()
