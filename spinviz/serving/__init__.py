"""How pages are served: addresses, uploads, limits, tabs that come and go, processors that are shared."""
