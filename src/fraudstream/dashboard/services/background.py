"""Runs the work of a service in a background thread."""

import threading
from abc import ABC, abstractmethod


class BackgroundService(ABC):
    """Runs `_run` in a daemon thread from `start` to `close`; it has to return soon after `_ending` is set."""

    def __init__(self, name: str) -> None:
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread, if it was started."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()

    @abstractmethod
    def _run(self) -> None: ...
