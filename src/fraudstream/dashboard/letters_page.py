"""The page of dead letters and unscorable rows, as it is served; `static/js/letters.js` sends what a person decides."""

from typing import Final
from urllib.parse import urlencode

from flask import render_template, request

from fraudstream.alerts.letters import LetterQuery, LetterReader
from fraudstream.alerts.replay_log import ReplayLog
from fraudstream.dashboard.actor import actor_or_nobody
from fraudstream.dashboard.dead_letters_api import replays_of
from fraudstream.dashboard.letters import shown
from fraudstream.dashboard.parts import parts
from fraudstream.dashboard.queries import LetterList

ROWS: Final = 50
REPLAYS: Final = 50


def letters_page() -> str:
    """The letters that match the query, a page of them, and the newest replays."""
    using = parts()
    reader, log = LetterReader(using.store), ReplayLog(using.store)
    given = {name: request.args[name] for name in LetterQuery.model_fields if request.args.get(name)}
    query, after = LetterQuery.read(request.args), LetterList.read(request.args).cursor
    letters, following = reader.page(query, after=after, limit=ROWS)
    replays = replays_of(letters)
    return render_template(
        "dead_letters.html",
        notice=using.notice,
        letters=[shown(number, each, replays[str(each.origin)]) for number, each in enumerate(letters)],
        matching=reader.count(query),
        given=given,
        query=urlencode(given),
        download=urlencode({"kind": "all"} | given),
        older=None if following is None else urlencode(given | {"cursor": str(following)}),
        is_first=after is None,
        replays=log.replays(limit=REPLAYS),
        counts=log.counts(),
        name=actor_or_nobody().name,
        needs_token=using.settings.ingest_token is not None,
    )
