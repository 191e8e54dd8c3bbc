"""The results of the chaos suite, of one session and of several."""

from __future__ import annotations

import pytest
from chaos.report import joined, to_json


def test_sessions_of_one_plan_are_added_up() -> None:
    former = to_json([], seed=1, rows=10, seconds=5.0, short=False)
    former |= {"kills": {"kill-relay": 2}, "failures": ["one"], "faults": [{"fault": "kill-relay", "rate": 200}]}
    later = to_json([], seed=1, rows=10, seconds=7.0, short=False)
    later |= {"kills": {"kill-relay": 1, "kill-broker": 1}, "faults": [{"fault": "cut", "rate": 200}]}
    both = joined(former, later)
    assert both["kills"] == {"kill-broker": 1, "kill-relay": 3}
    assert both["failures"] == ["one"]
    assert [each["fault"] for each in both["faults"]] == ["cut", "kill-relay"]
    assert both["seconds"] == 12.0


def test_sessions_of_different_plans_are_not() -> None:
    with pytest.raises(ValueError, match="seed"):
        joined(
            to_json([], seed=1, rows=10, seconds=5.0, short=False),
            to_json([], seed=2, rows=10, seconds=5.0, short=False),
        )
