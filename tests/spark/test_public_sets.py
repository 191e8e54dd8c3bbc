"""CSVs in the shape of public fraud sets: trained on, each column decided as a person would, every row scored."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from commands import read_scores
from fraudstream.model.deployment.current import resolve
from fraudstream.model.training.plan import TrainingSettings
from fraudstream.model.training.summary import as_json
from fraudstream.model.training.training import train
from fraudstream.scoring.scorer import load_scorer, score_csv
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES
from public_sets import write_banksim, write_paysim, write_sparkov

pytestmark = pytest.mark.spark

ROWS = 1_200

SETS: dict[str, tuple[Callable[[Path], Path], dict[str, str]]] = {
    "sparkov": (
        write_sparkov,
        {
            "": "left out: has no name",
            "trans_date_trans_time": "time: hour of the day",
            "cc_num": "left out: holds a card number",
            "merchant": "category: 2 values",
            "category": "category: 4 values",
            "amt": "number: median",
            "first": "left out: names a person",
            "last": "left out: names a person",
            "gender": "category: 2 values",
            "street": "left out: names a person or a place",
            "city": "category: 4 values",
            "state": "category: 4 values",
            "zip": "left out: a postal code",
            "lat": "number: median",
            "long": "number: median",
            "city_pop": "number: median",
            "job": "category: 4 values",
            "dob": "elapsed: days to trans_date_trans_time",
            "trans_num": "left out: an identifier",
            "unix_time": "left out: only ever increases",
            "merch_lat": "number: median",
            "merch_long": "number: median",
            "is_fraud": "label: '1' is fraud",
        },
    ),
    "paysim": (
        write_paysim,
        {
            "step": "left out: orders the rows",
            "type": "category: 5 values",
            "amount": "number: median",
            "nameOrig": "left out: an identifier",
            "oldbalanceOrg": "number: median",
            "newbalanceOrig": "number: median",
            "nameDest": "left out: an identifier",
            "oldbalanceDest": "left out: always 0",
            "newbalanceDest": "number: median",
            "isFraud": "label: '1' is fraud",
            "isFlaggedFraud": "left out: has values that most frauds",
        },
    ),
    "banksim": (
        write_banksim,
        {
            "step": "left out: orders the rows",
            "customer": "left out: an identifier",
            "age": "category: 8 values",
            "gender": "category: 3 values",
            "zipcodeOri": "left out: a postal code",
            "merchant": "category: 8 values",
            "zipMerchant": "left out: a postal code",
            "category": "category: 4 values",
            "amount": "number: median",
            "fraud": "label: '1' is fraud",
        },
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly) for name in ("paysim", "sparkov", "banksim")]
)
def test_a_public_set_is_trained_on_as_it_is_and_every_row_gets_an_outcome(
    name: str, spark: SparkSession, tmp_path: Path
) -> None:
    write, expected = SETS[name]
    data = open_data(write(tmp_path / f"{name}.csv"))
    trained = train(
        lambda: nullcontext(spark),
        data,
        TrainingSettings(algorithm="logistic-regression"),
        models_dir=tmp_path / "models",
        report=lambda line: None,
        now=lambda: datetime.now(UTC),
    )
    report = as_json(trained)
    decisions = {column["name"]: f"{column['becomes']}: {column['detail']}" for column in report["columns"]}
    assert list(decisions) == list(expected)
    assert {column: decision[: len(expected[column])] for column, decision in decisions.items()} == expected
    assert report["average_precision"] > 0.5

    output = tmp_path / "scores.csv"
    scorer = load_scorer(*resolve(tmp_path / "models" / "current"))
    score_csv(spark, data, scorer, output, max_record_bytes=DEFAULT_MAX_RECORD_BYTES)
    scores = read_scores(output)
    assert len(scores) == ROWS
    assert {outcome for outcome, _ in scores.values()} == {"clear", "alert"}
