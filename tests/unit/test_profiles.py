"""Daily profiles of entities: their numbers, the days that they count, and which tables are final."""

from __future__ import annotations

import csv
import gzip
import json
import random
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from click.testing import CliRunner

from archives import row
from columns import NOW
from fraudstream.archive.writer import Archive
from fraudstream.cli.entry import cli
from fraudstream.errors import DataError, LabelError, SettingsError
from fraudstream.history.payments import NEVER, NO_TIME, Payments, read_payments
from fraudstream.history.profiles import latest_profile, profile_path, whole_from, write_profiles
from fraudstream.history.spec import PROFILE_WINDOWS, HistoryEntity, HistorySpec, with_features
from fraudstream.model.deployment.current import deploy
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.label_reader import Categories
from fraudstream.transactions.reading_options import ReadingOptions
from saved_models import LINEAR_ID, linear_manifest, linear_model

SPEC = HistorySpec(
    entities=(HistoryEntity("card", "card"), HistoryEntity("terminal", "terminal")),
    time="at",
    amount="amount",
    delay_days=3,
)
BERLIN = replace(SPEC, zone="Europe/Berlin")
START = datetime(2026, 3, 20, tzinfo=UTC)
"""Nine days before the clocks of Berlin change."""
HOUR, DAY = 3_600_000, 24 * 3_600_000


@dataclass(frozen=True)
class Payment:
    at: int
    card: str = "c1"
    terminal: str = "t1"
    amount: float = 10.0
    reported: int = NEVER


def at(days: float) -> int:
    return round((START + timedelta(days=days)).timestamp() * 1000)


def categories(values: list[str]) -> Categories:
    names = tuple(dict.fromkeys(filter(None, values)))
    return Categories(names, np.array([names.index(each) if each else -1 for each in values], np.int32))


def payments_of(payments: list[Payment]) -> Payments:
    return Payments(
        np.array([each.at for each in payments], np.int64),
        np.array([each.amount for each in payments], np.float64),
        {name: categories([getattr(each, name) for each in payments]) for name in ("card", "terminal")},
        np.array([each.reported for each in payments], np.int64),
    )


def read(path: Path) -> dict[str, dict[str, float | None]]:
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row.pop("id"): {name: float(cell) if cell else None for name, cell in row.items()} for row in rows}


def table(root: Path, days: int, spec: HistorySpec = SPEC) -> dict[str, dict[str, float | None]]:
    return read(profile_path(root, spec.profile_folder(spec.entities[1]), START.date() + timedelta(days)))


def expected(payments: list[Payment], terminal: str, day: date, spec: HistorySpec) -> dict[str, Any]:
    zone = ZoneInfo(spec.zone)
    own = [
        (datetime.fromtimestamp(each.at / 1000, zone).date(), each) for each in payments if each.terminal == terminal
    ]
    end = datetime.combine(day + timedelta(1), datetime.min.time(), zone).timestamp() * 1000
    numbers: dict[str, Any] = {}
    for days in PROFILE_WINDOWS:
        window = [each for on, each in own if day - timedelta(days) < on <= day]
        matured = day - timedelta(spec.delay_days)
        labelled = [each for on, each in own if matured - timedelta(days) < on <= matured]
        amounts = [each.amount for each in window if not np.isnan(each.amount)]
        mean = sum(amounts) / len(amounts) if amounts else None if window else 0
        numbers[f"payments_{days}"] = len(window)
        numbers[f"mean_amount_{days}"] = mean if mean is None else pytest.approx(mean, abs=1e-6)
        numbers[f"partners_{days}"] = len({each.card for each in window if each.card})
        frauds = sum(each.reported < end for each in labelled)
        numbers[f"fraud_share_{days}"] = pytest.approx(frauds / len(labelled) if labelled else 0, abs=1e-6)
    return numbers


@pytest.mark.parametrize("spec", [SPEC, BERLIN])
def test_the_numbers_are_those_of_a_plain_computation(spec: HistorySpec, tmp_path: Path) -> None:
    chance = random.Random(3)
    payments = []
    for _ in range(1000):
        moment = at(chance.uniform(0, 50))
        reported = moment + chance.randrange(10 * DAY) if chance.random() < 0.2 else NEVER
        amount = float("nan") if chance.random() < 0.1 else round(chance.lognormvariate(3, 1), 2)
        card, terminal = (chance.choice(["", *(f"{kind}{n}" for n in range(8))]) for kind in "ct")
        payments.append(Payment(moment, card, terminal, amount, reported))
    days = write_profiles(tmp_path, payments_of(payments), spec)
    assert len(days) in (50, 51)  # the last hour of a day is of the next one in Berlin
    for path in days:
        day = date.fromisoformat(path.name[:10])
        numbers = read(path)
        assert list(numbers) == sorted(numbers)
        for terminal in (f"t{n}" for n in range(8)):
            values = expected(payments, terminal, day, spec)
            assert numbers.get(terminal, dict.fromkeys(values, 0)) == values


def test_a_profile_has_no_fraud_that_was_not_yet_known(tmp_path: Path) -> None:
    early = Payment(at(0.5), reported=at(3.9))
    late = Payment(at(0.6), reported=at(4))
    write_profiles(tmp_path, payments_of([early, late, Payment(at(6))]), SPEC)
    shares = [table(tmp_path, day)["t1"]["fraud_share_7"] for day in range(7)]
    assert shares == [0, 0, 0, 0.5, 1, 1, 1]


def test_a_profile_depends_on_no_later_payment_and_on_no_order(tmp_path: Path) -> None:
    chance = random.Random(5)
    payments = [Payment(at(chance.uniform(0, 9)), f"c{n % 7}", f"t{n % 5}", n / 7) for n in range(500)]
    write_profiles(tmp_path / "all", payments_of(payments), SPEC)
    early = [each for each in payments if each.at < at(5)]
    chance.shuffle(early)
    paths = write_profiles(tmp_path / "early", payments_of(early), SPEC)
    assert len(paths) == 5
    for path in paths:
        assert path.read_bytes() == (tmp_path / "all" / path.parent.name / path.name).read_bytes()


def test_a_table_that_is_there_is_final(tmp_path: Path) -> None:
    first = write_profiles(tmp_path, payments_of([Payment(at(0)), Payment(at(20)), Payment(at(40))]), SPEC)
    before = {path: path.read_bytes() for path in first}
    changed = payments_of([Payment(at(day), amount=1) for day in (0, 20, 40, 41)])
    assert [path.name for path in write_profiles(tmp_path, changed, SPEC)] == ["2026-04-30.csv.gz"]
    assert {path: path.read_bytes() for path in first} == before
    replaced = write_profiles(tmp_path, changed, SPEC, replaces=True)
    assert whole_from(changed, SPEC) == date(2026, 4, 21)
    assert (replaced[0].name, len(replaced)) == ("2026-04-21.csv.gz", 10)
    assert {path.name for path in tmp_path.rglob("*.gz")} == {path.name for path in (*first, *replaced)}
    assert latest_profile(tmp_path, SPEC) == date(2026, 4, 30)


def test_days_without_payments_have_a_table_and_times_beyond_all_days_have_none(tmp_path: Path) -> None:
    times = [Payment(at(0)), Payment(at(2)), Payment(NO_TIME)]
    assert len(write_profiles(tmp_path, payments_of(times), SPEC)) == 3
    assert table(tmp_path, 1)["t1"]["payments_1"] == 0
    assert table(tmp_path, 1)["t1"]["payments_7"] == 1
    assert write_profiles(tmp_path, payments_of([Payment(NO_TIME)]), SPEC) == []
    assert latest_profile(tmp_path / "none", SPEC) == date.min


def test_a_kind_that_is_rare_has_a_table_of_each_day(tmp_path: Path) -> None:
    payments = payments_of([Payment(at(0)), *(Payment(at(day), terminal="") for day in range(20, 80, 20))])
    assert len(write_profiles(tmp_path, payments, SPEC)) == 61
    assert table(tmp_path, 60) == {}

    none = payments_of([Payment(at(0), terminal="")])
    assert len(write_profiles(tmp_path / "none", none, SPEC)) == 1


def test_a_wrong_date_has_few_tables_and_begins_no_period(tmp_path: Path) -> None:
    right = [Payment(at(day)) for day in range(3)]
    last_second = round(datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() * 1000)
    payments = payments_of([Payment(0), *right, Payment(last_second)])
    names = [path.name[:10] for path in write_profiles(tmp_path, payments, SPEC)]
    assert (names[0], names[32], names[33]) == ("1970-01-01", "1970-02-02", "2026-03-20")
    assert names[-2:] == ["2026-04-23", "2099-12-31"]
    assert len(names) == 33 + 35 + 1
    assert whole_from(payments, SPEC) == whole_from(payments_of(right), SPEC) == date(2026, 4, 21)


def test_a_table_belongs_to_all_that_its_numbers_depend_on() -> None:
    entities = HistoryEntity("terminal", "shop"), HistoryEntity("card", "number")
    changes: list[dict[str, Any]] = [
        {"entities": (SPEC.key, entities[0])}, {"entities": (entities[1], SPEC.entities[1])}, {"time": "when"},
        {"clock": 1}, {"amount": "sum"}, {"currency": "money"}, {"home": "EUR"}, {"zone": "Europe/Berlin"},
        {"delay_days": 7},
    ]  # fmt: skip
    specs = [replace(SPEC, **change) for change in changes]
    assert len({spec.profile_folder(spec.entities[1]) for spec in (SPEC, *specs)}) == len(changes) + 1
    same = replace(with_features(SPEC), lag_hours=1)
    assert same.profile_folder(same.entities[1]) == SPEC.profile_folder(SPEC.entities[1])
    assert SPEC.profile_folder(SPEC.entities[1]).startswith("terminal-")


def payment_file(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["id,when,card,terminal,amount,fraud", *rows, ""]))
    return path


NAMED = replace(SPEC, time="when")


def test_payments_are_read_with_their_labels_and_ids(tmp_path: Path) -> None:
    rows = [
        "1,2026-03-20 10:00:00,4111 1111 1111 1111,t1,1.5,1",
        "2,2026-03-21 10:00:00,4111-1111-1111-1111,t2,,0",
        "3,,c2,t1,2,0",
    ]
    source = open_data(payment_file(tmp_path / "a.csv", rows))
    read = read_payments(source, NAMED, lambda value: value.replace(" ", "").replace("-", ""), ("fraud", "1.0"))
    moment = at(10 / 24)
    assert read.time.tolist() == [moment, moment + DAY, NO_TIME]
    assert read.amount.tolist() == pytest.approx([1.5, float("nan"), 2], nan_ok=True)
    assert read.entities["card"].values == ("4111111111111111", "c2")
    assert read.entities["card"].codes.tolist() == [0, 0, 1]
    assert read.reported.tolist() == [moment, NEVER, NEVER]


def test_a_list_of_frauds_says_when_they_were_reported(tmp_path: Path) -> None:
    rows = [f"{n},2026-03-2{n} 10:00:00,c,t,1,0" for n in range(4)]
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label,reported_at\n0,1,2026-03-25\n1,0,2026-03-25\n2,1,\n")
    options = ReadingOptions(labels=labels, label_key="id")
    read = read_payments(open_data(payment_file(tmp_path / "a.csv", rows), options), NAMED, str)
    assert read.reported.tolist() == [at(5), NEVER, at(2 + 10 / 24), NEVER]


def test_a_list_without_a_fraud_is_no_error(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label,source,known_at\n1,legitimate,verdict,2026-03-25\n")
    file = payment_file(tmp_path / "a.csv", ["1,2026-03-20 10:00:00,c,t,1,0"])
    source = open_data(file, ReadingOptions(labels=labels, label_key="id"))
    assert read_payments(source, NAMED, str).reported.tolist() == [NEVER]


def test_a_column_is_read_under_its_alias_or_is_named_as_missing(tmp_path: Path) -> None:
    source = open_data(payment_file(tmp_path / "a.csv", ["1,2026-03-20 10:00:00,c,t,1,0"]))
    assert read_payments(source, SPEC, str, aliases={"when": "at"}).time.tolist() == [at(10 / 24)]
    with pytest.raises(DataError, match="no column 'at'"):
        read_payments(source, SPEC, str)


def test_an_amount_in_another_currency_is_none(tmp_path: Path) -> None:
    rows = ["2026-03-20 10:00:00,c,t,1,EUR", "2026-03-20 11:00:00,c,t,2,USD", "2026-03-20 12:00:00,c,t,3,"]
    (tmp_path / "a.csv").write_text("\n".join(["at,card,terminal,amount,money", *rows, ""]))
    source, spec = open_data(tmp_path / "a.csv"), replace(SPEC, currency="currency", home="EUR")
    assert read_payments(source, spec, str).amount.tolist() == [1, 2, 3]
    amounts = read_payments(source, spec, str, aliases={"money": "currency"}).amount.tolist()
    assert amounts == pytest.approx([1, float("nan"), 3], nan_ok=True)


def test_what_the_operator_does_not_read_enters_no_table(tmp_path: Path) -> None:
    long = "t" * 1025
    rows = [f"{n},2026-03-20 10:00:00,c,{shop},{amount},0" for n, (shop, amount) in enumerate(
        [("t", "1e305"), ("t", "-1e308"), ("t", "3e38"), (long, "1"), (long[1:], "2")]
    )]  # fmt: skip
    payments = read_payments(open_data(payment_file(tmp_path / "a.csv", rows)), NAMED, str)
    assert payments.entities["terminal"].values == ("t", long[1:])
    assert payments.entities["terminal"].codes.tolist() == [0, 0, 0, -1, 1]
    write_profiles(tmp_path, payments, NAMED)
    assert table(tmp_path, 0, NAMED)["t"]["mean_amount_1"] == 3e38


def archive_of(root: Path, *days: int, again: int = 0) -> Path:
    """An archive with a payment at noon of each day, the first of them sent again."""
    with Archive.open(root, "t", "id") as archive:
        for day in days:
            moment = at(day + 0.5)
            when = f"{START + timedelta(days=day):%Y-%m-%d} 12:00:00"
            text = json.dumps({"when": when, "card": "masked", "terminal": "t", "amount": 1})
            rows = [row(offset, at=moment, text=text) for offset in range(10 * day, 10 * day + 1 + again)]
            rows = [each._replace(event_id=f"event-{day}", entity_ids=[("card", "hmac:0a")]) for each in rows]
            archive.write({0: rows}, {0: 10 * day + 9})
    return root


def test_an_archived_payment_that_was_sent_again_counts_once(tmp_path: Path) -> None:
    read = read_payments(open_data(archive_of(tmp_path, 0, 1, again=2)), NAMED, str)
    assert read.entities["terminal"].codes.tolist() == [0, -1, -1, 0, -1, -1]
    assert read.entities["card"].values == ("hmac:0a",)
    assert (read.time >= 0).all()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    manifest = replace(linear_manifest(), history=with_features(NAMED), label="fraud")
    linear_model(tmp_path / "models", LINEAR_ID, manifest)
    deploy(tmp_path / "models", LINEAR_ID, 0.5, who="test", why="", now=NOW)
    return tmp_path / "models" / "current"


def build(tmp_path: Path, *arguments: object) -> Any:
    folders = ("--profiles", tmp_path / "profiles", "--entity-key", tmp_path / "entity.key")
    model = ("--model", tmp_path / "models" / "current")
    return CliRunner().invoke(cli, [str(each) for each in ("profiles", "build", *folders, *model, *arguments)])


def test_the_command_builds_the_days_that_have_no_profile(model: Path, tmp_path: Path) -> None:
    rows = ["1,2026-03-20 10:00:00,c,t,1,0", "2,2026-03-21 10:00:00,4111111111111111,t,1,1"]
    file = payment_file(tmp_path / "a.csv", rows)
    answer = build(tmp_path, "--from", file)
    assert answer.exit_code == 0, answer.output
    folder = NAMED.profile_folder(NAMED.entities[1])
    assert f"{folder}: 2 days written; 2026-03-20 to 2026-03-21" in answer.output
    assert "warning: before 2026-04-21 the windows reach back" in answer.output
    assert table(tmp_path / "profiles", 1, NAMED)["t"]["partners_7"] == 2
    payment_file(file, [*rows, "3,2026-03-22 10:00:00,c,t,1,0"])
    assert "1 day written; 2026-03-22 to 2026-03-22" in build(tmp_path, "--from", file).output
    assert "every day that has ended has one" in build(tmp_path, "--from", file).output


def test_the_command_reads_of_an_archive_what_new_days_need(model: Path, tmp_path: Path) -> None:
    archive, labels = archive_of(tmp_path / "archive", 0, 30, 60, 100), tmp_path / "labels.csv"
    labels.write_text("event_id,label,known_at\nevent-60,fraud,2026-05-20\n")
    arguments = ("--from", archive, "--labels", labels)
    answer = build(tmp_path, *arguments)
    # The last day may have more payments than have been archived; the seven days before have none in their windows.
    assert ": 93 days written; 2026-03-20 to 2026-06-20" in answer.output
    assert table(tmp_path / "profiles", 63, NAMED)["t"]["fraud_share_1"] == 1
    (archive / "date=2026-03-20" / next((archive / "date=2026-03-20").iterdir()).name).write_bytes(b"not read again")
    archive_of(archive, 102)
    assert ": 2 days written; 2026-06-28 to 2026-06-29" in build(tmp_path, *arguments).output
    assert table(tmp_path / "profiles", 101, NAMED)["t"]["payments_30"] == 1


def test_a_payment_from_the_future_does_not_end_a_day_of_the_archive(model: Path, tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "archive", 0, 1)
    text = json.dumps({"when": "2099-01-01 12:00:00", "card": "c", "terminal": "t", "amount": 1, "fraud": 0})
    with Archive.open(archive, "t", "id") as writer:
        writer.write({0: [row(20, at=at(1.6), text=text)]}, {0: 21})
    assert ": 1 day written; 2026-03-20 to 2026-03-20" in build(tmp_path, "--from", archive).output


@pytest.mark.parametrize("command", ["profiles", "state"])
def test_files_beside_an_archive_are_refused(model: Path, tmp_path: Path, command: str) -> None:
    file = payment_file(tmp_path / "a.csv", ["1,2026-03-20 10:00:00,c,t,1,0"])
    both = ("--from", archive_of(tmp_path / "archive", 0), "--from", file)
    error = CliRunner().invoke(cli, [str(each) for each in (command, "build", "--model", model, *both)]).exception
    assert isinstance(error, SettingsError)
    assert error.where == f"--from {file}"


def test_the_command_writes_no_day_that_has_not_ended(model: Path, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    rows = [f"{n},{now - timedelta(days=n):%Y-%m-%d %H:%M:%S},c,t,1,0" for n in range(3)]
    assert build(tmp_path, "--from", payment_file(tmp_path / "a.csv", rows)).exit_code == 0
    assert latest_profile(tmp_path / "profiles", NAMED) <= now.date() - timedelta(days=1)


def test_the_command_needs_labels_and_a_model_with_profiles(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id,when,card,terminal,amount\n1,2026-03-20 10:00:00,c,t,1\n")
    error = build(tmp_path, "--from", file).exception
    assert isinstance(error, LabelError)
    assert "labels export" in error.remedy
    linear_model(tmp_path / "other", LINEAR_ID, linear_manifest())
    error = build(tmp_path, "--from", file, "--model", tmp_path / "other" / LINEAR_ID).exception
    assert isinstance(error, SettingsError)
    assert "reads no profiles" in error.what
