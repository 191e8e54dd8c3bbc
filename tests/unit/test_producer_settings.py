"""The producer's pace, its progress file, and what it shows."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from commands import Command
from fraudstream.cli.entry import cli
from fraudstream.errors import SettingsError
from fraudstream.kafka.producer import interval_between_rows
from fraudstream.kafka.production import SessionProgress, describe, expected_rows, show_production, summary
from fraudstream.kafka.progress import RunProgress, progress_path, read_progress, write_progress

RUN = RunProgress("run", "f" * 64, settled=9, next_row=9, sent=10, acknowledged=8, failed=1)


def produced(**stored_rate: Any) -> SessionProgress:
    return dataclasses.replace(SessionProgress(RUN, sent=10, acknowledged=10, failed=0, seconds=2.0), **stored_rate)


@pytest.mark.parametrize(
    ("rate", "delay", "interval"), [(None, None, None), (200.0, None, 0.005), (None, 0.5, 0.5), (None, 0.0, None)]
)
def test_rate_and_delay_are_two_words_for_one_pace(
    rate: float | None, delay: float | None, interval: float | None
) -> None:
    assert interval_between_rows(rate, delay) == interval


@pytest.mark.parametrize("pace", [("--rate", "0"), ("--rate", "-1"), ("--delay", "-0.1")])
def test_a_pace_that_makes_no_sense_is_refused(pace: tuple[str, str], tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["produce", "--data", str(tmp_path), *pace])
    assert (result.exit_code, pace[0] in result.output) == (2, True)


def test_two_paces_at_once_are_refused() -> None:
    with pytest.raises(SettingsError, match="--rate and --delay"):
        interval_between_rows(1.0, 1.0)


def test_a_key_that_is_no_column_is_refused_before_anything_is_sent(run_here: Command, tmp_path: Path) -> None:
    (tmp_path / "payments.csv").write_text("card,amount\nC-1,5\n")
    refused = run_here("produce", "--data", tmp_path / "payments.csv", "--key", "Card")
    assert (refused.returncode, "name one of card, amount" in refused.stderr) == (2, True)


def test_progress_of_an_earlier_release_has_no_key(tmp_path: Path) -> None:
    stored = dataclasses.asdict(RUN)
    del stored["key"]
    (tmp_path / "p.json").write_text(json.dumps(stored))
    assert read_progress(tmp_path / "p.json", RUN.fingerprint) == RUN


def test_progress_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = progress_path(tmp_path, "topic", RUN.fingerprint)
    write_progress(path, RUN)
    assert path == tmp_path / ".produce" / "topic-ffffffffffff.json"
    assert read_progress(path, RUN.fingerprint) == RUN


def test_progress_of_another_csv_is_not_gone_on_with(tmp_path: Path) -> None:
    write_progress(tmp_path / "p.json", RUN)
    assert read_progress(tmp_path / "p.json", "e" * 64) is None


def test_without_a_file_there_is_no_progress(tmp_path: Path) -> None:
    assert read_progress(tmp_path / "p.json", "e" * 64) is None


@pytest.mark.parametrize("text", ["", "[]", "null", '{"run_id": 1}', '{"other": 1}'])
def test_a_progress_file_that_is_none_is_said_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(SettingsError, match="cannot read the progress") as error:
        read_progress(tmp_path / "p.json", "e" * 64)
    assert "--resume" in error.value.remedy


@pytest.mark.parametrize(
    ("limit", "loop", "expected"),
    [(None, False, 2), (1, False, 1), (9, False, 2), (None, True, None), (9, True, 9)],
)
def test_the_rows_to_come_are_counted_where_they_can_be(limit: int | None, loop: bool, expected: int | None) -> None:
    assert expected_rows(2, limit, loop) == expected


def test_a_line_names_rate_refusals_and_what_it_waits_for() -> None:
    line = describe(produced(acknowledged=1000, failed=2, trouble="Connection refused (after 0ms in state CONNECT)"))
    assert line == "1,000 acknowledged · 500 rows/s · 2 refused · waiting for Kafka: Connection refused"


def test_the_summary_names_refused_rows_and_what_to_send_again() -> None:
    refusals = ["row 4 was refused: too large", "row 5 of pass 2 was refused: too large"]
    text = summary(produced(acknowledged=5, failed=3, refusals=refusals, spool=Path("a.jsonl")), "kafka:9092")
    assert text.splitlines() == [
        "5 of 10 rows acknowledged by kafka:9092 in 2.0 s",
        "  row 4 was refused: too large",
        "  row 5 of pass 2 was refused: too large",
        "  and 1 more",
        "  3 rows are stored, with the reason, in a.jsonl",
        "  2 rows were not acknowledged; send them again with --resume",
    ]


def test_an_interrupted_session_says_where_it_goes_on() -> None:
    assert "continue at row 9 with --resume" in summary(produced(interrupted=True), "kafka:9092")


def test_elsewhere_than_on_a_terminal_a_line_comes_every_few_seconds() -> None:
    out = io.StringIO()
    with show_production(Console(file=out), expected=None) as show:
        for tenth in range(120):
            show(produced(seconds=tenth / 10))
    assert len(out.getvalue().splitlines()) == 2


def test_a_terminal_gets_a_bar_with_the_rate() -> None:
    out = io.StringIO()
    with show_production(Console(file=out, force_terminal=True, width=120), expected=18) as show:
        show(produced())
    assert "5 rows/s" in out.getvalue()
    assert "50%" in out.getvalue()
