"""Measures what a single row gives and what the lack of history costs, on the Fraud Detection Handbook's payments.

    python -m benchmarks.history --data handbook_2018-04_to_08.csv.gz

A detector that scores each row by itself knows no customer's habits and no terminal's past. The same five weeks are
trained on twice with the same command: as the rows are, and with the columns of history that chapter 3 of the Handbook
works out (per customer the number and mean amount of the last 1, 7 and 30 days; per terminal the number, and the share
of frauds seen with a delay of 7 days). The last week is scored; labels arrive after 7 days.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import pyarrow.csv
from pyspark.sql import Column, DataFrame, SparkSession, Window, WindowSpec
from pyspark.sql import functions as F

from benchmarks import study
from benchmarks.system.machine import circumstances, write_result
from fraudstream.config import Settings
from fraudstream.runtime.engines import batch_spark
from fraudstream.runtime.files import hadoop_path

FIRST_DAY: Final = "2018-07-11"
LAST_DAY: Final = "2018-08-14"
"""The last day that the Handbook scores in its chapter on baseline models; its test week is the last of these five."""
WINDOWS: Final = (1, 7, 30)
DELAY: Final = 7
"""Days until a label is known."""
HISTORY: Final = ("TX_DURING_", "CUSTOMER_NB_", "CUSTOMER_AVG_", "TERMINAL_NB_", "TERMINAL_RISK_")
"""How the names of the columns of history begin."""
LEFT_OUT: Final = "TRANSACTION_ID,CUSTOMER_ID,TERMINAL_ID,TX_TIME_SECONDS,TX_TIME_DAYS,TX_FRAUD_SCENARIO"
"""Numbers without a meaning for another row, the time given twice, and the scenario: the label by another name."""


def last(key: str, days: int) -> WindowSpec:
    """The rows of the same customer or terminal in the last days before each row, and the row itself."""
    seconds = F.col("TX_TIME_SECONDS").cast("long")
    return Window.partitionBy(key).orderBy(seconds).rangeBetween(1 - days * 86_400, 0)


def history_columns() -> dict[str, Column]:
    """The columns of history, by name."""
    columns = {
        "TX_DURING_WEEKEND": (F.weekday("TX_DATETIME") >= 5).cast("int"),
        "TX_DURING_NIGHT": (F.hour("TX_DATETIME") <= 6).cast("int"),
    }
    late = last("TERMINAL_ID", DELAY)
    for days in WINDOWS:
        mine = last("CUSTOMER_ID", days)
        columns[f"CUSTOMER_NB_TX_{days}DAY"] = F.count("*").over(mine)
        columns[f"CUSTOMER_AVG_AMOUNT_{days}DAY"] = F.avg("TX_AMOUNT").over(mine)
        longer = last("TERMINAL_ID", DELAY + days)
        count = F.count("*").over(longer) - F.count("*").over(late)
        frauds = F.sum("TX_FRAUD").over(longer) - F.sum("TX_FRAUD").over(late)
        columns[f"TERMINAL_NB_TX_{days}DAY"] = count
        columns[f"TERMINAL_RISK_{days}DAY"] = F.when(count > 0, frauds / count).otherwise(F.lit(0.0))
    return columns


def with_history(spark: SparkSession, data: Path) -> DataFrame:
    """The payments of the five weeks with the columns of history, in order of time."""
    payments = spark.read.csv(hadoop_path(data), header=True, inferSchema=True)
    return (
        payments.withColumns(history_columns())
        .where(F.to_date("TX_DATETIME").between(FIRST_DAY, LAST_DAY))
        .orderBy("TX_TIME_SECONDS", "TRANSACTION_ID")
        .withColumn("TX_DATETIME", F.date_format("TX_DATETIME", "yyyy-MM-dd HH:mm:ss"))
    )


def train(data: Path, models: Path, algorithm: str) -> dict[str, Any]:
    """One training: what it says of the last week."""
    command = [
        sys.executable, "-m", "fraudstream", "train", "--data", str(data), "--models", str(models), "--json",
        "--label", "TX_FRAUD", "--exclude", LEFT_OUT, "--label-delay", f"{DELAY}d", "--algorithm", algorithm,
    ]  # fmt: skip
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    metrics = report["metrics"]
    return {
        "requested": algorithm,
        "algorithm": report["algorithm"],
        "average_precision": [
            round(metrics[key], 4) for key in ("average_precision", "average_precision_low", "average_precision_high")
        ],
        "roc_auc": round(metrics["roc_auc"], 4),
        "calibration_error": round(metrics["calibration_error"], 5),
        "test_frauds": metrics["frauds"],
    }


def main() -> None:
    """Work out the history, train with and without it, and write the JSON."""
    parser = study.parser(__doc__, "history")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--algorithms", nargs="+", default=["auto", "logistic-regression"])
    arguments = parser.parse_args()
    with batch_spark(Settings.load(), "history") as spark:
        history = with_history(spark, arguments.data).toArrow()
    own = [name for name in history.column_names if not name.startswith(HISTORY)]
    result: dict[str, Any] = {
        **circumstances(),
        "data": arguments.data.name,
        "days": [FIRST_DAY, LAST_DAY],
        "rows": history.num_rows,
        "runs": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        columns = {"a single row": own, "with history": history.column_names}
        for name, features in columns.items():
            file = Path(folder) / f"{name.replace(' ', '_')}.csv"
            pyarrow.csv.write_csv(history.select(features), file)
            for algorithm in arguments.algorithms:
                result["runs"].append({"columns": name} | train(file, Path(folder) / name, algorithm))
                print(json.dumps(result["runs"][-1]), flush=True)
    write_result(arguments.output, result)


if __name__ == "__main__":
    main()
