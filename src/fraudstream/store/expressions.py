"""Defines SQL expressions on stored JSON, for SQLite and PostgreSQL."""

from sqlalchemy import JSON, ColumnElement, type_coerce


def member_text(body: ColumnElement[str], name: str) -> ColumnElement[str]:
    """Return a member of a stored JSON object, by its name, as text; null if it is absent."""
    text: ColumnElement[str] = type_coerce(body, JSON)[name].as_string()
    return text
