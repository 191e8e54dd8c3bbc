"""The history of what was in force: one line a change, never rewritten; `current.py` writes it under its lock."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from fraudstream.runtime.files import read_regular

HISTORY_FILE: Final = "history.jsonl"
MOST_BYTES: Final = 256 * 1024 * 1024

State = Mapping[str, Any]
"""What is in force as it stands in `current`: the fields of `current.InForce`."""


@dataclass(frozen=True)
class Change:
    """One change of the deployment; `restores` is the revision that a rollback brings back.

    `before` is None where no model was active, or where it is not known.
    """

    when: str
    who: str
    why: str
    before: State | None
    after: State
    restores: int | None = None

    @property
    def revision(self) -> int:
        """The revision that the change made."""
        return int(self.after["revision"])


def change_between(before: State | None, after: State, restores: int | None = None) -> Change:
    """The change from one state to the next, which carries who made it, when and why."""
    return Change(after["when"], after["who"], after["why"], before, after, restores)


def append_changes(models_dir: Path, changes: Sequence[Change]) -> None:
    """Write changes behind those that are there, on the disk when this returns; under the lock of `current`.

    Raises OSError where the file cannot be written.
    """
    path = models_dir / HISTORY_FILE
    with path.open("ab") as file:
        # What a crash left of a line is ended, so that it does not spoil the next.
        if file.tell() and path.read_bytes()[-1:] != b"\n":
            file.write(b"\n")
        file.write(b"".join(orjson.dumps(asdict(each), option=orjson.OPT_APPEND_NEWLINE) for each in changes))
        file.flush()
        os.fsync(file.fileno())


def read_changes(models_dir: Path, in_force: State | None) -> list[Change]:
    """Every change that is known, oldest first: those that are written, and the present state where they lack it.

    Raises OSError where the file is there and cannot be read.
    """
    written = _written(models_dir)
    return written + missing_changes(written, in_force)


def missing_changes(written: Sequence[Change], in_force: State | None) -> list[Change]:
    """What is in force as a change, where the history does not end with it: a crash, or a time without a history."""
    if in_force is None or (written and written[-1].revision >= in_force["revision"]):
        return []
    return [change_between(written[-1].after if written else None, in_force)]


def _written(models_dir: Path) -> list[Change]:
    """A line that is no change (a crash cut it off) is passed over."""
    try:
        lines = read_regular(models_dir / HISTORY_FILE, MOST_BYTES).splitlines()
    except FileNotFoundError:
        return []
    return [change for change in map(_read, lines) if change is not None]


def _read(line: bytes) -> Change | None:
    try:
        change = Change(**orjson.loads(line))
        return change if change.revision and isinstance(change.after["model_id"], str) else None
    except (orjson.JSONDecodeError, TypeError, KeyError, ValueError):
        return None
