"""Stores the progress of a producer's run, and the rows that the broker refused permanently."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from fraudstream.errors import KafkaFailure, ProgressFailed, SettingsError
from fraudstream.runtime.files import replace_json, sole_use, tighten

_EVENT_ID: Final = re.compile(rb'"event_id":"([^"]*)"')
"""In a line of the spool; the quotation marks in its payload are escaped."""


@dataclass(frozen=True)
class RunProgress:
    """The progress of a run, which sends the rows of one file to one topic in one or more sessions.

    Attributes:
        run_id: Part of the event id of every row; a resumed run keeps it.
        settled: Rows, from the first one without a gap, that are acknowledged or refused permanently.
        pass_number: The pass over the file (`--loop`) of the next row, from 0.
        next_row: The number of the next row in the file, from 0: the one after the last settled row.
        sent: Rows enqueued in the client. Rows sent again after a kill count again, here and below.
        key: The column whose value is the key of each record; empty if the partitions take turns.
    """

    run_id: str
    fingerprint: str
    settled: int = 0
    pass_number: int = 0
    next_row: int = 0
    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    key: str = ""


def progress_path(directory: Path, topic: str, fingerprint: str) -> Path:
    """Return the progress file for sending a file to a topic, below the working directory."""
    return directory / ".produce" / f"{topic}-{fingerprint[:12]}.json"


@contextlib.contextmanager
def own_progress(path: Path) -> Iterator[None]:
    """Lock a progress file for a block; raises KafkaFailure if another producer holds the lock, or ProgressFailed."""
    lock = path.with_suffix(".lock")
    with _writing_progress(path):
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
        for file in (lock, path, spool_path(path)):
            tighten(file)
    what, remedy = "another producer is sending this file", "stop it, or let it finish"
    with sole_use(lock, KafkaFailure(what, where=str(path), remedy=remedy)):
        yield


def read_progress(path: Path, fingerprint: str) -> RunProgress | None:
    """Read a progress file; None if there is none, or it belongs to another CSV; SettingsError if it is invalid."""
    try:
        progress = RunProgress(**orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, orjson.JSONDecodeError) as e:
        raise SettingsError(
            "cannot read the progress of the producer",
            where=str(path),
            remedy="delete the file and start without --resume",
        ) from e
    return progress if progress.fingerprint == fingerprint else None


def write_progress(path: Path, progress: RunProgress) -> None:
    """Replace the file; raises ProgressFailed if it cannot be written."""
    with _writing_progress(path):
        replace_json(path, dataclasses.asdict(progress))


def _writing_progress(path: Path) -> contextlib.AbstractContextManager[None]:
    remedy = "free some disk space, or choose another --progress-file"
    return _writing(path, "cannot write the progress of the producer", remedy)


@contextlib.contextmanager
def _writing(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Convert an OSError of a `with` block to ProgressFailed."""
    try:
        yield
    except OSError as e:
        remedy = f"{remedy}; then continue with --resume"
        raise ProgressFailed(f"{what}: {e.strerror}", where=str(path), remedy=remedy) from e


def spool_path(progress: Path) -> Path:
    """Return the spool that belongs to a progress file."""
    return progress.with_suffix(".spool.jsonl")


class Spool:
    """An append-only file of refused rows in JSON Lines: `pass`, `row`, `event_id`, `reason`, `bytes`, `payload`.

    A row is written before the mark of the progress file moves past it, and only once: a resumed run recognises it by
    its `event_id`. A line that was cut off by a kill is removed when the file is opened; its row is sent again. The
    file is created with the first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._event_ids = set[bytes]()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def add(self, pass_number: int, row: int, event_id: str, reason: str, payload: bytes) -> None:
        """Append a row unless it is there; raises ProgressFailed if it cannot be written, and leaves no part of it."""
        line = {"pass": pass_number, "row": row, "event_id": event_id, "reason": reason, "bytes": len(payload)}
        with self._writing():
            file = self._open()
            if event_id.encode() in self._event_ids:
                return
            end = file.seek(0, os.SEEK_END)
            try:
                remaining = orjson.dumps(line | {"payload": payload.decode()}, option=orjson.OPT_APPEND_NEWLINE)
                while remaining:
                    # A nearly full disk writes a part without an error; the next write then fails.
                    remaining = remaining[file.write(remaining) :]
            except OSError:
                # A full disk may have written the beginning of the line.
                file.truncate(end)
                raise
        self._event_ids.add(event_id.encode())

    def sync(self) -> None:
        """Flush the file to disk; raises ProgressFailed if that fails."""
        if self._file is not None:
            with self._writing():
                os.fsync(self._file.fileno())

    def _open(self) -> BinaryIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what is written survives a kill of this process.
            self._file = self.path.open("a+b", buffering=0)
            self._event_ids = _recover(self._file)
        return self._file

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        remedy = "free some disk space, or make the file writable"
        return _writing(self.path, "cannot store a row that the broker refused", remedy)


def _recover(file: BinaryIO) -> set[bytes]:
    """Truncate the file after the last complete line; returns the event ids of its rows."""
    end, event_ids = 0, set[bytes]()
    with open(file.fileno(), "rb", closefd=False) as buffered:
        buffered.seek(0)
        for line in buffered:
            if line.endswith(b"\n"):
                end += len(line)
                event_ids.update(_EVENT_ID.findall(line))
    file.truncate(end)
    return event_ids
