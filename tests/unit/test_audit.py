"""Each kind of finding of the audit, on facts made by hand; real topics and a real store are in `tests/kafka`."""

from __future__ import annotations

import io
from typing import Any

import click
import pytest
from rich.console import Console

from audits import TOPIC, alert, audit, dead_letter, entry, loss, row
from fraudstream.audit.comparison import subtract
from fraudstream.audit.report import AuditReport, Finding, Kind, conclusion, render
from fraudstream.cli.entry import run_to_exit
from fraudstream.messages.ledger import Range, Source, merge_ranges


def findings(report: AuditReport) -> dict[str, list[tuple[str, int]]]:
    """Place and count of the findings, by kind."""
    by_kind: dict[str, list[tuple[str, int]]] = {}
    for finding in report.findings:
        by_kind.setdefault(finding.kind.value, []).append((finding.position, finding.count))
    return by_kind


def totals(report: AuditReport) -> dict[str, Any]:
    return {name: report.total(name) for name in ("acknowledged", "accounted", "open", "lost", "without_record")}


def test_a_stream_that_is_whole() -> None:
    outputs = [alert(3), alert(12), alert(5, outcome="unscorable", score=None), dead_letter(7)]
    entries = [entry(0, 10, alert=1, unscorable=1, dead_letter=1), entry(10, 20, alert=1), entry(0, 5, partition=1)]
    report = audit(entries, outputs, marks={0: (0, 20), 1: (0, 5)})
    assert report.findings == []
    assert report.ok
    assert report.complete
    assert totals(report) == {"acknowledged": 25, "accounted": 25, "open": 0, "lost": 0, "without_record": 0}
    assert report.outcomes == {"clear": 21, "alert": 2, "unscorable": 1, "dead_letter": 1}
    assert conclusion(report) == "Every acknowledged record is accounted for: 25, each once."


def test_records_behind_the_last_entry_are_open_and_their_outcomes_are_not_compared() -> None:
    report = audit([entry(0, 10)], [alert(12)], marks={0: (0, 30), 1: (0, 7)})
    assert report.ok
    assert not report.complete
    assert totals(report)["open"] == 27
    assert conclusion(report) == (
        "Every record of a finished batch is accounted for: 10 of 37 acknowledged, each once. 27 are in the open"
        " batch or waiting."
    )


def test_records_without_any_entry_are_all_open() -> None:
    report = audit([], marks={0: (0, 30)})
    assert report.ok
    assert totals(report)["open"] == 30


def test_an_empty_topic_is_not_wrong() -> None:
    assert audit([], marks={0: (0, 0)}).complete


def test_a_gap_is_named_with_its_range() -> None:
    report = audit([entry(0, 10), entry(15, 20)], marks={0: (0, 20)})
    assert findings(report) == {"unaccounted": [(f"{TOPIC}[0] 10..14", 5)]}
    assert report.document()["unaccounted"][0]["from_offset"] == 10


def test_a_ledger_that_begins_late_has_a_gap_at_its_beginning() -> None:
    assert findings(audit([entry(15, 20)], marks={0: (5, 20)})) == {"unaccounted": [(f"{TOPIC}[0] 5..14", 10)]}


def test_what_retention_took_after_it_was_scored_stays_accounted_for() -> None:
    report = audit([entry(0, 10), entry(10, 20)], marks={0: (15, 20)})
    assert report.ok
    assert totals(report)["accounted"] == 20


def test_entries_of_two_checkpoints_count_once() -> None:
    entries = [entry(0, 10), entry(10, 20), entry(0, 15, checkpoint="d"), entry(15, 25, checkpoint="d")]
    report = audit(entries, marks={0: (0, 25)})
    assert report.ok
    assert totals(report)["accounted"] == 25


def test_a_loss_is_reported_with_its_range() -> None:
    report = audit([entry(0, 10), loss(10, 14), entry(14, 20)], marks={0: (14, 20)})
    assert findings(report) == {"lost": [(f"{TOPIC}[0] 10..13", 4)]}
    assert totals(report) == {"acknowledged": 20, "accounted": 16, "open": 0, "lost": 4, "without_record": 0}


def test_a_loss_within_a_batch_is_lost_and_no_marker() -> None:
    report = audit([entry(0, 10, records=7, clear=7), loss(2, 5)], marks={0: (5, 10)})
    assert findings(report) == {"lost": [(f"{TOPIC}[0] 2..4", 3)]}
    assert totals(report) == {"acknowledged": 10, "accounted": 7, "open": 0, "lost": 3, "without_record": 0}


def test_a_loss_that_another_checkpoint_has_scored_is_none() -> None:
    assert audit([entry(0, 10), loss(2, 5)], marks={0: (5, 10)}).ok


def test_offsets_without_a_record_are_counted_and_not_wrong() -> None:
    report = audit([entry(0, 10, records=8, clear=8)], marks={0: (0, 10)})
    assert report.ok
    assert totals(report) == {"acknowledged": 8, "accounted": 8, "open": 0, "lost": 0, "without_record": 2}


@pytest.mark.parametrize("changes", [{"clear": 9}, {"records": 11, "clear": 11}])
def test_an_entry_that_does_not_add_up_is_wrong(changes: dict[str, Any]) -> None:
    report = audit([entry(0, 10, **changes)], marks={0: (0, 10)})
    assert findings(report) == {"unaccounted": [(f"{TOPIC}[0] 0..9", 1)]}


def test_entries_beyond_the_topics_end_tell_of_records_that_are_gone() -> None:
    assert findings(audit([entry(0, 10)], marks={0: (0, 6)})) == {"lost": [(f"{TOPIC}[0] 6..9", 4)]}


def test_an_alert_that_the_ledger_counts_and_no_topic_has_is_missing() -> None:
    report = audit([entry(0, 10, alert=2), entry(10, 20)], [alert(3)], marks={0: (0, 20)})
    assert findings(report) == {"missing": [(f"{TOPIC}[0] 0..9", 1)]}


def test_an_alert_sent_again_counts_once() -> None:
    assert audit([entry(0, 10, alert=1)], [alert(3), alert(3, on_offset=9)], marks={0: (0, 10)}).ok


def test_an_alert_that_the_ledger_does_not_count_is_one_too_many() -> None:
    report = audit([entry(0, 10, alert=1)], [alert(3), alert(4)], marks={0: (0, 10)})
    assert findings(report) == {"doubled": [(f"{TOPIC}[0] 0..9", 1)]}


def test_several_alerts_of_one_record_are_each_accounted_for() -> None:
    outputs = [alert(3, id=f"x/{index}", digest=f"d-{index}", on_offset=index) for index in range(3)]
    changes: dict[str, Any] = {"alert": 3, "additional": 2, "without_transaction": 4, "clear": 5}
    report = audit([entry(0, 10, **changes)], outputs, marks={0: (0, 10)})
    assert report.findings == []
    assert totals(report)["accounted"] == 10
    assert (report.document()["without_transaction"], report.document()["additional"]) == (4, 2)
    short = audit([entry(0, 10, **changes)], outputs[:2], marks={0: (0, 10)})
    assert findings(short) == {"missing": [(f"{TOPIC}[0] 0..9", 1)]}
    again = audit([entry(0, 10, **changes)], outputs, [*map(row, outputs), row(outputs[0], id="y")], marks={0: (0, 10)})
    assert again.count(Kind.DOUBLED) == 1


def test_what_another_envelope_made_of_a_batch_that_began_again_is_superseded() -> None:
    entries = [entry(0, 10, envelope=""), entry(10, 20, envelope="after")]
    report = audit(entries, [dead_letter(12)], marks={0: (0, 20)})
    assert report.ok
    assert findings(report) == {"superseded": [(f"{TOPIC}[0] 10..19", 1)]}


def test_a_dead_letter_that_the_ledger_does_not_count_is_one_too_many() -> None:
    report = audit([entry(0, 10)], [dead_letter(3)], marks={0: (0, 10)})
    assert findings(report) == {"doubled": [(f"{TOPIC}[0] 0..9", 1)]}


def test_an_alert_of_another_revision_is_superseded() -> None:
    outputs = [alert(3), alert(4), alert(3, revision=2, on_offset=9)]
    report = audit([entry(0, 10, alert=1, revision=2)], outputs, marks={0: (0, 10)})
    assert report.ok
    assert findings(report) == {"superseded": [(f"{TOPIC}[0] 3..4", 2)]}


def test_an_alert_of_another_revision_does_not_stand_for_a_missing_one() -> None:
    report = audit([entry(0, 10, alert=1, revision=2)], [alert(4)], marks={0: (0, 10)})
    assert report.count(Kind.MISSING) == 1


def test_an_alert_of_one_of_two_entries_is_not_superseded() -> None:
    entries = [entry(0, 10, alert=1), entry(0, 10, alert=1, revision=2, checkpoint="d")]
    outputs = [alert(3), alert(3, revision=2, on_offset=9)]
    assert audit(entries, outputs, marks={0: (0, 10)}).findings == []


def test_counts_made_after_a_crash_accept_what_the_former_revision_sent() -> None:
    entries = [entry(0, 10, alert=1, revision=2, source=Source.SCORED_AGAIN)]
    assert audit(entries, [alert(3)], marks={0: (0, 10)}).ok


def test_a_topic_that_was_made_anew_explains_more_alerts_than_counted() -> None:
    report = audit([entry(0, 10)], [alert(3)], marks={0: (0, 10)}, former=4)
    assert report.ok
    assert "an earlier topic" in report.notes[0]


def test_a_relayed_alert_that_the_store_lacks_is_missing() -> None:
    report = audit([entry(0, 10, alert=2)], [alert(3), alert(4)], [row(alert(4))], marks={0: (0, 10)})
    assert findings(report) == {"missing": [(f"{TOPIC}[0] 3", 1)]}
    assert "fraud_alerts[0] 3 but not in the store" in report.findings[0].what


def test_an_alert_that_was_not_relayed_yet_is_in_transit() -> None:
    report = audit([entry(0, 10, alert=1)], [alert(3, relayed=False)], [], marks={0: (0, 10)})
    assert report.ok
    assert not report.complete
    assert report.in_transit == 1


def test_an_alert_that_is_stored_and_not_committed_has_arrived() -> None:
    output = alert(3, relayed=False)
    assert audit([entry(0, 10, alert=1)], [output], [row(output)], marks={0: (0, 10)}).complete


def test_a_dead_letter_that_the_store_lacks_is_missing() -> None:
    report = audit([entry(0, 10, dead_letter=1)], [dead_letter(3)], [], marks={0: (0, 10)})
    assert findings(report) == {"missing": [(f"{TOPIC}[0] 3", 1)]}


def test_a_payment_sent_twice_is_two_records_and_one_row() -> None:
    outputs = [alert(3, id="same", digest="same"), alert(4, id="same", digest="same")]
    assert audit([entry(0, 10, alert=2)], outputs, [row(outputs[0])], marks={0: (0, 10)}).complete


def test_another_payment_under_the_same_id_is_a_conflict_and_not_wrong() -> None:
    outputs = [alert(3, id="same", digest="one"), alert(4, id="same", digest="other")]
    rows = [row(outputs[0]), row(outputs[1], id="same~other", is_conflict=True)]
    report = audit([entry(0, 10, alert=2)], outputs, rows, marks={0: (0, 10)})
    assert report.ok
    assert findings(report) == {"conflicts": [(f"{TOPIC}[0] 4", 1)]}


def test_a_conflict_that_was_suppressed_is_missing() -> None:
    outputs = [alert(3, id="same", digest="one"), alert(4, id="same", digest="other")]
    report = audit([entry(0, 10, alert=2)], outputs, [row(outputs[0])], marks={0: (0, 10)})
    assert findings(report) == {"missing": [(f"{TOPIC}[0] 4", 1)]}


def test_an_unscorable_row_that_became_an_alert_is_where_it_should_be() -> None:
    first, later = alert(3, outcome="unscorable"), alert(3, revision=2, on_offset=9)
    rows = [row(later), row(first, id=f"{first.id}~unscorable")]
    assert audit([entry(0, 10, alert=1, revision=2)], [first, later], rows, marks={0: (0, 10)}).ok


def test_an_alert_behind_an_unscorable_row_is_missing() -> None:
    first, later = alert(3, outcome="unscorable"), alert(3, revision=2, on_offset=9)
    report = audit([entry(0, 10, alert=1, revision=2)], [first, later], [row(first)], marks={0: (0, 10)})
    assert report.count(Kind.MISSING) == 1


def test_two_rows_of_one_payment_are_doubled() -> None:
    output = alert(3)
    report = audit([entry(0, 10, alert=1)], [output], [row(output), row(output, id="b", base="b")], marks={0: (0, 10)})
    assert findings(report)["doubled"] == [(f"{TOPIC}[0] 3", 1)]


def test_a_row_of_the_store_alone_is_reported() -> None:
    report = audit([entry(0, 10)], [], [row(alert(3))], marks={0: (0, 10)})
    assert report.ok
    assert findings(report) == {"extra": [(f"{TOPIC}[0] 3", 1)]}


def test_a_stored_row_beyond_the_end_is_wrong_unless_the_topic_is_new() -> None:
    report = audit([entry(0, 10)], [], [row(alert(12))], marks={0: (0, 10)})
    assert findings(report) == {"beyond": [(f"{TOPIC}[0] 12", 1)]}
    assert audit([entry(0, 10)], [], [row(alert(12))], marks={0: (0, 10)}, former=1).ok


def test_the_store_stands_for_an_output_topic_that_lost_its_first_records() -> None:
    entries, rows = [entry(0, 10, alert=1), entry(10, 20, alert=1)], [row(alert(3)), row(alert(12))]
    assert audit(entries, [alert(12)], rows, marks={0: (0, 20)}, truncated=["fraud_alerts"]).ok
    assert not audit(entries, [alert(12)], rows, marks={0: (0, 20)}).ok


def test_what_was_pruned_from_the_store_is_not_missing() -> None:
    entries, outputs = [entry(0, 10, alert=2)], [alert(3, produced_us=50), alert(4, produced_us=150)]
    report = audit(entries, outputs, [row(outputs[1])], marks={0: (0, 10)}, pruned=(100, 1))
    assert report.complete
    (note,) = report.notes
    assert "1 outcomes on the topics" in note
    for stored, pruned in (([row(outputs[1])], (50, 1)), ([row(outputs[0])], (100, 1)), ([row(outputs[1])], (100, 0))):
        report = audit(entries, outputs, stored, marks={0: (0, 10)}, pruned=pruned)
        assert report.count(Kind.MISSING) == 1, "produced later, or more than were pruned"


def test_what_was_pruned_and_is_on_no_topic_any_more_is_not_missing() -> None:
    times = {name: f"1970-01-01T00:00:0{second}+00:00" for second, name in enumerate(("first", "second", "third"), 1)}
    entries = [
        entry(10 * n, 10 * n + 10, alert=1, dead_letter=n % 2, committed_at=at) for n, at in enumerate(times.values())
    ]
    outputs = [dead_letter(12), alert(25)]
    for before_us, missing in ((0, 2), (500_000, 1), (1_500_000, 0)):
        report = audit(entries, outputs, marks={0: (0, 30)}, truncated=["fraud_alerts"], pruned=(before_us, 2))
        assert report.count(Kind.MISSING) == missing
    assert not audit(entries, outputs[1:], marks={0: (0, 30)}, truncated=["fraud_alerts"], pruned=(10**9, 9)).ok
    assert not audit(entries, outputs, marks={0: (0, 30)}, pruned=(10**9, 9)).ok, "no topic has lost anything"


def test_the_last_sentence_says_what_is_wrong_and_where() -> None:
    report = audit([entry(0, 10, alert=1), entry(15, 20)], marks={0: (0, 25)})
    assert conclusion(report) == (
        f"Something is wrong: 5 not accounted for ({TOPIC}[0] 10..14), 1 missing ({TOPIC}[0] 0..9)."
        " 5 are in the open batch or waiting."
    )


def test_the_table_shows_the_first_findings_and_how_many_more_there_are() -> None:
    report = audit([entry(0, 100, alert=30)], [alert(n) for n in range(30)], [], marks={0: (0, 100)})
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(report))
    text = console.export_text()
    assert f"{TOPIC}[0] 19" in text
    assert "and 10 more" in text
    assert len(report.document()["findings"]) == 30


def test_an_id_from_kafka_adds_no_line_to_the_report_and_no_escape_sequence() -> None:
    forged = "Every acknowledged record is accounted for: 5, each once."
    hostile = f"x\n{forged}\x1b[2J\r\u2028\u202e\x85y"
    report = audit([entry(0, 10, alert=1)], [alert(3)], [], marks={0: (0, 10)})
    report.add([Finding(Kind.EXTRA, hostile), Finding(Kind.DOUBLED, hostile), Finding(Kind.LOST, "gone", hostile)])
    report.notes.append(hostile)
    text = render(report)
    assert text.isascii()
    assert text.replace("\n", " ").isprintable()
    assert [line for line in text.split("\n") if line.startswith(forged)] == []
    assert text.count(f"x {forged}[2J y") == 6
    assert f"({hostile})" not in conclusion(report)
    assert report.document()["notes"] == [hostile]


def ranges(*spans: tuple[int, int]) -> list[Range]:
    return [Range(0, *span) for span in spans]


def test_ranges_are_merged_and_subtracted() -> None:
    assert merge_ranges(ranges((5, 9), (0, 3), (3, 4), (8, 12), (20, 20))) == ranges((0, 4), (5, 12))
    assert subtract(ranges((0, 10), (20, 30)), ranges((2, 4), (8, 22), (29, 40))) == ranges((0, 2), (4, 8), (22, 29))


def test_the_exit_code_of_a_command_is_the_process_s() -> None:
    @click.command()
    def wrong() -> None:
        raise click.exceptions.Exit(1)

    with pytest.raises(SystemExit) as error:
        run_to_exit(lambda: wrong.main([], standalone_mode=False))
    assert error.value.code == 1
