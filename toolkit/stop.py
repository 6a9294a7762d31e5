"""Tells a scan that runs in another thread to end; standard library only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from toolkit.errors import InterruptedScanError


class Stop:
    """Whether the user has asked for the end, and who wants to be told at once."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._waiting: list[Callable[[], None]] = []

    @property
    def asked(self) -> bool:
        """Whether the end was asked for."""
        return self._event.is_set()

    def ask(self) -> None:
        """Ask for the end: what waits is woken, and each callback is called once."""
        with self._lock:  # held meanwhile: who waits may close what a callback uses once `calling` is left
            self._event.set()
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                call()

    def check(self) -> None:
        """Raise InterruptedScanError when the end was asked for."""
        if self.asked:
            raise InterruptedScanError("the scan was interrupted")

    def pause(self, seconds: float) -> None:
        """Wait; raise InterruptedScanError as soon as the end is asked for."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def calling(self, call: Callable[[], None]) -> Iterator[None]:
        """Have `call` called, from the asking thread, when the end is asked for meanwhile."""
        with self._lock:
            self.check()
            self._waiting.append(call)
        try:
            yield
        finally:
            with self._lock:
                if call in self._waiting:
                    self._waiting.remove(call)
