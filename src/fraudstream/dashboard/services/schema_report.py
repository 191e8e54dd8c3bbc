"""Builds the schema report: the stream's columns compared with the model's contract."""

from dataclasses import dataclass, replace
from typing import Final

from fraudstream.dashboard.services.columns import WINDOW_US, ColumnWatch, Shares, Suggestion
from fraudstream.dashboard.services.schema_messages import UNSCORABLE, Sentence, iso, percent, sentences
from fraudstream.messages.base import Object
from fraudstream.store.reading import StoredSchema, Total
from fraudstream.store.store import AlertStore
from fraudstream.transactions.drift import KEPT, MEDIAN, READ_AS_NUMBER, REMEDIES, Contract, Drift, changes, drift_of

LISTED_SCHEMAS: Final = 50
MAX_SHARES: Final = 200


@dataclass(frozen=True)
class Column:
    """A column in training (`expected`), in the newest transaction (`came`), and how the detector treats it.

    Attributes:
        alias: The column that is read in its place.
        since: Approximately when and where it was first missing.
        is_added: Whether the training data did not have it.
    """

    name: str
    expected: str | None
    came: str | None
    imputed_share: float
    imputed: str
    treatment: str
    alias: str | None = None
    since: Object | None = None
    is_added: bool = False

    @property
    def differs(self) -> bool:
        """Whether it differs from training."""
        is_retyped = self.expected == "number" and self.came not in (None, "number", "unknown")
        return bool(self.expected is None or is_retyped or self.imputed_share or self.alias)


@dataclass(frozen=True)
class ColumnSummary:
    """The content of the banner, once a second; part of `/api/stats`."""

    schema_id: str | None
    as_trained: bool | None
    sentences: list[Sentence]
    imputed: dict[str, float]
    unscorable_share: float
    rows: int
    schemas: int
    suggestions: list[str]
    revision: int | None


@dataclass(frozen=True)
class Current(ColumnSummary):
    """The recent transactions compared with the contract."""

    columns: list[Column]


@dataclass(frozen=True)
class Schemas:
    """The contract, the schemas (newest first), the recent transactions, and suggested aliases."""

    contract: Object | None
    current: Current
    schemas: list[Object]
    kept: int
    forgotten: int
    suggestions: list[Object]
    refused: list[Object]
    sampled: tuple[str, ...] = ("current", "schemas.estimated_rows", "schemas.first", "suggestions")


def summary(store: AlertStore, watch: ColumnWatch, contract: Contract | None) -> ColumnSummary:
    """Return the summary now."""
    shares = watch.shares()
    messages = sentences(shares, contract)
    newest = shares.newest
    largest = sorted(shares.imputed.items(), key=lambda pair: -pair[1])[:MAX_SHARES]
    refused = {(refusal.new, refusal.old) for refusal in store.refusals()}
    return ColumnSummary(
        schema_id=newest.observation.schema_id if newest else None,
        as_trained=not messages if newest is not None and contract is not None else None,
        sentences=messages,
        imputed={name: round(share, 4) for name, share in largest},
        unscorable_share=round(shares.unscorable, 4),
        rows=shares.rows,
        schemas=store.schema_count(),
        suggestions=[f"{each.new}={each.old}" for each in watch.suggestions(contract, refused)],
        revision=contract.revision if contract else None,
    )


def report(
    store: AlertStore, watch: ColumnWatch, contract: Contract | None, *, changeable: bool, limit: int = LISTED_SCHEMAS
) -> Schemas:
    """Return the whole report."""
    refusals, shares, schemas = store.refusals(), watch.shares(), store.schemas(limit=limit)
    since_us = (shares.newest.observation.produced_us or 0) - WINDOW_US if shares.newest else 0
    # Alerts show columns that no sample happened to have.
    recent = {name: kind for each in schemas if (each.last_us or 0) >= since_us for name, kind in each.columns.items()}
    shares = shares._replace(columns=recent | shares.columns)
    suggestions = watch.suggestions(contract, {(refusal.new, refusal.old) for refusal in refusals})
    return Schemas(
        contract=None if contract is None else _contract(contract, changeable=changeable),
        current=Current(**vars(summary(store, watch, contract)), columns=_columns(shares, contract)),
        schemas=[_schema(stored, contract) for stored in schemas],
        kept=store.schema_count(),
        forgotten=store.totals()[Total.SCHEMAS_FORGOTTEN],
        suggestions=[_suggestion(each) for each in suggestions],
        refused=[
            {"new": each.new, "old": each.old, "at": iso(each.at_us), "who": each.who, "why": each.why}
            for each in refusals
        ],
    )


def _contract(contract: Contract, *, changeable: bool) -> Object:
    return {
        **{name: getattr(contract, name) for name in ("model_id", "revision", "missing_limit")},
        "features": [{"name": name, "type": kind} for name, kind in contract.features.items()],
        "aliases": dict(contract.aliases),
        "others": sorted(contract.others),
        "changeable": changeable,
    }


def _schema(stored: StoredSchema, contract: Contract | None) -> Object:
    is_whole = len(stored.columns) == stored.column_count
    drift = Drift() if contract is None else drift_of(stored.columns, contract, is_whole=is_whole)
    first = {name: getattr(stored, f"first_{name}") for name in ("topic", "partition", "offset")}
    return {
        **{name: getattr(stored, name) for name in ("schema_id", "columns", "column_count", "alerts", "unscorable")},
        "first": {"at": iso(stored.first_us)} | first,
        "last_at": iso(stored.last_us),
        "sampled_rows": stored.sampled,
        "estimated_rows": max(stored.estimated, stored.alerts + stored.unscorable),
        "added": list(drift.added),
        "missing": list(drift.missing),
        "retyped": dict(drift.retyped),
        "changes": [str(change) for change in changes(drift)],
    }


def _columns(shares: Shares, contract: Contract | None) -> list[Column]:
    """Return each feature, then the other columns of the newest transaction."""
    newest, actual = shares.newest, shares.columns
    if contract is None:
        return [_column(name, None, kind, 0.0, KEPT) for name, kind in actual.items()]
    carrier = {old: new for new, old in contract.aliases.items()}
    table = []
    for name, expected in contract.features.items():
        share = shares.imputed.get(name, 0.0)
        alias = carrier.get(name)
        kind = actual.get(name) or (actual.get(alias) if alias is not None else None)
        row = _column(name, expected, kind if newest else None, share, _treatment(shares, name, kind, share))
        table.append(replace(row, alias=alias if alias in actual else None, since=_since(shares, name)))
    known = set(contract.features) | set(contract.aliases)
    for name in sorted(actual.keys() - known):
        treatment = f"{KEPT}; not a feature of the model" if name in contract.others else KEPT
        kind = "in the training data" if name in contract.others else None
        table.append(replace(_column(name, kind, actual[name], 0.0, treatment), is_added=kind is None))
    return table


def _column(name: str, expected: str | None, came: str | None, share: float, treatment: str) -> Column:
    return Column(name, expected, came, round(share, 4), percent(share) if share > 0 else "", treatment)


def _since(shares: Shares, name: str) -> Object | None:
    observation = shares.since.get(name)
    return None if observation is None else {"at": iso(observation.produced_us), "place": observation.where}


def _treatment(shares: Shares, name: str, kind: str | None, share: float) -> str:
    if shares.newest is None:
        return "no transaction sampled yet"
    if share <= 0:
        return READ_AS_NUMBER if kind == "text" else "read as trained"
    if kind in REMEDIES:
        return f"{MEDIAN}; {REMEDIES[kind]}"
    if shares.unscored.get(name, 0.0) >= share - 1e-9:
        return UNSCORABLE
    return f"{MEDIAN} if it is missing" if share < 1 - 1e-9 else MEDIAN


def _suggestion(each: Suggestion) -> Object:
    rival = "" if each.runner_up is None else f"; the next best pair is {each.runner_up:.2f} away"
    return {
        **{name: getattr(each, name) for name in ("new", "old", "values")},
        "distance": round(each.distance, 4),
        "runner_up": None if each.runner_up is None else round(each.runner_up, 4),
        "since": {"at": iso(each.first.produced_us), "place": each.first.where},
        "evidence": (
            f"{each.values} sampled values are {each.distance:.2f} away from the training values of {each.old} "
            f"(0: identical, 1: disjoint){rival}; no sampled transaction had both columns"
        ),
    }
