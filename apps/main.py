"""Front door: `panel serve apps/` serves this script alone, at /apps, and it shows every page (?page=live)."""

from spinviz.pages.index import index_page

index_page().servable()
