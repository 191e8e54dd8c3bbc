"""Compares what should be with what is: one finding for each payment that is lost, doubled or wrong; no I/O in here.

Nothing of the product's own audit is used: what should be comes from `fraudstream score` and the producers'
acknowledgements, what is from the topic and the store's tables (`evidence.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from chaos.data import Verdict
from chaos.evidence import Sent, Store, StoredRecord
from chaos.fuzz import DEAD_LETTER, Oddity
from fraudstream.messages.ledger import Apart
from fraudstream.transactions.wire import Outcome

STORED_OUTCOMES: Final = (Outcome.ALERT, Outcome.UNSCORABLE)
"""The outcomes that the alert store keeps."""

EXAMPLES: Final = 5


@dataclass(frozen=True)
class Expected:
    """What should be.

    Attributes:
        rows: By event id, the verdict on each row that a producer counts as settled.
        odd: By place, each odd record that Kafka acknowledged.
    """

    rows: Mapping[str, Verdict]
    odd: Mapping[str, Oddity] = field(default_factory=dict)

    @property
    def stored_ids(self) -> set[str]:
        """The ids that must be in the store: those of rows, and the places of odd records that have no other id."""
        rows = {name for name, verdict in self.rows.items() if verdict.outcome in STORED_OUTCOMES}
        return rows | {
            place for place, odd in self.odd.items() if odd.verdict and odd.verdict.outcome in STORED_OUTCOMES
        }


@dataclass(frozen=True)
class Findings:
    """What is not as it should be; each list holds event ids or places, and is empty when all is well.

    Attributes:
        lost: Alerts and unscorable rows that the store does not hold.
        doubled: Those that it holds more than once.
        wrong: Those with another outcome or another score.
        unexpected: What it holds and should not.
        not_in_topic: Rows that a producer counts as acknowledged and that the topic does not hold.
        unknown_in_topic: Records of the topic that no producer of this round has sent.
        dead_letters_lost: Odd records that are no transactions and are not among the dead letters with a reason.
        dead_letters_unexpected: Dead letters that are rows or odd records that should have been scored.
        rejected: Records that the dashboard's API refused.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    not_in_topic: list[str] = field(default_factory=list)
    unknown_in_topic: list[str] = field(default_factory=list)
    dead_letters_lost: list[str] = field(default_factory=list)
    dead_letters_unexpected: list[str] = field(default_factory=list)
    rejected: int = 0

    @property
    def all_well(self) -> bool:
        """Whether nothing was found."""
        return self == Findings()

    def counts(self) -> dict[str, int]:
        """How many of each."""
        lists = {name: len(value) for name, value in vars(self).items() if isinstance(value, list)}
        return lists | {"rejected": self.rejected}

    def examples(self) -> dict[str, list[str]]:
        """The first few of each kind that was found."""
        return {name: value[:EXAMPLES] for name, value in vars(self).items() if isinstance(value, list) and value}


def check(expected: Expected, records: Sequence[Sent], store: Store) -> Findings:
    """Compare.

    Args:
        expected: What should be.
        records: The input topic.
        store: The alert store.
    """
    id_at = {record.place: record.event_id for record in records}
    in_topic = {record.event_id for record in records if record.event_id is not None}
    # A record sent with an id that no row has, or without one, is known by its place.
    own = {place: name if name is not None and name in expected.rows else place for place, name in id_at.items()}
    stored_ids = expected.stored_ids
    owners = Counter(_owner(row, own, stored_ids) for row in store.rows)
    verdicts = dict(expected.rows) | {place: odd.verdict for place, odd in expected.odd.items() if odd.verdict}
    free = {place for place, odd in expected.odd.items() if odd.verdict is None}
    dead_letters = {place for place, odd in expected.odd.items() if odd.verdict == DEAD_LETTER}
    with_reason = {place for place, reason in store.dead_letters.items() if reason}
    return Findings(
        lost=sorted(stored_ids - owners.keys()),
        doubled=sorted(name for name, times in owners.items() if times > 1),
        wrong=sorted(
            row.alert_id
            for row in store.rows
            if (owner := _owner(row, own, stored_ids)) in stored_ids and row.verdict != verdicts[owner]
        ),
        unexpected=sorted(owners.keys() - stored_ids - free),
        not_in_topic=sorted(expected.rows.keys() - in_topic),
        unknown_in_topic=sorted(
            place for place, name in id_at.items() if name not in expected.rows and place not in expected.odd
        ),
        dead_letters_lost=sorted(dead_letters - with_reason),
        dead_letters_unexpected=sorted(store.dead_letters.keys() - dead_letters - free),
        rejected=store.rejected,
    )


def _owner(row: StoredRecord, own: Mapping[str, str], stored_ids: set[str]) -> str:
    """Which payment a row of the store is about: by its id, else by the place that it names."""
    if row.alert_id in stored_ids:
        return row.alert_id
    return own.get(row.place, row.alert_id)


def outcome_of_each_record(expected: Expected, records: Iterable[Sent], store: Store) -> dict[str, Outcome | Apart]:
    """The outcome of every record by its place, repeats included: what a ledger's counts must add up to.

    That of an odd record to which anything may happen is what did happen to it.
    """
    stored_outcomes = {each.alert_id: each.verdict.outcome for each in store.rows}
    outcomes: dict[str, Outcome | Apart] = {}
    for record in records:
        odd = expected.odd.get(record.place)
        if odd is None:
            outcomes[record.place] = expected.rows[record.event_id or ""].outcome
        elif odd.verdict is not None:
            outcomes[record.place] = odd.verdict.outcome
        elif record.place in store.dead_letters:
            outcomes[record.place] = Outcome.DEAD_LETTER
        else:
            outcomes[record.place] = stored_outcomes.get(record.place, Outcome.CLEAR)
    return outcomes
