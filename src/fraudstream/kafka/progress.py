"""What a run of the producer leaves on the disk: how far it has come, and the rows that the broker refused for good."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import orjson

from fraudstream.errors import KafkaFailure, ProgressFailed, SettingsError
from fraudstream.runtime.files import exclusive_lock, replace_json, tighten


@dataclass(frozen=True)
class RunProgress:
    """A run: the rows of one file sent to one topic, over as many sessions as it takes.

    Attributes:
        run_id: In the id of every row; a fresh run has a new one, a resumed run the old one.
        settled: Rows from the run's first on that are settled without a gap: acknowledged, or refused for good.
        pass_number: The pass over the file (`--loop`), from 0, of the row to be sent next.
        next_row: That row's number in the file, from 0: the row after the last settled one.
        sent: Rows given to Kafka's client. Rows sent again after a kill count again, here and below.
    """

    run_id: str
    fingerprint: str
    settled: int = 0
    pass_number: int = 0
    next_row: int = 0
    sent: int = 0
    acknowledged: int = 0
    failed: int = 0

    @classmethod
    def fresh(cls, fingerprint: str) -> RunProgress:
        """The beginning of a new run."""
        return cls(uuid.uuid4().hex, fingerprint)


def progress_path(directory: Path, topic: str, fingerprint: str) -> Path:
    """Where the progress of sending this file to this topic is kept, below the working directory."""
    return directory / ".produce" / f"{topic}-{fingerprint[:12]}.json"


@contextlib.contextmanager
def own_progress(path: Path) -> Iterator[None]:
    """Be the only producer on a progress file for the body.

    Raises KafkaFailure where another producer works on it, ProgressFailed where it cannot be written.
    """
    lock = path.with_suffix(".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
        for file in (lock, path, spool_path(path)):
            tighten(file)
    except OSError as e:
        raise _unwritable(e, path) from e
    with exclusive_lock(lock, wait=False) as ours:
        if not ours:
            raise KafkaFailure(
                "another producer is sending this file", where=str(path), remedy="stop it, or let it finish"
            )
        yield


def read_progress(path: Path, fingerprint: str) -> RunProgress | None:
    """The progress in a file; None where there is none, or where it is of another CSV.

    Raises SettingsError where the file is not what `write_progress` writes.
    """
    try:
        progress = RunProgress(**orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, orjson.JSONDecodeError) as e:
        raise SettingsError(
            "the producer's progress cannot be read",
            where=str(path),
            remedy="remove the file and start without --resume",
        ) from e
    return progress if progress.fingerprint == fingerprint else None


def write_progress(path: Path, progress: RunProgress) -> None:
    """Replace the file; raises ProgressFailed where it cannot be written."""
    try:
        replace_json(path, dataclasses.asdict(progress))
    except OSError as e:
        raise _unwritable(e, path) from e


def _unwritable(error: OSError, path: Path) -> ProgressFailed:
    return ProgressFailed(
        f"the producer's progress cannot be written: {error.strerror}",
        where=str(path),
        remedy="make room, or name another place with --progress-file; then go on with --resume",
    )


def spool_path(progress: Path) -> Path:
    """The spool that belongs to a progress file."""
    return progress.with_suffix(".spool.jsonl")


class Spool:
    """JSON Lines, only ever added to: `pass`, `row`, `event_id`, `reason`, `bytes`, `payload`.

    A row stands in it before the mark of the progress file moves past it, and once: what a resumed run meets again is
    known by its `event_id`. A line that a kill cut off is taken away when the file is opened; its row comes again.
    The file is made with its first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._kept: set[str] | None = None
        self._unsynced = False

    def __enter__(self) -> Self:
        """Nothing is opened yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def add(self, pass_number: int, row: int, event_id: str, reason: str, payload: bytes) -> None:
        """Keep a row, unless it is kept already; ProgressFailed where it cannot be written, not even in part."""
        try:
            file, kept = self._opened()
            if event_id in kept:
                return
            whole = file.seek(0, os.SEEK_END)
            try:
                left = memoryview(_line(pass_number, row, event_id, reason, payload))
                while left:
                    # A disk that is nearly full takes a part without an error, which the next attempt then meets.
                    left = left[file.write(left) :]
            except OSError:
                # A full disk takes the beginning of a line.
                file.truncate(whole)
                raise
        except OSError as e:
            raise _failed(e, self.path) from e
        kept.add(event_id)
        self._unsynced = True

    def sync(self) -> None:
        """Have what was added on the disk itself; raises ProgressFailed where the disk does not take it."""
        if self._file is None or not self._unsynced:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as e:
            raise _failed(e, self.path) from e
        self._unsynced = False

    def _opened(self) -> tuple[BinaryIO, set[str]]:
        if self._file is None or self._kept is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what is written outlives a kill of this process.
            self._file = self.path.open("a+b", buffering=0)
            self._kept = _mend(self._file)
        return self._file, self._kept


def _mend(file: BinaryIO) -> set[str]:
    """Take away what follows the last whole line; the ids of the rows that are kept."""
    whole, kept = 0, set()
    with open(file.fileno(), "rb", closefd=False) as buffered:
        buffered.seek(0)
        for line in buffered:
            if line.endswith(b"\n"):
                whole += len(line)
                kept.add(_event_id(line))
    file.truncate(whole)
    return kept


def _event_id(line: bytes) -> str:
    try:
        return str(orjson.loads(line)["event_id"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""


def _line(pass_number: int, row: int, event_id: str, reason: str, payload: bytes) -> bytes:
    line = {"pass": pass_number, "row": row, "event_id": event_id, "reason": reason, "bytes": len(payload)}
    return orjson.dumps(line | {"payload": payload.decode()}, option=orjson.OPT_APPEND_NEWLINE)


def _failed(error: OSError, path: Path) -> ProgressFailed:
    return ProgressFailed(
        f"a row that the broker refused cannot be kept: {error.strerror}",
        where=str(path),
        remedy="make room, or see that it may be written; then go on with --resume",
    )
