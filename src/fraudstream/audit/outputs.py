"""The output topics against the ledger: as many outcomes in an entry's range as it counts, of the model it names.

Works on counts and names ranges; which offset it is, only scoring again can tell (`deep.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fraudstream.audit.facts import REMARKABLE, Facts
from fraudstream.audit.report import Finding, Kind
from fraudstream.transactions.ledger import Source
from fraudstream.transactions.wire import Outcome

NAMES: Final = {
    Outcome.ALERT: "alerts",
    Outcome.UNSCORABLE: "unscorable rows",
    Outcome.DEAD_LETTER: "dead letters",
}

_SHORT: Final = """
SELECT e.partition, e.from_offset, e.until_offset, e.source, e.alert, e.unscorable, e.dead_letter,
  coalesce(sum(m.outcome = 'alert' AND m.is_own), 0), coalesce(sum(m.outcome = 'unscorable' AND m.is_own), 0),
  coalesce(sum(m.outcome = 'dead_letter'), 0),
  coalesce(sum(m.outcome = 'alert' AND NOT m.is_own), 0),
  coalesce(sum(m.outcome = 'unscorable' AND NOT m.is_own), 0), 0
FROM entries e LEFT JOIN matched m ON m.entry_id = e.entry_id
WHERE e.kind = 'batch' AND NOT e.verified GROUP BY e.entry_id ORDER BY e.partition, e.from_offset
"""

_SUPERSEDED: Final = """
SELECT partition, outcome, model_id, revision, count(*), min("offset"), max("offset") FROM (
  SELECT partition, "offset", outcome, model_id, revision FROM matched GROUP BY place HAVING NOT max(is_own)
) GROUP BY 1, 2, 3, 4 ORDER BY 1, 6
"""


def check_outputs(facts: Facts) -> Iterator[Finding]:
    """Compare each entry that was not scored again with the distinct places that the output topics name in its range.

    An outcome of another revision than the entry's is superseded: its range was judged again after a change. Outcomes
    behind the last entry are of the open batch and are not looked at.
    """
    for partition, start, until, source, *figures in facts.db.execute(_SHORT):
        counted, own, others = figures[:3], figures[3:6], figures[6:]
        for outcome, expected, found, other in zip(REMARKABLE, counted, own, others, strict=True):
            # Counted again after a crash: the query may have judged by what was in force before.
            stand_ins = other if source == Source.SCORED_AGAIN else 0
            name = NAMES[outcome]
            if found + stand_ins < expected:
                missing = expected - found - stand_ins
                what = f"{missing:,} of the {expected:,} {name} that the ledger counts there are on no topic"
                yield Finding(Kind.MISSING, what, facts.topic, partition, start, until, missing)
            elif found > expected:
                more = found - expected
                kind = Kind.SUPERSEDED if facts.former else Kind.DOUBLED
                what = f"{found:,} {name}, where the ledger counts {expected:,}"
                yield Finding(kind, what, facts.topic, partition, start, until, more)


def list_superseded(facts: Facts) -> Iterator[Finding]:
    """Alerts and unscorable rows in the ledger's ranges, of a revision that no entry of their place names."""
    for partition, outcome, model, revision, count, least, most in facts.db.execute(_SUPERSEDED):
        what = f"{count:,} {NAMES[Outcome(outcome)]} of {model}, revision {revision}, were judged again by another"
        yield Finding(Kind.SUPERSEDED, what, facts.topic, partition, least, most + 1, count)
