"""What the chaos suite plans to do: enough of everything, and the same for the same seed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from chaos.checkpoints import Damage
from chaos.data import CELLS_LEFT, Verdict, with_more_frauds, with_unscorable
from chaos.fuzz import DEAD_LETTER, oddities
from chaos.plan import chosen, long_plan, short_plan
from chaos.system import LINES, PROCESSES, VOLUMES, still_there

from fraudstream.simulator.simulate import simulate
from fraudstream.transactions.wire import Outcome

TEXT = b'{"Time":1,"V1":0.5,"Amount":149.62,"Class":1}'
ROWS = 1_000


def names(seed: int) -> list[list[str]]:
    return [[fault.name for step in each.steps for fault in step] for each in long_plan(Random(seed), "")]


def test_the_long_form_kills_each_process_ten_times_in_one_round() -> None:
    kills = Counter(names(1)[0])
    assert kills == {f"kill-{process}": 10 for process in PROCESSES}


def test_the_long_form_tries_every_kind_of_fault_everywhere() -> None:
    planned = {name for each in names(1) for name in each}
    assert planned >= {
        *(f"{verb}-{process}" for verb in ("kill", "pause") for process in PROCESSES),
        *(f"{line}-{one}-{other}" for line in ("cut", "slow", "silent") for one, other in LINES),
        *(f"disk-full-{volume}" for volume in VOLUMES),
        *(f"checkpoint-{damage.value}" for damage in Damage),
    }


def test_the_short_form_kills_pauses_and_cuts() -> None:
    (each,) = short_plan(Random(1))
    verbs = Counter(fault.name.partition("-")[0] for step in each.steps for fault in step)
    assert verbs["kill"] == len(PROCESSES)
    assert verbs["pause"] == 1
    assert verbs["cut"] + verbs["silent"] == 1
    assert each.mixture.odd == 200


def test_a_seed_gives_one_plan() -> None:
    assert names(7) == names(7)
    assert names(7) != names(8)


def test_faults_are_chosen_by_name() -> None:
    rounds = chosen(long_plan(Random(1), ""), ["kill-re*", "disk-full-broker"])
    assert {fault.name for each in rounds for step in each.steps for fault in step} == {
        "kill-relay",
        "disk-full-broker",
    }
    (odd,) = chosen([each for each in long_plan(Random(1), "") if not each.steps], ["odd-records"])
    assert odd.mixture.odd == 1_000


def plan_of(seed: int) -> list[tuple[str, bytes | None]]:
    verdicts = [Verdict(Outcome.ALERT, 0.9)] * 3
    return [(odd.kind, odd.value) for odd in oddities(200, [TEXT] * 3, verdicts, Random(seed))]


def test_a_seed_gives_the_same_odd_records() -> None:
    assert plan_of(3) == plan_of(3)
    assert plan_of(3) != plan_of(4)


def test_only_what_is_no_json_object_must_be_a_dead_letter() -> None:
    for odd in oddities(500, [TEXT] * 3, [Verdict(Outcome.ALERT, 0.9)] * 3, Random(5)):
        if odd.verdict is not None and b"NaN" not in (odd.value or b""):
            assert _is_object(odd.value) == (odd.verdict != DEAD_LETTER), odd.kind


def _is_object(value: bytes | None) -> bool:
    try:
        return isinstance(json.loads((value or b"").decode()), dict)
    except (ValueError, RecursionError):
        return False


def test_one_payment_in_twenty_is_a_fraud_and_no_two_are_alike(tmp_path: Path) -> None:
    simulated = tmp_path / "simulated.csv"
    simulate(20_000, 1, simulated)
    head, body = with_more_frauds(simulated, ROWS, np.random.default_rng(1))
    label = head.index("Class")
    assert len(body) == len({tuple(row) for row in body}) == ROWS
    assert sum(row[label] == "1" for row in body) == pytest.approx(ROWS / 20, rel=0.4)
    emptied = [row for row in with_unscorable(body * 10, np.random.default_rng(1)) if "" in row]
    assert emptied
    assert all(len(row) == len(head) and sum(cell != "" for cell in row) == CELLS_LEFT + 1 for row in emptied)


def test_a_process_that_is_not_there_is_not_still_there() -> None:
    assert still_there([2**22 + 1]) == []
