"""CSVs in the shape of public fraud sets: trained on by the command, each column decided as a person would, scored."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import Command, read_scores
from public_sets import write_banksim, write_paysim, write_sparkov

pytestmark = [pytest.mark.e2e, pytest.mark.spark]

ROWS = 1_200
LINEAR = "logistic-regression"

SETS: dict[str, tuple[Callable[[Path], Path], dict[str, str]]] = {
    "sparkov": (
        write_sparkov,
        {
            "": "left out: has no name",
            "trans_date_trans_time": "time: hour of the day",
            "cc_num": "left out: an identifier",
            "merchant": "category: 2 values kept",
            "category": "category: 4 values kept",
            "amt": "number: median",
            "first": "left out: names a person",
            "last": "left out: names a person",
            "gender": "category: 2 values kept",
            "street": "left out: names a person or a place",
            "city": "category: 4 values kept",
            "state": "category: 4 values kept",
            "zip": "left out: a postal code",
            "lat": "number: median",
            "long": "number: median",
            "city_pop": "number: median",
            "job": "category: 4 values kept",
            "dob": "elapsed: days to trans_date_trans_time",
            "trans_num": "left out: an identifier",
            "unix_time": "left out: only ever grows",
            "merch_lat": "number: median",
            "merch_long": "number: median",
            "is_fraud": "label: '1' is fraud",
        },
    ),
    "paysim": (
        write_paysim,
        {
            "step": "left out: orders the rows",
            "type": "category: 5 values kept",
            "amount": "number: median",
            "nameOrig": "left out: an identifier",
            "oldbalanceOrg": "number: median",
            "newbalanceOrig": "number: median",
            "nameDest": "left out: an identifier",
            "oldbalanceDest": "left out: always 0",
            "newbalanceDest": "number: median",
            "isFraud": "label: '1' is fraud",
            "isFlaggedFraud": "left out: its name says fraud",
        },
    ),
    "banksim": (
        write_banksim,
        {
            "step": "left out: orders the rows",
            "customer": "left out: an identifier",
            "age": "category: 8 values kept",
            "gender": "category: 3 values kept",
            "zipcodeOri": "left out: a postal code",
            "merchant": "category: 8 values kept",
            "zipMerchant": "left out: a postal code",
            "category": "category: 4 values kept",
            "amount": "number: median",
            "fraud": "label: '1' is fraud",
        },
    ),
}


@pytest.mark.parametrize("name", list(SETS))
def test_a_public_set_is_trained_on_as_it_is_and_every_row_gets_an_outcome(
    name: str, run: Command, tmp_path: Path
) -> None:
    write, expected = SETS[name]
    data = write(tmp_path / f"{name}.csv")
    trained = run("train", "--data", data, "--models", tmp_path / "models", "--algorithm", LINEAR, "--json")
    assert trained.returncode == 0, trained.stderr
    said = json.loads(trained.stdout)
    decisions = {column["name"]: f"{column['becomes']}: {column['detail']}" for column in said["columns"]}
    assert list(decisions) == list(expected)
    assert {column: decision[: len(expected[column])] for column, decision in decisions.items()} == expected
    assert said["average_precision"] > 0.5

    output = tmp_path / "scores.csv"
    scored = run("score", "--data", data, "--model", tmp_path / "models" / "current", "--output", output)
    assert scored.returncode == 0, scored.stderr
    scores = read_scores(output)
    assert len(scores) == ROWS
    assert {outcome for outcome, _ in scores.values()} == {"clear", "alert"}


def test_a_user_s_choice_of_columns_goes_before_ours_in_any_make_of_csv(run: Command, tmp_path: Path) -> None:
    text = write_paysim(tmp_path / "plain.csv").read_text().replace(",", ";")
    text = text.replace("type", "kind, of payment", 1).replace(";isFlaggedFraud", ";flagged")
    data = tmp_path / "payments.csv.gz"
    data.write_bytes(gzip.compress(text.encode("utf-8-sig")))
    models = tmp_path / "models"
    trained = run(
        "train", "--data", data, "--models", models, "--algorithm", LINEAR, "--label", "isfraud",
        "--features", "kind, of payment", "--features", "amount,step,oldbalanceOrg", "--exclude", "nameDest",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    lines = {line.split("  ")[0].strip(): line for line in trained.stdout.splitlines()}
    assert "5 values kept" in lines["kind, of payment"]
    assert "number" in lines["step"]
    assert "left out by --exclude" in lines["nameDest"]
    assert "not among --features" in lines["newbalanceOrig"]

    unknown = run("train", "--data", data, "--models", models, "--exclude", "amount,typo")
    assert unknown.returncode == 2
    assert "no column 'typo'; the columns are step, kind, of payment, amount" in unknown.stderr
    assert "Traceback" not in unknown.stderr
