"""The contract on rows in batches: which are scored, with which imputation values, and what becomes of the others.

Rows as expected take the fast way, a matrix for all of them; the others are read cell by cell.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import orjson

from benchmarks.baselines.plain_consumer.model import Floats, Model

_is_number = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch
_NUMBERS = {int, float}


class Unreadable(Exception):
    """No transaction can be read from a value; the message says why."""


@dataclass
class Read:
    """A batch, read.

    Attributes:
        matrix: The vectors of the rows that can be scored.
        places: By row of the matrix, its place in the batch.
        imputed: By place in the batch, for which columns something stands in, where any does.
        unscorable: By place, why no model may score it.
        dead_letters: By place, why it is no transaction.
    """

    matrix: Floats
    places: list[int]
    imputed: dict[int, list[str]] = field(default_factory=dict)
    unscorable: dict[int, str] = field(default_factory=dict)
    dead_letters: dict[int, str] = field(default_factory=dict)


def values_getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """What takes the values of the features out of a row; KeyError where one is not there."""
    if len(names) > 1:
        return itemgetter(*names)
    (name,) = names
    return lambda row: (row[name],)


class Reader:
    """Reads batches of values for one model."""

    def __init__(self, model: Model, max_record_bytes: int) -> None:
        self._model = model
        self._limit = max_record_bytes
        self._values = values_getter(model.names)

    def read(self, values: Sequence[bytes | None]) -> Read:
        """Read a batch: the rows as expected together, the others one by one."""
        loads, take, limit = orjson.loads, self._values, self._limit
        expected: list[tuple[Any, ...]] = []
        places: list[int] = []
        odd: list[int] = []
        for place, value in enumerate(values):
            try:
                if len(value) > limit:  # type: ignore[arg-type]  # a tombstone raises TypeError, as it should
                    odd.append(place)
                    continue
                expected.append(take(loads(value)))  # type: ignore[arg-type]
                places.append(place)
            except (ValueError, TypeError, KeyError):
                odd.append(place)
        if not set(map(type, chain.from_iterable(expected))) <= _NUMBERS:
            is_plain = [set(map(type, row)) <= _NUMBERS for row in expected]
            odd += [place for place, keep in zip(places, is_plain, strict=True) if not keep]
            places = [place for place, keep in zip(places, is_plain, strict=True) if keep]
            expected = [row for row, keep in zip(expected, is_plain, strict=True) if keep]
        matrix = np.array(expected, dtype=np.float64).reshape(len(expected), len(self._model.names))
        finite = np.isfinite(matrix.sum(axis=1))
        if not finite.all():
            odd += [place for place, is_finite in zip(places, finite, strict=True) if not is_finite]
            places = [place for place, is_finite in zip(places, finite, strict=True) if is_finite]
            matrix = matrix[finite]
        read = Read(matrix, places)
        if odd:
            self._read_odd(read, values, sorted(odd))
        return read

    def _read_odd(self, read: Read, values: Sequence[bytes | None], odd: Sequence[int]) -> None:
        model, rows = self._model, []
        for place in odd:
            try:
                row = self._row(values[place])
            except Unreadable as e:
                read.dead_letters[place] = str(e)
                continue
            cells = [number_of(row.get(name)) for name in model.names]
            missing = [name for name, cell in zip(model.names, cells, strict=True) if cell is None]
            if missing:
                read.imputed[place] = missing
            if len(missing) > model.missing_limit:
                limit = model.missing_limit
                read.unscorable[place] = (
                    f"{len(missing)} of {len(model.names)} features missing, at most {limit} may be"
                )
                continue
            rows.append([usual if cell is None else cell for cell, usual in zip(cells, model.medians, strict=True)])
            read.places.append(place)
        if rows:
            read.matrix = np.vstack([read.matrix, np.array(rows, dtype=np.float64)])

    def _row(self, value: bytes | None) -> dict[str, Any]:
        if value is None:
            raise Unreadable("tombstone: the record has no value")
        if not value:
            raise Unreadable("the value is empty")
        if len(value) > self._limit:
            raise Unreadable(f"the value is larger than {self._limit} bytes")
        try:
            row = json.loads(value.decode())
        except UnicodeDecodeError:
            raise Unreadable("the value is not UTF-8") from None
        except (ValueError, RecursionError):
            raise Unreadable("the value is not one well-formed JSON object") from None
        if not isinstance(row, dict):
            raise Unreadable("the value is not a JSON object")
        return row


def number_of(cell: Any) -> float | None:
    """A cell as a number: one as text is read, NaN, infinities and whatever else are missing."""
    if isinstance(cell, bool) or cell is None:
        return None
    if isinstance(cell, str):
        trimmed = cell.strip(" ")
        if not _is_number(trimmed):
            return None
        cell = trimmed
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
