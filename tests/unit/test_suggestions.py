"""Suggested aliases: a true rename is found, an unrelated column is not, and nothing is known of too few values."""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from columns import MODEL_ID, SPREADS, manifest, row, samples, weighed
from fraudstream.dashboard.services.columns import MAX_CANDIDATES, AliasCandidate, ColumnWatch, distance, suggest
from fraudstream.dashboard.services.schema_messages import Sentence, percent, sentences
from fraudstream.model.deployment.aliases import contract_of
from fraudstream.model.deployment.current import Deployment
from fraudstream.store.schemas import SchemaObservation
from fraudstream.times import parse_time

CONTRACT = contract_of(manifest(), Deployment(MODEL_ID, 0.5, revision=1))
RNG = random.Random(5)
NOWHERE = SchemaObservation("s", {}, 0, None, None, None)


def watch(*rows: Any, **changes: Any) -> ColumnWatch:
    watch = ColumnWatch(lambda schema: None)
    watch.observe(weighed(samples(rows, **changes)), CONTRACT)
    return watch


def renamed(number: int, **changes: Any) -> dict[str, Any]:
    return row(number, V3=None, third=row(number)["V3"], **changes)


def pairs(suggestions: list[Any]) -> list[tuple[str, str]]:
    return [(each.new, each.old) for each in suggestions]


def plain_text(sentence: Sentence) -> str:
    at = f"{parse_time(sentence.at):%H:%M} UTC" if sentence.at else ""
    return f"{sentence.before}{at}{sentence.after}."


def test_a_renamed_column_is_found_with_its_evidence() -> None:
    watched = watch(*(row(n) for n in range(40)), *(renamed(n) for n in range(40, 240)))
    (suggestion,) = watched.suggestions(CONTRACT, set())
    assert (suggestion.new, suggestion.old, suggestion.values) == ("third", "V3", 200)
    assert suggestion.distance <= 0.2
    assert suggestion.first.offset == 40


def test_an_unrelated_column_is_not_suggested() -> None:
    rows = (row(n, V3=None, third=RNG.random() * 1000) for n in range(200))
    assert watch(*rows).suggestions(CONTRACT, set()) == []


def test_too_few_values_say_nothing() -> None:
    assert watch(*(renamed(n) for n in range(29))).suggestions(CONTRACT, set()) == []


def test_a_column_that_stood_beside_the_feature_is_no_other_name_of_it() -> None:
    rows = [row(1, third=row(1)["V3"]), *(renamed(n) for n in range(2, 200))]
    assert watch(*rows).suggestions(CONTRACT, set()) == []


def test_two_renames_at_once_are_distinguished() -> None:
    rows = [row(n, V2=None, V4=None, second=row(n)["V2"], fourth=row(n)["V4"], noise=RNG.random()) for n in range(300)]
    assert sorted(pairs(watch(*rows).suggestions(CONTRACT, set()))) == [("fourth", "V4"), ("second", "V2")]


def test_columns_of_like_distribution_are_not_matched_by_guessing() -> None:
    rows = [row(n, V3=None, one=row(n)["V3"], other=row(n + 5_000)["V3"]) for n in range(300)]
    assert watch(*rows).suggestions(CONTRACT, set()) == []


def test_what_was_refused_is_not_suggested_again() -> None:
    watched = watch(*(renamed(n) for n in range(100)))
    assert pairs(watched.suggestions(CONTRACT, set())) == [("third", "V3")]
    assert watched.suggestions(CONTRACT, {("third", "V3")}) == []


def test_a_model_without_quantiles_suggests_nothing() -> None:
    candidate = AliasCandidate(deque([1.0] * 50), NOWHERE, frozenset({"V3"}))
    assert suggest({"third": candidate}, {}, {"V3"}, set()) == []


def test_ever_new_columns_are_bounded_in_memory() -> None:
    rows = [renamed(n) | {f"x{n}": n for n in range(number, number + 50)} for number, n in enumerate(range(500))]
    watched = watch(*rows)
    assert len(watched.suggestions(CONTRACT, set())) <= MAX_CANDIDATES


@example([-5e-324], [0.0] * 20 + [-2.225073858507e-311])
@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.lists(st.floats(-1e9, 1e9), min_size=21, max_size=21))
def test_a_distance_is_between_nothing_and_all(values: list[float], quantiles: list[float]) -> None:
    assert 0.0 <= distance(values, sorted(quantiles)) <= 1.0


def test_a_distribution_of_few_values_is_no_distance_from_itself() -> None:
    assert distance([0.0] * 90 + [1.0] * 10, [0.0] * 18 + [1.0] * 3) < 0.06
    assert distance([0.0] * 50, [0.0] * 21) == 0.0
    assert distance([2.0] * 50, [0.0] * 21) == 1.0


def test_the_banner_says_what_is_missing_since_when_and_in_which_share() -> None:
    watched = watch(*(row(n) for n in range(100)), *(row(n, V3=None) for n in range(100, 160)))
    (sentence,) = sentences(watched.shares(), CONTRACT)
    assert plain_text(sentence) == (
        "Column V3 is missing since about 03:05 UTC: the training median is used; 100 % of recent transactions."
    )


def test_columns_that_went_together_are_one_sentence_and_unjudged_rows_another() -> None:
    watched = watch(*(row(n, **dict.fromkeys(("V1", "V2", "V3"))) for n in range(30)))
    assert [plain_text(sentence) for sentence in sentences(watched.shares(), CONTRACT)] == [
        "100 % of recent transactions are unscorable: too many features are missing.",
        "Columns V1, V2, V3 are missing since about 03:04 UTC: such transactions are unscorable; "
        "100 % of recent transactions.",
    ]


def test_medians_are_claimed_only_for_the_share_that_was_scored() -> None:
    some = watch(*(row(n, V3=None) for n in range(30)))
    both = some.shares()._replace(imputed={"V3": 1.0}, absent={"V3": 1.0}, unscored={"V3": 0.6}, unscorable=0.6)
    assert [plain_text(sentence) for sentence in sentences(both, CONTRACT)] == [
        "60 % of recent transactions are unscorable: too many features are missing.",
        "Column V3 is missing since about 03:04 UTC: the training median is used; 40 % of recent transactions, while "
        "60 % are unscorable.",
    ]


def test_a_column_of_some_recent_rows_is_listed_even_if_the_newest_lacks_it() -> None:
    watched = watch(*(row(n, shop=3.0) for n in range(5)), row(5))
    assert watched.shares().columns["shop"] == "number"


def test_rows_as_trained_need_no_sentence_and_end_a_spell() -> None:
    watched = watch(*(row(n, V3=None) for n in range(30)), *(row(n) for n in range(30, 60)))
    assert sentences(watched.shares(), CONTRACT) == []
    assert watched.shares().since == {}


def test_text_in_place_of_a_number_is_no_gap_while_it_spells_one() -> None:
    assert sentences(watch(*(row(n, V3="1.5") for n in range(30))).shares(), CONTRACT) == []
    (sentence,) = sentences(watch(*(row(n, V3="x") for n in range(9)), imputed=["V3"]).shares(), CONTRACT)
    assert plain_text(sentence).startswith("Column V3 holds no number but text since about")


def test_scores_of_another_revision_say_nothing_of_now() -> None:
    watched = watch(*(renamed(n) for n in range(30)))
    later = samples((renamed(n) for n in range(30, 33)), start=30, revision=2, imputed=[])
    watched.observe(weighed(later), CONTRACT)
    assert watched.shares().imputed == {}


def test_a_replay_says_nothing_of_the_last_rows() -> None:
    watched = ColumnWatch(lambda schema: None)
    replayed = samples(row(n, V3=None) for n in range(20))
    watched.observe(weighed([*samples(row(n) for n in range(60)), *replayed]), CONTRACT)
    assert watched.shares().imputed == {}


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (0.9999, "99.9 %"), (0.5, "50 %"), (0.034, "3.4 %"), (0.00001, "less than 0.1 %")],
)
def test_a_share_never_rounds_to_nothing_or_to_all(share: float, text: str) -> None:
    assert percent(share) == text


def test_the_small_contract_is_that_of_the_tests(tmp_path: Path) -> None:
    assert list(CONTRACT.features) == list(SPREADS)
    assert {len(values) for values in CONTRACT.quantiles.values()} == {21}
