"""The split in time into rows to train, tune and test on, and duplicates across its borders."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from fraudstream.errors import SettingsError
from fraudstream.model.evaluation.record import RELIABLE_FRAUDS
from fraudstream.model.manifest import Period, SplitRecord
from fraudstream.transactions.label import CsvProfile
from fraudstream.transactions.times import TimeOrder

COMPARISON_FROM: Final = 0.4
VALIDATION_FROM: Final = 0.6
TEST_FROM: Final = 0.8


class Part(IntEnum):
    """The part of the time that a row belongs to, the earliest first.

    The gaps before COMPARISON, VALIDATION and TEST are empty unless labels arrive late.
    """

    FIT = 0
    LATE_FOR_COMPARISON = 1
    COMPARISON = 2
    """Candidates fitted on the rows before it are compared on it; later ones are fitted on it too."""
    LATE_FOR_VALIDATION = 3
    """Its labels arrive only after the validation period began: the candidates do not see it, the final model does."""
    VALIDATION = 4
    """Candidates are compared on it once more, the chosen one is calibrated on it and gets its threshold."""
    LATE_FOR_TEST = 5
    """Its labels arrive only after the test period began: nothing sees it."""
    TEST = 6


@dataclass(frozen=True)
class Split:
    """Which part each row belongs to; rows of one time are always in one part.

    Attributes:
        part: By row of the file, a `Part`.
        unseen_from_row: First row of the test period, where the file's order is the time's.
        unseen_from_time: First time of the test period, where it is not.
        warnings: What had to be given up, and why.
        label_delay_seconds: How long after the payment a label arrives.
    """

    part: NDArray[np.int8]
    record: SplitRecord
    unseen_from_row: int | None
    unseen_from_time: str | None
    warnings: tuple[str, ...]
    label_delay_seconds: float = 0.0

    @property
    def is_train(self) -> NDArray[np.bool_]:
        """By row, whether the final model is fitted on it."""
        return self.part <= Part.VALIDATION

    def rows_of(self, part: Part) -> NDArray[np.intp]:
        """The rows of a part, by their number in the file, in rising order."""
        return np.flatnonzero(self.part == part)


def split_in_time(is_fraud: NDArray[np.bool_], time: TimeOrder | None, label_delay_seconds: float = 0.0) -> Split:
    """First 60 % of the rows to fit on, to 80 % to choose the threshold on, the last 20 % to test on.

    Candidates are also compared on the rows from 40 to 60 %, fitted on those before. A part that would leave nothing to
    learn from is given up, with a warning: the validation where it or the rows before it hold one class only, the test
    period where the rows before it do. The earlier comparison is given up without a word. Rows whose labels would not
    have arrived, `label_delay_seconds` after the payment, at the beginning of the next period are left out of what is
    fitted before it. `time` None takes the file's order, and SettingsError is raised for a delay then.
    """
    if label_delay_seconds and time is None:
        raise SettingsError(
            "labels that arrive late need a column that tells when the payments were made",
            where="--label-delay",
            remedy="leave it out, or train on a CSV with a column of times",
        )
    rows = len(is_fraud)
    order = np.arange(rows) if time is None else np.argsort(time.values, kind="stable")
    moments = np.arange(rows, dtype=np.float64) if time is None else time.values[order]
    fraud_in_order = is_fraud[order]
    warnings = []

    delay = label_delay_seconds * time.units_per_second if time is not None else 0.0

    def known_before(boundary: int) -> int:
        """The rows whose labels have arrived when the row at `boundary` is paid."""
        if boundary == rows:
            return rows
        return int(np.searchsorted(moments[:boundary], moments[boundary] - delay, side="right"))

    test_from = _boundary(moments, TEST_FROM)
    if not _both_classes(fraud_in_order[: known_before(test_from)]):
        test_from = rows
    if test_from == rows:
        warnings.append(
            "no test period: before the last fifth of the time there are not both frauds and legitimate rows "
            "whose labels have arrived, so the model is fitted on every row and there are no rows left to judge it on"
        )
    trained_to = known_before(test_from)
    validation_from = _boundary(moments[:trained_to], VALIDATION_FROM / TEST_FROM)
    fitted_to = known_before(validation_from)
    if not (_both_classes(fraud_in_order[:fitted_to]) and _both_classes(fraud_in_order[validation_from:trained_to])):
        validation_from = fitted_to = trained_to
        warnings.append(
            "no validation period: too few frauds to set one apart, so the threshold is chosen on rows that the model "
            "was fitted on and is likely too high"
        )
    comparison_from = _boundary(moments[:fitted_to], COMPARISON_FROM / VALIDATION_FROM)
    first_fitted_to = known_before(comparison_from)
    if (
        validation_from == trained_to
        or not _both_classes(fraud_in_order[:first_fitted_to])
        or not _both_classes(fraud_in_order[comparison_from:fitted_to])
    ):
        comparison_from = first_fitted_to = fitted_to
    frauds_in_test = int(fraud_in_order[test_from:].sum())
    if test_from < rows and frauds_in_test < RELIABLE_FRAUDS:
        warnings.append(f"{frauds_in_test} frauds in the test period are too few: its figures are unreliable")

    part = np.full(rows, Part.FIT, np.int8)
    part[order[first_fitted_to:comparison_from]] = Part.LATE_FOR_COMPARISON
    part[order[comparison_from:fitted_to]] = Part.COMPARISON
    part[order[fitted_to:validation_from]] = Part.LATE_FOR_VALIDATION
    part[order[validation_from:trained_to]] = Part.VALIDATION
    part[order[trained_to:test_from]] = Part.LATE_FOR_TEST
    part[order[test_from:]] = Part.TEST

    def period(start: int, end: int) -> Period | None:
        if start >= end:
            return None
        ends = [moments[start], moments[end - 1]]
        first, last = (time.shown(end) if time is not None else f"row {end:.0f}" for end in ends)
        return Period(end - start, int(fraud_in_order[start:end].sum()), first, last)

    train = period(0, trained_to)
    test = period(test_from, rows)
    if train is None:
        raise ValueError("a split needs rows")
    is_file_order = time is None or time.is_file_order
    return Split(
        part=part,
        record=SplitRecord(
            ordered_by="file order" if time is None else f"time column {time.column!r}",
            train=train,
            validation=period(validation_from, trained_to),
            test=test,
        ),
        unseen_from_row=test_from if test is not None and is_file_order else None,
        unseen_from_time=test.start if test is not None and not is_file_order else None,
        warnings=tuple(warnings),
        label_delay_seconds=label_delay_seconds,
    )


def _boundary(moments: NDArray[np.float64], share: float) -> int:
    """The row at `share` of the rows, moved to the nearest change of time; the number of rows where there is none."""
    rows = len(moments)
    wanted = round(rows * share)
    changes = np.flatnonzero(np.diff(moments)) + 1
    if not len(changes):
        return rows
    return int(changes[np.argmin(np.abs(changes - wanted))])


def _both_classes(is_fraud: NDArray[np.bool_]) -> bool:
    return bool(is_fraud.any()) and not bool(is_fraud.all())


MOST_BY_CHANCE: Final = 0.001
"""Share of the test rows that may equal a training row by chance for equality to count as copying."""


@dataclass(frozen=True)
class Duplicates:
    """By row, whether it is a copy to take out of the test; `note` says why copies were left in, where they were."""

    rows: NDArray[np.bool_]
    note: str = ""

    @property
    def count(self) -> int:
        """How many are taken out."""
        return int(self.rows.sum())


class RowDigests:
    """Takes the digest of each row that passes: of its cells but the one that orders the rows, the label included."""

    def __init__(self, time_column: str | None) -> None:
        self._time_column = time_column
        self._digests: list[int] = []

    def passing(self, rows: Iterable[bytes]) -> Iterator[bytes]:
        """Hand the rows on, each a JSON object."""
        for row in rows:
            cells = orjson.loads(row)
            cells.pop(self._time_column, None)
            self._digests.append(hash(tuple(cells.values())))
            yield row

    @property
    def digests(self) -> NDArray[np.int64]:
        """By row, 64 bits that are the same for equal rows, within this process."""
        return np.array(self._digests, dtype=np.int64)


def find_duplicates(profile: CsvProfile, digests: NDArray[np.int64], part: NDArray[np.int8]) -> Duplicates:
    """The test rows that equal a row of training or of the gap before the test, where chance does not explain it.

    In a file of few columns with few values equal rows are no copies but payments alike, and they stay in the test.
    """
    is_test = part == Part.TEST
    equal = is_test & np.isin(digests, digests[~is_test])
    if not equal.any():
        return Duplicates(equal)
    if _chance_of_equality(profile, ~is_test) * (~is_test).sum() > MOST_BY_CHANCE:
        note = f"{int(equal.sum()):,} test rows equal a training row as payments alike do: they were left in"
        return Duplicates(np.zeros_like(equal), note)
    return Duplicates(equal)


def _chance_of_equality(profile: CsvProfile, rows: NDArray[np.bool_]) -> float:
    """How likely two rows are equal in every column but the time, if the columns had nothing to do with each other."""
    chance = 1.0
    for column in profile.columns:
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
