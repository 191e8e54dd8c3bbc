"""Measures how fast the detector catches up on a topic, with some of its rows drifted: real broker, real command.

    python -m benchmarks.catch_up --rows 400000 --kinds "as trained" "1 % text" "100 % missing"
    python -m benchmarks.catch_up --rows 400000 --repeats 3 --kinds "as trained" avro --output FILE
    python -m benchmarks.catch_up --data payments.csv --models models/A models/B --kinds "as trained" --output FILE

The same simulated rows are put on a topic of their own for each kind, then `fraudstream detect` reads them from the
earliest offset. The rate is that of the steady state: from the first progress to the last, samples of one second. The
kind "avro" is "as trained" in that format, with a schema registry. With `--models`, each of these artifacts reads the
rows of a CSV in turn.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks import study
from benchmarks.system.backlog import catch_up, fill, steady_rate
from benchmarks.system.machine import circumstances, write_result
from benchmarks.system.material import prepare
from benchmarks.system.schema_registry import VARIABLE, avro_encoder, running_registry
from benchmarks.system.system import BenchSystem, stopped_at_the_end
from fraudstream.config import Settings
from fraudstream.model.artifact import load_artifact
from fraudstream.runtime.engines import java_for
from fraudstream.transactions.data_source import open_data

PARTITIONS: Final = 4
AVRO: Final = "avro"
Change = Callable[[dict[str, Any]], None]
Encode = Callable[[bytes], bytes]


def lose(row: dict[str, Any]) -> None:
    """A column has gone."""
    del row["V26"]


def null(row: dict[str, Any]) -> None:
    """A column has no value."""
    row["V26"] = None


def text(row: dict[str, Any]) -> None:
    """A number comes as text."""
    row["V26"] = str(row["V26"])


def gain(row: dict[str, Any]) -> None:
    """A column more."""
    row["Channel"] = "web"


CHANGES: Final[Mapping[str, Change]] = {"missing": lose, "null": null, "text": text, "added": gain}


def rows_of(kind: str, source: list[bytes], count: int) -> Iterator[bytes]:
    """The rows with a share of them changed: "10 % text" changes each tenth."""
    plain = islice(cycle(source), count)
    if kind == "as trained":
        yield from plain
        return
    percent, _, name = kind.partition(" % ")
    every, change = round(100 / float(percent)), CHANGES[name]
    changed = []
    for row in source:
        parsed = orjson.loads(row)
        change(parsed)
        changed.append(orjson.dumps(parsed))
    for number, (row, other) in enumerate(zip(plain, cycle(changed), strict=False)):
        yield other if number % every == 0 else row


def run(kind: str, source: list[bytes], rows: int, model: Path, encode: Encode | None) -> dict[str, Any]:
    """One catch-up on a broker of its own; "avro" is "as trained" in that format."""
    if kind == AVRO and encode is not None:
        source, kind_of_rows = [encode(row) for row in source], "as trained"
    else:
        kind_of_rows = kind
    with tempfile.TemporaryDirectory() as folder:
        system = BenchSystem(Path(folder), model.absolute(), PARTITIONS, os.environ)
        with stopped_at_the_end(system):
            system.start_broker()
            fill(system.bootstrap, PARTITIONS, rows_of(kind_of_rows, source, rows), lambda done: None)
            rate, _, _ = steady_rate(catch_up(system, "checkpoint", rows).progress, rows)
    return {"kind": kind, "rows": rows, "rows_per_second": round(rate)}


def description(model: Path) -> str:
    """What the artifact's model is made of."""
    manifest = load_artifact(model).manifest
    return f"{manifest.algorithm}: {', '.join(f'{name} {value}' for name, value in manifest.parameters.items())}"


def main() -> None:
    """Run every kind and write the JSON."""
    parser = study.parser(__doc__, "catch_up")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--algorithm", default="logistic-regression")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--data", type=Path, default=None, help="The rows to send; simulated ones when not given.")
    parser.add_argument("--models", type=Path, nargs="+", default=(), help="Artifacts; one is trained when not given.")
    parser.add_argument(
        "--kinds",
        nargs="+",
        default=["as trained", "100 % added", "1 % text", "10 % text", "100 % text", "1 % missing", "100 % missing"],
    )
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        **circumstances(),
        "algorithm": arguments.algorithm,
        "partitions": PARTITIONS,
        "runs": [],
    }
    with tempfile.TemporaryDirectory() as folder, ExitStack() as services:
        models = list(arguments.models)
        if models and arguments.data:
            payments = open_data(arguments.data)
        else:
            material = prepare(Path(folder), arguments.data, arguments.algorithm, os.environ, study.say)
            payments, models = material.source, models or [material.model]
        source, encode = list(payments.json_rows()), None
        if AVRO in arguments.kinds:
            settings = Settings.load()
            url = services.enter_context(
                running_registry(settings.cache, java_for(settings), Path(folder) / "registry.log")
            )
            os.environ[VARIABLE] = url
            encode = avro_encoder(payments)
        for _ in range(arguments.repeats):
            for kind, model in product(arguments.kinds, models):
                slow = kind in ("10 % text", "100 % text")
                measured = run(kind, source, arguments.rows // (4 if slow else 1), model, encode)
                named = {"model": description(model), "load": round(os.getloadavg()[0], 1)} if arguments.models else {}
                result["runs"].append(measured | named)
                print(json.dumps(result["runs"][-1]), flush=True)
    write_result(arguments.output, result)


if __name__ == "__main__":
    main()
