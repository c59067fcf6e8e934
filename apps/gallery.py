"""Recorded runs, replayed and compared: `panel serve apps/gallery.py`."""

from spinviz.pages.gallery import gallery_page

gallery_page().servable()
