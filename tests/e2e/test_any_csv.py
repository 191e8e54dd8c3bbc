"""The command `train` on a CSV of any make, with the choice of columns that its user has."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from commands import Command
from public_sets import write_paysim

pytestmark = [pytest.mark.e2e, pytest.mark.spark, pytest.mark.nightly]

LINEAR = "logistic-regression"


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
    assert "4 columns (3 number, 1 category)" in trained.stdout
    assert "kind, of payment (most for fraud" in trained.stdout
    assert "nameDest: left out by --exclude" in trained.stdout
    assert "newbalanceOrig: not among --features" in trained.stdout

    unknown = run("train", "--data", data, "--models", models, "--exclude", "amount,typo")
    assert unknown.returncode == 2
    assert "no column 'typo'; the columns are step, kind, of payment, amount" in unknown.stderr
    assert "Traceback" not in unknown.stderr
