"""Measures how cost grows: real broker, real commands, one study after the other.

    python -m benchmarks.growth partitions columns models drift rates store --workdir FOLDER

Each study writes its own part of results/growth.json and leaves the others as they are. `partitions`, `columns`,
`models` and `drift` are rows a second on a backlog in the steady state (as `python -m benchmarks throughput` takes it),
`rates` is the latency by stage at rising rates, `store` the time that the alert store takes for one alert when it
holds so many already. Payments and models stay in the work folder for the next time.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv

from benchmarks import study
from benchmarks.system.backlog import catch_up, fill, repeated
from benchmarks.system.latency import LatencyRequest, measure_latency
from benchmarks.system.machine import circumstances, load, write_result
from benchmarks.system.material import Material, prepare, split_by_outcome
from benchmarks.system.percentiles import summary
from benchmarks.system.system import BenchSystem, stopped_at_the_end
from fraudstream.config import Settings
from fraudstream.model.deployment.current import resolve
from fraudstream.model.manifest import Manifest
from fraudstream.model.training import plan, recipe
from fraudstream.model.training.plan import TrainingSettings
from fraudstream.model.training.training import train
from fraudstream.runtime.engines import batch_spark, java_for
from fraudstream.store.store import AlertStore
from fraudstream.transactions.data_source import open_data

PARTITIONS: Final = (1, 2, 4, 8)
COLUMNS: Final = (30, 100, 300)
SIZES: Final = ((10, 5), (50, 8), (100, 10), (200, 12))
"""Trees and depth of the forests that are compared."""
DRIFTED: Final = (0.0, 0.001, 0.01, 0.05, 0.2, 1.0)
RATES: Final = (100.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0)
STORED: Final = (1_000, 10_000, 100_000, 1_000_000)
TIMED_ALERTS: Final = 500
BATCH: Final = 1_000
USUAL_PARTITIONS: Final = 4
SEED: Final = 20_261_125

Result = dict[str, Any]


class Study:
    """What every study is given: a folder, the environment, and how many rows it reads."""

    def __init__(self, folder: Path, rows: int) -> None:
        """Take the folder of payments and models, and the rows of a backlog."""
        self.folder, self.rows = folder, rows
        self.environment = dict(os.environ)

    def material(self, algorithm: str, data: Path | None = None, folder: Path | None = None) -> Material:
        """Payments and a model of them."""
        return prepare(folder or self.folder, data, algorithm, self.environment, print)

    def rates(self, model: Path, partitions: int, rows: Sequence[tuple[str, Sequence[bytes]]]) -> Result:
        """Rows a second of a model on a broker of its own, for each named kind of rows, which are repeated."""
        results: Result = {}
        for name, source in rows:
            with tempfile.TemporaryDirectory(prefix="fraudstream-growth-") as folder:
                system = BenchSystem(Path(folder), model.absolute(), partitions, self.environment)
                with stopped_at_the_end(system):
                    system.start_broker()
                    fill(system.bootstrap, partitions, repeated(source, self.rows), lambda _: None)
                    before = load()
                    measurement = catch_up(system, "checkpoint", self.rows).summary()
            keys = ("rows_per_second", "steady", "steady_seconds", "cpu_seconds_per_1000_rows")
            results[name] = {key: measurement[key] for key in keys} | {"load_before": before}
            print(
                f"{name}: {measurement['rows_per_second']:,.0f} rows/s over {measurement['steady_seconds']:.1f} s",
                flush=True,
            )
        return results


def partitions(study: Study) -> Result:
    """The linear model on so many partitions."""
    material = study.material("logistic-regression")
    source = list(material.source.json_rows())
    return {str(each): study.rates(material.model, each, [(str(each), source)])[str(each)] for each in PARTITIONS}


def columns(study: Study) -> Result:
    """The linear model on so many columns: those of the payments, and others of noise."""
    results: Result = {}
    for each in COLUMNS:
        folder = study.folder / f"columns-{each}"
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / "payments.csv"
        if not data.exists():
            _widen(study.material("logistic-regression").source.path, each, data)
        material = study.material("logistic-regression", data, folder)
        source = list(material.source.json_rows())
        results |= study.rates(material.model, USUAL_PARTITIONS, [(str(each), source)])
        results[str(each)] |= {
            "features": len(material.manifest.features),
            "bytes_a_row": round(float(np.mean([len(row) for row in source[:1000]]))),
        }
    return results


def models(study: Study) -> Result:
    """Forests of several sizes, the linear model and boosted trees, on the same payments."""
    linear, boosted = study.material("logistic-regression"), study.material("gbt")
    source = list(linear.source.json_rows())
    results: Result = {}
    for name, path in [
        ("logistic-regression", linear.model),
        ("gbt 60x5", boosted.model),
        *((f"random-forest {trees}x{depth}", _forest(study, trees, depth)) for trees, depth in SIZES),
    ]:
        results |= study.rates(path, USUAL_PARTITIONS, [(name, source)])
        results[name] |= {"parameters": dict(_manifest(path).parameters)}
    return results


def drift(study: Study) -> Result:
    """The linear model with a share of rows in which a number comes as text."""
    material = study.material("logistic-regression")
    source = list(material.source.json_rows())[:20_000]
    kinds = [(f"{share:g}", _drifted(source, share)) for share in DRIFTED]
    slow = Study(study.folder, max(study.rows // 6, 20_000))
    return {
        name: (slow if float(name) > 0.05 else study).rates(material.model, USUAL_PARTITIONS, [(name, rows)])[name]
        for name, rows in kinds
    }


def rates(study: Study) -> Result:
    """The latency by stage of the default model, at rising rates; no browser, whose drawing has its own figures."""
    material = study.material("auto")
    sent = split_by_outcome(study.folder, material, study.environment, print)
    latencies: Result = {}
    for rate in RATES:
        request = LatencyRequest(
            rate=rate,
            duration=30.0,
            warm_up=20.0,
            repeats=1,
            alert_share=min(0.01, 50 / rate),
            linger_ms=0.0 if rate <= 1_000 else 2.0,
            partitions=USUAL_PARTITIONS if rate > 1_000 else 2,
            page=False,
        )
        latency = measure_latency(request, material, sent, study.environment, print)
        stages = ("acknowledged", "alert_topic", "store")
        latencies[f"{rate:g}"] = {stage: latency[stage] for stage in stages} | {
            key: latency[key] for key in ("held", "missing", "linger_ms", "alert_share", "partitions", "load")
        }
        latencies[f"{rate:g}"]["model"] = material.summary["model"]
        print(
            f"{rate:g} rows/s: {latency['alert_topic']['p50_ms']} / {latency['alert_topic']['p99_ms']} ms", flush=True
        )
        if not latency["held"] or (latency["alert_topic"]["p50_ms"] or 0) > 1_000:
            break  # saturated: a higher rate tells nothing more
    return latencies


def store(study: Study) -> Result:
    """How long the store takes for one alert, and its newest page, when it holds so many."""
    results: Result = {}
    with tempfile.TemporaryDirectory(prefix="fraudstream-growth-", dir=study.folder) as folder:
        alerts = AlertStore.open(f"sqlite:///{folder}/alerts.db")
        numbers = iter(_alerts())
        held = 0
        for count in STORED:
            while held < count:
                held += alerts.add_alerts(list(islice(numbers, min(BATCH, count - held)))).accepted
            adding, reading = [], []
            for alert in islice(numbers, TIMED_ALERTS):
                began = time.perf_counter()
                alerts.add_alerts([alert])
                adding.append(time.perf_counter() - began)
                began = time.perf_counter()
                alerts.alerts(limit=100)
                reading.append(time.perf_counter() - began)
                time.sleep(0.002)
            held += TIMED_ALERTS
            megabytes = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
            results[str(count)] = {
                "add_one": summary(adding), "newest_page": summary(reading), "megabytes": round(megabytes, 1)
            }  # fmt: skip
            print(f"{count:,} alerts: {results[str(count)]['add_one']}", flush=True)
        alerts.close()
    return results


STUDIES: Final[Mapping[str, Callable[[Study], Result]]] = {
    "partitions": partitions, "columns": columns, "models": models, "drift": drift, "rates": rates, "store": store,
}  # fmt: skip


def _widen(path: Path, width: int, output: Path) -> None:
    """A CSV with columns of noise before its label, so that it has so many features."""
    table = pa_csv.read_csv(path)
    draw = np.random.default_rng(SEED)
    for number in range(width - (table.num_columns - 1)):
        noise = pa.array(np.round(draw.standard_normal(table.num_rows), 6))
        table = table.add_column(table.num_columns - 1, f"N{number + 1}", noise)
    pa_csv.write_csv(table, output)


def _forest(study: Study, trees: int, depth: int) -> Path:
    """A forest of a size that `train` does not offer, deployed in a folder of its own."""
    folder = study.folder / "models" / f"forest-{trees}x{depth}"
    current = folder / "current"
    if current.exists():
        return current
    chosen = recipe.random_forest(trees, depth)
    with mock.patch.object(plan, "algorithms_for", return_value=(chosen,)):
        train(
            lambda: batch_spark(Settings.load(), "growth"),
            open_data(study.material("logistic-regression").source.path),
            TrainingSettings(algorithm=chosen.name),
            models_dir=folder,
            report=print,
            now=lambda: datetime.now(UTC),
        )
    return current


def _manifest(model: Path) -> Manifest:
    return resolve(model)[0].manifest


def _drifted(source: Sequence[bytes], share: float) -> Sequence[bytes]:
    """The rows, of which a share has one of its numbers as text."""
    if share == 0:
        return source
    every = round(1 / share)
    rows = list(islice(cycle(source), max(len(source), every * 20)))
    for number in range(0, len(rows), every):
        row = orjson.loads(rows[number])
        rows[number] = orjson.dumps(row | {"V26": str(row["V26"])})
    return rows


def _alerts() -> Iterator[dict[str, Any]]:
    """Alerts as the relay posts them, of payments of thirty columns."""
    draw = np.random.default_rng(SEED)
    number = 0
    while True:
        values = draw.standard_normal((BATCH, 28)).round(6).tolist()
        for row in values:
            yield {
                "alert_id": f"{number:032x}", "outcome": "alert", "score": 0.5 + (number % 500) / 1000,
                "threshold": 0.5, "model_id": "random-forest-0123456789ab", "topic": "credit_card_transactions",
                "partition": number % 2, "offset": number // 2, "produced_at": "2026-01-02T03:04:05.678Z",
                "detected_at": "2026-01-02T03:04:05.680Z", "revision": 1, "imputed": [], "source_row": number,
                "transaction": {
                    "Time": number, **{f"V{at}": value for at, value in enumerate(row, 1)}, "Amount": number % 9973 / 7
                },
            }  # fmt: skip
            number += 1


def main() -> None:
    """Run the studies that are asked for and write their parts of the result."""
    parser = study.parser(__doc__, "growth")
    parser.add_argument("studies", nargs="*", choices=[*STUDIES, []], default=list(STUDIES))
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=600_000, help="Of a backlog.")
    arguments = parser.parse_args()
    arguments.workdir.mkdir(parents=True, exist_ok=True)
    for name in arguments.studies:
        print(f"== {name}", flush=True)
        results = STUDIES[name](Study(arguments.workdir, arguments.rows))
        result = orjson.loads(arguments.output.read_bytes()) if arguments.output.exists() else {}
        part = {"rows": arguments.rows, **circumstances(java_for(Settings.load())), "figures": results}
        write_result(arguments.output, result | {name: part})


if __name__ == "__main__":
    main()
