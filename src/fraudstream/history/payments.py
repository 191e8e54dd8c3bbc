"""Reads payments as arrays of time, amount, entities and what was reported as fraud."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fraudstream.errors import DataError
from fraudstream.history.identity import LONGEST_VALUE
from fraudstream.history.spec import HistorySpec, names_of
from fraudstream.transactions.amounts import MISSING_MARKS, parse_number
from fraudstream.transactions.archive_files import ArchiveColumn
from fraudstream.transactions.data_source import BLOCK_ROWS, DataSource
from fraudstream.transactions.label_reader import Categories, payment_id
from fraudstream.transactions.times import seconds_of_dates

Ints = NDArray[np.int64]
Numbers = NDArray[np.float64]

NEVER: Final = int(np.iinfo(np.int64).max)
"""When it became known that a payment is a fraud, if nobody has reported it."""
NO_TIME: Final = -1
_LAST_TIME: Final = 4_102_444_800_000
"""End of the year 2099 in milliseconds; a later time is an error, as is one before 1970."""
_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Payments:
    """Payments in any order, as arrays of the same length.

    Attributes:
        time: Milliseconds since 1970; `NO_TIME` if missing, before 1970 or after 2099.
        amount: NaN if missing, or beyond a float of 32 bits, as in the operator.
        entities: By kind, the entity ids and each payment's index among them; -1 for none, or one that is too long.
        reported: When it became known that the payment is a fraud, in milliseconds since 1970; else `NEVER`.
    """

    time: Ints
    amount: Numbers
    entities: Mapping[str, Categories]
    reported: Ints


def read_payments(
    source: DataSource,
    spec: HistorySpec,
    identify: Callable[[str], str],
    fraud: tuple[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
    *,
    earlier: DataSource | None = None,
) -> Payments:
    """Read from a file what profiles are made of, in one pass (1.5 million rows: 10 s); after the rows of `earlier`.

    Labels are those of a source's list of frauds, else of the column and the value for fraud in `fraud`, if it is
    there. One without a time counts as known from the payment on, which is no leak: a profile reads labels only after
    the delay. Of an archived payment that was sent several times, the first has the entities that profiles count.
    `identify` makes an entity's id of a value; `aliases` are those of the deployment, new name to name in training.

    Raises DataError if a column is missing, and as `DataSource.rows`.
    """
    sources = [each for each in (earlier, source) if each is not None]
    parts = [_read(each, spec, fraud, aliases or {}) for each in sources]
    names = ("time", "amount", "reported", "is_repeated")
    time, amount, reported, is_repeated = (np.concatenate([getattr(each, name) for each in parts]) for name in names)
    entities: dict[str, Categories] = {}
    for entity in spec.entities:
        chunks = [chunk for part in parts for chunk in part.texts[entity.column]]
        entities[entity.kind] = _categories(chunks, identify, LONGEST_VALUE)
        if entity is not spec.key:
            entities[entity.kind].codes[is_repeated] = -1
    return Payments(time, amount, entities, reported)


@dataclass(frozen=True)
class _Part:
    """What is read from one source; `texts` are the cells of the entities by column."""

    time: Ints
    amount: Numbers
    reported: Ints
    is_repeated: NDArray[np.bool_]
    texts: Mapping[str, list[pa.Array]]


def _read(source: DataSource, spec: HistorySpec, fraud: tuple[str, str] | None, aliases: Mapping[str, str]) -> _Part:
    frauds = source.fraud_list
    label = frauds.key if frauds is not None else fraud[0] if fraud is not None and fraud[0] in source.columns else None
    event_id = ArchiveColumn.EVENT_ID if any(file.parts for file in source.files) else None
    names = [each for each in (*(entity.column for entity in spec.entities), label, event_id) if each is not None]
    indexes = {name: column_index(source, name, aliases) for name in (*names, spec.time, spec.amount)}
    currencies = names_of(spec.currency, aliases) if spec.currency and spec.home else []
    currency = next((source.columns.index(name) for name in currencies if name in source.columns), None)
    texts: dict[str, list[pa.Array]] = {name: [] for name in names}
    times, amounts = list[Ints](), list[Numbers]()
    rows = source.rows()
    while block := list(islice(rows, BLOCK_ROWS)):
        cells = list(zip(*block, strict=True))
        for name, chunks in texts.items():
            chunks.append(pa.array(cells[indexes[name]], pa.string()))
        times.append(_milliseconds(cells[indexes[spec.time]], spec.clock))
        amount = _numbers(cells[indexes[spec.amount]])
        amount[np.abs(amount) > _LARGEST] = math.nan  # one such amount would be the mean
        if currency is not None:  # amounts in another one enter no mean
            amount[[cell.strip() not in MISSING_MARKS and cell != spec.home for cell in cells[currency]]] = math.nan
        amounts.append(amount)
    time = np.concatenate(times)
    reported, is_repeated = np.full(len(time), NEVER), np.zeros(len(time), np.bool_)
    if frauds is not None and label is not None:
        seconds = [frauds.reported.get(payment_id(cell)) for chunk in texts[label] for cell in chunk.to_pylist()]
        rows_of_frauds = [row for row, at in enumerate(seconds) if at is not None]
        known = np.array([seconds[row] for row in rows_of_frauds], np.float64)
        reported[rows_of_frauds] = np.where(np.isnan(known), time[rows_of_frauds], np.nan_to_num(known) * 1000)
    elif fraud is not None and label is not None:
        labels = _categories(texts[label], _plain)
        is_fraud = np.array([*(value == _plain(fraud[1]) for value in labels.values), False])[labels.codes]
        reported[is_fraud] = time[is_fraud]
    if event_id is not None:
        is_repeated[:] = True
        is_repeated[np.unique(_categories(texts[event_id], str).codes, return_index=True)[1]] = False
    return _Part(time, np.concatenate(amounts), reported, is_repeated, texts)


def column_index(source: DataSource, name: str, aliases: Mapping[str, str]) -> int:
    """Return the index of a column by the names that it may have; raises DataError if there is none of them."""
    for each in names_of(name, aliases):
        if each in source.columns:
            return source.columns.index(each)
    what = f"there is no column {name!r}; the columns are {', '.join(source.columns)}"[:2000]
    raise DataError(what, where=source.where(), remedy="use data with the columns that the model's history reads")


def _categories(chunks: Sequence[pa.Array], convert: Callable[[str], str], longest: int = NEVER) -> Categories:
    """Convert each distinct text once; texts that become equal are one value, an empty or too long one is none."""
    encoded = pa.chunked_array(chunks).combine_chunks().dictionary_encode()
    values: dict[str, int] = {}
    texts = encoded.dictionary.to_pylist()
    codes = [values.setdefault(convert(text), len(values)) if text and len(text) <= longest else -1 for text in texts]
    return Categories(tuple(values), np.array(codes, np.int32)[encoded.indices.to_numpy()])


def _milliseconds(cells: Sequence[str], clock: int | None) -> Ints:
    seconds = _seconds(cells) if clock is None else _numbers(cells) / clock
    milliseconds = np.round(np.nan_to_num(seconds, nan=-1.0) * 1000)
    return np.where((milliseconds >= 0) & (milliseconds < _LAST_TIME), milliseconds, NO_TIME).astype(np.int64)


def _seconds(cells: Sequence[str]) -> Numbers:
    if (seconds := seconds_of_dates(cells)) is not None:
        return seconds
    each = [seconds_of_dates([cell]) for cell in cells]  # one of them is no date
    return np.array([math.nan if one is None else one[0] for one in each])


def _numbers(cells: Sequence[str]) -> Numbers:
    return np.array([parse_number(cell) for cell in cells], np.float64)


def _plain(cell: str) -> str:
    number = parse_number(cell)
    return cell.strip().lower() if number is None else str(number)
