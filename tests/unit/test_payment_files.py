"""Payment files as people have them: each is read as a person would, or refused with the remedy."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fraudstream.cli.models import inspect
from fraudstream.errors import BrokenRow, DataError, FraudstreamError, LabelError, SettingsError
from fraudstream.model.training.inspection import Role, inspect_source
from fraudstream.model.training.plan import TrainingSettings, plan_training
from fraudstream.transactions.data_source import DataSource, open_data
from fraudstream.transactions.label import profile
from fraudstream.transactions.reading_options import ReadingOptions

CASES = Path(__file__).parents[3] / "shared" / "cases"
ROWS = 120
START = datetime(2023, 2, 9, tzinfo=UTC).replace(tzinfo=None)


def at(row: int) -> datetime:
    return START + timedelta(hours=row)


def write(path: Path, header: str, rows: list[str], encoding: str = "utf-8") -> Path:
    path.write_bytes("\n".join([header, *rows, ""]).encode(encoding))
    return path


def payments(path: Path, amounts: list[str], dates: list[str] | None = None, delimiter: str = ",") -> Path:
    """Write a payment per hour, every tenth a fraud, with these amounts in turn."""
    dates = dates or [f"{at(row):%Y-%m-%d %H:%M:%S}" for row in range(ROWS)]
    rows = [
        delimiter.join((f"c{row % 7}", dates[row], f'"{amounts[row % len(amounts)]}"', "1" if row % 10 == 9 else "0"))
        for row in range(ROWS)
    ]
    return write(path, delimiter.join(("card", "when", "amount", "is_fraud")), rows)


def read(path: Path | list[Path], **options: Any) -> DataSource:
    return open_data(path, ReadingOptions.of(options))


def amounts(source: DataSource, count: int) -> list[Any]:
    return [json.loads(row)["amount"] for row, _ in zip(source.json_rows(), range(count), strict=False)]


@pytest.mark.parametrize(
    ("cells", "numbers", "delimiter", "options", "note"),
    [
        (["1,5", "1.234,56", "-7"], [1.5, 1234.56, -7], ";", {}, "decimal comma, as in 9.999,99"),
        (["149,62", "3"], [149.62, 3], ",", {}, "decimal comma"),
        (["1,009.53", "149.62"], [1009.53, 149.62], ",", {}, "as in 9,999.99"),
        (["$1,009.53", "$-73.00", "-$5", "€ 7.5"], [1009.53, -73.0, -5, 7.5], ",", {}, "as in $9,999.99"),
        (["(60.56)", "20.00"], [-60.56, 20.0], ",", {}, "as in (99.99)"),
        (
            ["1 234,5", "1\u00a0000\u00a0000,25", "2,5"],
            [1234.5, 1000000.25, 2.5],
            ";",
            {},
            "as in 9\u00a0999\u00a0999,99",
        ),
        (["1'234.50", "12 CHF"], [1234.5, 12], ",", {}, "as in 9'999.99"),
        (["12,50-", "99,99 kr"], [-12.5, 99.99], ";", {}, "as in 99,99 kr"),
        (["1.234,5 €", "12 %"], [1234.5, 12], ";", {}, "as in 9.999,9 €"),
        (["1,234", "5,678"], [1234, 5678], ",", {}, "as in 9,999"),
        (["1,234", "5,678"], [1.234, 5.678], ";", {}, "decimal comma"),
        (["1,234", "5,678"], [1.234, 5.678], ",", {"decimal": "comma"}, "decimal comma"),
        (["1,234", "5,678"], [1234, 5678], ";", {"decimal": "point"}, "as in 9,999"),
        (["1.234", "5.678"], [1234, 5678], ";", {"decimal": "comma"}, "decimal comma"),
        (["1.234", "0.5"], [1.234, 0.5], ";", {"decimal": "comma"}, ""),
        (["149.62", "?", "-", "N/A", "NULL", "NA", "nan"], [149.62, *[None] * 6], ",", {}, "missing: "),
        (["+3", ".5", "2.", " 7 "], [3, 0.5, 2, 7], ",", {}, ""),
    ],
)
def test_numbers_are_read_however_they_are_written(
    tmp_path: Path, cells: list[str], numbers: list[float], delimiter: str, options: dict[str, str], note: str
) -> None:
    source = read(payments(tmp_path / "a.csv", cells, delimiter=delimiter), **options)
    assert amounts(source, len(cells)) == numbers
    assert note in source.notes.get("amount", "")


def test_what_is_clear_in_one_column_decides_on_another(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a;b", ["1,5;1.234", "2,25;5.678"])
    assert list(read(path).json_rows()) == [b'{"a":1.5,"b":1234}', b'{"a":2.25,"b":5678}']


def test_the_commands_take_the_options_for_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    payments(tmp_path / "a.csv", ["1,234", "5,678"])
    with (tmp_path / "a.csv").open("a") as file:
        file.write("broken\n")
    arguments = ["--data", "a.csv", "--decimal", "comma", "--date-order", "dmy", "--skip-broken", "--header", "--json"]
    result = CliRunner().invoke(inspect, arguments, catch_exceptions=False)
    assert json.loads(result.output)["columns"][2]["format"] == "decimal comma, as in 9,999"
    assert (tmp_path / "a.broken.csv").exists()


def test_a_separator_of_unclear_meaning_is_warned_about(tmp_path: Path) -> None:
    assert "--decimal comma" in read(payments(tmp_path / "a.csv", ["1,234", "5,678"])).warnings[0]


@pytest.mark.parametrize(
    ("form", "note"),
    [
        ("%d/%m/%Y %H:%M", "date order dmy"),
        ("%m/%d/%y %H:%M", "date order mdy"),
        ("%d.%m.%Y %H:%M:%S", "date order dmy"),
        ("%Y/%m/%d %H:%M", "date order ymd"),
        ("%m-%d-%Y %I:%M:%S %p", "date order mdy"),
        ("'%Y-%m-%d %H:%M:%S'", "date order ymd"),
        (" %Y-%m-%d %H:%M:%S", "date order ymd"),
        ("%Y-%m-%d %H:%M:%S UTC", "date order ymd"),
    ],
)
def test_dates_are_read_in_the_only_order_that_fits(tmp_path: Path, form: str, note: str) -> None:
    rows = sorted(range(ROWS), key=lambda row: row * 37 % 101)
    source = read(payments(tmp_path / "a.csv", ["1.5"], [at(row).strftime(form) for row in rows]))
    data = profile(source)
    assert data.time is not None
    assert not data.time.is_file_order
    assert [data.time.format(value) for value in data.time.values[:3]] == [str(at(row)) for row in rows[:3]]
    assert note in source.notes["when"]


@pytest.mark.parametrize(
    ("odd", "message"), [("0000-00-00", "neither a number nor a date"), ("", "lacks a date in 1 rows")]
)
def test_a_date_that_keeps_a_column_from_being_the_time_is_named(tmp_path: Path, odd: str, message: str) -> None:
    dates = [odd, *(f"{at(row):%Y-%m-%d %H:%M:%S}" for row in range(1, ROWS))]
    data = profile(read(payments(tmp_path / "a.csv", ["1.5"], dates)))
    assert data.time is None
    assert message in data.warnings[0]


def test_a_birthday_in_parts_is_not_the_time(tmp_path: Path) -> None:
    rows = [
        f"{row},{1950 + row % 40},{1 + row % 12},{1 + row % 28},{row % 9}.5,{int(row % 9 == 0)}" for row in range(90)
    ]
    path = write(tmp_path / "a.csv", "step,birth_year,birth_month,birth_day,amount,is_fraud", rows)
    time = profile(read(path)).time
    assert time is not None
    assert time.column == "step"


def test_points_that_others_columns_make_thousands_are_warned_about(tmp_path: Path) -> None:
    rows = [f'"{row},5",{row}.250,{int(row % 9 == 0)}' for row in range(1, 90)]
    assert "were read as thousands" in read(write(tmp_path / "a.csv", "amount,rate,is_fraud", rows)).warnings[0]


def test_dates_of_several_possible_orders_order_nothing_until_a_user_says_how(tmp_path: Path) -> None:
    dates = [f"{1 + row % 9:02}/{1 + row % 5:02}/2023 10:00" for row in range(ROWS)]
    path = payments(tmp_path / "a.csv", ["1.5", "2.5"], dates)
    unclear = inspect_source(read(path), None)
    assert unclear["warnings"][0].startswith("figures are not split by time")
    assert "--date-order" in unclear["warnings"][0]
    assert (unclear["time"], role(unclear, "when")) == (None, Role.LEFT_OUT)
    decided = inspect_source(read(path, date_order="mdy"), None)
    assert (decided["time"]["column"], decided["time"]["end"]) == ("when", "2023-09-05 10:00:00")


def role(inspection: dict[str, Any], name: str) -> Role:
    return next(Role(column["role"]) for column in inspection["columns"] if column["name"] == name)


@pytest.mark.parametrize(
    ("names", "form"),
    [
        ("tx_year,tx_month,tx_day,tx_time", "%Y,%m,%d,%H:%M"),
        ("Year,Month,Day,Hour", "%Y,%m,%d,%H"),
        ("Date,Time", "%d/%m/%Y,%I:%M %p"),
    ],
)
def test_a_date_in_parts_is_the_time_and_no_feature(tmp_path: Path, names: str, form: str) -> None:
    rows = [f"{at(row):{form}},{row % 13}.5,{int(row % 10 == 9)}" for row in reversed(range(ROWS))]
    result = inspect_source(read(write(tmp_path / "a.csv", f"{names},amount,is_fraud", rows)), None)
    assert result["time"]["column"] == names.replace(",", ", ")
    assert result["time"]["start"] == str(START)
    assert {role(result, name) for name in names.split(",")} == {Role.TIME}


@pytest.mark.parametrize(
    ("legitimate", "fraud"),
    [
        ("Clean", "Fraud"),
        ("No", "Si"),
        ("no", "Sí"),
        ("non", "oui"),
        ("não", "sim"),
        ("good", "bad"),
        ("ok", "Chargeback"),
    ],
)
def test_labels_in_words_are_known(tmp_path: Path, legitimate: str, fraud: str) -> None:
    path = write(tmp_path / "a.csv", "x,label", [f"1,{legitimate}", f"2,{fraud}", f"3,{legitimate}"])
    assert profile(read(path)).label.is_fraud.tolist() == [False, True, False]


def test_mostly_frauds_are_refused_unless_a_user_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x,label", ["1,1", "2,1", "3,0"])
    with pytest.raises(LabelError, match=r"66\.7%") as error:
        profile(read(path))
    assert "--fraud-value 0" in error.value.remedy
    assert profile(read(path, fraud_value="0")).frauds == 1
    assert profile(read(path, fraud_value="1")).frauds == 2


def test_every_other_value_than_the_fraud_value_is_legitimate(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x,status", ["1,paid", "2,stolen", "3,refused", "4,"])
    assert profile(read(path, fraud_value="Stolen"), "status").label.is_fraud.tolist() == [False, True, False, False]
    with pytest.raises(LabelError, match="never has the value"):
        profile(read(path, fraud_value="x"), "status")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_text_is_read_by_its_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    assert read(write(tmp_path / "a.csv", "é,b", ["ü,1"], encoding)).columns == ("é", "b")


@pytest.mark.parametrize(("text", "encoding"), [("магазин и товар", "cp1251"), ("東京の商店コンビニ", "shift_jis")])
def test_another_encoding_is_guessed_in_the_remedy_and_read_when_named(
    tmp_path: Path, text: str, encoding: str
) -> None:
    path = write(tmp_path / "a.csv", f"a,{text}\namount,shop", [f"{row}.5,{text}" for row in range(50)], encoding)
    with pytest.raises(BrokenRow, match="not UTF-8") as error:
        read(path)
    assert f"--encoding {encoding}" in error.value.remedy
    source = read(path, encoding=encoding, skip_rows=1)
    assert (source.columns, next(source.rows())) == (("amount", "shop"), ["0.5", text])
    assert source.where(0) == f"{path}:3"


@pytest.mark.parametrize("row", ["100,2023-02-01 00:21:00,20.68,online,0", "7,8,9,5,6", "a,b,c,-1.35,0"])
def test_a_header_of_numbers_or_dates_is_none(tmp_path: Path, row: str) -> None:
    path = write(tmp_path / "a.csv", row, [row] * 3)
    with pytest.raises(DataError, match="seems to be no header") as error:
        read(path)
    assert "--no-header" in error.value.remedy
    assert read(path, has_header=False).columns == ("c1", "c2", "c3", "c4", "c5")
    assert read(path, has_header=False).row_count == 4


@pytest.mark.parametrize("header", ["0,1,2,3,Class", ",0,1,2,label", "V1,V2,V3,30,Class"])
def test_headers_that_count_are_accepted(tmp_path: Path, header: str) -> None:
    assert read(write(tmp_path / "a.csv", header, ["1,2,3,4,0"])).columns == tuple(header.split(","))


BROKEN = ['"3,c,0"', "4,d,0,5,e,0", "6,f", '7,"g,0']
FAULTS = ["one quoted cell", "two rows are glued together", "a row has 2 cells", "a quote is not closed"]


@pytest.mark.parametrize(
    ("row", "fault"), [*zip(BROKEN[:3], FAULTS[:3], strict=True), ('"x\ny"', "a row has 1 cell"), ('""', "has 1 cell")]
)
def test_the_fault_of_a_broken_row_is_named(tmp_path: Path, row: str, fault: str) -> None:
    path = write(tmp_path / "a.csv", "x,t,Class", ["1,a,0", row, "2,b,1"])
    with pytest.raises(BrokenRow, match=fault) as error:
        read(path)
    assert error.value.where == f"{path}:3"
    assert "--skip-broken" in error.value.remedy


def test_broken_rows_are_left_out_counted_and_written_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.csv", "x,t,Class", ["1,a,0", *BROKEN, *["2,b,1"] * 1200])
    source = read(path, skip_broken=True)
    assert source.row_count == 1201
    assert source.warnings == ["4 broken rows were left out and written to a.broken.csv"]
    lines = (tmp_path / "a.broken.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["line", "3", "4", "5", "6"]
    assert all(fault in line for fault, line in zip(FAULTS, lines[1:], strict=True))
    assert [json.loads(row)["x"] for row in source.json_rows()] == [1, *[2] * 1200]


def test_identifiers_that_a_spreadsheet_shortened_are_warned_about(tmp_path: Path) -> None:
    rows = [f"4.0{row % 90 + 10}8E+15,{row % 7}.5,{int(row % 10 == 9)}" for row in range(ROWS)]
    result = inspect_source(read(write(tmp_path / "a.csv", "card,amount,is_fraud", rows)), None)
    assert "4.08988E+15" in result["warnings"][0]
    assert role(result, "card") is Role.IDENTIFIER


def test_secrets_of_a_card_are_no_features_and_never_shown(tmp_path: Path) -> None:
    header = "when,card_number,cvv,cvc2,expiry,track2,ssn,pin_block,amount,is_fraud"
    card = "4111111111111111"
    rows = [
        f"{at(row)},{card},{100 + row},{200 + row},11/29,{card}=29112010000012300000,078-05-1120,0412AC{row:04}"
        f",{row % 13}.5,{int(row % 10 == 9)}"
        for row in range(ROWS)
    ]
    path = write(tmp_path / "a.csv", header, rows)
    result = inspect_source(read(path), None)
    secrets = header.split(",")[1:8]
    assert {role(result, name) for name in secrets} == {Role.SECRET}
    assert [column["name"] for column in result["columns"] if column["role"] is Role.FEATURE] == ["amount"]
    printed = CliRunner().invoke(inspect, ["--data", str(path), "--json"]).output
    assert [each["name"] for each in json.loads(printed)["columns"]] == header.split(",")
    assert not [secret for secret in (card, "078-05-1120", "0412AC0000", "100", "11/29") if f'"{secret}' in printed]


@dataclass
class Listed:
    """Payments without labels, and a file that lists the frauds by id."""

    folder: Path
    ids: list[str] = field(default_factory=list)

    def read(self, header: str, rows: list[str], **options: Any) -> DataSource:
        data = write(
            self.folder / "data.csv", "id,when,amount", [f"{row},{at(row)},{row}.5" for row in range(100, 200)]
        )
        labels = write(self.folder / "labels.csv", header, rows)
        return read(data, labels=labels, label_key="id", **options)


def test_frauds_listed_by_id_are_the_label_with_their_delay(tmp_path: Path) -> None:
    rows = [f"{row}.0,{at(row) + timedelta(days=2):%d/%m/%Y %H:%M}" for row in range(110, 200, 10)]
    source = Listed(tmp_path).read("id,reported_at", [*rows, "999,25/02/2023 10:00"])
    data = profile(source)
    assert np.flatnonzero(data.label.is_fraud).tolist() == list(range(10, 100, 10))
    assert data.label_delay == 2 * 86_400
    assert data.warnings == ["1 of the 10 ids in labels.csv belong to no payment, as '999'"]
    assert json.loads(next(source.json_rows(10))) == {"id": 110, "when": str(at(110)), "amount": 110.5, "is_fraud": 1}


def test_a_list_with_a_label_of_its_own_gives_its_frauds_alone(tmp_path: Path) -> None:
    rows = [f"{row},{'yes' if row % 3 else 'no'}" for row in range(110, 120)]
    assert profile(Listed(tmp_path).read("id,fraud", rows)).frauds == 7


@pytest.mark.parametrize(
    ("rows", "frauds"),
    [(["110,1", "111,"], None), (["110,0", "111,0"], None), (["110,yes", "111,no", "112,later"], None), (["110,1"], 1)],
)
def test_a_list_whose_own_label_is_odd_is_refused(tmp_path: Path, rows: list[str], frauds: int | None) -> None:
    if frauds is not None:
        assert profile(Listed(tmp_path).read("id,fraud", rows)).frauds == frauds
        return
    with pytest.raises(LabelError):
        profile(Listed(tmp_path).read("id,fraud", rows))


def test_of_several_reports_of_a_payment_the_first_counts(tmp_path: Path) -> None:
    rows = [f"{row},{at(row) + timedelta(days=days):%Y-%m-%d %H:%M}" for row in (110, 120) for days in (2, 9)]
    assert profile(Listed(tmp_path).read("id,reported_at", rows)).label_delay == 2 * 86_400


def test_reports_too_late_for_an_evaluation_are_said_and_left_out_of_the_split(tmp_path: Path) -> None:
    rows = [f"{row},{at(row) + timedelta(days=90):%Y-%m-%d %H:%M}" for row in range(101, 200, 3)]
    plan = plan_training(Listed(tmp_path).read("id,reported_at", rows), TrainingSettings(), lambda source, *_: source)
    assert plan.split.record.test is not None
    assert plan.settings.label_delay_seconds == 90 * 86_400
    assert "90 days after the payment" in plan.split.warnings[0]


def test_ids_of_no_payment_and_columns_that_are_not_there_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 of the 1 ids"):
        profile(Listed(tmp_path).read("id", ["7"]))
    with pytest.raises(SettingsError, match="the labels have no column 'id'"):
        Listed(tmp_path).read("number", ["7"])


RECORDS = [
    {"id": 1, "when": START, "amount": Decimal("20.50"), "device": {"os": "a"}, "ok": True},
    {"id": 2, "when": START + timedelta(milliseconds=500), "amount": None, "device": {"os": None}, "ok": False},
]
COLUMNS = ("id", "when", "amount", "device.os", "ok")


def test_parquet_is_read_as_a_person_would_write_it(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(RECORDS), tmp_path / "a.parquet")
    source = read(tmp_path / "a.parquet")
    assert (source.columns, source.dialect) == (COLUMNS, "Parquet")
    assert list(source.rows()) == [
        ["1", "2023-02-09 00:00:00", "20.50", "a", "true"],
        ["2", "2023-02-09 00:00:00.500000", "", "", "false"],
    ]


def test_json_lines_have_dotted_names_and_all_columns_of_all_lines(tmp_path: Path) -> None:
    lines = ['{"a":1.50,"b":{"c":"x"}}', "", '{"a":1e400,"d":[1,{"e":2}],"b":{"c":null}}', '{"a":"$1,009.53"}']
    source = read(write(tmp_path / "a.jsonl", lines[0], lines[1:]))
    assert source.columns == ("a", "b.c", "d")
    assert list(source.rows()) == [["1.5", "x", ""], ["", "", '[1,{"e":2}]'], ["1009.53", "", ""]]
    with pytest.raises(BrokenRow, match="not a JSON object") as error:
        read(write(tmp_path / "b.jsonl", lines[0], ['{"a":' + "[" * 10_000 + "]" * 10_000 + "}"]))
    assert error.value.where == f"{tmp_path}/b.jsonl:2"


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_compressed_files_are_known_by_their_content(tmp_path: Path, kind: str) -> None:
    text = b'{"a":1}\n{"a":2}\n'
    content = gzip.compress(text) if kind == "gzip" else pa.compress(text, "zstd", asbytes=True)
    (tmp_path / "a").write_bytes(content)
    source = read(tmp_path / "a")
    assert (list(source.rows()), source.dialect) == ([["1"], ["2"]], f"JSON Lines, {kind}")
    (tmp_path / "a").write_bytes(content[:-4])
    with pytest.raises(BrokenRow, match="is damaged"):
        read(tmp_path / "a")


def test_a_folder_or_several_files_are_one_data_set(tmp_path: Path) -> None:
    write(tmp_path / "part-2.csv", "b,a", ["3,4"])
    write(tmp_path / "part-1.csv", "a,b", ["1,2"])
    for name in (".hidden", "_SUCCESS"):
        (tmp_path / name).write_text("")
    folder, listed = read(tmp_path), read([tmp_path / "part-1.csv", tmp_path / "part-2.csv"])
    assert list(folder.rows()) == list(listed.rows()) == [["1", "2"], ["4", "3"]]
    assert folder.fingerprint == listed.fingerprint
    assert folder.where(1) == f"{tmp_path}/part-2.csv:2"
    write(tmp_path / "part-3.csv", "a,c", ["1,2"])
    with pytest.raises(DataError, match=r"lacks 'b', has 'c', unlike part-1.csv") as error:
        read(tmp_path)
    assert error.value.where == f"{tmp_path}/part-3.csv"


def test_what_is_no_text_is_refused_by_its_kind(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04" + bytes(40))
    with pytest.raises(DataError, match="Excel workbook"):
        read(tmp_path / "a.xlsx")


def test_options_that_change_the_reading_change_the_fingerprint(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b", ["1,2"])
    assert (
        len({read(path, **options).fingerprint for options in ({}, {"decimal": "comma"}, {"has_header": False})}) == 3
    )
    assert read(path, fraud_value="1").fingerprint == read(path).fingerprint


EXPECTED: dict[tuple[str, ...], str] = {
    ("decimal_comma.csv",): "decimal comma",
    ("thousands_separators.csv",): "as in 9,999.99",
    ("currency_signs.csv",): "as in $9,999.99",
    ("accounting_negatives.csv",): "as in (",
    ("day_month_unsorted.csv",): "date order dmy",
    ("month_day_short_year_unsorted.csv",): "date order mdy",
    ("ambiguous_dates.csv",): "figures are not split by time",
    ("date_in_parts.csv",): "'Year, Month, Day, Time'",
    ("inverted_label.csv",): "--fraud-value 0",
    ("inverted_label.csv", "fraud_value=0"): "'frauds': 20",
    ("label_in_words.csv",): "'Fraud'",
    ("label_si_no.csv",): "'Si'",
    ("question_mark_missing.csv",): "missing: '?'",
    ("utf16.csv",): "utf-16",
    ("cp1251_two_header_rows.csv",): "--encoding cp1251",
    ("cp1251_two_header_rows.csv", "encoding=cp1251", "skip_rows=1"): "'column': 'when'",
    ("no_header.csv",): "--no-header",
    ("broken_rows.csv",): "one quoted cell",
    ("broken_rows.csv", "skip_broken=broken.csv"): "broken rows were left out",
    ("spreadsheet_ids.csv",): "4.08988E+15",
    ("secrets_of_a_card.csv",): "Role.SECRET",
    ("transactions.jsonl",): "device.channel",
    ("labels_apart_transactions.csv", f"labels={CASES}/labels_apart_labels.csv", "label_key=event_id"): "'frauds': 20",
}


@pytest.mark.skipif(not CASES.exists(), reason="there is no ../shared/cases")
@pytest.mark.parametrize("case", EXPECTED, ids=" ".join)
def test_the_shared_cases_are_read_or_refused_with_the_remedy(
    case: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = dict(option.split("=") for option in case[1:])
    if "skip_rows" in given:
        given["skip_rows"] = int(given["skip_rows"])
    try:
        result = repr(inspect_source(read(CASES / case[0], **given), None))
    except FraudstreamError as e:
        result = e.line
    assert EXPECTED[case] in result
