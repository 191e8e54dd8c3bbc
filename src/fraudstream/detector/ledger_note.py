"""How far the ledger is written: a note in the checkpoint, beside what it accounts for; `ledger.py` keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from pydantic import TypeAdapter, ValidationError

from fraudstream.detector.spark_log import Offsets
from fraudstream.model.current import InForce
from fraudstream.runtime.files import replace_json

FILE: Final = "ledger.json"


@dataclass(frozen=True)
class Note:
    """How far the ledger is written.

    Attributes:
        checkpoint_id: The query's id.
        batch: The last batch whose entries Kafka acknowledged.
        until: Where it ended.
        in_force: What the query that runs, or ran last, judges with.
    """

    checkpoint_id: str
    batch: int
    until: Offsets
    in_force: InForce


_ADAPTER: Final = TypeAdapter(Note)


def read_note(checkpoint: Path) -> Note | None:
    """The note; None where there is none or it is broken: the ledger itself tells the same, if more slowly."""
    try:
        return _ADAPTER.validate_json((checkpoint / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write_note(checkpoint: Path, note: Note) -> None:
    """Replace the note."""
    replace_json(checkpoint / FILE, orjson.loads(_ADAPTER.dump_json(note)))
