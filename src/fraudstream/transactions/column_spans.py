"""Leaves columns out of some rows of a file, for a stream whose columns change."""

import hashlib
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, pairwise

import orjson

from fraudstream.errors import SettingsError
from fraudstream.transactions.data_source import DataSource, encoder


@dataclass(frozen=True)
class ColumnSpans:
    """The rows of a file in which columns are sent; a column without a span is in all of them.

    By column, the first row (from 0) with it, and the first row without it again.
    """

    begins: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether any column begins or ends."""
        return bool(self.begins or self.ends)


@dataclass(frozen=True)
class ChangingSource:
    """A source whose rows differ in their columns; created by `with_spans`."""

    source: DataSource
    spans: ColumnSpans

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the file and its spans: the same row with other columns is another payment, with its own id."""
        spans = orjson.dumps([self.spans.begins, self.spans.ends], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(self.source.fingerprint.encode() + spans).hexdigest()

    def json_rows(self, start: int = 0) -> Iterator[bytes]:
        """Yield the rows from number `start`, each as a JSON object with its columns; raises as `DataSource.rows`."""
        rows, columns, numeric = self.source.rows(start), self.source.columns, self.source.numeric
        begins, ends = self.spans.begins, self.spans.ends
        changes = sorted({change for change in (*begins.values(), *ends.values()) if change > start})
        for first, end in pairwise([start, *changes, sys.maxsize]):
            sent = [at for at, name in enumerate(columns) if begins.get(name, 0) <= first < ends.get(name, math.inf)]
            encode = encoder([columns[at] for at in sent], [numeric[at] for at in sent])
            for row in islice(rows, end - first):
                yield encode([row[at] for at in sent])


def with_spans(source: DataSource, spans: ColumnSpans) -> ChangingSource | DataSource:
    """Return the source with the column spans; the source itself if there are none.

    Raises SettingsError if a column is not in the file, or ends before it begins.
    """
    for name in (*spans.begins, *spans.ends):
        if name not in source.columns:
            remedy = f"name one of {', '.join(source.columns)}"[:500]
            raise SettingsError(f"there is no column {name!r} for a span", where=source.name, remedy=remedy)
    for name in spans.begins.keys() & spans.ends.keys():
        if spans.ends[name] <= spans.begins[name]:
            raise SettingsError(
                f"the column {name!r} would end at row {spans.ends[name]}, before it begins",
                where="--column-from, --column-until",
                remedy="use an end after the row at which it begins",
            )
    return ChangingSource(source, spans) if spans else source
