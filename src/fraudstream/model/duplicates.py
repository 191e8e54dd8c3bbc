"""Copies of training rows in the test period, which would flatter a model; taken out before anything is judged."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from fraudstream.model.split import Part
from fraudstream.transactions.profile import CsvProfile

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
