"""Electrons in a texture: `panel serve apps/electrons.py`."""

from spinviz.pages.electrons import electrons_page

electrons_page().servable()
