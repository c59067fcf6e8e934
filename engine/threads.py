"""Threads of the CPU: work of compiled loops, which let go of the interpreter's lock, shared among as many as torch has;
work that is quicker with one; and numbers too small to matter, which make a processor slow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


def shared(units: int, run: Callable[[int, int], None]) -> None:
    """run(first, last) over all units."""
    _spread(torch.get_num_threads(), units, run)


def shared_singly(units: int, run: Callable[[int, int], None]) -> None:
    """The same for work that calls torch, each worker with one thread of torch's: LAPACK on many small matrices hardly
    gets on with two (0.4 s became more than 30 s). Denormal numbers count as zero."""

    def quietly(first: int, last: int) -> None:
        torch.set_num_threads(1)  # of this thread; another simulation may just have set more for new ones
        with no_denormals():
            run(first, last)

    workers = torch.get_num_threads()
    with one_thread():  # new threads of Python begin with what is set now
        _spread(workers, units, quietly)


def _spread(workers: int, units: int, run: Callable[[int, int], None]) -> None:
    workers = min(workers, units)
    if workers <= 1:
        run(0, units)
        return
    edges = [units * k // workers for k in range(workers + 1)]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, edges[:-1], edges[1:]))


@contextmanager
def one_thread() -> Iterator[None]:
    """torch computes with one thread, and with as many as before afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def no_denormals() -> Iterator[None]:
    """Denormal numbers (below 1e-38 in single precision) are zero, in this thread. Products with them take ten times as
    long, and what decays exponentially is full of them."""
    tiny = torch.tensor([torch.finfo(torch.float32).tiny])
    kept = bool(tiny / 2 > 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(not kept)
