"""`fraudstream score`: the verdicts of the stream over a CSV, in input order, one line per row."""

import csv
import tempfile
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.errors import DataError
from fraudstream.model.reading import Projected
from fraudstream.scoring.judge import Judge, Judged
from fraudstream.transactions.csv_source import CsvSource
from fraudstream.transactions.wire import Outcome

ROWS_PER_GROUP: Final = 20_000


class ScoreColumn:
    """The columns of the output; the names are a contract."""

    ROW: Final = "row"
    OUTCOME: Final = "outcome"
    SCORE: Final = "score"
    THRESHOLD: Final = "threshold"

    ALL: Final = (ROW, OUTCOME, SCORE, THRESHOLD)


def score_csv(
    spark: SparkSession, source: CsvSource, judge: Judge, output: Path, *, max_record_bytes: int
) -> Counter[Outcome]:
    """Write `row,outcome,score,threshold` for each row of the source, from 0; returns how many ended in which outcome.

    The rows take the stream's way: CSV to JSON text, then the same projection and model, so that batch and stream
    cannot differ. A score is written with all its digits and is empty where no model may score.

    Raises DataError where the output cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="fraudstream-score-") as folder:
        _write_rows(source.json_rows(), Path(folder) / "rows.parquet")
        frame = spark.read.parquet(str(Path(folder) / "rows.parquet"))
        fits = F.octet_length(Projected.TEXT) <= F.lit(max_record_bytes)
        verdicts = judge.verdicts(frame.withColumn(Projected.TEXT, F.when(fits, F.col(Projected.TEXT))))
        return _write(verdicts, judge.threshold, output)


def _write_rows(rows: Iterable[bytes], path: Path) -> None:
    """Write JSON rows with their numbers as Parquet, in groups small enough for flat memory."""
    schema = pa.schema([(ScoreColumn.ROW, pa.int64()), (Projected.TEXT, pa.string())])
    remaining, written = iter(rows), 0
    with pq.ParquetWriter(path, schema) as writer:
        while group := list(islice(remaining, ROWS_PER_GROUP)):
            numbers = pa.array(range(written, written + len(group)), pa.int64())
            texts = pa.array([row.decode() for row in group], pa.string())
            writer.write_table(pa.table([numbers, texts], schema=schema))
            written += len(group)


def _write(verdicts: DataFrame, threshold: float, output: Path) -> Counter[Outcome]:
    chosen = verdicts.select(ScoreColumn.ROW, Judged.OUTCOME, F.col(Judged.SCORE)).orderBy(ScoreColumn.ROW)
    outcomes: Counter[Outcome] = Counter()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = output.with_name(f".{output.name}.partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(ScoreColumn.ALL)
            for batch in chosen.toArrow().to_batches():
                columns = batch.to_pydict()
                for row, outcome, score in zip(*columns.values(), strict=True):
                    outcomes[Outcome(outcome)] += 1
                    lines.writerow((row, outcome, "" if score is None else repr(score), repr(threshold)))
        partial.replace(output)
    except OSError as e:
        raise DataError(
            f"the scores cannot be written: {e.strerror}", where=str(output), remedy="name a file in a folder you own"
        ) from e
    return outcomes
