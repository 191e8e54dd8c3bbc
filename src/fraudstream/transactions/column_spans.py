"""Columns that begin or end in the middle of a stream, for showing how it changes; the rows are `csv_source.py`'s."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from operator import itemgetter

import orjson

from fraudstream.errors import SettingsError
from fraudstream.transactions.csv_source import CsvSource, encoder


@dataclass(frozen=True)
class ColumnSpans:
    """In which rows of a file a column is sent; one that is not named is in all of them.

    By column, the first row (from 0) that has it, and the first that has it no longer.
    """

    begins: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether any column comes or goes."""
        return bool(self.begins or self.ends)

    def columns_at(self, row: int, columns: Sequence[str]) -> list[int]:
        """The positions of the columns that a row has."""
        return [
            position
            for position, name in enumerate(columns)
            if self.begins.get(name, 0) <= row and (name not in self.ends or row < self.ends[name])
        ]

    def changes_after(self, row: int) -> list[int]:
        """The rows after `row` at which a column comes or goes, in order."""
        return sorted({change for change in (*self.begins.values(), *self.ends.values()) if change > row})


@dataclass(frozen=True)
class ChangingSource:
    """A CSV whose rows do not all have the same columns; made by `with_spans`."""

    source: CsvSource
    spans: ColumnSpans

    @cached_property
    def fingerprint(self) -> str:
        """Of the file and its spans: the same row with other columns is another payment, with an id of its own."""
        spans = orjson.dumps([self.spans.begins, self.spans.ends], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(self.source.fingerprint.encode() + spans).hexdigest()

    def json_rows(self, start: int = 0) -> Iterator[bytes]:
        """The data rows from number `start` on, each as a JSON object with its columns; raises as `CsvSource.rows`."""
        rows = self.source.rows(start)
        for change in self.spans.changes_after(start):
            yield from self._encoded(islice(rows, change - start), start)
            start = change
        yield from self._encoded(rows, start)

    def _encoded(self, rows: Iterator[list[str]], first: int) -> Iterator[bytes]:
        source, held = self.source, self.spans.columns_at(first, self.source.columns)
        encode = encoder([source.columns[at] for at in held], [source.numeric[at] for at in held])
        if len(held) == len(source.columns):
            return map(encode, rows)
        pick = itemgetter(*held) if len(held) > 1 else lambda row: tuple(row[at] for at in held)
        return (encode(list(pick(row))) for row in rows)


def with_spans(source: CsvSource, spans: ColumnSpans) -> ChangingSource | CsvSource:
    """The source with columns that come and go; the source itself where none does.

    Raises SettingsError where a column is not in the file, or ends before it begins.
    """
    for name in (*spans.begins, *spans.ends):
        if name not in source.columns:
            raise SettingsError(
                f"there is no column {name!r} that could come or go",
                where=str(source.path),
                remedy=f"name one of {', '.join(source.columns)}"[:500],
            )
    for name in spans.begins.keys() & spans.ends.keys():
        if spans.ends[name] <= spans.begins[name]:
            raise SettingsError(
                f"the column {name!r} would end at row {spans.ends[name]}, before it begins",
                where="--column-from, --column-until",
                remedy="let it end after the row at which it begins",
            )
    return ChangingSource(source, spans) if spans else source
