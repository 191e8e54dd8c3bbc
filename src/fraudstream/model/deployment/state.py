"""Reads the record of a history's state, and checks that the state holds what a model needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from fraudstream.errors import CheckpointDamaged, DeploymentRefused
from fraudstream.history.spec import STATE_FORMAT, HistorySpec
from fraudstream.model.manifest import Manifest
from fraudstream.runtime.files import read_regular, replace_json

STATE_RECORD: Final = "fraudstream.json"
BUILD: Final = "fraudstream state build --from FILE"
_MOST_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class StateRecord:
    """What a state holds; each of its versions says at which offset of its partition it continues.

    Attributes:
        content: The columns that its events were read from; without features.
        partitions: The number of the topic's partitions when its keys were placed.
        topic_id: Kafka's id of the topic that the offsets belong to; empty for whichever is read next.
        base: Incremented when the offsets belong to another topic.
        key_fingerprint: Of the key that the ids of card numbers were made with; empty for whichever is read next.
    """

    content: HistorySpec
    partitions: int
    topic_id: str = ""
    base: int = 0
    key_fingerprint: str = ""
    format: int = STATE_FORMAT

    def lacks(self, spec: HistorySpec) -> str:
        """Describe what a model with this history needs and the state does not hold; empty if nothing."""
        held, needed = _columns(self.content), _columns(spec)
        return "; ".join(
            f"{what} {' '.join(columns)} instead of {' '.join(held.get(what, ['none']))}"
            for what, columns in needed.items()
            if held.get(what) != columns
        )


_ADAPTER: Final = TypeAdapter(StateRecord)


def _columns(spec: HistorySpec) -> dict[str, list[str]]:
    """Return what determines the events of a state: each column, with how it is read."""
    columns: dict[str, tuple[str | int | None, ...]] = {
        "key": (spec.key.column,),
        "second entity": tuple(entity.column for entity in spec.entities[1:2]),
        "time": (spec.time, spec.clock, spec.date_order),
        "amount": (spec.amount, spec.decimal),
        "currency": (spec.currency, spec.home),
    }
    return {what: [str(part) for part in parts if part is not None] for what, parts in columns.items() if any(parts)}


def state_directory(checkpoint: Path) -> Path:
    """Return the directory of the state beside a checkpoint, whose lock is that of the state too."""
    return checkpoint.absolute().with_name(f"{checkpoint.absolute().name}-history")


def content_of(spec: HistorySpec) -> HistorySpec:
    """Return what a state for this history holds: events of its key with the second entity, and no features."""
    return replace(spec, entities=spec.entities[:2], live=(), profiles=())


def read_state(directory: Path) -> StateRecord | None:
    """Read the record of a state's directory; None if there is no state.

    Raises CheckpointDamaged if it cannot be read, or is of another release.
    """
    file, why = directory / STATE_RECORD, "its record is not in fraudstream's format"
    try:
        record = _ADAPTER.validate_json(read_regular(file, _MOST_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as e:
        raise state_damaged(file, e.strerror or why if isinstance(e, OSError) else why) from e
    if record.format != STATE_FORMAT:
        raise state_damaged(file, f"its format is {record.format}, this release reads {STATE_FORMAT}")
    return record


def write_state(directory: Path, record: StateRecord) -> None:
    """Replace the record of a state's directory."""
    replace_json(directory / STATE_RECORD, _ADAPTER.dump_python(record, mode="json"))


def state_damaged(where: Path, why: str) -> CheckpointDamaged:
    """Build the error about a state that no query can resume from."""
    return CheckpointDamaged(f"cannot resume from the state of the history: {why}", where=str(where), remedy=BUILD)


def require_state(directory: Path, manifest: Manifest) -> None:
    """Check that a state, if there is one, holds what a model needs; raises DeploymentRefused.

    Without a state, the history starts empty.
    """
    record = None if manifest.history is None else read_state(directory)
    if record is not None and manifest.history is not None and (lacking := record.lacks(manifest.history)):
        raise DeploymentRefused(
            f"{manifest.model_id} needs another history than the state holds: {lacking}",
            where=str(directory),
            remedy=f"stop the detector and build the state for it: {BUILD} --model {manifest.model_id}",
        )
