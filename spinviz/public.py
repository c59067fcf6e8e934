"""Run by a public server before it answers (`panel serve --setup`): what warm.py does, and the limit on open pages."""

import spinviz.warm  # noqa: F401
from spinviz.limits import install_admission

install_admission()
