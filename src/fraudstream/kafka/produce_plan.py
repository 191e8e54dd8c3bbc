"""What the producer is to send, and how: its source, its plan and its pace; `producer.py` does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fraudstream.errors import SettingsError
from fraudstream.transactions.wire import Topic


class Source(Protocol):
    """What is sent; `transactions.csv_source.CsvSource` is one."""

    @property
    def fingerprint(self) -> str:
        """Of the file's content."""

    def json_rows(self, start: int = 0) -> Iterator[bytes]:
        """The rows from a number on, each as one JSON object."""


@dataclass(frozen=True)
class ProducePlan:
    """How to send.

    Attributes:
        bootstrap_servers: Kafka's address.
        progress: The file that keeps the progress (see `progress_path`).
        interval: Seconds between two rows (see `interval_between_rows`); None sends as fast as Kafka takes it.
        limit: End after so many rows of the run, those of earlier sessions included.
        loop: Begin again at the file's end.
        resume: Go on with the run in the progress file, where there is one.
        topic: Where to.
        ready_file: Written when the first row is about to leave.
    """

    bootstrap_servers: str
    progress: Path
    interval: float | None = None
    limit: int | None = None
    loop: bool = False
    resume: bool = False
    topic: str = Topic.TRANSACTIONS.value
    ready_file: Path | None = None


def interval_between_rows(rate: float | None, delay: float | None) -> float | None:
    """The seconds between two rows for `--rate` (rows a second) or `--delay` (seconds); None for neither.

    Raises:
        SettingsError: Both are given.
    """
    if rate is not None and delay is not None:
        raise SettingsError("--rate and --delay exclude each other", remedy="give one of the two")
    return 1 / rate if rate else delay or None
