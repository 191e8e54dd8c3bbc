"""Records that data leave as a file, before the first row does; what the file holds is `export.py`'s and others'."""

from collections.abc import Callable

from flask import request

from fraudstream.alerts.changes import Action
from fraudstream.dashboard.actor import actor_or_nobody
from fraudstream.dashboard.parts import parts
from fraudstream.dashboard.security import same_origin
from fraudstream.errors import RequestError
from fraudstream.transactions.masking import typed


def record_export(file: str, rows: Callable[[], int], *, at_most: bool = False) -> None:
    """Record that this request takes data out; a request for the headers alone takes none.

    `rows` counts what the file will hold, or (`at_most`) the most that it can, where counting exactly would take as
    long as the file. Raises StoreError where it cannot be recorded; then nothing is to leave.
    """
    if request.method != "GET":
        return
    if not same_origin(request, parts().settings):
        # Each file is a row in the record for good: not for another site's page to write.
        raise RequestError("a file is asked for from the dashboard's own pages; open its address by itself", status=403)
    asked = {name: values[0] if len(values) == 1 else values for name, values in request.args.lists()}
    parts().changes.record(
        actor_or_nobody(),
        Action.EXPORT,
        file,
        None,
        {"filter": typed(asked), "rows_at_most" if at_most else "rows": rows()},
    )
