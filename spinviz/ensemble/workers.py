"""Who moves the blocks: this process, processes of this machine, or the workers of a Dask scheduler.

Dask gives the blocks of a lost worker to another one. Workers of this machine have one thread each; with a GPU each sees
one device (CUDA_VISIBLE_DEVICES), as workers of a real cluster should: CUDA_VISIBLE_DEVICES=0 dask worker ADDRESS
--nthreads 1. Results are pickled by Dask between processes of the same user; nothing that a user gives is unpickled.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from spinviz.ensemble.block import Moved, move_safely
from spinviz.ensemble.plan import Block

CONNECT_SECONDS = 5
PROTOCOLS = ("tcp://", "tls://", "ucx://", "ws://", "wss://")
LOST_WORKERS = 3  # so many may die over one block before it is given up

Result = tuple[Block, Moved | str]
Thing = TypeVar("Thing")
Made = TypeVar("Made")


def here(description: dict[str, Any], blocks: Sequence[Block]) -> Iterator[Result]:
    """One after the other in this process."""
    import torch

    threads = torch.get_num_threads()
    try:
        for block in blocks:
            yield block, move_safely(description, block)
    finally:
        torch.set_num_threads(threads)


@contextmanager
def local_cluster(workers: int, devices: Sequence[int] | None = None) -> Iterator[Any]:
    """``workers`` processes on this machine, reachable from it only. ``devices``: GPUs, worker i sees devices[i % n].

    Raises ValueError when they do not start.
    """
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
    options: list[dict[str, Any]] = [
        {"nthreads": 1, "host": "127.0.0.1", "memory_limit": 0, "dashboard": False, "silence_logs": 50}
        for _ in range(workers)
    ]
    if devices is not None:
        for number, option in enumerate(options):
            option["env"] = {"CUDA_VISIBLE_DEVICES": str(devices[number % len(devices)])}
    spec = {number: {"cls": Nanny, "options": option} for number, option in enumerate(options)}
    patient = {"distributed.scheduler.allowed-failures": LOST_WORKERS, "distributed.comm.timeouts.connect": 20}
    with dask.config.set(patient):
        try:
            with _uninterrupted():
                cluster = SpecCluster(workers=spec, scheduler=scheduler, asynchronous=False, silence_logs=50)
        except RuntimeError as error:
            raise ValueError(
                f"{workers} worker processes could not be started: {' '.join(str(error).split())} A script of your own "
                "must ask for them below `if __name__ == '__main__':`, because every worker reads it anew"
            ) from error
        with cluster:
            yield cluster


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes that are started meanwhile leave Ctrl-C, which a terminal sends to all of them, to this one."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change what signals do
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def connected(scheduler: str) -> Iterator[Any]:
    """A client of a scheduler. Raises ValueError when it cannot be reached or has no workers."""
    from distributed import Client

    if not scheduler.startswith(PROTOCOLS):
        raise ValueError(f"--scheduler must be an address such as tcp://host:8786, got {scheduler!r}")
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, ImportError) as error:
        raise ValueError(
            f"no scheduler answers at {scheduler!r} within {CONNECT_SECONDS} s ({type(error).__name__}); expected an "
            "address such as tcp://host:8786 of a running 'dask scheduler', or leave --scheduler out to use this machine"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except (TimeoutError, OSError) as error:
            raise ValueError(
                f"the scheduler at {scheduler} has no workers; start some with 'dask worker {scheduler} --nthreads 1' in "
                "an environment with this version of spinviz"
            ) from error
        yield client


def cluster_client(
    stack: ExitStack,
    workers: int,
    scheduler: str | None,
    devices: Sequence[int] | None,
    announce: Callable[[str], None],
) -> Any:
    """A client of that scheduler, or of ``workers`` processes of this machine, for the time of ``stack``; announces where
    Dask's dashboard is. Raises ValueError as :func:`connected` does."""
    if scheduler is None:
        scheduler = stack.enter_context(local_cluster(workers, devices)).scheduler_address
    client = stack.enter_context(connected(scheduler))
    announce(f"Dask dashboard: {client.dashboard_link}")
    return client


def spread(
    client: Any, work: Callable[[Thing], Made | str], things: Sequence[Thing]
) -> Iterator[tuple[Thing, Made | str]]:
    """Each thing and what ``work`` made of it, or what went wrong, as they are finished, by all workers of the client.
    What is still waiting is given up when this is closed."""
    from distributed import as_completed

    futures = {client.submit(work, thing, pure=False): thing for thing in things}
    try:
        for future in as_completed(list(futures), loop=client.loop):
            thing = futures.pop(future)
            try:
                yield thing, future.result()
            except Exception as error:  # Dask raises what it likes, KilledWorker among it
                if isinstance(error, GeneratorExit):
                    raise
                yield thing, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            future.release()
    finally:
        client.cancel(list(futures))
