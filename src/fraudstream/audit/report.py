"""Collects the findings of an audit in a report and renders it for the terminal."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from jinja2 import Environment, FileSystemLoader

from fraudstream.messages.base import Object
from fraudstream.messages.ledger import Apart

MAX_FINDINGS: Final = 20
"""Maximum number of findings of a kind on a terminal; the JSON has all of them."""

_COLUMNS: Final = ("acknowledged", "accounted", "open", "lost")
_TEMPLATES: Final = Environment(  # noqa: S701  text, not HTML
    loader=FileSystemLoader(Path(__file__).parent), trim_blocks=True, lstrip_blocks=True
)
# An id from Kafka must add no line to the report, and no escape sequence.
_TEMPLATES.filters["line"] = lambda text: " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())


class Kind(StrEnum):
    """The kinds of finding, each with a heading and whether it makes the audit fail."""

    heading: str
    is_wrong: bool

    def __new__(cls, value: str, heading: str = "", is_wrong: bool = True) -> Self:
        """Create a member that equals its value as text."""
        member = str.__new__(cls, value)
        member._value_, member.heading, member.is_wrong = value, heading, is_wrong
        return member

    LOST = "lost", "lost"
    """Records that were deleted before they were read."""
    UNACCOUNTED = "unaccounted", "not accounted for"
    """Offsets that no ledger entry accounts for, or that an entry accounts for wrongly."""
    MISSING = "missing", "missing"
    """An outcome that was recorded but did not reach its next destination."""
    DOUBLED = "doubled", "more than there should be"
    DIFFERENT = "different", "scored differently"
    UNREADABLE = "unreadable", "not valid for its topic"
    REJECTED = "rejected", "rejected by the API"
    UNVERIFIED = "unverified", "not verified"
    """What could not be scored again."""
    BEYOND = "beyond", "beyond the topic's end"
    """A row of the store whose offset the topic never reached, or has lost."""
    ALTERED = "altered", "altered in the audit trail"
    """An entry of the audit trail whose hash does not match, or a published head that is not in the trail."""
    SUPERSEDED = "superseded", "superseded", False
    """An outcome of another revision than the one that counts: scored again after a deployment."""
    HISTORY = "history", "history not verified", False
    """Scores of a model that reads the history, which depend on payments that Kafka may no longer have."""
    CONFLICT = "conflicts", "conflicts", False
    """Another payment with the same id, stored separately."""
    EXTRA = "extra", "in the store alone", False
    """A row of the store without a record on any topic."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One deviation, described without its position; `count` is the number of records, rows or offsets concerned.

    `until_offset` is the offset after the last; if the exact offsets are unknown, that of the range.
    """

    kind: Kind
    what: str
    topic: str = ""
    partition: int | None = None
    from_offset: int | None = None
    until_offset: int | None = None
    count: int = 1

    @property
    def position(self) -> str:
        """`topic[partition] offset`, or the first and the last offset of a range."""
        if self.partition is None:
            return self.topic
        if self.from_offset is None or self.until_offset is None:
            return f"{self.topic}[{self.partition}]"
        last = self.until_offset - 1
        offsets = str(self.from_offset) if last <= self.from_offset else f"{self.from_offset}..{last}"
        return f"{self.topic}[{self.partition}] {offsets}"

    def document(self) -> Object:
        """Convert to JSON."""
        return {**asdict(self), "kind": self.kind.value, "place": self.position}


@dataclass(frozen=True, slots=True)
class PartitionAccount:
    """One partition of the input topic, in records.

    Attributes:
        begin: The first offset that Kafka still has.
        end: The offset after the last acknowledged record.
        until: The offset that the ledger has reached.
        acknowledged: Records that Kafka acknowledged, as far back as topic or ledger reach.
        accounted: How many of those have an outcome in the ledger.
        open: How many come after its last entry: being scored, or waiting.
        lost: How many were deleted before they were read.
        without_record: Offsets that hold no record, such as Kafka's transaction markers.
    """

    partition: int
    begin: int
    end: int
    until: int
    acknowledged: int = 0
    accounted: int = 0
    open: int = 0
    lost: int = 0
    without_record: int = 0


@dataclass
class AuditReport:
    """The result of an audit."""

    topic: str
    topic_id: str
    deep: bool = False
    partitions: list[PartitionAccount] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    apart: Counter[Apart] = field(default_factory=Counter)
    in_transit: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, findings: Iterable[Finding]) -> None:
        """Add findings."""
        self.findings += findings

    def of_kind(self, kind: Kind) -> list[Finding]:
        """Return the findings of a kind."""
        return [finding for finding in self.findings if finding.kind is kind]

    def count(self, kind: Kind) -> int:
        """Count the records, rows or offsets in the findings of a kind."""
        return sum(finding.count for finding in self.of_kind(kind))

    def total(self, name: str) -> int:
        """Sum a field of `PartitionAccount` over all partitions."""
        return sum(getattr(partition, name) for partition in self.partitions)

    @property
    def wrong(self) -> list[Finding]:
        """The findings that make the audit fail."""
        return [finding for finding in self.findings if finding.kind.is_wrong]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; what is open or in transit is not wrong."""
        return not self.wrong

    @property
    def complete(self) -> bool:
        """Whether nothing is wrong, nothing open and nothing in transit."""
        return self.ok and not self.total("open") and not self.in_transit

    def document(self) -> Object:
        """Convert the whole report to one JSON object."""
        counts = {kind.value: self.count(kind) for kind in Kind if kind is not Kind.UNACCOUNTED}
        return {
            **{name: getattr(self, name) for name in ("ok", "complete", "deep", "topic", "topic_id", "in_transit")},
            **{name: self.total(name) for name in ("acknowledged", "accounted", "open", "without_record")},
            "outcomes": dict(self.outcomes),
            **{name.value: self.apart[name] for name in Apart},
            **counts,
            "unaccounted": [finding.document() for finding in self.wrong if finding.topic == self.topic],
            "partitions": [asdict(partition) for partition in self.partitions],
            "findings": [finding.document() for finding in self.findings],
            "notes": self.notes,
        }


def render(report: AuditReport) -> str:
    """Render the report as text: a table of the partitions, the findings and a conclusion."""

    def figures(account: PartitionAccount | None = None) -> list[str]:
        return [f"{report.total(name) if account is None else getattr(account, name):,}" for name in _COLUMNS]

    template = _TEMPLATES.get_template("report.txt")
    return template.render(report=report, kinds=Kind, columns=_COLUMNS, figures=figures, most=MAX_FINDINGS)


def conclusion(report: AuditReport) -> str:
    """Summarize the result in one or two sentences."""
    return _TEMPLATES.get_template("conclusion.txt").render(report=report, kinds=Kind)
