"""What a measurement is fed with: payments, a model trained on them, and which of them raise an alert."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any, Final

from fraudstream.demo.child import log_tail
from fraudstream.demo.system import has_model_of
from fraudstream.errors import ProcessFailed
from fraudstream.model.deployment.current import resolve
from fraudstream.model.manifest import Manifest
from fraudstream.runtime.processes import spawn, stop
from fraudstream.simulator.simulate import simulate
from fraudstream.transactions.data_source import DataSource, open_data
from fraudstream.transactions.wire import Outcome

SIMULATED_ROWS: Final = 60_000
SEED: Final = 42
FRAUDSTREAM: Final = (sys.executable, "-m", "fraudstream")


@dataclass(frozen=True)
class Material:
    """Payments and a model.

    Attributes:
        source: The CSV.
        simulated: Whether we made it.
        model: The `current` file of the model.
        manifest: What the model says of itself.
    """

    source: DataSource
    simulated: bool
    model: Path
    manifest: Manifest

    @property
    def summary(self) -> dict[str, Any]:
        """For a result file."""
        return {
            "data": {
                "name": f"simulated, {SIMULATED_ROWS} rows, seed {SEED}" if self.simulated else self.source.path.name,
                "columns": len(self.source.columns),
                "fingerprint": self.source.fingerprint,
            },
            "model": {
                "algorithm": self.manifest.algorithm,
                "requested": self.manifest.requested,
                "parameters": dict(self.manifest.parameters),
                "features": len(self.manifest.features),
            },
        }


def prepare(
    folder: Path, data: Path | None, algorithm: str, environment: Mapping[str, str], say: Callable[[str], None]
) -> Material:
    """Simulate payments where none are given, and train where the folder has no model of them.

    Raises:
        DataError: The CSV cannot be used.
        ProcessFailed: The training failed.
    """
    path = data or folder / "payments.csv"
    if data is None and not path.exists():
        say(f"simulating {SIMULATED_ROWS:,} payments ...")
        unfinished = path.with_suffix(".part")
        simulate(SIMULATED_ROWS, SEED, unfinished)
        unfinished.rename(path)
    source = open_data(path)
    models = folder / "models" / algorithm
    if not has_model_of(models, source, algorithm):
        say(f"training ({algorithm}) on {path.name} ...")
        arguments = (
            "train",
            "--data",
            path,
            "--models",
            models,
            "--algorithm",
            algorithm,
            "--no-refit",
            "--deploy",
            "--force",
        )
        run_command(folder / "logs" / f"train-{algorithm}.log", environment, *arguments)
    artifact, _ = resolve(models / "current")
    return Material(source, data is None, models / "current", artifact.manifest)


def split_by_outcome(
    folder: Path, material: Material, environment: Mapping[str, str], say: Callable[[str], None]
) -> tuple[Path, Path]:
    """The rows as JSON in two files: those that raise no alert with this model, and those that do.

    Raises:
        ProcessFailed: The scoring failed.
    """
    name = material.manifest.model_id
    clear, alerts = folder / f"clear-{name}.jsonl", folder / f"alerts-{name}.jsonl"
    if clear.exists() and alerts.exists():
        return clear, alerts
    say("scoring the payments, to know which of them raise an alert ...")
    scores = folder / f"scores-{name}.csv"
    run_command(
        folder / "logs" / "score.log", environment, "score",
        "--data", material.source.path, "--model", material.model, "--output", scores,
    )  # fmt: skip
    with scores.open() as lines:
        outcomes = [line["outcome"] for line in csv.DictReader(lines)]
    rows = list(material.source.json_rows())
    for path, outcome in ((clear, Outcome.CLEAR), (alerts, Outcome.ALERT)):
        chosen = compress(rows, (each == outcome for each in outcomes))
        path.write_bytes(b"".join(row + b"\n" for row in chosen))
    return clear, alerts


def run_command(log: Path, environment: Mapping[str, str], *arguments: object) -> None:
    """Run one of our commands to its end.

    Raises:
        ProcessFailed: It ended with another exit code than 0.
    """
    process = spawn([*FRAUDSTREAM, *map(str, arguments)], log=log, env=environment)
    try:
        code = process.wait()
    finally:
        stop(process, 5.0)
    if code:
        raise ProcessFailed(
            f"`fraudstream {arguments[0]}` failed: {log_tail(log, 6)}",
            where=f"log: {log}",
            remedy="mend what it says; `fraudstream doctor` examines the machine",
        )
