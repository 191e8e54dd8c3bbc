"""Makes the payments of a run: unique, one in twenty a fraud, some unscorable; and the batch outcome of each."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from fraudstream import score, train
from fraudstream.config import Settings
from fraudstream.messages.ledger import Apart
from fraudstream.runtime.engines import batch_spark
from fraudstream.simulator.simulate import simulate
from fraudstream.transactions.data_source import DataSource, open_data
from fraudstream.transactions.wire import Outcome

FRAUDSTREAM: Final = (sys.executable, "-m", "fraudstream")
LABEL: Final = "Class"
FRAUD_SHARE: Final = 0.05
"""Of the rows: so that each second of the stream has alerts to lose."""
UNSCORABLE_SHARE: Final = 0.005
CELLS_LEFT: Final = 3
MOST_TRAINING_ROWS: Final = 20_000
FEWEST_PILOT_ROWS: Final = 20_000


@dataclass(frozen=True)
class Verdict:
    """The outcome of a row; `score` is None where it is unscorable."""

    outcome: Outcome | Apart
    score: float | None


@dataclass(frozen=True)
class Payments:
    """The file that is streamed, the model that scores it, and the outcome of every row.

    Attributes:
        source: The file.
        model: The path of `current`.
        verdicts: Outcomes by row, from 0.
    """

    source: DataSource
    model: Path
    verdicts: Sequence[Verdict]

    @cached_property
    def texts(self) -> list[bytes]:
        """Each row as the JSON that the producer sends."""
        return list(self.source.json_rows())


def make_payments(folder: Path, rows: int, seed: int) -> Payments:
    """Write the file, train a logistic regression on its first rows, and score all of it, in one Spark session."""
    simulated, training, stream = folder / "simulated.csv", folder / "training.csv", folder / "payments.csv"
    simulate(max(rows, FEWEST_PILOT_ROWS), seed, simulated)
    chance = np.random.default_rng([seed, 1])
    head, body = with_more_frauds(simulated, rows, chance)
    simulated.unlink()
    _write(training, head, body[:MOST_TRAINING_ROWS])
    _write(stream, head, with_unscorable(body, chance))
    models = folder / "models"
    scores = folder / "scores.csv"
    with batch_spark(Settings.load(), "chaos"):
        train(training, models=models, algorithm="logistic-regression")
        score(stream, model=models / "current", output=scores)
    return Payments(open_data(stream), models / "current", read_verdicts(scores))


def with_more_frauds(simulated: Path, rows: int, chance: np.random.Generator) -> tuple[list[str], list[list[str]]]:
    """The header, and rows of which one in twenty is a fraud: a simulated one with every component a little changed."""
    with simulated.open(newline="") as file:
        lines = csv.reader(file)
        head = next(lines)
        body = list(lines)
    label = head.index(LABEL)
    frauds = np.array([[float(cell) for cell in row[:label]] for row in body if row[label] == "1"])
    body = body[:rows]
    for at in np.flatnonzero(chance.random(rows) < FRAUD_SHARE):
        cells = frauds[chance.integers(len(frauds))] * chance.normal(1.0, 0.05, frauds.shape[1])
        # The time stays that of the row, in order and whole.
        body[at] = [body[at][0], *(repr(round(float(cell), 9)) for cell in cells[1:]), "1"]
    return head, body


def with_unscorable(body: Sequence[list[str]], chance: np.random.Generator) -> list[list[str]]:
    """The rows, some with nearly all cells empty: too much is missing for any model."""
    emptied = chance.random(len(body)) < UNSCORABLE_SHARE
    return [
        [*row[:CELLS_LEFT], *([""] * (len(row) - CELLS_LEFT - 1)), row[-1]] if empty else row
        for row, empty in zip(body, emptied, strict=True)
    ]


def read_verdicts(scores: Path) -> list[Verdict]:
    """What `fraudstream score` wrote."""
    with scores.open(newline="") as lines:
        return [
            Verdict(Outcome(line["outcome"]), float(line["score"]) if line["score"] else None)
            for line in csv.DictReader(lines)
        ]


def _write(path: Path, head: list[str], body: Sequence[list[str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(body)
