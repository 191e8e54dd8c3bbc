"""Which label a transaction had at a time, from what was known of it by then."""

from __future__ import annotations

import itertools

import pytest

from fraudstream.history.labels import DAY_US, KnownLabel, LabelSource, LabelValue, current_label, mature_label

FRAUD, LEGITIMATE, UNKNOWN = LabelValue
VERDICT, CHARGEBACK, FILE = LabelSource


def known(label: LabelValue, source: LabelSource, day: int) -> KnownLabel:
    return KnownLabel(label, source, day * DAY_US)


def at(day: float, *labels: KnownLabel, delay: float = 7) -> str:
    """The label of a transaction of day 0."""
    return mature_label(0, labels, int(day * DAY_US), delay).value


def test_without_a_label_a_transaction_is_legitimate_only_after_the_delay() -> None:
    assert [at(day) for day in (-1, 0, 6.999, 7, 100)] == ["unknown"] * 3 + ["legitimate"] * 2
    assert at(7, delay=30) == "unknown"


def test_a_label_counts_from_when_it_became_known() -> None:
    chargeback = known(FRAUD, CHARGEBACK, 20)
    assert [at(day, chargeback) for day in (6, 19, 20, 21)] == ["unknown", "legitimate", "fraud", "fraud"]
    assert at(1, known(LEGITIMATE, VERDICT, 1)) == "legitimate"


def test_a_chargeback_counts_whatever_an_analyst_decides_before_or_after() -> None:
    labels = [known(LEGITIMATE, VERDICT, 0), known(FRAUD, CHARGEBACK, 20), known(LEGITIMATE, VERDICT, 21)]
    assert [at(day, *labels) for day in (1, 20, 30)] == ["legitimate", "fraud", "fraud"]


@pytest.mark.parametrize(("last", "label"), [(LEGITIMATE, "legitimate"), (UNKNOWN, "fraud")])
def test_a_chargeback_is_withdrawn_or_reversed_by_another(last: LabelValue, label: str) -> None:
    labels = [known(FRAUD, VERDICT, 1), known(FRAUD, CHARGEBACK, 20), known(last, CHARGEBACK, 30)]
    assert at(40, *labels) == label


def test_of_a_verdict_and_a_list_the_newer_counts() -> None:
    labels = [known(LEGITIMATE, FILE, 5), known(FRAUD, VERDICT, 6)]
    assert (at(5, *labels), at(6, *labels)) == ("legitimate", "fraud")


def test_an_undone_verdict_leaves_what_other_sources_say() -> None:
    undone = [known(FRAUD, VERDICT, 1), known(UNKNOWN, VERDICT, 2)]
    assert [at(day, *undone) for day in (1, 2, 7)] == ["fraud", "unknown", "legitimate"]
    assert at(7, known(FRAUD, FILE, 1), *undone) == "fraud"


def test_only_labels_of_the_same_time_depend_on_their_order() -> None:
    labels = [known(FRAUD, VERDICT, 1), known(LEGITIMATE, VERDICT, 2), known(FRAUD, FILE, 3)]
    assert {current_label(each) for each in itertools.permutations(labels)} == {labels[2]}
    tie = [known(FRAUD, VERDICT, 1), known(LEGITIMATE, FILE, 1)]
    assert current_label(tie) == current_label(tie[::-1]) == tie[0]
    same = [known(FRAUD, VERDICT, 1), known(LEGITIMATE, VERDICT, 1)]
    assert current_label(same) == same[1]
    assert current_label([]) is None
