"""Run by the server before it answers (`panel serve --setup`): what every page imports, so that the first opens fast."""

import spinviz.layout  # noqa: F401
