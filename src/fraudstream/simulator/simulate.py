"""Simulates card payments in the columns of creditcard.csv."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from pyarrow import csv

from fraudstream.errors import SettingsError
from fraudstream.simulator.arrays import DURATION_S, Floats, Ints, Payments, share_at, time_at
from fraudstream.simulator.behaviour import Behaviour
from fraudstream.simulator.payments import SizeScale, legitimate, rushes, size_scale
from fraudstream.simulator.population import Population, populate
from fraudstream.simulator.scenarios import Plan, Scenario, plan

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


class CsvWriter:
    """Writes a CSV that appears under its name only when complete; use as a context manager."""

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
        """Open the file under a temporary name."""
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
        """Rename the file to its name, or remove it on error."""
        self._writer.close()
        if kind is None:
            self._part.replace(self._output)
        else:
            self._part.unlink(missing_ok=True)


def _ids(prefix: str, numbers: Ints) -> list[str]:
    return [f"{prefix}{number:06d}" for number in numbers.tolist()]


FEWEST_ROWS: Final = 100
_BLOCK_ROWS: Final = 8_192
_PILOT_ROWS: Final = 24_000


@dataclass(frozen=True)
class Block:
    """Some rows of the stream, in order of time."""

    payments: Payments
    components: Floats
    """[row, 28]: V1 to V28."""
    scenario: Ints
    """The `Scenario` of each fraud of the block, in order; never written to the CSV."""


@dataclass(frozen=True)
class SimulationSummary:
    """The result of a simulation."""

    rows: int
    frauds: int
    by_scenario: dict[str, int]
    """Frauds of each scenario."""


class Simulation:
    """A stream of at least 100 simulated payments: the same rows and seed give the same blocks.

    At `burst_at`, a position in the stream (0 to 1), one terminal has a burst of frauds, within the usual fraud share.
    """

    def __init__(self, rows: int, seed: int, *, burst_at: float | None = None) -> None:
        self.rows = rows
        self._seed = seed
        self.population: Population = populate(rows, DURATION_S, self._rng(0))
        self._scale: SizeScale = size_scale(self.population, self._rng(1))
        self._components = self._pilot()
        self.plan: Plan = plan(self.population, rows, burst_at, self._rng(2))

    def _rng(self, part: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, part])

    def _pilot(self) -> Components:
        """Fit the components on a separate stream of legitimate payments by similar cards."""
        population = populate(_PILOT_ROWS, DURATION_S, self._rng(3))
        rng = self._rng(4)
        scale = size_scale(population, rng)
        time = time_at(np.sort(rng.random(_PILOT_ROWS)))
        payments = legitimate(population, scale, rushes(population, rng), time, rng)
        return Components.fit(Behaviour(population, rng).features(payments))

    def blocks(self) -> Iterator[Block]:
        """Yield the stream in blocks of about 8,192 rows; memory does not grow with the number of rows."""
        rng = self._rng(5)
        frauds = self.plan.payments
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
            components = self._components.project(behaviour.features(payments))
            yield Block(payments, components, self.plan.scenario[among])


def simulate(
    rows: int,
    seed: int,
    output: Path,
    *,
    with_ids: bool = False,
    burst_at: float | None = None,
    report: Callable[[int], None] | None = None,
) -> SimulationSummary:
    """Write a CSV of simulated payments: `Time`, `V1` to `V28`, `Amount`, `Class`, quoted as in creditcard.csv.

    They always cover two days; the same seed gives the same bytes. The directory of `output` must exist; a file there
    is replaced once the new one is complete. `with_ids` adds `CardId` and `TerminalId` at the end; `burst_at` is as in
    `Simulation`; `report` is called with the number of rows written so far, after each block. Raises SettingsError if
    `rows`, `seed` or `burst_at` is out of range, or if the output cannot be written.
    """
    _check(rows, seed, burst_at)
    simulation = Simulation(rows, seed, burst_at=burst_at)
    try:
        with CsvWriter(output, with_ids=with_ids) as writer:
            for block in simulation.blocks():
                writer.write(block.payments, block.components)
                if report is not None:
                    report(writer.rows)
    except OSError as e:
        raise SettingsError(
            f"the simulated payments cannot be written: {e.strerror or e}",
            where=str(output),
            remedy="choose a file in an existing directory with enough space",
        ) from e
    counts = np.bincount(simulation.plan.scenario, minlength=len(Scenario))
    return SimulationSummary(
        rows=writer.rows,
        frauds=len(simulation.plan.payments),
        by_scenario={which.name.lower(): int(counts[which]) for which in Scenario},
    )


def _check(rows: int, seed: int, burst_at: float | None) -> None:
    if rows < FEWEST_ROWS:
        raise SettingsError(
            f"{rows} rows cannot be simulated", where="--rows", remedy=f"request at least {FEWEST_ROWS} rows"
        )
    if seed < 0:
        raise SettingsError(f"{seed} is not a valid seed", where="--seed", remedy="give an integer of at least 0")
    if burst_at is not None and not 0.0 <= burst_at <= 1.0:
        raise SettingsError(f"{burst_at} is out of range", where="burst_at", remedy="give a number from 0 to 1")
