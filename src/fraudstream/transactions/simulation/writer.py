"""Writes simulated payments as a CSV with the columns and the quoting of creditcard.csv: names and `Class` quoted."""

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from pyarrow import csv

from fraudstream.transactions.simulation.arrays import Floats, Ints, Payments

COMPONENTS: Final = 28
DECIMALS: Final = 6
"""Rounding hides the last bits, in which processors differ, and halves the file."""


@dataclass(frozen=True)
class Components:
    """The projection: V = (features - mean) @ directions."""

    mean: Floats
    directions: Floats
    """[feature, component], divided by the features' standard deviations."""

    @classmethod
    def fit(cls, features: Floats) -> Self:
        """Fit on a pilot sample, [payment, feature]; each direction's largest weight is made positive."""
        mean, spread = features.mean(axis=0), features.std(axis=0)
        standard = (features - mean) / spread
        _, vectors = np.linalg.eigh(standard.T @ standard / len(standard))
        widest = vectors[:, ::-1][:, :COMPONENTS]
        largest = np.take_along_axis(widest, np.abs(widest).argmax(axis=0)[None], axis=0)
        return cls(mean=mean, directions=widest * np.sign(largest) / spread[:, None])

    def project(self, features: Floats) -> Floats:
        """[payment, component], rounded."""
        projected: Floats = np.round((features - self.mean) @ self.directions, DECIMALS)
        return projected


COLUMNS: Final = ("Time", *(f"V{i}" for i in range(1, COMPONENTS + 1)), "Amount", "Class")
TERMINAL_COLUMN: Final = "TerminalId"
ID_COLUMNS: Final = ("CardId", TERMINAL_COLUMN)


class CsvWriter:
    """A CSV that appears under its name only when it is whole; use as a context manager."""

    def __init__(self, output: Path, *, with_ids: bool) -> None:
        self._output = output
        self._part = output.with_name(f".{output.name}.{os.getpid()}.part")
        numbers = [(name, pa.float64()) for name in COLUMNS[1:-1]]
        ids = [(name, pa.string()) for name in ID_COLUMNS if with_ids]
        self._schema = pa.schema([(COLUMNS[0], pa.int64()), *numbers, (COLUMNS[-1], pa.string()), *ids])
        self._with_ids = with_ids
        self._writer: Any = None
        self.rows = 0

    def __enter__(self) -> Self:
        """Open the file under a name of its own."""
        self._writer = csv.CSVWriter(str(self._part), self._schema)
        return self

    def write(self, payments: Payments, components: Floats) -> None:
        """Append a block of rows."""
        columns = [
            pa.array(payments.time.astype(np.int64)),
            *(pa.array(np.ascontiguousarray(components[:, i])) for i in range(COMPONENTS)),
            pa.array(payments.amount),
            pa.array(np.where(payments.fraud, "1", "0")),
        ]
        if self._with_ids:
            columns += [pa.array(_ids("C", payments.card)), pa.array(_ids("T", payments.terminal))]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        self.rows += len(payments)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the file its name, or remove it when something went wrong."""
        self._writer.close()
        if kind is None:
            self._part.replace(self._output)
        else:
            self._part.unlink(missing_ok=True)


def _ids(prefix: str, numbers: Ints) -> list[str]:
    return [f"{prefix}{number:06d}" for number in numbers.tolist()]
