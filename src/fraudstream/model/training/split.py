"""Splits the rows in time into training, validation and test periods, and finds duplicates across them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from fraudstream.errors import SettingsError
from fraudstream.model.evaluation.bootstrap import RELIABLE_FRAUDS
from fraudstream.model.manifest import Period, SplitRecord
from fraudstream.transactions.label import CsvProfile
from fraudstream.transactions.times import TimeOrder

COMPARISON_FROM: Final = 0.4
VALIDATION_FROM: Final = 0.6
TEST_FROM: Final = 0.8
_USUAL: Final = TEST_FROM, VALIDATION_FROM / TEST_FROM
_SHARES: Final = sorted(
    (_USUAL, *((test / 100, validation / 100) for test in range(60, 91, 5) for validation in range(50, 96, 5))),
    key=lambda shares: abs(shares[0] - _USUAL[0]) + abs(shares[1] - _USUAL[1]),
)
"""Where the test period begins, as a share of the rows, and the validation period, of the rows before the test."""

_ENOUGH_FRAUDS: Final = (RELIABLE_FRAUDS, 5, 3)
"""How many frauds each period should have: the first of these that can be reached."""


class Part(IntEnum):
    """The time period that a row belongs to, the earliest first.

    The gaps before COMPARISON, VALIDATION and TEST are empty unless labels arrive late.
    """

    FIT = 0
    LATE_FOR_COMPARISON = 1
    COMPARISON = 2
    """Candidates fitted on earlier rows are compared on it; later ones are fitted on it too."""
    LATE_FOR_VALIDATION = 3
    """Its labels arrive after the validation period began: only the final model is fitted on it."""
    VALIDATION = 4
    """Candidates are compared on it again; the chosen one is calibrated and its threshold chosen on it."""
    LATE_FOR_TEST = 5
    """Its labels arrive after the test period began: it is not used."""
    TEST = 6

    @property
    def role(self) -> str:
        """The use of the part in the evaluation."""
        return "gap" if self.name.startswith("LATE") else self.name.lower()


@dataclass(frozen=True)
class Split:
    """The part of each row; rows with the same time are always in the same part.

    Attributes:
        part: By row of the file, a `Part`.
        periods: Those of the parts that have rows, the earliest first.
        is_known: By row of the file, whether its label had arrived at the last time of the file.
        unseen_from_row: First row of the test period, if the file is sorted by time.
        unseen_from_time: First time of the test period, if it is not.
        warnings: What had to be dropped, and why.
    """

    part: NDArray[np.int8]
    is_known: NDArray[np.bool_]
    periods: Mapping[Part, Period]
    record: SplitRecord
    unseen_from_row: int | None
    unseen_from_time: str | None
    warnings: tuple[str, ...]

    @property
    def is_train(self) -> NDArray[np.bool_]:
        """Whether the evaluated model is fitted on each row."""
        return self.part <= Part.VALIDATION

    def rows_of(self, part: Part) -> NDArray[np.intp]:
        """Return the row numbers of a part, in ascending order."""
        return np.flatnonzero(self.part == part)


def split_in_time(
    is_fraud: NDArray[np.bool_],
    time: TimeOrder | None,
    label_delay_seconds: float = 0.0,
    test_from: float | None = None,
) -> Split:
    """Split the rows: the first 60 % to fit on, up to 80 % to choose the threshold on, the last 20 % to test on.

    Candidates are also compared on the rows from 40 to 60 %, fitted on earlier ones. If one of the three parts has too
    few frauds, the boundaries move as little as possible, in steps of 5 %: the test period has 10 to 40 % of the rows.
    A warning has the counts. A part that would leave nothing to learn from is dropped, with a warning: the validation
    period if it or the rows before it hold only one class, the test period if the rows before it do. The earlier
    comparison is dropped without a warning. Rows whose labels would arrive, `label_delay_seconds` after the payment,
    only after the next period began are left out of the fit before it. If `time` is None, file order is used, and a
    delay raises SettingsError. With `test_from`, a value of the time column, the test period begins there; it raises
    SettingsError if there is no fraud from then on, or none before whose label has arrived.
    """
    if label_delay_seconds and time is None:
        raise SettingsError(
            "a label delay requires a column with the time of the payments",
            where="--label-delay",
            remedy="leave it out, or train on a CSV with a time column",
        )
    rows = len(is_fraud)
    order = np.arange(rows) if time is None else np.argsort(time.values, kind="stable")
    moments = np.arange(rows, dtype=np.float64) if time is None else time.values[order]
    fraud_in_order = is_fraud[order]
    delay = label_delay_seconds * time.units_per_second if time is not None else 0.0
    first_tested = None if test_from is None else int(np.searchsorted(moments, test_from))
    begins, warnings = _boundaries(fraud_in_order, moments, delay, first_tested)
    part, is_known = np.empty(rows, np.int8), np.empty(rows, np.bool_)
    is_known[order] = moments <= moments[-1] - delay
    part[order] = np.searchsorted(begins, np.arange(rows), side="right")

    def period(start: int, end: int) -> Period:
        ends = [moments[start], moments[end - 1]]
        first, last = (time.format(end) if time is not None else f"row {end:.0f}" for end in ends)
        return Period(end - start, int(fraud_in_order[start:end].sum()), first, last)

    edges = zip(Part, (0, *begins), (*begins, rows), strict=True)
    periods = {each: period(start, end) for each, start, end in edges if start < end}
    test = periods.get(Part.TEST)
    is_file_order = time is None or time.is_file_order
    return Split(
        part=part,
        is_known=is_known,
        periods=periods,
        record=SplitRecord(
            ordered_by="file order" if time is None else f"time column {time.column!r}",
            train=period(0, begins.late_for_test),
            validation=periods.get(Part.VALIDATION),
            test=test,
        ),
        unseen_from_row=begins.test if test is not None and is_file_order else None,
        unseen_from_time=test.start if test is not None and not is_file_order else None,
        warnings=tuple(warnings),
    )


class _Boundaries(NamedTuple):
    """Where each `Part` after the first begins, in order of time; an empty one begins where the next does."""

    late_for_comparison: int
    comparison: int
    late_for_validation: int
    validation: int
    late_for_test: int
    test: int


class _RowsInTime:
    """Rows in order of time, divided only where the time changes; labels arrive `delay` after the payment."""

    def __init__(self, is_fraud: NDArray[np.bool_], moments: NDArray[np.float64], delay: float) -> None:
        self.count = len(is_fraud)
        self._moments, self._delay = moments, delay
        self._frauds_before = np.concatenate([[0], np.cumsum(is_fraud)])
        self._changes = np.flatnonzero(np.diff(moments)) + 1

    def known_before(self, boundary: int) -> int:
        """Return how many rows have their labels when the payment at `boundary` is made."""
        if boundary == self.count:
            return boundary
        return int(np.searchsorted(self._moments[:boundary], self._moments[boundary] - self._delay, side="right"))

    def boundary(self, rows: int, share: float) -> int:
        """Return the row at a share of the first `rows`, moved to the nearest change of time; `rows` without one."""
        changes, target = self._changes[: np.searchsorted(self._changes, rows)], round(rows * share)
        right = int(np.searchsorted(changes, target))
        nearest = changes[max(right - 1, 0) : right + 1]
        return int(nearest[np.argmin(np.abs(nearest - target))]) if len(nearest) else rows

    def frauds(self, start: int, end: int) -> int:
        """Count the frauds from `start` to before `end`; 0 if every row is one, as that teaches nothing."""
        frauds = int(self._frauds_before[end] - self._frauds_before[start])
        return frauds if frauds < end - start else 0

    def divide(self, test_share: float, validation_share: float, first_tested: int | None) -> _Boundaries:
        """Divide the rows at these shares, or test from a row, without periods that leave nothing to learn from."""
        test = self.boundary(self.count, test_share) if first_tested is None else first_tested
        if not self.frauds(0, self.known_before(test)):
            test = self.count
        trained_to = self.known_before(test)
        validation = self.boundary(trained_to, validation_share)
        fitted_to = self.known_before(validation)
        if not (self.frauds(0, fitted_to) and self.frauds(validation, trained_to)):
            validation = fitted_to = trained_to
        comparison = self.boundary(fitted_to, COMPARISON_FROM / VALIDATION_FROM)
        first_fitted_to = self.known_before(comparison)
        by_comparison = self.frauds(0, first_fitted_to), self.frauds(comparison, fitted_to)
        if validation == trained_to or min(by_comparison) < min(_ENOUGH_FRAUDS):
            comparison = first_fitted_to = fitted_to
        return _Boundaries(first_fitted_to, comparison, fitted_to, validation, trained_to, test)

    def frauds_by_period(self, begins: _Boundaries) -> tuple[int, int, int]:
        """Count the frauds to fit on, to validate on and to test on."""
        validated = self.frauds(begins.validation, begins.late_for_test)
        return self.frauds(0, begins.late_for_validation), validated, self.frauds(begins.test, self.count)


def _boundaries(
    is_fraud: NDArray[np.bool_], moments: NDArray[np.float64], delay: float, first_tested: int | None
) -> tuple[_Boundaries, list[str]]:
    """Choose the boundaries of rows in order of time; the warnings say which periods were moved or dropped."""
    rows, warnings = _RowsInTime(is_fraud, moments, delay), []
    if first_tested is not None:
        before, after = rows.frauds(0, rows.known_before(first_tested)), rows.frauds(first_tested, rows.count)
        if not (before and after):
            raise SettingsError(
                f"the test period would hold {after:,} frauds, and what is learned from {before:,}; both need some, "
                "and legitimate rows",
                where="--test-from",
                remedy=f"choose {'an earlier' if before else 'a later'} time",
            )
    moved = [each for each in _SHARES if first_tested is None or each[0] == TEST_FROM]
    divisions = [(shares, rows.divide(*shares, first_tested)) for shares in moved]
    shares, begins = next(
        (each for enough in _ENOUGH_FRAUDS for each in divisions if min(rows.frauds_by_period(each[1])) >= enough),
        divisions[0],
    )
    if begins.test == rows.count:
        warnings.append(
            "no test period: the rows before the last fifth of the time whose labels have arrived do not include both "
            "frauds and legitimate ones, so the model is fitted on every row and none is left to test it on"
        )
    if begins.validation == begins.late_for_test:
        warnings.append(
            "no validation period: too few frauds for one, so the threshold is chosen on rows that the model was "
            "fitted on and is likely too high"
        )
    by_period = rows.frauds_by_period(begins)
    counts = "{} to fit on, {} to choose the threshold on, {} to test on".format(*by_period)
    if min(by_period) < RELIABLE_FRAUDS:
        warnings.append(
            f"too few frauds for reliable figures: {counts}; no division in time gives each of these periods "
            f"{RELIABLE_FRAUDS}, so the figures are unreliable"
        )
    if shares != _USUAL:
        tested = f"the last {1 - shares[0]:.0%} of the rows are the test period, and " if first_tested is None else ""
        warnings.append(
            f"the periods were moved so that each has frauds ({counts}): {tested}the last {1 - shares[1]:.0%} of those "
            "before it the validation period"
        )
    return begins, warnings


MOST_BY_CHANCE: Final = 0.001
"""Largest share of test rows expected to equal a training row by chance for equal rows to count as duplicates."""


@dataclass(frozen=True)
class Duplicates:
    """Marks duplicates to remove from the test period; `note` is why duplicates were left in, if any were."""

    rows: NDArray[np.bool_]
    note: str = ""

    @property
    def count(self) -> int:
        """How many rows are removed."""
        return int(self.rows.sum())


def digested(
    rows: Iterable[bytes], time: TimeOrder | None, digests: list[int], columns: int | None = None
) -> Iterator[bytes]:
    """Yield the rows unchanged, each a JSON object, and append a digest of each, equal for equal rows in this process.

    It is of the cells of the first `columns` or of all, including the label, except the one that orders the rows.
    """
    for row in rows:
        cells = dict(islice(orjson.loads(row).items(), columns))
        if time is not None:
            cells.pop(time.column, None)
        digests.append(hash(tuple(cells.values())))
        yield row


def find_duplicates(profile: CsvProfile, digests: Sequence[int], part: NDArray[np.int8]) -> Duplicates:
    """Find the test rows that equal a row of training or of the gap before the test, unless chance explains it.

    In a file of few columns with few values, equal rows are similar payments, not duplicates, and stay in the test.
    """
    is_test, digest = part == Part.TEST, np.array(digests, dtype=np.int64)
    equal = is_test & np.isin(digest, digest[~is_test])
    if not equal.any() or _chance_of_equality(profile, ~is_test) * (~is_test).sum() <= MOST_BY_CHANCE:
        return Duplicates(equal)
    note = f"{int(equal.sum()):,} test rows equal a training row as similar payments do: they were kept"
    return Duplicates(np.zeros_like(equal), note)


def _chance_of_equality(profile: CsvProfile, rows: NDArray[np.bool_]) -> float:
    """Estimate the probability that two rows are equal in every column except time, if columns were independent."""
    chance = 1.0
    for column in profile.columns[: len(profile.source.own_columns)]:
        if profile.time is not None and column.name == profile.time.column:
            continue
        if column.categories is not None:
            counts = column.categories.counts(rows)
        elif len(column.values):
            counts = np.unique(column.values[rows], return_counts=True)[1]
        else:
            continue
        total = int(counts.sum())
        chance *= float(np.sum(counts * (counts - 1.0))) / max(total * (total - 1), 1)
    return chance
