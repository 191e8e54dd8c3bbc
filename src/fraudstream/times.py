"""Conversions of times: microseconds since 1970 as the store keeps them, and the two forms of ISO 8601 that leave."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(at: datetime) -> int:
    """Microseconds since 1970; a time without a zone is read as UTC."""
    return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(at_us: int) -> datetime:
    """The time in UTC, exact to the microsecond."""
    return _EPOCH + timedelta(microseconds=at_us)


def iso_time(at_us: int | None) -> str | None:
    """Microseconds since 1970 as ISO 8601 in UTC, with every digit; None stays None."""
    return None if at_us is None else from_microseconds(at_us).isoformat()


def parse_time(text: str) -> datetime:
    """The time that a text in ISO 8601 names; one without a zone is read as UTC, and ValueError where it names none."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def iso(at: datetime) -> str:
    """As `2026-01-31T12:00:00.000+00:00`: events, the ledger and what the dashboard tells of now."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def iso_z(at: datetime) -> str:
    """As `2026-01-31T12:00:00.000Z`: times of records, as the detector writes them."""
    return iso(at).replace("+00:00", "Z")
