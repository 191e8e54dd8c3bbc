"""Reads what the archive and the daily profiles hold of an entity, for its page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from fraudstream.errors import DataError, ModelError
from fraudstream.history.spec import ProfileColumn
from fraudstream.messages.base import Object
from fraudstream.model.artifact import read_manifest
from fraudstream.model.deployment.current import read_model
from fraudstream.times import iso
from fraudstream.transactions.archive_files import ArchiveColumn, ArchiveFile
from fraudstream.transactions.entities import Entity
from fraudstream.transactions.files import readable

MOST_PAYMENTS: Final = 50
MOST_ROWS: Final = 2_000_000
"""Of the archive, the newest first, in which a page looks: less than a second."""


@dataclass(frozen=True)
class ArchivedPayment:
    """A payment as the archive has it: its event id, Kafka's timestamp, its entities' ids, the masked transaction."""

    event_id: str
    at: str
    entity_ids: dict[str, str]
    transaction: Object


@dataclass(frozen=True)
class Profile:
    """An entity's newest daily profile: its date, and the numbers by the names of the model's features."""

    date: str
    numbers: dict[str, float | None]


@dataclass(frozen=True)
class EntityPast:
    """The folders of the archive and of the profiles, and the path of the active model."""

    archive: Path
    profiles: Path
    model: Path

    def payments(self, entity: Entity) -> list[ArchivedPayment]:
        """Return the newest archived payments of an entity, the newest first, of the newest `MOST_ROWS` records.

        There are none of an entity whose value is a card number: the archive has its id instead.
        """
        rows = list[tuple[datetime, ArchivedPayment]]()
        left = MOST_ROWS
        for day in sorted(self.archive.glob("date=*"), reverse=True):
            files = [(file, path) for path in day.glob("*.parquet") if (file := ArchiveFile.parse(path)) is not None]
            for file, path in sorted(files, key=lambda each: each[0].last, reverse=True):
                if left > 0:
                    left -= file.last - file.first + 1
                    rows += _payments_in(path, entity)
            if left <= 0 or len(rows) >= MOST_PAYMENTS:
                break
        rows.sort(key=lambda each: each[0], reverse=True)
        return [payment for _, payment in rows[:MOST_PAYMENTS]]

    def profile(self, entity: Entity) -> Profile | None:
        """Return an entity's newest profile; None if the model reads none of it, or it had no payment by then."""
        try:
            history = read_model(self.model, read_manifest)[0].history
        except (ModelError, OSError):
            return None
        entities = [each for each in history.entities[1:] if each.column == entity.column] if history else []
        if history is None or not entities:
            return None
        tables = (self.profiles / history.profile_folder(entities[0])).glob("????-??-??.csv.gz")
        newest = max(tables, default=None, key=lambda path: path.name)
        if newest is None:
            return None
        types = dict.fromkeys(ProfileColumn.numbers(), pa.float64()) | {ProfileColumn.ID: pa.string()}
        parsing, conversion = csv.ParseOptions(newlines_in_values=True), csv.ConvertOptions(column_types=types)
        try:
            table = csv.read_csv(newest, parse_options=parsing, convert_options=conversion)
        except (pa.ArrowInvalid, OSError):  # damaged, or removed meanwhile; the detector counts it as missing too
            return None
        row = table.filter(pc.equal(table[ProfileColumn.ID], entity.value)).to_pylist()
        names = {each.column: each.name for each in history.profiles if each.kind == entities[0].kind}
        date = newest.name.partition(".")[0]
        return Profile(date, {names[name]: row[0][name] for name in names if name in row[0]}) if row else None


def _payments_in(path: Path, entity: Entity) -> list[tuple[datetime, ArchivedPayment]]:
    columns = [ArchiveColumn.TIMESTAMP, ArchiveColumn.EVENT_ID, ArchiveColumn.ENTITY_IDS, ArchiveColumn.TEXT]
    try:
        with readable(path):
            table = pq.read_table(path, columns=columns, partitioning=None)
    except DataError:  # removed meanwhile, as it is too old
        return []
    ids = pc.map_lookup(table[ArchiveColumn.ENTITY_IDS], pa.scalar(entity.column), "first")
    rows = table.filter(pc.fill_null(pc.equal(ids, entity.value), False)).select(columns).to_pylist()
    return [
        (at, ArchivedPayment(event_id, iso(at), dict(entity_ids), orjson.loads(text)))
        for at, event_id, entity_ids, text in (row.values() for row in rows)
        if text is not None
    ]
