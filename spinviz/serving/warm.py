"""Run by the server before it answers (`panel serve --setup`): what every page needs, so that the first opens fast."""

import engine
import spinviz.layout  # noqa: F401
from engine.learning.weights import shipped

if "skyrmion/fast" in shipped():  # its loops are compiled at the first call
    first = engine.preset("skyrmion", size=12, force="fast")
    first.force(first.state)
