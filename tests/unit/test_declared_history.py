"""What a user declares with `--entity`, and the columns of its history beside those of the files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from card_payments import ENTITIES, payments, write_payments
from fraudstream.errors import DataError, SettingsError
from fraudstream.history.spec import HistoryEntity, HistorySpec
from fraudstream.model.features.selection import choose_features, entity_columns
from fraudstream.model.manifest import Selection
from fraudstream.model.training.declaration import declared_history, extended, suggested_entities, used_history
from fraudstream.transactions.data_source import DataSource, open_data
from fraudstream.transactions.label import CsvProfile, profile
from saved_models import linear_manifest


@pytest.fixture
def source(tmp_path: Path) -> DataSource:
    return open_data(write_payments(tmp_path / "payments.csv", payments(days=20, a_day=20)))


@pytest.fixture
def data(source: DataSource) -> CsvProfile:
    labelled = profile(source, "TX_FRAUD")
    is_fraud = np.arange(labelled.rows) % 9 == 0
    return replace(labelled, label=replace(labelled.label, is_fraud=is_fraud))


def declared(data: CsvProfile, *entities: str, time: str | None = None, amount: str | None = None) -> HistorySpec:
    return declared_history(data, entities or ENTITIES, time, amount, None)


def test_time_and_amount_are_recognised_and_every_entity_has_features(data: CsvProfile) -> None:
    spec = declared(data)
    assert spec.entities == (HistoryEntity("card", "CUSTOMER_ID"), HistoryEntity("terminal", "TERMINAL_ID"))
    assert (spec.time, spec.clock, spec.amount, spec.delay_days) == ("TX_TIME", None, "TX_AMOUNT", 7)
    assert "payments by this card in 24 h" in spec.names
    assert "share of frauds at this terminal in 7 days; known 7 days later" in spec.names


def test_the_delay_of_the_labels_is_that_of_the_shares_of_frauds(data: CsvProfile) -> None:
    spec = declared_history(data, ENTITIES, None, None, 2.5 * 86_400)
    assert spec.delay_days == 3
    assert "share of frauds at this terminal in 7 days; known 3 days later" in spec.names


def test_a_clock_in_milliseconds_is_a_time(tmp_path: Path) -> None:
    rows = [f"{1_770_000_000_000 + row},c{row % 7},{row},{int(row % 9 == 0)}" for row in range(200)]
    (tmp_path / "a.csv").write_text("\n".join(["when_paid,card,amount,fraud", *rows]))
    data = profile(open_data(tmp_path / "a.csv"), "fraud")
    assert declared(data, "card=card", time="when_paid").clock == 1000


def test_most_payments_are_in_the_home_currency(tmp_path: Path) -> None:
    codes = ["USD", "EUR", "EUR"]
    rows = [f"2026-03-01 {row % 24:02}:00,c{row % 7},{row},{codes[row % 3]},{int(row % 9 == 0)}" for row in range(99)]
    (tmp_path / "a.csv").write_text("\n".join(["time,card,amount,currency_code,fraud", *rows]))
    spec = declared(profile(open_data(tmp_path / "a.csv"), "fraud"), "card=card")
    assert (spec.currency, spec.home) == ("currency_code", "EUR")
    assert "currency_code" in spec.columns


@pytest.mark.parametrize(
    ("entities", "options", "message"),
    [
        (["card=CARD"], {}, "there is no column 'CARD'"),
        (["CUSTOMER_ID"], {}, "there is no column ''"),
        (["Card=CUSTOMER_ID"], {}, "is not KIND=COLUMN"),
        (["../card=CUSTOMER_ID"], {}, "is not KIND=COLUMN"),
        (["card=TX_FRAUD"], {}, "is not KIND=COLUMN"),
        (["card=CUSTOMER_ID", "card=TERMINAL_ID"], {}, "two of one kind"),
        (["card=CUSTOMER_ID", "terminal=CUSTOMER_ID"], {}, "two of one column"),
        (ENTITIES, {"time": "TX_AMOUNT"}, "'TX_AMOUNT' does not hold the date and time"),
        (ENTITIES, {"time": "when"}, "there is no column 'when'"),
        (ENTITIES, {"amount": "TERMINAL_ID"}, "'TERMINAL_ID' is no number"),
    ],
)
def test_a_declaration_that_fits_no_column_is_refused(
    data: CsvProfile, entities: list[str], options: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        declared(data, *entities, **options)


def test_added_columns_follow_those_of_the_files(source: DataSource) -> None:
    values = np.arange(source.row_count * 2, dtype=np.float64).reshape(-1, 2) / 3
    values[1, 0] = np.nan
    added = source.with_numbers(["a, %s", "b"], values)
    rows = list(map(json.loads, added.json_rows()))
    assert [list(row)[-2:] for row in rows] == [["a, %s", "b"]] * source.row_count
    assert [row["b"] for row in rows] == values[:, 1].tolist()
    assert [row["a, %s"] for row in rows] == [None if np.isnan(value) else value for value in values[:, 0]]
    assert list(map(json.loads, added.json_rows(57))) == rows[57:]
    assert (added.fingerprint, added.own_columns, added.name) == (source.fingerprint, source.columns, source.name)
    with pytest.raises(DataError, match="a column 'TX_AMOUNT'"):
        source.with_numbers(["TX_AMOUNT"], values[:, :1])


def test_a_history_feature_is_no_leak_whatever_it_is_called(source: DataSource, data: CsvProfile) -> None:
    spec = declared(data)
    values = np.random.default_rng(1).random((source.row_count, len(spec.names)))
    values[:, 0] = 1.0
    values[:, 1] = data.label.is_fraud + np.arange(data.rows)
    extension = extended(data, source.with_numbers(spec.names, values))
    choice = choose_features(extension, np.ones(data.rows, np.bool_), Selection(features=("TX_AMOUNT",)))
    assert [feature.name for feature in choice.features] == ["TX_AMOUNT", *spec.names[1:]]
    assert choice.excluded[spec.names[0]] == "always 1 in the training rows"
    assert not choice.leaks
    assert not choice.warnings
    used = used_history(spec, choice)
    assert used is not None
    assert used.names == spec.names[1:]


def test_declared_columns_are_entities_of_the_model(data: CsvProfile) -> None:
    assert entity_columns(data, ["TX_AMOUNT"]) == ("TERMINAL_ID", "CUSTOMER_ID", "TX_AMOUNT")


def test_entities_that_recur_are_suggested_with_the_payer_first(data: CsvProfile) -> None:
    time = choose_features(data, np.ones(data.rows, np.bool_), Selection(features=("TX_TIME",))).features
    manifest = replace(linear_manifest(), features=time, entities=entity_columns(data))
    suggested = (HistoryEntity("customer", "CUSTOMER_ID"), HistoryEntity("terminal", "TERMINAL_ID"))
    assert suggested_entities(manifest) == suggested
    assert suggested_entities(replace(manifest, history=declared(data))) == ()
    assert suggested_entities(replace(manifest, features=())) == ()
