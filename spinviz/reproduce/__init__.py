"""The papers' figures, made by this software with error bars: ``spinviz reproduce NAME``.

One file per figure; each has a ``FIGURE``: what it shows, from which paper, which trained networks it needs, and a
function that computes and draws it. ``FIGURES`` is the registry, ``reproduce`` makes and writes one.
"""

from spinviz.reproduce.figure import Compared, Figure, Made
from spinviz.reproduce.registry import FIGURES, missing_weights, reproduce

__all__ = ["FIGURES", "Compared", "Figure", "Made", "missing_weights", "reproduce"]
