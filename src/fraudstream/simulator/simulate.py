"""Simulates card payments in the columns of creditcard.csv."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa
from pyarrow import csv

from fraudstream.errors import SettingsError
from fraudstream.simulator.arrays import Floats, Payments, share_at, time_at
from fraudstream.simulator.behaviour import Behaviour
from fraudstream.simulator.payments import legitimate, rushes, size_scale
from fraudstream.simulator.population import populate
from fraudstream.simulator.scenarios import plan

COMPONENTS: Final = 28
DECIMALS: Final = 6
"""Rounding removes the last bits, in which processors differ, and halves the file."""


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
        """Return [payment, component], rounded."""
        return np.round((features - self.mean) @ self.directions, DECIMALS)


COLUMNS: Final = ("Time", *(f"V{i}" for i in range(1, COMPONENTS + 1)), "Amount", "Class")
TERMINAL_COLUMN: Final = "TerminalId"
ID_COLUMNS: Final = ("CardId", TERMINAL_COLUMN)
FEWEST_ROWS: Final = 100
_BLOCK_ROWS: Final = 8_192
_PILOT_ROWS: Final = 24_000


class Simulation:
    """A stream of at least 100 simulated payments: the same rows and seed give the same blocks.

    At `burst_at`, a position in the stream (0 to 1), one terminal has a burst of frauds, within the usual fraud share.
    """

    def __init__(self, rows: int, seed: int, *, burst_at: float | None = None) -> None:
        self.rows = rows
        self._seed = seed
        self.population = populate(rows, self._rng(0))
        self._scale = size_scale(self.population, self._rng(1))
        self._components = self._pilot()
        self.frauds = plan(self.population, rows, burst_at, self._rng(2))

    def _rng(self, part: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, part])

    def _pilot(self) -> Components:
        """Fit the components on a separate stream of legitimate payments by similar cards."""
        population = populate(_PILOT_ROWS, self._rng(3))
        rng = self._rng(4)
        scale = size_scale(population, rng)
        time = time_at(np.sort(rng.random(_PILOT_ROWS)))
        payments = legitimate(population, scale, rushes(population, rng), time, rng)
        return Components.fit(Behaviour(population, rng).features(payments))

    def blocks(self) -> Iterator[tuple[Payments, Floats]]:
        """Yield payments in order of time with their components, V1 to V28, in blocks of about 8,192 rows.

        Memory does not grow with the number of rows.
        """
        rng, frauds = self._rng(5), self.frauds
        behaviour = Behaviour(self.population, rng)
        rush = rushes(self.population, rng)
        ordinary = self.rows - len(frauds)
        count = max(1, -(-ordinary // _BLOCK_ROWS))
        edges = np.linspace(0, ordinary, count + 1).astype(np.int64)
        fraud_edges = np.searchsorted(share_at(frauds.time), edges / max(1, ordinary))
        fraud_edges[0], fraud_edges[-1] = 0, len(frauds)
        for i in range(count):
            share = np.sort(rng.uniform(edges[i], edges[i + 1], edges[i + 1] - edges[i])) / max(1, ordinary)
            usual = legitimate(self.population, self._scale, rush, time_at(share), rng)
            among = np.arange(fraud_edges[i], fraud_edges[i + 1])
            payments = Payments.joined([usual, frauds.at(among)])
            yield payments, self._components.project(behaviour.features(payments))


def simulate(
    rows: int,
    seed: int,
    output: Path,
    *,
    with_ids: bool = False,
    burst_at: float | None = None,
    report: Callable[[int], None] | None = None,
) -> int:
    """Write a CSV of simulated payments and return how many are frauds.

    The columns are `Time`, `V1` to `V28`, `Amount` and `Class`, quoted as in creditcard.csv; `with_ids` adds `CardId`
    and `TerminalId` at the end. The payments always cover two days; the same seed gives the same bytes. The directory
    of `output` must exist; a file there is replaced once the new one is complete. `burst_at` is as in `Simulation`;
    `report` is called with the number of rows written so far, after each block. Raises SettingsError if `rows`, `seed`
    or `burst_at` is out of range, or if the output cannot be written.
    """
    _check(rows, seed, burst_at)
    simulation = Simulation(rows, seed, burst_at=burst_at)
    numbers = [(name, pa.float64()) for name in COLUMNS[1:-1]]
    ids = [(name, pa.string()) for name in ID_COLUMNS if with_ids]
    schema = pa.schema([(COLUMNS[0], pa.int64()), *numbers, (COLUMNS[-1], pa.string()), *ids])
    unfinished, written = output.with_name(f".{output.name}.{os.getpid()}.part"), 0
    try:
        with csv.CSVWriter(str(unfinished), schema) as writer:
            for payments, components in simulation.blocks():
                columns = _columns(payments, components, with_ids=with_ids)
                writer.write_batch(pa.record_batch(columns, schema=schema))
                written += len(payments)
                if report is not None:
                    report(written)
        unfinished.replace(output)
    except OSError as e:
        raise SettingsError(
            f"the simulated payments cannot be written: {e.strerror or e}",
            where=str(output),
            remedy="choose a file in an existing directory with enough space",
        ) from e
    finally:
        with suppress(OSError):
            unfinished.unlink()
    return len(simulation.frauds)


def _columns(payments: Payments, components: Floats, *, with_ids: bool) -> list[pa.Array]:
    columns = [
        payments.time.astype(np.int64),
        *np.ascontiguousarray(components.T),
        payments.amount,
        np.where(payments.fraud, "1", "0"),
    ]
    if with_ids:
        columns.append([f"C{number:06d}" for number in payments.card.tolist()])
        columns.append([f"T{number:06d}" for number in payments.terminal.tolist()])
    return [pa.array(column) for column in columns]


def _check(rows: int, seed: int, burst_at: float | None) -> None:
    if rows < FEWEST_ROWS:
        raise SettingsError(
            f"{rows} rows cannot be simulated", where="--rows", remedy=f"request at least {FEWEST_ROWS} rows"
        )
    if seed < 0:
        raise SettingsError(f"{seed} is not a valid seed", where="--seed", remedy="give an integer of at least 0")
    if burst_at is not None and not 0.0 <= burst_at <= 1.0:
        raise SettingsError(f"{burst_at} is out of range", where="burst_at", remedy="give a number from 0 to 1")
