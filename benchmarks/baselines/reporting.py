"""How a baseline reports its progress: lines of JSON on its standard output; read by `measuring.py`.

Imported by baselines in their own environments, so it needs nothing but Python.
"""

from __future__ import annotations

import json
import sys
import threading
import time

EVERY_SECONDS = 0.25


class Progress:
    """Counts scored rows; a thread writes the count four times a second, with the time at which it was so."""

    def __init__(self) -> None:
        self._rows = 0
        self._state = (0.0, 0)
        threading.Thread(target=self._tell, daemon=True).start()

    def scored(self, rows: int) -> None:
        """Add rows that were scored and whose outcomes were handed over."""
        self._rows += rows
        self._state = (time.time(), self._rows)

    def _tell(self) -> None:
        last_rows = 0
        while True:
            time.sleep(EVERY_SECONDS)
            at, rows = self._state
            if rows > last_rows:
                tell(at, rows)
                last_rows = rows


def tell(at: float, rows: int) -> None:
    """Write one line: so many rows were scored at that time."""
    sys.stdout.write(json.dumps({"at": at, "rows": rows}) + "\n")
    sys.stdout.flush()
