"""Recorded runs, replayed and compared: `panel serve apps/gallery.py`."""

from spinviz.gallery_page import gallery_page

gallery_page().servable()
