"""Builds the daily profiles of terminals, merchants and the like: a table per kind of entity and day."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from fraudstream.history.payments import NEVER, Ints, Numbers, Payments
from fraudstream.history.spec import PROFILE_WINDOWS, HistorySpec, ProfileColumn

EPOCH: Final = date(1970, 1, 1)
_DECIMALS: Final = 6
"""More digits would depend on the order in which amounts are added."""
_COMPRESSION: Final = 3


class ProfileBuilder:
    """Computes the tables of one kind of entity: 1.5 million payments and 150 days take seconds.

    The numbers of day D are those of the 1, 7 and 30 days up to its end; the share of frauds is that of the days up to
    D minus the label delay, by what was known at the end of D.
    """

    def __init__(self, payments: Payments, spec: HistorySpec, kind: str) -> None:
        entity = payments.entities[kind]
        rows = np.flatnonzero((payments.time >= 0) & (entity.codes >= 0))
        rows = rows[np.argsort(payments.time[rows], kind="stable")]
        order = sorted(range(len(entity.values)), key=entity.values.__getitem__)
        self._ids = pa.array([entity.values[code] for code in order], pa.string())
        self._delay = spec.delay_days
        self._entity = np.argsort(order).astype(np.int32)[entity.codes[rows]]
        self._amount, self._reported = payments.amount[rows], payments.reported[rows]
        self._first, self._starts = _days(payments.time[rows], ZoneInfo(spec.zone))
        day = np.searchsorted(self._starts, payments.time[rows], side="right") - 1
        self._rows = np.searchsorted(day, np.arange(len(self._starts) + 1))
        """By day, the index of its first payment."""
        self._repeated = _next_days(self._entity, payments.entities[spec.key.kind].codes[rows], day)

    @property
    def dates(self) -> list[date]:
        """The days from that of the first payment to that of the last."""
        return [self._first + timedelta(days) for days in range(len(self._starts) - 1)]

    def table(self, at: date) -> pa.Table:
        """Return the table of one of `dates`, of the entities with payments in one of the windows."""
        day = (at - self._first).days
        columns: dict[str, Numbers] = {}
        is_present = np.zeros(len(self._ids), np.bool_)
        for days in PROFILE_WINDOWS:
            rows, matured = self._window(day, days), self._window(day - self._delay, days)
            payments, labelled = self._count(rows), self._count(matured)
            frauds = self._count(matured, self._reported[matured] < self._starts[day + 1])
            amounts = self._count(rows, ~np.isnan(self._amount[rows]))
            sums = np.bincount(self._entity[rows], np.nan_to_num(self._amount[rows]), len(self._ids))
            columns[f"{ProfileColumn.PAYMENTS}_{days}"] = payments
            # Without a payment 0, as for an entity that has no row; without a readable amount missing.
            columns[f"{ProfileColumn.MEAN}_{days}"] = _ratio(sums, amounts, np.where(payments > 0, np.nan, 0.0))
            columns[f"{ProfileColumn.PARTNERS}_{days}"] = self._count(rows, self._repeated[rows] > day)
            columns[f"{ProfileColumn.SHARE}_{days}"] = _ratio(frauds, labelled, np.zeros(len(self._ids)))
            is_present |= (payments > 0) | (labelled > 0)
        chosen = np.flatnonzero(is_present)
        cells = {name: pa.array(values[chosen].round(_DECIMALS), from_pandas=True) for name, values in columns.items()}
        return pa.table({ProfileColumn.ID: self._ids.take(pa.array(chosen)), **cells})

    def _window(self, day: int, days: int) -> slice:
        first, end = max(day - days + 1, 0), max(day + 1, 0)
        return slice(int(self._rows[first]), int(self._rows[end]))

    def _count(self, rows: slice, chosen: NDArray[np.bool_] | None = None) -> Numbers:
        entity = self._entity[rows] if chosen is None else self._entity[rows][chosen]
        return np.bincount(entity, minlength=len(self._ids)).astype(np.float64)


def write_profiles(
    root: Path,
    payments: Payments,
    spec: HistorySpec,
    *,
    until: date | None = None,
    replaces: bool = False,
    report: Callable[[Path], None] = lambda path: None,
) -> list[Path]:
    """Write the table of every day up to `until` and kind of entity, but for the key of the stream; return the new.

    An existing table is immutable: only with `replaces` it is written again. Raises OSError.
    """
    written: list[Path] = []
    for entity in spec.entities[1:]:
        builder = ProfileBuilder(payments, spec, entity.kind)
        for day in builder.dates:
            path = profile_path(root, entity.kind, day)
            if (until is None or day <= until) and (replaces or not path.exists()):
                _write(builder.table(day), path)
                written.append(path)
                report(path)
    return written


def profile_path(root: Path, kind: str, day: date) -> Path:
    """Return the file of a kind's table of a day."""
    return root / kind / f"{day:%Y-%m-%d}.csv.gz"


def last_whole_day(spec: HistorySpec, now: datetime) -> date:
    """Return the newest day that has ended in the profiles' zone."""
    return now.astimezone(ZoneInfo(spec.zone)).date() - timedelta(days=1)


def day_start(day: date, zone: ZoneInfo) -> int:
    """Return when a day begins in a zone, in milliseconds since 1970."""
    return round(datetime.combine(day, time(), zone).astimezone(UTC).timestamp() * 1000)


def _days(times: Ints, zone: ZoneInfo) -> tuple[date, Ints]:
    """Return the first day of the sorted times, and the start of every day from it to the day after the last one."""
    if not len(times):
        return EPOCH, np.zeros(1, np.int64)
    first, last = (datetime.fromtimestamp(times[index] / 1000, zone).date() for index in (0, -1))
    days = (first + timedelta(number) for number in range((last - first).days + 2))
    return first, np.array([day_start(day, zone) for day in days], np.int64)


def _next_days(entity: NDArray[np.int32], key: NDArray[np.int32], day: Ints) -> Ints:
    """Return for each payment, by time, the day of the next one of the same entity and key; -1 without a key.

    Of the payments of a window, those whose next one lies after it are as many as the different keys.
    """
    pair = entity.astype(np.int64) << 32 | key.astype(np.int64)
    order = np.argsort(pair, kind="stable")
    following = np.full(len(day), NEVER)
    is_same = pair[order[1:]] == pair[order[:-1]]
    following[order[:-1][is_same]] = day[order[1:][is_same]]
    following[key < 0] = -1
    return following


def _ratio(part: NDArray[Any], whole: Numbers, default: Numbers) -> Numbers:
    np.divide(part, whole, out=default, where=whole > 0)
    return default


def _write(table: pa.Table, path: Path) -> None:
    """Write a table under a temporary name and rename it, so that a reader never sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            with gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as packed:
                csv.write_csv(table, packed, csv.WriteOptions(quoting_style="needed"))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink()
