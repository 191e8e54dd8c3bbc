"""How a peer tells how far it is: lines of JSON on its standard output; read by `measuring.py`.

Imported by peers in their own environments, so it needs nothing but Python.
"""

from __future__ import annotations

import json
import sys
import threading
import time

EVERY_SECONDS = 0.25


class Progress:
    """Counts rows that were judged; a thread tells the count four times a second, with the time at which it was so."""

    def __init__(self) -> None:
        self._rows = 0
        self._state = (0.0, 0)
        threading.Thread(target=self._tell, daemon=True).start()

    def judged(self, rows: int) -> None:
        """Rows more have been judged, and what they gave has been handed over."""
        self._rows += rows
        self._state = (time.time(), self._rows)

    def _tell(self) -> None:
        told = 0
        while True:
            time.sleep(EVERY_SECONDS)
            at, rows = self._state
            if rows > told:
                tell(at, rows)
                told = rows


def tell(at: float, rows: int) -> None:
    """Write one line: so many rows were judged at that time."""
    sys.stdout.write(json.dumps({"at": at, "rows": rows}) + "\n")
    sys.stdout.flush()
