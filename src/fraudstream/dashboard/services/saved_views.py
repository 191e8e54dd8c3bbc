"""Stores searches under a name, for the whole team."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import delete, select

from fraudstream.store import tables
from fraudstream.store.database import Repository, insert
from fraudstream.times import microseconds

_VIEW = tables.saved_views.c


@dataclass(frozen=True, slots=True)
class SavedView:
    """A search with a name; `query` is the query string of the review page."""

    name: str
    query: str
    who: str


class SavedViews(Repository):
    """Reads and writes the saved views."""

    def all(self) -> list[SavedView]:
        """Return the views by name."""
        query = select(_VIEW.name, _VIEW.query, _VIEW.who).order_by(_VIEW.name)
        return [SavedView(*row) for row in self._database.rows(query)]

    def save(self, view: SavedView, now: datetime) -> None:
        """Store a view; it replaces one of the same name."""
        values = asdict(view) | {"at_us": microseconds(now)}
        statement = insert(tables.saved_views).values(values)
        with self._database.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))

    def delete(self, name: str) -> None:
        """Delete a view; there may be none of this name."""
        with self._database.write() as connection:
            connection.execute(delete(tables.saved_views).where(_VIEW.name == name))
