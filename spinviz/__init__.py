"""spinviz: live screens, movies and a command line for the engine of itinerant magnets. ``spinviz.show`` for notebooks."""

import os
from typing import Any

# Waiting OpenMP threads sleep instead of spinning: with several sessions on few cores spinning costs factors of ten.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def show(simulation: Any, running: bool = False, height: int = 520) -> Any:
    """A live view of a simulation for Jupyter, with play, pause, step and reset; see :mod:`spinviz.notebook`.

    ``running=True`` starts at once, ``height`` in pixels. Raises ValueError for anything but a Simulation.
    """
    from spinviz.notebook import show as shown  # here, so that the command line starts without the screen libraries

    return shown(simulation, running, height)
