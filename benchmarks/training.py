"""Measures `fraudstream train` as it is run: what the models are worth on the last fifth, its time and its memory.

    python -m benchmarks.training --data creditcard_subset.csv --legitimate-share 0.18594 --rows 284807

Memory is the greatest sum of the resident sets of the command and the JVM that it starts, looked at twice a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import study
from benchmarks.system.machine import circumstances, write_result
from benchmarks.system.resources import resident_mib
from fraudstream.simulator.simulate import simulate

ALGORITHMS: Final = ("auto", "logistic-regression", "random-forest", "gbt")


def train(arguments: Sequence[str]) -> dict[str, Any]:
    """One training: what it says, how long it took and how much memory."""
    command = [sys.executable, "-m", "fraudstream", "train", "--json", *arguments]
    began, used = time.monotonic(), os.times()
    peak = 0.0
    with tempfile.TemporaryFile() as output, subprocess.Popen(command, stdout=output) as process:
        while process.poll() is None:
            peak = max(peak, resident_mib(process.pid))
            time.sleep(0.5)
        output.seek(0)
        report = json.loads(output.read())
    after = os.times()
    cpu = after.children_user + after.children_system - used.children_user - used.children_system
    metrics, test = report["metrics"], report["on_test"] or {}
    return {
        "algorithm": report["algorithm"],
        "requested": report["requested"],
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(cpu, 1),
        "load": round(os.getloadavg()[0], 1),
        "peak_resident_mib": round(peak),
        "average_precision": [
            round(metrics[key], 4) for key in ("average_precision", "average_precision_low", "average_precision_high")
        ],
        "roc_auc": round(metrics["roc_auc"], 4),
        "calibration_error": round(metrics["calibration_error"], 5),
        "test_frauds": metrics["frauds"],
        "candidates": [
            {
                "name": each["name"],
                "by_period": [round(value, 4) for value in each["by_period"]],
                "chosen": each["chosen"],
            }
            for each in report["candidates"]
        ],
        "saved_on_test": round(test.get("saved", 0.0), 2),
        "caught_on_test": test.get("frauds_caught"),
        "false_alarms_on_test": round(test.get("false_alarms", 0.0), 1),
    }


def main() -> None:
    """Run every training and write the JSON after each; what an earlier run of the script wrote of others stays."""
    parser = study.parser(__doc__, "training")
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--legitimate-share", type=float, default=1.0)
    parser.add_argument("--rows", type=int, default=284_807, help="Simulated rows; 0 leaves them out.")
    parser.add_argument("--models", type=Path, default=None, help="Keep the models of the real data here.")
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS)
    arguments = parser.parse_args()
    result: dict[str, Any] = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    result |= {
        **circumstances(),
    }

    def keep(part: str, data: str, run: dict[str, Any]) -> None:
        others = [each for each in result.get(part, {}).get("runs", []) if each["requested"] != run["requested"]]
        result[part] = {"data": data, "runs": [*others, run]}
        print(json.dumps(run), flush=True)
        write_result(arguments.output, result)

    with tempfile.TemporaryDirectory() as folder:
        for algorithm in arguments.algorithms if arguments.data else ():
            models = arguments.models or Path(folder) / algorithm
            share = ["--legitimate-share", str(arguments.legitimate_share)]
            command = ["--data", str(arguments.data), "--models", str(models), *share, "--algorithm", algorithm]
            keep("real", arguments.data.name, train(command))
        if arguments.rows:
            simulated = Path(folder) / "payments.csv"
            simulate(arguments.rows, 42, simulated)
            run = train(["--data", str(simulated), "--models", f"{folder}/simulated"])
            keep("simulated", f"{arguments.rows:,} simulated rows", run)


if __name__ == "__main__":
    main()
