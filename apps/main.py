"""Front door: `panel serve apps/` serves this script alone, at /apps, and it shows every page (?page=live)."""

from spinviz.index_page import index_page

index_page().servable()
