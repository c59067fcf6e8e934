"""spinviz: live screens, movies and a command line for the engine of itinerant magnets."""

import os

# Waiting OpenMP threads sleep instead of spinning: with several sessions on few cores spinning costs factors of ten.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
