"""Work of compiled loops, which let go of the interpreter's lock, shared among as many threads as torch has."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def shared(units: int, run: Callable[[int, int], None]) -> None:
    """run(first, last) over all units."""
    workers = min(torch.get_num_threads(), units)
    if workers <= 1:
        run(0, units)
        return
    edges = [units * k // workers for k in range(workers + 1)]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, edges[:-1], edges[1:]))
