"""How far a run of the producer has come, in a file that outlives a kill -9; `producer` fills it."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from fraudstream.errors import KafkaFailure, ProgressFailed, SettingsError
from fraudstream.kafka.spool import spool_path
from fraudstream.runtime.files import exclusive_lock, replace_json, tighten


@dataclass(frozen=True)
class RunProgress:
    """A run: the rows of one file sent to one topic, over as many sessions as it takes.

    Attributes:
        run_id: In the id of every row; a fresh run has a new one, a resumed run the old one.
        fingerprint: The file's.
        settled: Rows from the run's first on that are settled without a gap: acknowledged, or refused for good.
        pass_number: The pass over the file (`--loop`), from 0, of the row to be sent next.
        next_row: That row's number in the file, from 0: the row after the last settled one.
        sent: Rows given to Kafka's client. Rows sent again after a kill count again, here and below.
        acknowledged: Rows that Kafka acknowledged.
        failed: Rows that Kafka refused for good.
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

    Raises:
        KafkaFailure: Another producer works on it.
        ProgressFailed: The disk is full, or the file may not be written.
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

    Raises:
        SettingsError: The file is not what `write_progress` writes.
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
    """Replace the file.

    Raises:
        ProgressFailed: The disk is full, or the file may not be written.
    """
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
