"""Reading an archive: its records in the order of the topic, and as data for training and scoring."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from archives import DAY, MINUTE, NOON, held, row
from fraudstream.archive.rows import Row
from fraudstream.archive.writer import Archive
from fraudstream.errors import BrokenRow, DataError, EmptyData
from fraudstream.transactions import records
from fraudstream.transactions.archive_files import ArchiveFile, archive_files, in_topic_order, partitions_of
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.reading_options import ReadingOptions


def write(root: Path, *writes: dict[int, list[Row]], topic: str = "t") -> Path:
    with Archive.open(root, topic, "id") as archive:
        for rows in writes:
            archive.write(rows, {partition: each[-1].offset + 1 for partition, each in rows.items()})
    return root


def payment(number: int, partition: int = 0, offset: int | None = None, at: int = NOON) -> Row:
    text = orjson.dumps({"number": number, "amount": number + 0.5, "note": None, "is_fraud": number % 2}).decode()
    return row(number if offset is None else offset, partition, at, text)


def numbers(path: Path) -> list[int]:
    return [orjson.loads(each)["number"] for each in open_data(path).json_rows()]


def test_files_of_days_that_interleave_are_in_the_order_of_offsets(tmp_path: Path) -> None:
    late = [row(0, at=NOON), row(1, at=NOON + DAY), row(2, at=NOON), row(3, at=NOON + DAY)]
    write(tmp_path, {0: late}, {0: [row(4, at=NOON), row(7, at=NOON)]}, {0: [row(8, at=NOON + DAY)]})
    (paths,) = partitions_of(archive_files(tmp_path)).values()
    tables = list(in_topic_order(paths, ["offset"]))
    assert [table["offset"].to_pylist() for table in tables] == [[0, 1, 2, 3], [4, 7], [8]]


def test_files_sort_by_offset_beyond_nine(tmp_path: Path) -> None:
    write(tmp_path, *({0: [row(offset)]} for offset in (2, 10, 100)))
    assert held(tmp_path) == [(0, 2), (0, 10), (0, 100)]


def test_partitions_are_merged_by_kafka_s_time(tmp_path: Path) -> None:
    first = [payment(number, 0, number, NOON + number * MINUTE) for number in (0, 3, 4)]
    other = [payment(number, 1, number, NOON + number * MINUTE) for number in (1, 2, 5)]
    tomorrow = [payment(6, 1, 9, NOON + DAY)]
    assert numbers(write(tmp_path, {1: other, 0: first}, {1: tomorrow})) == [0, 1, 2, 3, 4, 5, 6]
    assert numbers(tmp_path / "date=2024-10-05") == [6]


def test_an_archive_is_read_like_the_file_that_was_sent(tmp_path: Path) -> None:
    csv = tmp_path / "payments.csv"
    csv.write_text("number,amount,place.city,is_fraud\n1,1.50,Bern,0\n2,1e3,,1\n")
    sent = open_data(csv)
    texts = [text.decode() for text in sent.json_rows()]
    nested = '{"number":3,"amount":4.25,"place":{"city":"Basel"},"is_fraud":0}'
    rows = {0: [row(offset, text=text) for offset, text in enumerate([*texts, nested])]}
    source = open_data(write(tmp_path / "archive", rows))
    assert source.columns == ("number", "amount", "place.city", "is_fraud", "event_id")
    assert source.numeric == (*sent.numeric, False)
    assert [each[:-1] for each in source.rows()] == [
        ["1", "1.5", "Bern", "0"],
        ["2", "1000.0", "", "1"],
        ["3", "4.25", "Basel", "0"],
    ]
    assert [each[-1] for each in source.rows()] == ["t/0/0", "t/0/1", "t/0/2"]
    assert source.dialect == "JSON Lines of an archive"


def test_labels_by_event_id_mark_the_frauds_of_an_archive(tmp_path: Path) -> None:
    archive = write(tmp_path / "archive", {0: [row(offset, text=f'{{"a":{offset}}}') for offset in range(4)]})
    (tmp_path / "frauds.csv").write_text("event_id\nt/0/2\n")
    options = ReadingOptions(labels=tmp_path / "frauds.csv", label_key="event_id")
    assert [each[-1] for each in open_data(archive, options).rows()] == ["0", "0", "1", "0"]


def test_an_event_id_of_the_transactions_themselves_stays(tmp_path: Path) -> None:
    source = open_data(write(tmp_path, {0: [row(0, text='{"event_id":"own","a":1}')]}))
    assert source.columns == ("a", "event_id")
    assert list(source.rows()) == [["1", "own"]]


def test_a_masked_card_number_is_the_id_of_its_card(tmp_path: Path) -> None:
    text = '{"card":"************1111","shop":"************1111","amount":1.5}'
    masked = row(0, text=text)._replace(entity_ids=[("card", "hmac:0a"), ("shop", "************1111")])
    source = open_data(write(tmp_path, {0: [masked, row(1, text='{"card":7}')._replace(entity_ids=[("card", "7")])]}))
    assert [each[:-1] for each in source.rows()] == [["hmac:0a", "************1111", "1.5"], ["7", "", ""]]


def test_records_without_a_transaction_are_left_out(tmp_path: Path) -> None:
    assert numbers(write(tmp_path, {0: [payment(0), row(1, text=None), payment(2)]})) == [0, 2]


def test_an_archive_without_a_transaction_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, {0: [row(0, text=None)]})
    with pytest.raises(EmptyData, match="the archive has no transaction"):
        open_data(tmp_path)


def test_names_without_end_are_an_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_COLUMNS", 3)
    write(tmp_path, {0: [row(0, text='{"a":1,"b":2}'), row(1, text='{"id-1":1}')]})
    with pytest.raises(DataError, match="more than 3 columns"):
        open_data(tmp_path)


def test_a_new_file_changes_the_fingerprint(tmp_path: Path) -> None:
    before = open_data(write(tmp_path, {0: [payment(0)]})).fingerprint
    assert open_data(tmp_path).fingerprint == before
    assert open_data(write(tmp_path, {0: [payment(1)]})).fingerprint != before


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    write(tmp_path, {0: [payment(0)]})
    (path,) = archive_files(tmp_path)
    path.write_bytes(b"no Parquet")
    with pytest.raises(BrokenRow, match="the file is damaged"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        "date=2024-10-04/other.parquet",
        "t-0-00000000000000000001-00000000000000000002.parquet",
        "date=2024-10-04/t-0-1-2.parquet",
        "date=2024-10-04/.t-0-00000000000000000001-00000000000000000002.parquet.partial",
    ],
)
def test_files_of_other_names_are_no_part_of_an_archive(path: str) -> None:
    assert ArchiveFile.parse(Path(path)) is None


def test_a_topic_s_name_may_end_in_numbers() -> None:
    file = ArchiveFile("a-1-2", 3, 4, 5, "2024-10-04")
    assert ArchiveFile.parse(file.path(Path("root"))) == file
