"""Measures a model with history beside one without, on the same payments: how fast it catches up, and its latency.

    python -m benchmarks.history_speed --data handbook_2018-04_to_08.csv.gz --only catch-up latency

The payments are those of the Handbook with 50,000 cards in place of 5,000, keyed: each card has one partition. Both
models take turns, each on a broker of its own. The latency is that of `python -m benchmarks latency`, from when a row
was due; rows that raise an alert are payments of more than 220, which both models know as frauds.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson

from benchmarks import study
from benchmarks.history_equality import ENTITIES, LABEL, split_file
from benchmarks.system.backlog import catch_up, fill, steady_rate
from benchmarks.system.latency import COMPARED, LatencyRequest, measure_latency
from benchmarks.system.machine import circumstances, write_result
from benchmarks.system.material import Material, run_command
from benchmarks.system.system import BenchSystem, stopped_at_the_end
from fraudstream.model.deployment.current import resolve
from fraudstream.transactions.data_source import DataSource, open_data

CARD: Final = "CUSTOMER_ID"
CARDS: Final = 50_000
PARTITIONS: Final = 4
ALWAYS_FRAUD: Final = 221.0
"""The Handbook's first scenario: every payment of more than 220 is a fraud."""
EXCLUDED: Final = ("TRANSACTION_ID", "TX_FRAUD_SCENARIO", "TX_TIME_SECONDS", "TX_TIME_DAYS")
NAMES: Final = ("without", "with")


def train(folder: Path, data: Path, environment: Mapping[str, str]) -> dict[str, Material]:
    """Train a model without and one with history on the same payments, with one threshold."""
    entities = [part for entity in ENTITIES for part in ("--entity", entity)]
    excluded = [part for name in EXCLUDED for part in ("--exclude", name)]
    materials = {}
    for name, extra in zip(NAMES, ([], entities), strict=True):
        study.say(f"training {name} history ...")
        models = folder / f"models-{name}"
        arguments = (
            "train",
            "--data",
            data,
            "--models",
            models,
            "--no-refit",
            "--deploy",
            "--force",
            "--label",
            LABEL,
            "--algorithm",
            "random-forest",
        )
        run_command(folder / f"train-{name}.log", environment, *arguments, *excluded, *extra)
        run_command(
            folder / f"threshold-{name}.log", environment, "threshold", "set", "0.5", "--model", models / "current"
        )
        artifact, _ = resolve(models / "current")
        materials[name] = Material(open_data(data), False, models / "current", artifact.manifest)
    return materials


def keyed(source: DataSource, partitions: int, chance: random.Random) -> tuple[list[bytes], list[bytes]]:
    """Return clear rows and rows of frauds, the n-th of each for the partition n of `partitions`, by its card."""
    clear, alerts = list[bytes](), list[bytes]()
    for text in source.json_rows():
        row = orjson.loads(text)
        for rows in [alerts] if float(row["TX_AMOUNT"]) >= ALWAYS_FRAUD else [clear]:
            row[CARD] = chance.randrange(CARDS // partitions) * partitions + len(rows) % partitions
            rows.append(orjson.dumps(row))
    whole = len(clear) // partitions * partitions
    # The load generator takes the row of its own number: frauds on every partition, as many as clear rows.
    return clear[:whole], alerts[: len(alerts) // partitions * partitions]


def measure_catch_up(
    materials: Mapping[str, Material], rows: Sequence[bytes], count: int, repeats: int, environment: Mapping[str, str]
) -> dict[str, Any]:
    """Let both models read the same backlog by turns; rows a second and their ratio."""
    rates: dict[str, list[float]] = {name: [] for name in materials}
    for _ in range(repeats):
        for name, material in materials.items():
            with tempfile.TemporaryDirectory() as folder:
                system = BenchSystem(Path(folder), material.model, PARTITIONS, environment)
                with stopped_at_the_end(system):
                    system.start_broker()
                    backlog: Iterator[bytes] = islice(cycle(rows), count)
                    fill(system.bootstrap, PARTITIONS, backlog, lambda done: None)
                    rate, _, _ = steady_rate(catch_up(system, "checkpoint", count).progress, count)
            rates[name].append(round(rate))
            study.say(f"catch-up {name} history: {rate:,.0f} rows/s")
    ratios = [after / before for before, after in zip(*(rates[name] for name in NAMES), strict=True)]
    return {"rows": count, **rates, "ratio": round(median(ratios), 3), "ratios": [round(each, 3) for each in ratios]}


def main() -> None:
    """Measure what is asked for, and write the JSON."""
    parser = study.parser(__doc__, "history_speed")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=("catch-up", "latency"), default=("catch-up", "latency"))
    parser.add_argument("--rows", type=int, default=800_000, help="Of the backlog.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="Of each latency run.")
    parser.add_argument("--rate", type=float, default=1_000.0)
    arguments = parser.parse_args()
    result: dict[str, Any] = {**circumstances(), "data": arguments.data.name, "cards": CARDS, "partitions": PARTITIONS}
    with tempfile.TemporaryDirectory(prefix="fraudstream-speed-") as name:
        folder = Path(name)
        key, profiles = folder / "entity.key", folder / "profiles"
        environment = {**os.environ, "FRAUDSTREAM_ENTITY_KEY": str(key), "FRAUDSTREAM_PROFILES": str(profiles)}
        data, _ = split_file(arguments.data, folder, 0, 300_000, 200_000)
        materials = train(folder, data, environment)
        build = ("profiles", "build", "--from", data, "--model", materials["with"].model)
        run_command(folder / "profiles.log", environment, *build)
        clear, alerts = keyed(open_data(data), PARTITIONS, random.Random(1))
        if "catch-up" in arguments.only:
            result["catch_up"] = measure_catch_up(materials, clear, arguments.rows, arguments.repeats, environment)
            write_result(arguments.output, result)
        if "latency" in arguments.only:
            paths = folder / "clear.jsonl", folder / "alerts.jsonl"
            for path, rows in zip(paths, (clear, alerts), strict=True):
                path.write_bytes(b"".join(row + b"\n" for row in rows))
            request = LatencyRequest(arguments.rate, arguments.seconds, 20.0, 1, 0.02, 0.0, PARTITIONS, page=False)
            runs: dict[str, list[dict[str, Any]]] = {each: [] for each in materials}
            for _ in range(arguments.repeats):
                for each, material in materials.items():
                    study.say(f"latency {each} history ...")
                    runs[each].append(measure_latency(request, material, paths, environment, study.say))
            result["latency"] = {
                stage: {
                    figure: {each: [run[stage][figure] for run in runs[each]] for each in materials}
                    for figure in COMPARED
                }
                for stage in ("alert_topic", "store")
            }
            result["latency_runs"] = runs
            write_result(arguments.output, result)
            study.say(orjson.dumps(result["latency"]).decode())


if __name__ == "__main__":
    main()
