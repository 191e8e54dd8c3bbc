"""All that is known of the stream's columns, as the API tells it and the page Schema shows it."""

from collections.abc import Mapping
from typing import Any, Final

from fraudstream.alerts.reading import StoredSchema, Total
from fraudstream.alerts.store import AlertStore
from fraudstream.dashboard.columns import ColumnWatch, Shares, Suggestion
from fraudstream.dashboard.drift_words import UNJUDGED, iso, percent, sentences
from fraudstream.transactions.drift import KEPT, MEDIAN, READ_AS_NUMBER, Contract, changes, drift_of

LISTED_SCHEMAS: Final = 50
MOST_SHARES: Final = 200


def summary(store: AlertStore, watch: ColumnWatch, contract: Contract | None) -> dict[str, Any]:
    """What the banner needs, once a second; part of `/api/stats`."""
    shares = watch.shares()
    said = sentences(shares, contract)
    newest = shares.newest
    largest = sorted(shares.imputed.items(), key=lambda pair: -pair[1])[:MOST_SHARES]
    refused = {(refusal.new, refusal.old) for refusal in store.refusals()}
    suggestions = watch.suggestions(contract, refused)
    return {
        "schema_id": newest.sight.schema_id if newest else None,
        "as_trained": not said if newest is not None and contract is not None else None,
        "sentences": [sentence._asdict() for sentence in said],
        "imputed": {name: round(share, 4) for name, share in largest},
        "unscorable_share": round(shares.unscorable, 4),
        "rows": shares.rows,
        "schemas": store.schema_count(),
        "suggestions": [f"{each.new}={each.old}" for each in suggestions],
        "revision": contract.revision if contract else None,
    }


def report(
    store: AlertStore, watch: ColumnWatch, contract: Contract | None, *, changeable: bool, limit: int = LISTED_SCHEMAS
) -> dict[str, Any]:
    """The contract, the sets of columns (newest first), how the last rows stand to it, and the suggestions."""
    refusals = store.refusals()
    shares = watch.shares()
    suggestions = watch.suggestions(contract, {(refusal.new, refusal.old) for refusal in refusals})
    return {
        "contract": None if contract is None else _contract(contract, changeable=changeable),
        "current": summary(store, watch, contract) | {"columns": _columns(shares, contract)},
        "schemas": [_schema(stored, contract) for stored in store.schemas(limit=limit)],
        "kept": store.schema_count(),
        "forgotten": store.totals()[Total.SCHEMAS_FORGOTTEN],
        "suggestions": [_suggestion(each) for each in suggestions],
        "refused": [
            {"new": each.new, "old": each.old, "at": iso(each.at_us), "who": each.who, "why": each.why}
            for each in refusals
        ],
        "sampled": ["current", "schemas.estimated_rows", "schemas.first", "suggestions"],
    }


def _contract(contract: Contract, *, changeable: bool) -> dict[str, Any]:
    return {
        "model_id": contract.model_id,
        "revision": contract.revision,
        "features": [{"name": name, "type": kind} for name, kind in contract.features.items()],
        "aliases": dict(contract.aliases),
        "others": sorted(contract.others),
        "missing_limit": contract.missing_limit,
        "changeable": changeable,
    }


def _schema(stored: StoredSchema, contract: Contract | None) -> dict[str, Any]:
    whole = len(stored.columns) == stored.column_count
    told: dict[str, Any] = {
        "schema_id": stored.schema_id,
        "columns": stored.columns,
        "column_count": stored.column_count,
        "first": {
            "at": iso(stored.first_us),
            "topic": stored.first_topic,
            "partition": stored.first_partition,
            "offset": stored.first_offset,
        },
        "last_at": iso(stored.last_us),
        "sampled_rows": stored.sampled,
        "estimated_rows": max(stored.estimated, stored.alerts + stored.unscorable),
        "alerts": stored.alerts,
        "unscorable": stored.unscorable,
    }
    if contract is None:
        return told | {"added": [], "missing": [], "retyped": {}, "changes": []}
    drift = drift_of(stored.columns, contract, is_whole=whole)
    return told | {
        "added": list(drift.added),
        "missing": list(drift.missing),
        "retyped": dict(drift.retyped),
        "changes": [str(change) for change in changes(drift)],
    }


def _columns(shares: Shares, contract: Contract | None) -> list[dict[str, Any]]:
    """Each feature, then what came beside them in the newest row, then what of the training data did not come."""
    newest = shares.newest
    came: Mapping[str, str] = newest.sight.columns if newest else {}
    if contract is None:
        return [_column(name, None, kind, 0.0, KEPT) for name, kind in came.items()]
    carrier = {old: new for new, old in contract.aliases.items()}
    table = []
    for name, expected in contract.features.items():
        share = shares.imputed.get(name, 0.0)
        alias = carrier.get(name)
        kind = came.get(name) or (came.get(alias) if alias is not None else None)
        row = _column(name, expected, kind if newest else None, share, _treatment(shares, name, kind, share))
        table.append(row | {"alias": alias if alias in came else None, "since": _since(shares, name)})
    known = set(contract.features) | set(contract.aliases)
    for name in sorted(came.keys() - known):
        treatment = "kept and shown; no feature of the model" if name in contract.others else KEPT
        kind = "in the training data" if name in contract.others else None
        table.append(_column(name, kind, came[name], 0.0, treatment))
    return table


def _column(name: str, expected: str | None, came: str | None, share: float, treatment: str) -> dict[str, Any]:
    return {
        "name": name,
        "expected": expected,
        "came": came,
        "imputed_share": round(share, 4),
        "imputed": percent(share) if share > 0 else "",
        "treatment": treatment,
        "alias": None,
        "since": None,
    }


def _since(shares: Shares, name: str) -> dict[str, Any] | None:
    sight = shares.since.get(name)
    return None if sight is None else {"at": iso(sight.produced_us), "place": sight.where}


def _treatment(shares: Shares, name: str, kind: str | None, share: float) -> str:
    if shares.newest is None:
        return "no row was sampled yet"
    if share <= 0:
        return READ_AS_NUMBER if kind == "text" else "read as trained"
    if shares.unscorable >= share:
        return UNJUDGED
    return f"{MEDIAN} where it is missing" if share < 1 - 1e-9 else MEDIAN


def _suggestion(each: Suggestion) -> dict[str, Any]:
    return {
        "new": each.new,
        "old": each.old,
        "distance": round(each.distance, 4),
        "values": each.values,
        "runner_up": None if each.runner_up is None else round(each.runner_up, 4),
        "since": {"at": iso(each.first.produced_us), "place": each.first.where},
        "evidence": evidence(each),
    }


def evidence(each: Suggestion) -> str:
    """Why an alias is suggested, in one sentence."""
    rival = "" if each.runner_up is None else f"; the next best pair is {each.runner_up:.2f} apart"
    return (
        f"{each.values} sampled values are {each.distance:.2f} apart from the training values of {each.old} "
        f"(0: alike, 1: nothing in common){rival}; no sampled row had both columns"
    )
