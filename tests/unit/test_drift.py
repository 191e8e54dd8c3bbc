"""What differs between a row's columns and the contract: exact, disjoint, and independent of any order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.transactions.drift import (
    LARGEST_LISTING,
    Contract,
    Drift,
    changes,
    columns_of,
    describe_columns,
    drift_of,
    id_of,
    listing,
    schema_id,
)

NAMES = st.sampled_from([f"V{i}" for i in range(8)] + ["Amount", "note", "place.lat", "Class", "Time"])
TYPES = st.sampled_from(["number", "not finite", "text", "null", "boolean", "array", "object", "unknown"])
COLUMNS = st.dictionaries(NAMES, TYPES)
CONTRACTS = st.builds(
    lambda features, aliases, others: Contract(
        "m", 1, dict.fromkeys(features, "number"), {new: old for new, old in aliases.items() if new not in features},
        frozenset(others) - set(features), missing_limit=2,
    ),
    st.lists(NAMES, unique=True),
    st.dictionaries(NAMES, NAMES, max_size=3),
    st.sets(NAMES),
)  # fmt: skip
CONTRACT = Contract("m", 1, dict.fromkeys(("V1", "V2", "Amount"), "number"), {}, frozenset({"Class"}), missing_limit=1)


@pytest.mark.parametrize("text", ["AQIDBA==", "BOI=", "fw==", "AYag"])
def test_a_base64_decimal_is_named_with_the_remedy(text: str) -> None:
    columns = columns_of({"V1": 1, "V2": 2, "Amount": text}, ["Amount"])
    (change,) = changes(drift_of(columns, CONTRACT))
    assert str(change).startswith("column Amount sent as base64 text: the training median is used; it looks like")
    assert "decimal.handling.mode=string or double" in str(change)
    # It was read: a category, or a number after all.
    assert columns_of({"Amount": text})["Amount"] == "text"


@pytest.mark.parametrize("text", ["none", "VISA", "N/A", "", "-", "12,5", "1.234,56", "2024-01-02", "AAAA" * 11])
def test_other_text_is_no_base64_decimal(text: str) -> None:
    assert columns_of({"Amount": text}, ["Amount"])["Amount"] == "text"


@given(COLUMNS, CONTRACTS)
def test_added_missing_and_retyped_are_disjoint_and_exact(columns: dict[str, str], contract: Contract) -> None:
    drift = drift_of(columns, contract)
    added, missing, retyped = set(drift.added), set(drift.missing), set(drift.retyped)
    assert len(added | missing | retyped) == len(added) + len(missing) + len(retyped)
    for feature in contract.features:
        carriers = {feature, *(new for new, old in contract.aliases.items() if old == feature)} & columns.keys()
        types = {columns[name] for name in carriers}
        assert (feature in missing) == (not carriers)
        assert (feature in retyped) == (bool(carriers) and not types & {"number", "unknown"})
    for name in columns:
        is_read = contract.aliases.get(name) in contract.features
        assert (name in added) == (name not in contract.features and name not in contract.others and not is_read)
    assert drift.is_over_limit == (len(missing) > contract.missing_limit)


@given(COLUMNS, CONTRACTS, st.randoms())
def test_neither_drift_nor_id_depends_on_the_order_of_columns(
    columns: dict[str, str], contract: Contract, random: Any
) -> None:
    shuffled = list(columns.items())
    random.shuffle(shuffled)
    assert drift_of(dict(shuffled), contract) == drift_of(columns, contract)
    assert id_of(dict(shuffled)) == id_of(columns)


def test_a_row_as_trained_differs_in_nothing() -> None:
    row = {"Amount": 1, "V2": 2.5, "V1": -1, "Class": 0}
    assert drift_of(columns_of(row), CONTRACT) == Drift()
    assert not drift_of(columns_of(row), CONTRACT)


def test_each_kind_of_change_says_what_the_detector_does() -> None:
    row = {"V1": "1.5", "Amount": None, "place": {"lat": 1}, "note": "x"}
    assert [str(change) for change in changes(drift_of(columns_of(row), CONTRACT))] == [
        "column V2 missing: the training median is used",
        "column Amount without a value (null): the training median is used",
        "column V1 sent as text: read as a number where it is one",
        "columns note, place.lat added: kept and shown",
    ]


def test_more_missing_than_the_model_allows_is_not_scored() -> None:
    drift = drift_of({"V1": "number"}, CONTRACT)
    assert [str(change) for change in changes(drift)] == [
        "columns V2, Amount missing: too many for the model, so such transactions are unscorable"
    ]


def test_an_alias_satisfies_its_feature_and_is_no_new_column() -> None:
    contract = Contract("m", 1, CONTRACT.features, {"sum": "Amount"})
    columns = {"V1": "number", "V2": "number", "sum": "number"}
    assert not drift_of(columns, contract)
    assert drift_of(columns, CONTRACT).missing == ("Amount",)


def test_a_list_that_was_cut_proves_nothing_missing() -> None:
    assert drift_of({"V1": "number"}, CONTRACT, is_whole=False) == Drift()


def test_many_columns_are_named_in_few_words() -> None:
    assert describe_columns(f"V{i}" for i in range(1, 13)) == "columns V1, V2, V3, V4, V5 and 7 more"


def test_the_listing_of_ten_thousand_columns_is_bounded() -> None:
    wide = {f"c{i}": i for i in range(10_000)}
    listed = listing(columns_of(wide))
    assert len(listed) < 10_000
    assert sum(len(name) + 16 for name in listed) <= LARGEST_LISTING
    assert schema_id(wide) != schema_id(wide | {"zzz": 1})
    assert listing({"n" * 1_000_000: "number"}) == {"n" * 199 + "…": "number"}


@pytest.mark.parametrize("spelling", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_not_finite_is_reported_as_that_and_not_as_text(spelling: str) -> None:
    contract = Contract("m-1", 1, {"a": "number", "b": "number"}, missing_limit=1)
    (change,) = changes(drift_of(columns_of({"a": spelling, "b": 1}), contract))
    assert str(change) == "column a sent as NaN or infinite: the training median is used"
