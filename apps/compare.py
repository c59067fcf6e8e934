"""Two runs side by side, locked in time: `panel serve apps/compare.py`."""

from spinviz.pages.compare import compare_page

compare_page().servable()
