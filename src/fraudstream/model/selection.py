"""What a user names with `--features` and `--exclude`, held against the columns of the CSV; `features.py` obeys it."""

from __future__ import annotations

from collections.abc import Sequence

from fraudstream.errors import SettingsError
from fraudstream.model.manifest import Selection


def select(columns: Sequence[str], *, features: Sequence[str], exclude: Sequence[str], label: str) -> Selection:
    """Each text is the name of a column, or several names with commas between them.

    Args:
        columns: The columns of the CSV.
        features: The texts given with `--features`; none leaves the choice to the values.
        exclude: The texts given with `--exclude`.
        label: The label column, which can be neither.

    Raises:
        SettingsError: A name is no column, is the label, or is given to both.
    """
    wanted = _named(features, columns, "--features")
    unwanted = _named(exclude, columns, "--exclude")
    for flag, names in (("--features", wanted), ("--exclude", unwanted)):
        if label in names:
            raise SettingsError(
                f"the column {label!r} is the label and never a feature",
                where=flag,
                remedy=f"leave it out of {flag}, or name another column with --label",
            )
    for name in wanted:
        if name in unwanted:
            raise SettingsError(
                f"the column {name!r} is both wanted and left out",
                where="--features, --exclude",
                remedy="name it with one of the two",
            )
    return Selection(wanted, unwanted)


def _named(texts: Sequence[str], columns: Sequence[str], flag: str) -> tuple[str, ...]:
    names = [name for text in texts for name in ([text] if text in columns else _parts(text))]
    for name in names:
        if name not in columns:
            raise SettingsError(
                f"there is no column {name!r}; the columns are {', '.join(columns)}"[:2000],
                where=flag,
                remedy=f"name columns as the header does, with commas between them or {flag} once for each",
            )
    # In file order, so that the order on the command line makes no other model.
    return tuple(column for column in columns if column in names)


def _parts(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(",")) if part]
