"""The schema of a sample, how it differs from the model's contract, and what the detector does about it."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

_NAMES: Final[dict[type, str]] = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "text",
    type(None): "null",
    list: "array",
    dict: "object",
}

NOT_FINITE: Final = "not finite"
"""The type of NaN and the infinities, which are read as the texts that JSON's writers make of them."""

_NOT_FINITE_TEXTS: Final = frozenset({"NaN", "Infinity", "-Infinity"})

UNKNOWN: Final = "unknown"
"""The type of a column of which only the name is known."""

LARGEST_LISTING: Final = 32_768
"""A list of columns that is kept or sent is cut at about so many bytes: thousands of sets of them are kept."""

_LONGEST_NAME: Final = 200
_BYTES_BESIDE_NAME: Final = 16
_LONGEST_PREFIX: Final = 1_000


def columns_of(transaction: Mapping[str, Any]) -> dict[str, str]:
    """Each column's type by name; columns of a nested object have dotted names."""
    return dict(_flattened(transaction))


def schema_id(transaction: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that depend on the names and types of the columns, not on their order."""
    return id_of(columns_of(transaction))


def id_of(columns: Mapping[str, str]) -> str:
    """The `schema_id` of columns whose types are known already."""
    return hashlib.blake2b(orjson.dumps(sorted(columns.items())), digest_size=6).hexdigest()


def listed(columns: Mapping[str, str]) -> dict[str, str]:
    """The columns as far as they are kept and sent, by name: all of them but in rows of a thousand columns and more."""
    kept: dict[str, str] = {}
    size = 0
    for name, kind in sorted(columns.items()):
        short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        size += len(short.encode()) + _BYTES_BESIDE_NAME
        if size > LARGEST_LISTING:
            break
        kept[short] = kind
    return kept


def bounded_name(name: str) -> str:
    """The name of an object as its members' names begin: all members together are then no longer than a multiple of it.

    A long one is cut, with a hash of all of it.
    """
    if len(name) <= _LONGEST_PREFIX:
        return name
    return f"{name[:_LONGEST_PREFIX]}…{hashlib.blake2b(name.encode(errors='surrogatepass'), digest_size=6).hexdigest()}"


def _flattened(transaction: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    # A stack instead of recursion: a row may be nested deeper than Python's own limit.
    pending = list(transaction.items())
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict) and value:
            within = bounded_name(name)
            pending.extend((f"{within}.{inner}", each) for inner, each in value.items())
        else:
            is_finite = not isinstance(value, str) or value not in _NOT_FINITE_TEXTS
            yield name, _NAMES[type(value)] if is_finite else NOT_FINITE


NAMES_SHOWN: Final = 5

NUMBER_TYPE: Final = "number"
_TYPES_THAT_FIT: Final = {NUMBER_TYPE: frozenset({"number", UNKNOWN})}
_SCALARS: Final = frozenset({"number", "text", "boolean", UNKNOWN})
"""What a feature that is no number (a category, a time) may be sent as."""

_ARRIVALS: Final = {"null": "without a value (null)", NOT_FINITE: "sent as NaN or infinite"}

KEPT: Final = "kept and shown"
MEDIAN: Final = "the training median is used"
READ_AS_NUMBER: Final = "read as a number where it is one"


@dataclass(frozen=True)
class Contract:
    """What the model in force expects of a row.

    Attributes:
        features: Type by name ("number"), in the model's order.
        aliases: New column name to the feature's name.
        others: Columns of the training data that are no features: the label, the time, what was left out.
        missing_limit: A row with more features missing than this is unscorable.
        quantiles: Training quantiles by feature, where the manifest holds them.
    """

    model_id: str
    revision: int
    features: Mapping[str, str]
    aliases: Mapping[str, str] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    missing_limit: int = 0
    quantiles: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Drift:
    """What sets a row's columns apart from the contract; no column is in two of the three.

    Attributes:
        added: Columns that the training data did not have, sorted.
        missing: Features that no column carries, in the model's order.
        retyped: Features that come, but as something else: the type that came, by feature.
        too_much: More is missing than the model allows.
    """

    added: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    retyped: Mapping[str, str] = field(default_factory=dict)
    too_much: bool = False

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.missing or self.retyped)


@dataclass(frozen=True)
class Change:
    """One line of what differs: the columns, what happened to them, what the detector does about it."""

    columns: tuple[str, ...]
    what: str
    treatment: str

    def __str__(self) -> str:
        """The line in words."""
        return f"{named(self.columns)} {self.what}: {self.treatment}"


def drift_of(columns: Mapping[str, str], contract: Contract, *, is_whole: bool = True) -> Drift:
    """Hold columns and types, as `schema.columns_of` gives them, against a contract.

    In a list that was cut (not `is_whole`) nothing can be called missing.
    """
    carriers: dict[str, list[str]] = {name: [name] for name in contract.features}
    for new, old in contract.aliases.items():
        if old in carriers:
            carriers[old].append(new)
    known = contract.others.union(*carriers.values())
    missing, retyped = [], {}
    for feature, names in carriers.items():
        types = [columns[name] for name in names if name in columns]
        if not types:
            missing.append(feature)
        elif not any(_fits(kind, contract.features[feature]) for kind in types):
            retyped[feature] = types[-1]
    return Drift(
        added=tuple(sorted(name for name in columns if name not in known)),
        missing=tuple(missing) if is_whole else (),
        retyped=retyped,
        too_much=is_whole and len(missing) > contract.missing_limit,
    )


def changes(drift: Drift) -> list[Change]:
    """What differs, a line for each kind of change."""
    found = []
    if drift.missing:
        treatment = "too much for the model, so such rows are not judged (unscorable)" if drift.too_much else MEDIAN
        found.append(Change(drift.missing, "missing", treatment))
    by_type: dict[str, list[str]] = {}
    for name, kind in drift.retyped.items():
        by_type.setdefault(kind, []).append(name)
    for kind, names in sorted(by_type.items()):
        what = _ARRIVALS.get(kind, f"sent as {kind}")
        found.append(Change(tuple(names), what, READ_AS_NUMBER if kind == "text" else MEDIAN))
    if drift.added:
        found.append(Change(drift.added, "added", KEPT))
    return found


def named(columns: Iterable[str]) -> str:
    """Columns in words, as in: column V26; or: columns V1, V2 and 7 more."""
    names = list(columns)
    shown = ", ".join(names[:NAMES_SHOWN])
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{'column' if len(names) == 1 else 'columns'} {shown}{more}"


def _fits(kind: str, feature_type: str) -> bool:
    return kind in _TYPES_THAT_FIT.get(feature_type, _SCALARS)
