"""Renders the review page, its rows one by one, and suggestions for its search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from flask import Response, get_template_attribute, redirect, render_template, request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as BaseResponse

from fraudstream.dashboard.services.live_stream import Published
from fraudstream.dashboard.services.reasons import ReasonStore
from fraudstream.dashboard.services.saved_views import SavedView, SavedViews
from fraudstream.dashboard.services.statistics import Statistics
from fraudstream.dashboard.views.alerts import Following, alerts_after
from fraudstream.dashboard.web import formats, presentation
from fraudstream.dashboard.web.actor import Actors
from fraudstream.dashboard.web.counters import tiles
from fraudstream.dashboard.web.presentation import AlertRow
from fraudstream.dashboard.web.queries import AlertList, RowList
from fraudstream.dashboard.web.queue_query import OPERATORS, ORDERS, QueueQuery
from fraudstream.dashboard.web.routing import Api
from fraudstream.dashboard.web.search_text import Vocabulary, suggestions
from fraudstream.errors import RequestError
from fraudstream.messages.answers import answer, many
from fraudstream.messages.requests import NewView
from fraudstream.model.explanation.reasons import shortened
from fraudstream.store.filters import AlertFilter, write_cursor
from fraudstream.store.reading import StoredAlert
from fraudstream.store.search import SearchPage
from fraudstream.store.store import AlertStore
from fraudstream.times import iso_time
from fraudstream.transactions.wire import AlertField

ROWS: Final = 50
"""Also of the live view, where each row slows down the browser at every arrival."""

OWN_PAGE: Final = "dashboard.html"
"""Rendered instead of `queue.html` if the user's folder has it; it usually extends that one."""

ID_CHARS: Final = 240
SUGGESTED: Final = 12
SAMPLED: Final = 50
"""The newest alerts whose values are suggested."""

VIEWS: Final = answer("SavedViews", views=many(SavedView))

api = Api("views")


@dataclass(frozen=True)
class QueueViews:
    """Renders the review page and its rows."""

    store: AlertStore
    statistics: Statistics
    reasons: ReasonStore
    actors: Actors
    views: SavedViews

    def page(self) -> str | BaseResponse | tuple[str, int]:
        """Render the alerts that match the address; redirect an untidy address to its canonical form."""
        vocabulary = self._vocabulary()
        query = QueueQuery(request.args, vocabulary)
        group = query.one("group")
        if not query.is_tidy and not query.errors:
            return redirect(query.address(), code=303)
        latest = self.store.latest_seq()  # read first, so that the page's stream starts no later than its content
        name = self.actors.current().name
        api_query = query.api_query(name)
        cursor = ("cursor", request.args.get("cursor", ""))
        filters = AlertList.read(MultiDict([*api_query.items(multi=True), cursor]))
        page = SearchPage([], None)
        if (name or not query.is_mine) and not group:
            page = self.store.search.page(filters.filter(), sort=filters.sort, after=filters.position(), limit=ROWS)
        rows = self._rows(page.alerts)
        open_alert = request.args.get("alert", "")[:ID_CHARS]
        stats = self.statistics.current()
        following = None if page.following is None else write_cursor(filters.sort, page.following)
        html = render_template(
            [OWN_PAGE, "queue.html"],
            latest=latest,
            stats=stats,
            tiles=tiles(stats),
            query=query,
            outcome=query.one("outcome"),
            name=name,
            rows=rows,
            open_alert=self._one(open_alert) if open_alert and open_alert not in {r.alert_id for r in rows} else None,
            columns=vocabulary.columns,
            entity_columns=vocabulary.entities,
            groups=self.store.entities.top(group, filters.filter(), ROWS) if group else None,
            entity_page=presentation.entity_page,
            alerts_text=presentation.alerts_text,
            operators=OPERATORS,
            orders=ORDERS,
            saved=self.views.all(),
            totals=None if filters.filter().looks_inside else self.store.summary(filters.filter()),
            asked=urlencode(list(api_query.items(multi=True))),
            back_to=iso_time(page.reached_us),
            older=None if following is None else query.address(("cursor", following)),
            is_first="cursor" not in request.args,
        )
        return (html, 400) if query.errors else html

    def rows(self) -> str:
        """Render some alerts by their `seq`, or those that match after an event; with the sums of all that match."""
        query = RowList.read(request.args)
        filter_ = query.filter()
        if query.seq:
            following = Following(self.store.alerts_of(query.seq), 0)
        else:
            following = alerts_after(self.store, query.event or 0, filter_, query.limit)
        return render_template(
            "_rows.html",
            rows=self._rows(following.alerts[-ROWS:][::-1]),
            following=following,
            totals=None if filter_.looks_inside else self.store.summary(filter_),
        )

    def suggest(self) -> Response:
        """Render how a search text may go on, as the options of its field."""
        vocabulary = self._vocabulary()
        newest = self.store.alerts(AlertFilter(), limit=SAMPLED)
        values: dict[str, dict[str, None]] = {}
        for transaction in (alert.document()[AlertField.TRANSACTION] for alert in newest):
            for column, value in transaction.items():
                if isinstance(value, str | int):
                    values.setdefault(column, {})[shortened(str(value), 60)] = None
        options = suggestions(
            request.args.get("text", ""), vocabulary, {name: [*each] for name, each in values.items()}
        )
        return Response(render_template("_suggestions.html", options=options[:SUGGESTED]))

    def frames(self, alerts: Sequence[Published]) -> bytes:
        """Render the newest of some alerts as events of the live stream; a first one counts the others.

        Their entities, which take longer than all the rest, come with their reasons, when a page asks for these.
        """
        newest, zone = alerts[-ROWS:], str(formats.zone())
        missing = [alert for alert in newest if zone not in alert.rows]
        for alert, row in zip(missing, self._render([each.document() for each in missing]), strict=True):
            alert.rows[zone] = b"id: %d\nevent: row\ndata: %s\n\n" % (alert.seq, _data(_queue_row(row)))
        skipped = len(alerts) - len(newest)
        frames = [b"event: skipped\ndata: %d\n\n" % skipped] if skipped else []
        return b"".join(frames + [alert.rows[zone] for alert in newest])

    @api.operation("GET", "/api/views", VIEWS)
    def saved_views(self) -> object:
        """The saved searches of the review page."""
        return {"views": self.views.all()}

    @api.operation("POST", "/api/views", SavedView)
    def save_view(self, body: NewView) -> object:
        """Save a search of the review page under a name, for everybody."""
        view = SavedView(body.name, body.query, self.actors.require(body.who).name)
        self.views.save(view, self.store.database.now())
        return view

    @api.operation("DELETE", "/api/views/<path:name>", VIEWS)
    def delete_view(self, name: str) -> object:
        """Delete a saved search."""
        self.views.delete(name)
        return self.saved_views()

    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.store.columns(), self.store.entities.columns(), formats.zone(), datetime.now(UTC))

    def _rows(self, alerts: Sequence[StoredAlert]) -> list[AlertRow]:
        return self._render(
            [each.document() for each in self.store.entities.with_entities(self.reasons.with_reasons(alerts))]
        )

    def _render(self, documents: Sequence[Mapping[str, Any]]) -> list[AlertRow]:
        context = self.statistics.row_context()
        return [presentation.row(document, context) for document in documents]

    def _one(self, alert_id: str) -> AlertRow:
        match = self.store.alert(alert_id)
        if match is None:
            raise RequestError("there is no alert with this id", status=404)
        return self._rows([match])[0]


def _queue_row(row: AlertRow) -> str:
    """Render the one template of a row."""
    return str(get_template_attribute("_queue_row.html", "queue_row")(row))


def _data(html: str) -> bytes:
    """Return HTML as the data of an event, in which a line break separates fields."""
    return html.replace("\r", "&#13;").replace("\n", "\ndata: ").encode()
