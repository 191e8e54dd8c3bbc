"""Defines the API routes of alert triage."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Response, get_template_attribute, render_template, request
from pydantic import ValidationError

from fraudstream.dashboard.services.instances import Instances
from fraudstream.dashboard.services.live_stream import Hub
from fraudstream.dashboard.services.reasons import ReasonStore
from fraudstream.dashboard.web.actor import A_NAME, Actors
from fraudstream.dashboard.web.queries import NextAlert
from fraudstream.dashboard.web.routing import Api, json_response
from fraudstream.errors import RequestError
from fraudstream.messages.answers import Alert, Change, Text, Triage, Triaged, answer
from fraudstream.messages.base import Object, reason
from fraudstream.messages.requests import AddNote, Claim, Decide, Escalate, NeedInformation, Release, Undo
from fraudstream.messages.verdicts import VERDICT_NAMES, ReasonCodes, label_of
from fraudstream.store.changes import ChangeLog
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import Options, TriageService
from fraudstream.store.triage_state import AlertStatus, TriageState, name_of
from fraudstream.store.triage_writing import TriageResult

api = Api("work")


@dataclass(frozen=True)
class TriageViews:
    """Triages alerts."""

    store: AlertStore
    triage: TriageService
    reasons: ReasonStore
    actors: Actors
    changes: ChangeLog

    @api.operation("POST", "/api/work/claim", Triaged, same=(409,))
    def claim(self, body: Claim) -> Response:
        """Claim alerts."""
        return _answer(self.triage.claim(self.actors.require(body.who), body.alert_ids, **_options(body)))

    @api.operation("POST", "/api/work/release", Triaged, same=(409,))
    def release(self, body: Release) -> Response:
        """Release one's own alerts."""
        return _answer(self.triage.release(self.actors.require(body.who), body.alert_ids, versions=body.versions or {}))

    @api.operation("POST", "/api/work/verdict", Triaged, same=(409,))
    def verdict(self, body: Decide) -> Response:
        """Decide alerts."""
        if (code := body.reason_code) and code not in (codes := self.changes.reason_codes().of(body.status)):
            raise RequestError(f"reason_code of {body.status} must be one of {', '.join(codes)}", status=422)
        who, status, options = self.actors.require(body.who), AlertStatus(body.status), _options(body)
        return _answer(self.triage.verdict(who, body.alert_ids, status, code or "", **options))

    @api.operation("POST", "/api/work/escalate", Triaged, 422, same=(409,))
    def escalate(self, body: Escalate) -> Response:
        """Give alerts to somebody else."""
        if (to := name_of(body.to)) is None:
            raise RequestError(f"to must be {A_NAME}", status=422)
        return _answer(self.triage.escalate(self.actors.require(body.who), body.alert_ids, to, **_options(body)))

    @api.operation("POST", "/api/work/needs-information", Triaged, same=(409,))
    def need_information(self, body: NeedInformation) -> Response:
        """Keep alerts until the information that they need is due."""
        who, options = self.actors.require(body.who), _options(body)
        return _answer(self.triage.need_information(who, body.alert_ids, body.due_at, **options))

    @api.operation("POST", "/api/work/note", Triaged, same=(409,))
    def note(self, body: AddNote) -> Response:
        """Add a note to an alert."""
        return _answer(self.triage.note(self.actors.require(body.who), body.alert_ids[0], body.text))

    @api.operation("POST", "/api/work/undo", Triaged, 404, same=(409,))
    def undo(self, body: Undo) -> Response:
        """Undo one's own change; another's only with `take_over`."""
        return _answer(self.triage.undo(self.actors.require(body.who), body.change_id, take_over=body.take_over))

    @api.operation("POST", "/api/work/next", answer("ClaimedAlert", alert=Alert | None, change_id=Text))
    def next_alert(self, body: NextAlert) -> Response:
        """Claim the first new alert in an order, of those that match."""
        done = self.triage.next(self.actors.require(body.who), body.filter(), body.order, body.skip)
        claimed = self.store.alert(done.done[0].alert_id) if done.done else None
        alert = b"null" if claimed is None else self.reasons.with_reasons([claimed])[0].body
        return json_response(b'{"alert":%s,"change_id":%s}' % (alert, orjson.dumps(done.change_id)))

    @api.operation("GET", "/api/work/<path:alert_id>", Triage, 404)
    def state(self, alert_id: str) -> object:
        """An alert's triage state, and its changes."""
        state, history = self._state(alert_id)
        return {"work": state.document(), "history": history}

    def history(self, alert_id: str) -> str:
        """Render the changes of an alert as items of a list."""
        render = get_template_attribute("_controls.html", "history")
        return str(render(self._state(alert_id)[1], self.changes.reason_codes()))

    def edit_reason_codes(self) -> str:
        """Render the form of the reasons for verdicts, or save what it sends."""
        texts, problem, is_saved = dict[str, str](), "", False
        former = request.form.get("former")
        if request.method == "POST":
            texts = {verdict: request.form.get(verdict, "") for verdict in VERDICT_NAMES}
            try:
                lines = {name: list(filter(str.strip, text.splitlines())) for name, text in texts.items()}
                codes = ReasonCodes.model_validate(lines)
                self.changes.change_reason_codes(self.actors.require(request.form.get("who")), codes, former)
                is_saved = True
            except ValidationError as e:
                verdict, *line = e.errors()[0]["loc"]
                where = ", reason ".join([label_of(str(verdict)), *(str(int(each) + 1) for each in line)])
                problem = f"{where}: {reason(e).partition(' ')[2]}"
            except RequestError as e:
                problem = e.what
        if not problem:
            former = self.changes.reason_codes_change()  # before the codes: then these are at least as new
            texts = {name: "\n".join(labels) for name, labels in self.changes.reason_codes()}
        return render_template("reason_codes.html", texts=texts, problem=problem, saved=is_saved, former=former)

    def _state(self, alert_id: str) -> tuple[TriageState, list[Change]]:
        if (state := self.triage.state(alert_id)) is None:
            raise RequestError("there is no alert with this id", status=404)
        return state


def _options(body: Claim) -> Options:
    return Options(take_over=body.take_over, versions=body.versions or {}, note=body.note or "")


def publish_triage(hub: Hub, instances: Instances, done: TriageResult) -> None:
    """Send a change to every viewer of every dashboard."""
    _publish(hub, done.actor.name, done.changed)
    instances.send("triage", [[done.actor.name, alert_id, seq, *state] for alert_id, seq, state in done.changed])


def receive_triage(hub: Hub, items: Sequence[Sequence[Any]]) -> None:
    """Send a change that was made on another dashboard to every viewer of this one."""
    changed = [(alert_id, seq, TriageState(*state)) for _, alert_id, seq, *state in items]
    _publish(hub, items[0][0], changed)


def _publish(hub: Hub, actor: str, changed: Sequence[tuple[str, int, TriageState]]) -> None:
    changes = orjson.dumps({"changes": [_changed(*each) for each in changed], "actor": actor})
    hub.broadcast(b"event: work\ndata: %s\n\n" % changes)


def _answer(result: TriageResult) -> Response:
    body: Object = {
        "change_id": result.change_id,
        "done": [_changed(*each) for each in result.done],
        "refused": [
            {"alert_id": alert_id, "reason": reason, "work": None if state is None else state.document()}
            for alert_id, reason, state in result.refused
        ],
    }
    status = 409 if result.refused and not result.done else 200
    if status == 409:
        body |= {"error": result.refused[0].reason, "status": status}
    return json_response(body, status)


def _changed(alert_id: str, seq: int, state: Any) -> Object:
    return {"alert_id": alert_id, "seq": seq, **state.document()}
