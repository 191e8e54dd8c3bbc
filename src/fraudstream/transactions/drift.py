"""Detects schema drift: determines a transaction's schema and its differences from the model's contract."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
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
"""The type of NaN and the infinities, which arrive as the texts that JSON writers produce for them."""

_NOT_FINITE_TEXTS: Final = frozenset({"NaN", "Infinity", "-Infinity"})

BASE64: Final = "base64 text"
"""The type of a text that is no number where one is expected, and looks like a decimal as Debezium sends it."""

REMEDIES: Final = {BASE64: "it looks like a base64 decimal: set decimal.handling.mode=string or double in Debezium"}
_BASE64: Final = re.compile(r"(?![a-z]*$)(?![A-Z]*$)(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
"""Not a word in lower or upper case, such as none or VISA."""
_LONGEST_BASE64: Final = 40

UNKNOWN: Final = "unknown"
"""The type of a column if only its name is known."""

LARGEST_LISTING: Final = 32_768
"""A column list is truncated at about this many bytes for storage: thousands of schemas are stored."""

_LONGEST_NAME: Final = 200
_BYTES_BESIDE_NAME: Final = 16
_LONGEST_PREFIX: Final = 1_000


def columns_of(transaction: Mapping[str, Any], imputed: Collection[str] = ()) -> dict[str, str]:
    """Return each column's type by name; columns of a nested object have dotted names.

    `imputed` are the features for which the detector read no value.
    """
    columns = {}
    # A stack instead of recursion: a transaction may be nested deeper than Python's recursion limit.
    pending = list(transaction.items())
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict) and value:
            within = bounded_name(name)
            pending.extend((f"{within}.{inner}", each) for inner, each in value.items())
        else:
            columns[name] = _NAMES[type(value)]
            if isinstance(value, str):
                if value in _NOT_FINITE_TEXTS:
                    columns[name] = NOT_FINITE
                elif name in imputed and len(value) <= _LONGEST_BASE64 and _BASE64.fullmatch(value):
                    columns[name] = BASE64
    return columns


def schema_id(transaction: Mapping[str, Any], imputed: Collection[str] = ()) -> str:
    """Return twelve hexadecimal digits that depend on the names and types of the columns, not on their order."""
    return id_of(columns_of(transaction, imputed))


def id_of(columns: Mapping[str, str]) -> str:
    """Return the `schema_id` of columns with known types."""
    return hashlib.blake2b(orjson.dumps(sorted(columns.items())), digest_size=6).hexdigest()


def listing(columns: Mapping[str, str]) -> dict[str, str]:
    """Return the columns to store and send, by name: all of them except in a schema of a thousand columns or more."""
    columns_by_name: dict[str, str] = {}
    size = 0
    for name, kind in sorted(columns.items()):
        short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        size += len(short.encode()) + _BYTES_BESIDE_NAME
        if size > LARGEST_LISTING:
            break
        columns_by_name[short] = kind
    return columns_by_name


def bounded_name(name: str) -> str:
    """Bound the name of an object as the prefix of its members' names, so that these do not multiply its length.

    A long one is truncated and gets a hash of the full name.
    """
    if len(name) <= _LONGEST_PREFIX:
        return name
    return f"{name[:_LONGEST_PREFIX]}…{hashlib.blake2b(name.encode(errors='surrogatepass'), digest_size=6).hexdigest()}"


_MOST_NAMES: Final = 5

NUMBER_TYPE: Final = "number"
_TYPES_THAT_FIT: Final = {NUMBER_TYPE: frozenset({"number", UNKNOWN})}
_SCALARS: Final = frozenset({"number", "text", "boolean", UNKNOWN})
"""Types of a feature other than a number (a category, a time)."""

_DESCRIPTIONS: Final = {"null": "without a value (null)", NOT_FINITE: "sent as NaN or infinite"}

KEPT: Final = "kept and shown"
MEDIAN: Final = "the training median is used"
READ_AS_NUMBER: Final = "read as a number where it is one"


@dataclass(frozen=True)
class Contract:
    """The columns that the active model expects in a transaction.

    Attributes:
        features: Type by name ("number"), in the model's order.
        aliases: New column name to the feature's name.
        others: Columns of the training data that are not features: the label, the time, excluded columns.
        missing_limit: A transaction with more missing features than this is unscorable.
        quantiles: Training quantiles by feature, if the manifest has them.
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
    """The differences between a schema and the contract; no column is in two of the three.

    Attributes:
        added: Columns that the training data did not have, sorted.
        missing: Features without a column, in the model's order.
        retyped: Features with another type: the actual type by feature.
        is_over_limit: Whether more features are missing than the model allows.
    """

    added: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    retyped: Mapping[str, str] = field(default_factory=dict)
    is_over_limit: bool = False

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.missing or self.retyped)


@dataclass(frozen=True)
class ColumnChange:
    """One kind of difference: the columns, what changed, and how the detector treats them."""

    columns: tuple[str, ...]
    what: str
    treatment: str

    def __str__(self) -> str:
        """Describe the change in one line."""
        return f"{describe_columns(self.columns)} {self.what}: {self.treatment}"


def drift_of(columns: Mapping[str, str], contract: Contract, *, is_whole: bool = True) -> Drift:
    """Compare columns and types, as returned by `columns_of`, with a contract.

    In a truncated list (not `is_whole`) no column counts as missing.
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
        elif not any(kind in _TYPES_THAT_FIT.get(contract.features[feature], _SCALARS) for kind in types):
            retyped[feature] = types[-1]
    return Drift(
        added=tuple(sorted(name for name in columns if name not in known)),
        missing=tuple(missing) if is_whole else (),
        retyped=retyped,
        is_over_limit=is_whole and len(missing) > contract.missing_limit,
    )


def changes(drift: Drift) -> list[ColumnChange]:
    """Return the differences, one for each kind of change."""
    differences = []
    if drift.missing:
        treatment = "too many for the model, so such transactions are unscorable" if drift.is_over_limit else MEDIAN
        differences.append(ColumnChange(drift.missing, "missing", treatment))
    by_type: dict[str, list[str]] = {}
    for name, kind in drift.retyped.items():
        by_type.setdefault(kind, []).append(name)
    for kind, names in sorted(by_type.items()):
        what = _DESCRIPTIONS.get(kind, f"sent as {kind}")
        treatment = {"text": READ_AS_NUMBER, BASE64: f"{MEDIAN}; {REMEDIES[BASE64]}"}.get(kind, MEDIAN)
        differences.append(ColumnChange(tuple(names), what, treatment))
    if drift.added:
        differences.append(ColumnChange(drift.added, "added", KEPT))
    return differences


def describe_columns(columns: Iterable[str]) -> str:
    """List columns, as in: column V26; or: columns V1, V2 and 7 more."""
    names = list(columns)
    head = ", ".join(names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{'column' if len(names) == 1 else 'columns'} {head}{more}"
