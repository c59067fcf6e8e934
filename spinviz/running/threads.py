"""How many threads one step of a page may use."""

from __future__ import annotations

import os

import torch

THREADS_VARIABLE = "SPINVIZ_THREADS"


def limit_threads() -> None:
    """Threads of one step: SPINVIZ_THREADS, or half of the cores, so that pages stay quick. Per thread of Python."""
    wanted = os.environ.get(THREADS_VARIABLE, "")
    if wanted and not (wanted.isdigit() and int(wanted) > 0):
        raise ValueError(f"{THREADS_VARIABLE} must be a whole number of threads >= 1, got {wanted!r}")
    threads = int(wanted) if wanted else max(1, (os.cpu_count() or 2) // 2)
    torch.set_num_threads(threads)
