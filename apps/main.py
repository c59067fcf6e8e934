"""Front door: the page that `panel serve apps/` serves at /apps."""

from spinviz.layout import live_page

live_page().servable()
