"""Builds the daily profiles of terminals, merchants and the like: a table per kind of entity and day."""

from __future__ import annotations

import gzip
import os
from contextlib import suppress
from datetime import date, datetime, time, timedelta
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
        times = np.sort(payments.time[payments.time >= 0])
        self._first, self._starts = _days(times, spec)
        self._payments = np.searchsorted(times, self._starts)
        """By day, how many payments of all entities were before it."""
        day = np.searchsorted(self._starts, payments.time[rows], side="right") - 1
        self._rows = np.searchsorted(day, np.arange(len(self._starts) + 1))
        """By day, the index of its first payment."""
        self._repeated = _next_days(self._entity, payments.entities[spec.key.kind].codes[rows], day)

    @property
    def dates(self) -> list[date]:
        """The days with a payment in a window, whoever's: a wrong date has no table of each day up to the next one."""
        ends = np.arange(1, len(self._starts))
        windows = [(end, end - max(PROFILE_WINDOWS)) for end in (ends, ends - self._delay)]
        counts = [np.subtract(*(self._payments[np.maximum(day, 0)] for day in window)) for window in windows]
        return [self._first + timedelta(day) for day in np.flatnonzero(sum(counts)).tolist()]

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
    after: date = date.min,
    until: date = date.max,
    replaces: bool = False,
) -> list[Path]:
    """Write the tables of the days after one and up to another, of every entity but the stream's key; return the new.

    A table is final: it is not written again, or with `replaces` only from `whole_from` on. Raises OSError.
    """
    written: list[Path] = []
    whole = whole_from(payments, spec)
    for entity in spec.entities[1:]:
        builder = ProfileBuilder(payments, spec, entity.kind)
        for day in builder.dates:
            path = profile_path(root, spec.profile_folder(entity), day)
            if after < day <= until and (not path.exists() or (replaces and day >= whole)):
                write_table(builder.table(day), path)
                written.append(path)
    return written


def profile_path(root: Path, folder: str, day: date) -> Path:
    """Return the file of a day's table in the folder of an entity, `HistorySpec.profile_folder`."""
    return root / folder / f"{day}.csv.gz"


def latest_profile(root: Path, spec: HistorySpec) -> date:
    """Return the newest day of which every kind of entity has a table; `date.min` if one has none."""
    folders = (root / spec.profile_folder(entity) for entity in spec.entities[1:])
    kinds = [[path.name.partition(".")[0] for path in folder.glob("????-??-??.csv.gz")] for folder in folders]
    return min(date.fromisoformat(max(days, default="0001-01-01")) for days in kinds)


def day_of(milliseconds: int, spec: HistorySpec) -> date:
    """Return the day of a time in the profiles' zone."""
    return datetime.fromtimestamp(milliseconds / 1000, ZoneInfo(spec.zone)).date()


def whole_from(payments: Payments, spec: HistorySpec) -> date:
    """Return the first day whose windows all lie within the payments' period.

    That is the longest one, in payments, without a gap that no window spans: a wrong date begins none.
    """
    reach = timedelta(max(PROFILE_WINDOWS) + spec.delay_days)
    times = np.sort(payments.time[payments.time >= 0])
    periods = np.split(times, np.flatnonzero(np.diff(times) > reach / timedelta(milliseconds=1)) + 1)
    first = max(periods, key=len)[:1].tolist()
    return day_of(first[0], spec) + reach - timedelta(1) if first else date.max


def _days(times: Ints, spec: HistorySpec) -> tuple[date, Ints]:
    """Return the first day of the sorted times, and the start of every day from it to the day after the last one."""
    if not len(times):
        return EPOCH, np.zeros(1, np.int64)
    first, last = day_of(times[0], spec), day_of(times[-1], spec)
    days = (first + timedelta(number) for number in range((last - first).days + 2))
    midnights = (datetime.combine(day, time(), ZoneInfo(spec.zone)) for day in days)
    return first, np.array([round(each.timestamp() * 1000) for each in midnights], np.int64)


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


def write_table(table: pa.Table, path: Path) -> None:
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
