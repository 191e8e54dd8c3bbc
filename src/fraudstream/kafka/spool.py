"""The spool: rows that the broker refused for good, kept beside the progress file; `producer.py` sends all others."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson

from fraudstream.errors import ProgressFailed


def spool_path(progress: Path) -> Path:
    """The spool that belongs to a progress file."""
    return progress.with_suffix(".spool.jsonl")


class Spool:
    """JSON Lines, only ever added to: `pass`, `row`, `event_id`, `reason`, `bytes`, `payload`.

    A row stands in it before the mark of the progress file moves past it, and once: what a resumed run meets again is
    known by its `event_id`. A line that a kill cut off is taken away when the file is opened; its row comes again.
    The file is made with its first row.

    Args:
        path: See `spool_path`.
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
        """Keep a row, unless it is kept already.

        Raises:
            ProgressFailed: The file cannot be written; no part of the row is in it.
        """
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
        """Have what was added on the disk itself.

        Raises:
            ProgressFailed: The disk did not take it.
        """
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
    kept: dict[str, Any] = {
        "pass": pass_number,
        "row": row,
        "event_id": event_id,
        "reason": reason,
        "bytes": len(payload),
        "payload": payload.decode(),
    }
    return orjson.dumps(kept, option=orjson.OPT_APPEND_NEWLINE)


def _failed(error: OSError, path: Path) -> ProgressFailed:
    return ProgressFailed(
        f"a row that the broker refused cannot be kept: {error.strerror}",
        where=str(path),
        remedy="make room, or see that it may be written; then go on with --resume",
    )
