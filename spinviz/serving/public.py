"""Run by a public server before it answers (`panel serve --setup`): what warm.py does, and the limit on open pages."""

import spinviz.serving.warm  # noqa: F401
from spinviz.serving.admission import install_admission

install_admission()
