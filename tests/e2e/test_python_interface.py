"""The Python interface: the page that shows it runs as it stands, and gives what the commands give."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from shutil import copy

import numpy as np
import pytest

import fraudstream
from commands import FRAUDS, ROWS, read_scores
from fraudstream.errors import DataNotFound, ModelNotFound

pytestmark = [pytest.mark.e2e, pytest.mark.spark]

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
SHOW = """
import json
print(json.dumps({"rows": len(scores), "alerts": int(scores.is_alert.sum()), "id": model.manifest.model_id}))
"""


@pytest.mark.nightly
def test_the_page_runs_as_it_stands_and_gives_what_the_commands_give(
    payments: Path, models: Path, scores: dict[int, tuple[str, float | None]], tmp_path: Path
) -> None:
    copy(payments, tmp_path / "payments.csv")
    example = PAGE.read_text().split("```python\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", example + SHOW],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    alerts = sum(outcome == "alert" for outcome, _ in scores.values())
    assert printed == {"rows": ROWS, "alerts": alerts, "id": fraudstream.load(models).manifest.model_id}
    assert read_scores(tmp_path / "scores.csv") == scores


def test_scores_are_arrays_by_row(payments: Path, models: Path, tmp_path: Path) -> None:
    lines = payments.read_text().splitlines()
    few = tmp_path / "few.csv"
    few.write_text("\n".join([*lines[:20], ",".join(["60"] + [""] * (lines[0].count(",") - 1) + ['"0"'])]) + "\n")
    result = fraudstream.score(few, model=models / "current")
    assert len(result) == 20
    assert result.outcome[-1] == "unscorable"
    assert math.isnan(result.score[-1])
    assert np.array_equal(result.is_alert[:-1], result.score[:-1] >= result.threshold)
    assert fraudstream.load(models).manifest.training_data.frauds == FRAUDS


def test_what_is_not_there_raises_an_error_that_names_it(models: Path, tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=r"nothing\.csv"):
        fraudstream.score(tmp_path / "nothing.csv", model=models)
    with pytest.raises(ModelNotFound, match="fraudstream train"):
        fraudstream.load(tmp_path / "models" / "current")
    with pytest.raises(DataNotFound):
        fraudstream.train(tmp_path / "nothing.csv", models=tmp_path / "models")
