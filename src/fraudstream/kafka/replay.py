"""What a record becomes when it is sent again, and what its dead letter has kept of it; `replay_topic.py` sends it.

The key, the value and the headers are those of the original. Where retention has removed it, they are the dead
letter's own, as far as the detector kept them whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fraudstream.transactions.wire import DEAD_LETTER_HEADERS, LONGEST_EVENT_ID, LONGEST_KEY, Header

Headers = Sequence[tuple[str, bytes | None]]


class ReplayRefused(Exception):
    """Raised when a record cannot be sent again; its text is the reason shown to a person."""


class ReplayUncertain(Exception):
    """Raised when Kafka has not said whether it took a record: it has to be looked for before it is sent again."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """The place that `topic/partition/offset` names.

        Raises:
            ValueError: It names none.
        """
        topic, partition, offset = text.rsplit("/", 2)
        return cls(topic, int(partition), int(offset))

    def __str__(self) -> str:
        """As `topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Original:
    """A record as it was produced; `timestamp_ms` is Kafka's, None where it is not known to be the original's."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class LetterFacts:
    """What the dashboard knows of a letter.

    Attributes:
        dead_letter: The place of the dead letter's own record; None for an unscorable row.
        original_bytes: The size of the value as it came.
        produced_ms: The original's timestamp: another record at its offset means that the topic was made anew.
    """

    dead_letter: Place | None = None
    original_bytes: int | None = None
    produced_ms: int | None = None


def repeated(original: Original, origin: Place, replay_id: str, value: bytes | None = None) -> Original:
    """The record to be sent in place of an original: under the same event id, naming the one that it repeats.

    Args:
        original: The record.
        origin: Where it stands, or stood.
        replay_id: The id of the replay.
        value: A corrected value, where there is one.
    """
    headers = [each for each in original.headers if each[0] not in (Header.REPLAY_OF, Header.REPLAY_ID)]
    if not _is_event_id(header_of(headers, Header.EVENT_ID)):
        # The detector knows such a record by its place: the repeated one has to have the same alert id.
        headers = [each for each in headers if each[0] != Header.EVENT_ID]
        headers.append((Header.EVENT_ID.value, str(origin).encode()))
    headers += [(Header.REPLAY_OF.value, str(origin).encode()), (Header.REPLAY_ID.value, replay_id.encode())]
    return replace(original, headers=headers, value=original.value if value is None else value)


def _is_event_id(value: bytes | None) -> bool:
    text = text_of(value)
    return text is not None and 1 <= len(text) <= LONGEST_EVENT_ID


def of_dead_letter(kept: Original, origin: Place, letter: LetterFacts, gone: str, *, corrected: bool) -> Original:
    """The original as its dead letter has kept it.

    Args:
        kept: The dead letter's own record.
        origin: Where the original stood.
        letter: What is known of it.
        gone: What became of the original, for the reason.
        corrected: Another value will take the place of the record's own: it may be cut.

    Raises:
        ReplayRefused: It is another record's dead letter, or was cut.
    """
    own = tuple(name.value for name in DEAD_LETTER_HEADERS)
    came, added = kept.headers[: -len(own)], kept.headers[-len(own) :]
    told = {name: text_of(value) for name, value in added}
    place = (told.get(Header.ERROR_TOPIC), told.get(Header.ERROR_PARTITION), told.get(Header.ERROR_OFFSET))
    if tuple(name for name, _ in added) != own or place != (origin.topic, str(origin.partition), str(origin.offset)):
        raise ReplayRefused(f"{gone}, and another record stands in place of its dead letter")
    if len(kept.value or b"") != letter.original_bytes and not corrected:
        raise ReplayRefused(f"{gone}, and its dead letter was cut")
    if len(kept.key or b"") >= LONGEST_KEY:
        raise ReplayRefused(f"{gone}, and the key of its dead letter may be cut")
    return replace(kept, headers=came, timestamp_ms=None)


def header_of(headers: Headers, name: str) -> bytes | None:
    """The first value of a header."""
    return next((value for key, value in headers if key == name), None)


def text_of(value: bytes | None) -> str | None:
    """Bytes as text; None where they are none."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
