"""Going back: what was in force before, put in force again; the history it goes by is `history.py`'s."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from fraudstream.errors import ModelError, ModelNotFound
from fraudstream.model.artifact import is_artifact
from fraudstream.model.current import CURRENT_FILE, InForce, in_force_from, read_current, replace_in_force
from fraudstream.model.history import Change, State, read_changes


def roll_back(models_dir: Path, *, who: str, why: str, now: datetime) -> InForce:
    """Put in force again what was so before the last change, as the next revision: model, threshold and aliases.

    A rollback is passed over together with what it undid: going back twice goes back two changes.

    Raises:
        ModelNotFound: Nothing was in force before, or its artifact is gone.
        ModelCorrupt: The `current` that is there cannot be read.
        ModelError: The file cannot be written.
    """

    def earlier(before: InForce | None) -> InForce:
        found = _before_the_last(read_changes(models_dir, None if before is None else asdict(before)))
        if found is None:
            raise ModelNotFound(
                "nothing was in force before",
                where=str(models_dir / CURRENT_FILE),
                remedy="put a model in force by its id: fraudstream models use ID",
            )
        target = in_force_from(found, models_dir)
        if not is_artifact(models_dir / target.model_id):
            raise ModelNotFound(
                "the model that was in force before is gone",
                where=str(models_dir / target.model_id),
                remedy="put another in force: fraudstream models list, then fraudstream models use ID",
            )
        return target

    return replace_in_force(models_dir, earlier, who=who, why=why, now=now, is_rollback=True)


def history(models_dir: Path) -> list[Change]:
    """Every change of the deployment that is known, oldest first.

    Raises ModelCorrupt or ModelError where `current` or the history cannot be read.
    """
    path = models_dir / CURRENT_FILE
    try:
        return read_changes(models_dir, asdict(read_current(path)) if path.exists() else None)
    except OSError as e:
        raise ModelError(f"the history cannot be read: {e.strerror}", where=str(models_dir)) from e


def aliases_at(models_dir: Path, revision: int) -> Mapping[str, str] | None:
    """The aliases of a revision; None where it is not known, and ModelError where the history cannot be read."""
    state = next((change.after for change in reversed(history(models_dir)) if change.revision == revision), None)
    return None if state is None else in_force_from(state, models_dir).aliases


def _before_the_last(changes: Sequence[Change]) -> State | None:
    """What was in force before the last change that no rollback has undone."""
    made = {change.revision: change for change in changes}
    last = changes[-1] if changes else None
    while last is not None and last.restores is not None:
        last = made.get(last.restores)
    return None if last is None else last.before
