"""Electrons in a texture: `panel serve apps/electrons.py`."""

from spinviz.electrons_page import electrons_page

electrons_page().servable()
