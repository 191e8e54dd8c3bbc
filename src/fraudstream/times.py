"""Converts between datetimes, microseconds since 1970 (in the store) and ISO 8601 (in messages)."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(at: datetime) -> int:
    """Convert a time to microseconds since 1970; one without a zone counts as UTC."""
    return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(at_us: int) -> datetime:
    """Convert microseconds since 1970 to a time in UTC."""
    return _EPOCH + timedelta(microseconds=at_us)


def iso_time(at_us: int | None) -> str | None:
    """Format microseconds since 1970 as ISO 8601 in UTC, with full precision; None stays None."""
    return None if at_us is None else from_microseconds(at_us).isoformat()


def parse_time(text: str) -> datetime:
    """Parse a time in ISO 8601; one without a zone counts as UTC. Raises ValueError."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def iso(at: datetime) -> str:
    """Format as `2026-01-31T12:00:00.000+00:00`, the form of events, the ledger and the dashboard."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def iso_z(at: datetime) -> str:
    """Format as `2026-01-31T12:00:00.000Z`, the form of record times in the detector's output."""
    return iso(at).replace("+00:00", "Z")
