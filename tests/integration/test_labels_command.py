"""`fraudstream labels`: files of chargebacks into the store, and all labels out of it for training."""

from __future__ import annotations

import csv
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dashboards import Clock, open_store
from fraudstream.cli.labels import labels as commands
from fraudstream.errors import DataError, DataNotFound, SettingsError, StoreError
from fraudstream.kafka.progress import RunProgress, progress_path, write_progress
from fraudstream.store.change_reading import ChangeQuery, ChangeReader
from fraudstream.store.changes import Actor
from fraudstream.store.labels import LabelQuery
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import TriageService
from fraudstream.store.triage_state import AlertStatus
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.label import profile as profile_data
from fraudstream.transactions.reading_options import ReadingOptions
from fraudstream.transactions.wire import event_id


@pytest.fixture
def store(tmp_path: Path, clock: Clock, store_url: Callable[[Path], str]) -> Iterator[AlertStore]:
    """A store with the alerts `id-1` to `id-5`."""
    with open_store(tmp_path, clock, 5, store_url(tmp_path)) as store:
        yield store


def run(store: AlertStore, *arguments: object) -> Result:
    """Run a command of the group on the store; an error is raised."""
    texts = [str(each) for each in arguments]
    return CliRunner().invoke(
        commands, [*texts, "--database", store.database.backend.url], catch_exceptions=False, standalone_mode=False
    )


def write(tmp_path: Path, text: str, name: str = "chargebacks.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def stored(store: AlertStore) -> list[tuple[str, str, str, str]]:
    page = store.labels.page(LabelQuery())
    return [(each.event_id, each.label, each.source, each.known_at[:10]) for each in reversed(page)]


def test_a_file_with_dates_and_sources_is_imported_and_recorded(store: AlertStore, tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "event_id;label;date;source;event_at\n"
        "id-1;fraud;2026-01-20;chargeback;\n"
        "clear-7;1;2026-01-21 10:00:00;;2026-01-02T00:00:00Z\n"
        "clear-8;legitimate;;;\n",
    )
    result = run(store, "import", file, "--who", "Ann")
    assert result.output == f"{file}: 2 fraud, 1 legitimate added, 0 known before\n"
    assert {each[:3] for each in stored(store)} == {
        ("id-1", "fraud", "chargeback"),
        ("clear-7", "fraud", "file"),
        ("clear-8", "legitimate", "file"),
    }
    assert {each[0]: each[3] for each in stored(store)} | {"clear-8": ""} == {
        "id-1": "2026-01-20",
        "clear-7": "2026-01-21",
        "clear-8": "",
    }
    (change,) = ChangeReader(store.database).page(ChangeQuery())
    assert (change.actor, change.action, change.subject) == ("Ann", "labels", "chargebacks.csv")
    assert change.after == {"labels": {"fraud": 2, "legitimate": 1}, "sha256": open_data(file).fingerprint}


def test_a_list_of_ids_is_a_list_of_frauds(store: AlertStore, tmp_path: Path) -> None:
    file = write(tmp_path, "payment_id,reason\nid-2,10.4\nclear-9,10.5\n")
    run(store, "import", file, "--key", "payment_id", "--source", "chargeback")
    assert [each[:3] for each in stored(store)] == [
        ("id-2", "fraud", "chargeback"),
        ("clear-9", "fraud", "chargeback"),
    ]


def test_an_import_that_is_repeated_changes_nothing(store: AlertStore, tmp_path: Path) -> None:
    file = write(tmp_path, "event_id,label,known_at\nid-1,fraud,2026-01-20\nx,fraud,\nx,fraud,\n")
    assert run(store, "import", file).output.endswith(": 2 fraud added, 0 known before\n")
    before = stored(store)
    assert run(store, "import", file).output.endswith(": no label added, 2 known before\n")
    assert stored(store) == before
    assert ChangeReader(store.database).count(ChangeQuery()) == 1


def test_every_bad_row_is_named_with_line_and_reason_and_none_is_imported(store: AlertStore, tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "event_id,label,known_at,source\n"
        "good,fraud,2026-01-20,\n"
        ",fraud,2026-01-20,\n"
        "b,perhaps,2026-01-20,\n"
        "c,fraud,yesterday,\n"
        "d,fraud,2026-01-20,verdict\n"
        "4111111111111111,fraud,2026-01-20,\n"
        f"{'e' * 241},fraud,2026-01-20,\n"
        "good,legitimate,2026-01-20,\n"
        "g,,2026-01-20,\n",
    )
    with pytest.raises(DataError) as failed:
        run(store, "import", file)
    lines = failed.value.message.splitlines()
    assert lines[0] == "nothing is imported: 8 of 9 rows cannot be read"
    assert [line.removeprefix(f"  {file}:").split(" ")[:2] for line in lines[1:9]] == [
        ["3:", "event_id"],
        ["4:", "label"],
        ["5:", "known_at"],
        ["6:", "source"],
        ["7:", "event_id"],
        ["8:", "event_id"],
        ["9:", "label"],
        ["10:", "label"],
    ]
    assert "4111111111111111" not in failed.value.message
    assert stored(store) == []
    assert ChangeReader(store.database).count(ChangeQuery()) == 0


def test_ids_are_taken_as_they_are_but_for_numbers_with_a_fraction(store: AlertStore, tmp_path: Path) -> None:
    file = write(tmp_path, "event_id\n100024.0\nt/0/7\np-1.0\n007\n")
    run(store, "import", file)
    assert {each[0] for each in stored(store)} == {"100024", "t/0/7", "p-1.0", "007"}


def test_of_many_bad_rows_the_first_are_listed(store: AlertStore, tmp_path: Path) -> None:
    file = write(tmp_path, "event_id,label,note\n" + "a,perhaps,\n" * 50)
    with pytest.raises(DataError, match="50 of 50") as failed:
        run(store, "import", file)
    assert len(failed.value.what.splitlines()) == 22
    assert "and 30 more" in failed.value.what


def test_what_cannot_be_imported_at_all_is_an_error(store: AlertStore, tmp_path: Path) -> None:
    with pytest.raises(DataNotFound):
        run(store, "import", tmp_path / "none.csv")
    with pytest.raises(SettingsError, match="no column 'event_id'; the columns are id, label"):
        run(store, "import", write(tmp_path, "id,label\na,fraud\n"))
    missing = f"sqlite:///{tmp_path / 'other.db'}"
    file = str(write(tmp_path, "event_id,label\na,fraud\n"))
    with pytest.raises(StoreError):
        CliRunner().invoke(commands, ["import", file, "--database", missing], catch_exceptions=False)
    assert not (tmp_path / "other.db").exists()


def test_an_export_has_the_label_that_counts_as_known_at_a_time(
    store: AlertStore, tmp_path: Path, clock: Clock
) -> None:
    TriageService(store).verdict(Actor("Ann"), ["id-1", "id-2"], AlertStatus.FALSE_ALARM)
    run(store, "import", write(tmp_path, "event_id,label,known_at\nid-1,fraud,2026-01-20\n"), "--source=chargeback")
    file = tmp_path / "labels.csv"
    for _ in range(2):  # a file that exists is replaced
        assert run(store, "export", file).stderr == f"{file}: 1 fraud, 1 legitimate\n"
    produced = "2026-01-02T03:04:05+00:00"
    assert list(csv.reader(file.read_text().splitlines())) == [
        ["event_id", "label", "source", "known_at", "event_at"],
        ["id-1", "fraud", "chargeback", "2026-01-20T00:00:00+00:00", produced],
        ["id-2", "legitimate", "verdict", produced, produced],
    ]
    output = run(store, "export", "-", "--as-of", "2026-01-19", "--key", "payment").stdout
    assert [line.split(",")[:2] for line in output.splitlines()] == [
        ["payment", "label"],
        ["id-1", "legitimate"],
        ["id-2", "legitimate"],
    ]
    with pytest.raises(SettingsError, match="--as-of 'soon' must be a time"):
        run(store, "export", file, "--as-of", "soon")
    with pytest.raises(DataError, match="cannot be written"):
        run(store, "export", tmp_path / "none" / "labels.csv")
    assert sorted(each.name for each in tmp_path.glob("*.csv")) == ["chargebacks.csv", "labels.csv"]
    assert stat.S_ISREG(file.stat().st_mode)


def test_an_export_labels_payments_for_training(store: AlertStore, tmp_path: Path) -> None:
    days = [f"2026-01-{day:02d}" for day in range(1, 29)]
    rows = [f"e-{number},{day} 12:00:00,{number}.5" for number, day in enumerate(days)]
    payments = write(tmp_path, "\n".join(["event_id,date,amount", *rows]), "payments.csv")
    frauds = [f"e-{number},fraud,2026-02-{number:02d}" for number in (3, 5, 8)]
    run(store, "import", write(tmp_path, "\n".join(["event_id,label,known_at", *frauds, "e-9,legitimate,"])))
    file = tmp_path / "labels.csv"
    run(store, "export", file)
    profile = profile_data(open_data(payments, ReadingOptions(labels=file, label_key="event_id")))
    assert [row for row, is_fraud in enumerate(profile.label.is_fraud) if is_fraud] == [3, 5, 8]
    assert profile.label_delay is not None
    assert 29 < profile.label_delay / 86_400 < 31


def test_payments_that_were_sent_without_event_ids_of_their_own_are_labelled_by_their_ids(
    store: AlertStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{1_000 + number},{number}.5" for number in range(6)]
    payments = write(tmp_path, "\n".join(["TRANSACTION_ID,amount", *rows]), "payments.csv")
    monkeypatch.chdir(tmp_path)
    file, export = tmp_path / "labels.csv", ("--key", "TRANSACTION_ID", "--data", payments)
    with pytest.raises(DataNotFound, match="has not sent this file"):
        run(store, "export", file, *export)
    digest = open_data(payments).fingerprint
    sent = RunProgress("run-1", digest, settled=8, pass_number=1, next_row=2)
    write_progress(progress_path(tmp_path, "credit_card_transactions", digest), sent)
    frauds = [event_id("run-1", digest, 0, 3), event_id("run-1", digest, 1, 1), "of another file"]
    run(store, "import", write(tmp_path, "\n".join(["event_id", *frauds])))
    assert run(store, "export", file, *export).stderr == f"{file}: 2 fraud\n"
    labelled = open_data(payments, ReadingOptions(labels=file, label_key="TRANSACTION_ID"))
    assert [row for row, cells in enumerate(labelled.rows()) if cells[-1] == "1"] == [1, 3]
    with pytest.raises(SettingsError, match="there is no column 'PaymentId'"):
        run(store, "export", file, "--key", "PaymentId", "--data", payments)
