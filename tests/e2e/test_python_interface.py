"""The Python interface: the page that shows it runs as it stands, and gives what the commands give."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import copy

import pytest

import fraudstream
from commands import ROWS, Command, is_running, read_scores

pytestmark = [pytest.mark.e2e, pytest.mark.spark]

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
SHOW = """
import json
print(json.dumps({"rows": len(scores), "alerts": int(scores.is_alert.sum()), "id": model.manifest.model_id}))
"""


@pytest.mark.nightly
def test_the_page_runs_as_it_stands_and_gives_what_the_commands_give(
    payments: Path, run: Command, tmp_path: Path
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
    trained = run("train", "--data", payments, "--algorithm", "logistic-regression", "--models", tmp_path / "commands")
    assert trained.returncode == 0, trained.stderr
    current = tmp_path / "commands" / "current"
    scored = run("score", "--data", payments, "--model", current, "--output", tmp_path / "commands.csv")
    assert scored.returncode == 0, scored.stderr
    scores = read_scores(tmp_path / "commands.csv")
    alerts = sum(outcome == "alert" for outcome, _ in scores.values())
    assert printed == {"rows": ROWS, "alerts": alerts, "id": fraudstream.load(current).manifest.model_id}
    assert read_scores(tmp_path / "scores.csv") == scores


CALLS = """
import sys
import fraudstream, psutil

model, rows = fraudstream.load(sys.argv[1]), [{"Amount": 5.0}]
jvms = lambda: [each.pid for each in psutil.Process().children() if each.name() == "java"]
pids = []
for _ in range(2):
    model.score(rows)
    pids.append(jvms())
jvm = psutil.Process(pids[0][0])
jvm.kill()
jvm.wait()
print(model.score(rows).to_dicts()[0]["outcome"], len(pids[0]), pids[0] == pids[1], *jvms())
"""


@pytest.mark.nightly
def test_calls_share_one_jvm_which_is_replaced_if_it_dies_and_ends_with_the_process(models: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALLS, models], capture_output=True, text=True, check=False, timeout=300
    )
    outcome, count, is_same, last = done.stdout.split()
    assert (done.returncode, outcome, count, is_same) == (0, "unscorable", "1", "True")
    assert not is_running(int(last))
    assert "Traceback" not in done.stderr
