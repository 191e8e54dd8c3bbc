"""Measures the simulator against creditcard.csv: precision of models, amounts, hours, speed, memory.

    python -m benchmarks.simulator_quality --real creditcard_subset.csv --uniform-from 10981

The rows of `--real` must be a uniform sample of the legitimate payments from that second on; only shapes are compared.
The picture is drawn from the JSON by `simulator_picture.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.ml import Pipeline
from pyspark.ml.classification import GBTClassifier, LogisticRegression, RandomForestClassifier
from pyspark.ml.feature import StandardScaler, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks import study
from benchmarks.system.machine import circumstances, write_result
from fraudstream.simulator.simulate import COLUMNS, simulate

FEATURES = list(COLUMNS[1:-1])
QUANTILES = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]
SPEED = """
import json, resource, sys, time
from pathlib import Path
from fraudstream.simulator.simulate import simulate
wall, cpu = time.perf_counter(), time.process_time()
simulate(int(sys.argv[1]), 1, Path(sys.argv[2]))
print(json.dumps({
    "rows": int(sys.argv[1]),
    "rows_per_second": round(int(sys.argv[1]) / (time.perf_counter() - wall)),
    "rows_per_cpu_second": round(int(sys.argv[1]) / (time.process_time() - cpu)),
    "peak_resident_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
}))
"""


def models() -> dict[str, Any]:
    """The three models, with the settings of the reference figures on creditcard.csv."""
    return {
        "logistic_regression": LogisticRegression(labelCol="label"),
        "random_forest": RandomForestClassifier(numTrees=100, maxDepth=12, seed=1, labelCol="label"),
        "gbt": GBTClassifier(
            maxIter=60,
            maxDepth=5,
            stepSize=0.1,
            subsamplingRate=0.8,
            featureSubsetStrategy="0.6",
            seed=1,
            labelCol="label",
        ),
    }


def average_precision(label: np.ndarray, score: np.ndarray) -> float:
    """The area under the precision-recall steps; equal scores are one step."""
    order = np.argsort(-score, kind="stable")
    label, score = label[order], score[order]
    last = np.append(score[1:] != score[:-1], True)
    true_positives, positives = np.cumsum(label)[last], (np.arange(len(label)) + 1)[last]
    return float((np.diff(true_positives, prepend=0) * true_positives / positives).sum() / label.sum())


def precision(spark: SparkSession, csv: Path, rows: int) -> dict[str, float]:
    """Average precision of each model: the first 80 % trains, the last 20 % is the test."""
    data = spark.read.csv(str(csv), header=True, inferSchema=True).withColumn("label", F.col("Class").cast("double"))
    cut = int(rows * 0.8)
    numbered = data.rdd.zipWithIndex().map(lambda pair: (*pair[0], pair[1])).toDF([*data.columns, "row"])
    preparation = Pipeline(
        stages=[
            VectorAssembler(inputCols=FEATURES, outputCol="raw"),
            StandardScaler(inputCol="raw", outputCol="features", withMean=True),
        ]
    )
    early = numbered.where(F.col("row") < cut)
    prepared = preparation.fit(early).transform(numbered).select("row", "label", "features").cache()
    train, test = prepared.where(F.col("row") < cut), prepared.where(F.col("row") >= cut)
    figures: dict[str, float] = {"test_frauds": test.where(F.col("label") == 1).count()}
    for name, model in models().items():
        figures[name] = round(_average_precision(model.fit(train).transform(test)), 3)
        print(csv.name, name, figures[name], flush=True)
    prepared.unpersist()
    return figures


def _average_precision(scored: DataFrame) -> float:
    rows = scored.select("label", vector_to_array(F.col("probability"))[1].alias("score")).collect()
    both = np.array([(row["label"], row["score"]) for row in rows])
    return average_precision(both[:, 0], both[:, 1])


def shape(csv: Path, uniform_from: float) -> dict[str, Any]:
    """What a stream looks like: amounts, hours and the spread of V1..V28 of its legitimate payments."""
    with csv.open() as lines:
        table = np.array([[float(cell.strip('"\n')) for cell in line.split(",")] for line in list(lines)[1:]])
    legitimate = table[(table[:, 30] == 0) & (table[:, 0] >= uniform_from)]
    amount, fraud_amount = legitimate[:, 29], table[table[:, 30] == 1, 29]
    hours = np.bincount((legitimate[:, 0] // 3600).astype(int), minlength=48)
    return {
        "amount": _amounts(amount),
        "fraud_amount": _amounts(fraud_amount),
        "amount_percentiles": np.quantile(amount, np.linspace(0.005, 0.995, 100)).round(2).tolist(),
        "hours": hours.tolist(),
        "spread": legitimate[:, 1:29].std(axis=0).round(3).tolist(),
    }


def _amounts(amount: np.ndarray) -> dict[str, float]:
    figures = {f"p{100 * at:g}": round(float(np.quantile(amount, at)), 2) for at in QUANTILES}
    return figures | {
        "mean": round(float(amount.mean()), 2),
        "max": float(amount.max()),
        "share_zero": round(float((amount == 0).mean()), 4),
        "share_one": round(float((amount == 1).mean()), 4),
        "share_whole": round(float((np.round(amount * 100) % 100 == 0).mean()), 4),
    }


def main() -> None:
    """Measure everything and write the JSON."""
    parser = study.parser(__doc__, "simulator")
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--uniform-from", type=float, default=0.0)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 285_000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--speed-rows", type=int, nargs="+", default=[285_000, 2_000_000])
    arguments = parser.parse_args()
    result: dict[str, Any] = {**circumstances(), "precision": []}
    # Looked at first: a file that cannot be read should be reported before the models have taken their minutes.
    result["real"] = shape(arguments.real, arguments.uniform_from)
    spark = SparkSession.builder.master("local[2]").config("spark.driver.memory", "3g").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    with tempfile.TemporaryDirectory() as folder:
        for rows in arguments.rows:
            for seed in arguments.seeds:
                csv = Path(folder) / f"simulated-{rows}-{seed}.csv"
                frauds = simulate(rows, seed, csv)
                figures = precision(spark, csv, rows)
                result["precision"].append({"rows": rows, "seed": seed, "frauds": frauds, **figures})
        result["simulated"] = shape(Path(folder) / f"simulated-{arguments.rows[-1]}-{arguments.seeds[0]}.csv", 0.0)
        spark.stop()
        out = str(Path(folder) / "speed.csv")
        runs = [[sys.executable, "-c", SPEED, str(rows), out] for rows in arguments.speed_rows]
        result["speed"] = [json.loads(subprocess.run(run, check=True, capture_output=True).stdout) for run in runs]
    write_result(arguments.output, result)
    print(json.dumps(result["speed"]))


if __name__ == "__main__":
    main()
