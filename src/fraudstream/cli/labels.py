"""The commands `labels import` and `labels export`: what became known of transactions, from and to files."""

from __future__ import annotations

import csv
import getpass
from collections import Counter
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fraudstream.cli import options
from fraudstream.cli.options import setting
from fraudstream.config import Settings
from fraudstream.errors import DataError, LabelError, SettingsError
from fraudstream.messages.base import instant

if TYPE_CHECKING:
    from fraudstream.messages.labels import NewLabel
    from fraudstream.transactions.data_source import DataSource

LISTED_ROWS: Final = 20
_file = click.argument("file", type=options.PATH)


@click.group()
def labels() -> None:
    """Import chargebacks and other labels of transactions, or export all labels for training."""


@labels.command("import")
@_file
@click.option("--source", type=click.Choice(("chargeback", "file")), default="file", show_default=True,
              help="Where the labels come from, unless the file has a column source.")  # fmt: skip
@click.option("--key", default="event_id", show_default=True, help="The column with the event ids.")
@click.option("--who", help="Your name.  [the user of this machine]")
@setting("database")
def import_labels(file: Path, source: str, key: str, who: str | None, **flags: object) -> None:
    """Import the labels in FILE: all of its rows, or none if one cannot be read.

    Columns: the event ids; the label (fraud or legitimate; without such a column all are frauds); if they are there,
    known_at or date (when it became known; now by default), source, and event_at (the time of the transaction).
    """
    from fraudstream.store.changes import Actor
    from fraudstream.store.database import read_store
    from fraudstream.store.labels import add_labels
    from fraudstream.store.store import AlertStore
    from fraudstream.transactions.reading_options import AS_RECOGNISED

    settings, data = Settings.load(**flags), options.open_payments((file,), AS_RECOGNISED)
    new = _read(data, key, source)
    with read_store(settings.database):
        pass  # fails if there is none, so that a misspelled name creates none
    with closing(AlertStore.open(settings.database, card_columns=settings.card_columns)) as store:
        actor, details = Actor(who or getpass.getuser()), {"sha256": data.fingerprint}
        result = add_labels(store.database, new, actor, data.name, details)
    click.echo(f"{file}: {_counts(result.added) or 'no label'} added, {result.unchanged:,} known before")


@labels.command("export")
@_file
@click.option("--as-of", metavar="TIME", help="Only what was known at this time (ISO 8601).  [now]")
@click.option("--key", default="event_id", show_default=True, help="The heading of the event ids.")
@setting("database")
def export_labels(file: Path, as_of: str | None, key: str, **flags: object) -> None:
    """Write the label of each transaction that has one to FILE, as CSV; - for standard output.

    It is a file for `train --labels`, with --key as the --label-key: the column of the payments with the event ids.
    """
    from fraudstream.history.labels import current_label
    from fraudstream.store.database import read_store
    from fraudstream.store.labels import labels_by_event
    from fraudstream.times import iso_time, microseconds

    settings = Settings.load(**flags)
    try:
        as_of_us = microseconds(datetime.now(UTC)) if as_of is None else instant(as_of)
    except ValueError as e:
        raise SettingsError(f"--as-of {as_of!r} {e}", remedy="write it as 2026-01-31T12:00:00Z") from e
    counts: Counter[str] = Counter()
    try:
        with (
            read_store(settings.database) as connection,
            click.open_file(str(file), "w", encoding="utf-8", atomic=str(file) != "-") as output,
        ):
            writer = csv.writer(output, lineterminator="\n")
            writer.writerow((key, "label", "source", "known_at", "event_at"))
            for event_id, event_us, known in labels_by_event(connection):
                if (current := current_label(known, as_of_us)) is not None:
                    label, source, known_us = current
                    writer.writerow((event_id, label, source, iso_time(known_us), iso_time(event_us)))
                    counts[label] += 1
    except OSError as e:
        raise DataError(f"the file cannot be written: {e.strerror}", where=str(file), remedy="choose another") from e
    click.echo(f"{file}: {_counts(counts) or 'no label'}", err=True)


def _counts(labels: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {label}" for label, number in sorted(labels.items()))


def _read(data: DataSource, key: str, source: str) -> list[NewLabel]:
    """Read the labels of a file; raises DataError that names the rows that are none."""
    from pydantic import ValidationError

    from fraudstream.messages.base import reason
    from fraudstream.messages.labels import NewLabel
    from fraudstream.transactions.label_reader import find_label, meaning, payment_id

    if key not in data.columns:
        what = f"there is no column {key!r}; the columns are {', '.join(data.columns)}"[:2000]
        raise SettingsError(what, where=str(data.path), remedy="name the column with the ids with --key")
    columns = {name.casefold(): name for name in data.columns}
    with suppress(LabelError):
        columns["label"] = data.columns[find_label(data.columns, None, data.name)]
    columns = {"known_at": columns.get("date", ""), **columns, "event_id": key}
    columns = {name: columns[name] for name in NewLabel.model_fields if columns.get(name)}
    labels: dict[tuple[str, str, int | None], NewLabel] = {}
    faults = []
    for row, cells in enumerate(data.rows()):
        by_column = dict(zip(data.columns, map(str.strip, cells), strict=True))
        members: dict[str, str] = {"label": "fraud", "source": source}
        members |= {name: by_column[column] for name, column in columns.items() if by_column[column] or name == "label"}
        if (number := payment_id(by_column[key])).isdecimal():  # a table tool made 100024.0 of 100024
            by_column[key] = number
        is_fraud = meaning(members["label"])
        members["label"] = members["label"].lower() if is_fraud is None else "fraud" if is_fraud else "legitimate"
        try:
            new = NewLabel.model_validate(members | {"event_id": by_column[key]})
        except ValidationError as e:
            faults.append((row, reason(e)))
            continue
        if labels.setdefault((new.event_id, new.source, new.known_at), new).label != new.label:
            faults.append((row, f"label contradicts an earlier row of {new.event_id!r}"))
    if faults:
        lines = [f"\n  {data.where(row)}: {fault}" for row, fault in faults[:LISTED_ROWS]]
        more = f"\n  and {len(faults) - LISTED_ROWS:,} more" if len(faults) > LISTED_ROWS else ""
        what = f"nothing is imported: {len(faults):,} of {data.row_count:,} rows cannot be read{''.join(lines)}{more}"
        raise DataError(what, where=str(data.path), remedy="correct or remove them, and import the file again")
    return list(labels.values())
