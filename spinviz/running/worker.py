"""Worker: one thread with an inbox of actions; of several with one key only the latest is done."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

STOP_TIMEOUT = 30.0


class Worker(ABC):
    """A daemon thread that drains its inbox and then works, again and again, until it is stopped.

    What an action or the work raises goes to :meth:`_failed`. Call :meth:`_begin` when all is ready.
    """

    def __init__(self, name: str) -> None:
        self._wake = threading.Condition()
        self._inbox: dict[str, Callable[[], None]] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """True while the worker thread lives."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the worker and wait for it; the last step is finished first."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(STOP_TIMEOUT)

    def _begin(self) -> None:
        self._thread.start()

    def _put(self, key: str, action: Callable[[], None]) -> None:
        with self._wake:
            self._inbox.pop(key, None)  # the newer one also takes the later turn
            self._inbox[key] = action
            self._wake.notify()

    def _run(self) -> None:
        self._guarded(self._prepared)
        while not self._stopping:
            self._drain()
            rest = self._work()
            if rest > 0:
                with self._wake:
                    if not self._inbox and not self._stopping:
                        self._wake.wait(rest)
        self._guarded(self._ended)

    def _drain(self) -> None:
        while True:
            with self._wake:
                if not self._inbox or self._stopping:
                    return
                action = self._inbox.pop(next(iter(self._inbox)))
            self._guarded(action, pausing=False)

    def _guarded(self, action: Callable[[], None], pausing: bool = True) -> None:
        try:
            action()
        except Exception as error:  # every failure is shown to the reader of the page
            self._failed(error, pausing)

    @abstractmethod
    def _prepared(self) -> None:
        """Called once in the thread before all else."""

    @abstractmethod
    def _work(self) -> float:
        """Do one piece of work; how long (s) to wait for the inbox before the next one, 0 for not at all."""

    @abstractmethod
    def _ended(self) -> None:
        """Called once in the thread after all else."""

    @abstractmethod
    def _failed(self, error: Exception, pausing: bool) -> None:
        """An action failed, or (``pausing``) the work itself."""


def sentence(error: Exception) -> str:
    """The message of an error in one line; its type only where there is no text."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for this; choose a smaller size"
    return " ".join(str(error).split()) or type(error).__name__
