"""Damage to the detector's checkpoint while the detector is down, and its mending by the documented command."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from chaos.data import FRAUDSTREAM
from chaos.faults import Impossible
from chaos.system import DETECTOR, System
from fraudstream.cli.entry import cli
from fraudstream.demo.child import log_tail
from fraudstream.transactions.wire import Topic

COMMIT_SECONDS: Final = 60.0
FEWEST_BATCHES: Final = 2
REFUSAL_SECONDS: Final = 120.0
REBUILD_SECONDS: Final = 120.0
OTHER_TOPIC: Final = "some_other_topic"


class Damage(StrEnum):
    """What becomes of a checkpoint."""

    TRUNCATED = "truncated"
    """The newest offset file ends in its middle."""
    ZEROED = "zeroed"
    """The newest offset file is zeroes: what a power cut leaves."""
    NEWEST_DELETED = "newest-deleted"
    """The newest offset file is gone, its commit is not."""
    DELETED = "deleted"
    """The whole directory is gone."""
    OTHER_TOPIC = "other-topic"
    """Its offsets are those of another topic."""


@dataclass
class DamageCheckpoint:
    """Down, damaged, refused by name, rebuilt from the ledger, up again."""

    damage: Damage
    lasts: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As `--faults` takes it."""
        return f"checkpoint-{self.damage.value}"

    def inject(self, system: System) -> float:
        """Damage it and start the detector, which must say what is wrong, and end of itself where it cannot go on."""
        if "checkpoint" not in cli.commands:
            raise Impossible("this release has no `fraudstream checkpoint rebuild`")
        checkpoint = system.layout.checkpoint
        if not system.wait(COMMIT_SECONDS, lambda: len(offset_files(checkpoint)) >= FEWEST_BATCHES):
            raise Impossible("the checkpoint has too few batches after a minute")
        began = time.time()
        system.hold_down(DETECTOR)
        damage(checkpoint, self.damage)
        child, log = system.children[DETECTOR], system.layout.log(DETECTOR)
        said_before = log.stat().st_size
        child.start()
        # Without any checkpoint it scores all of the topic again, and says so; on a broken one it must not run.
        may_run = self.damage is Damage.DELETED
        system.wait(REFUSAL_SECONDS, lambda: child.has_failed or child.ready_file.exists())
        if not (child.has_failed or (may_run and child.ready_file.exists())):
            self.notes.append("the detector ran on the damaged checkpoint")
        if b"checkpoint" not in log.read_bytes()[said_before:]:
            self.notes.append("the detector names no checkpoint as the cause")
        return began

    def heal(self, system: System) -> float:
        """Rebuild it with the documented command, and start the detector."""
        system.children[DETECTOR].stop()
        command = [
            *FRAUDSTREAM, "checkpoint", "rebuild", "--checkpoint", str(system.layout.checkpoint),
            "--bootstrap-servers", system.bootstrap,
        ]  # fmt: skip
        log = system.layout.log("rebuild")
        with log.open("ab") as output:
            rebuild = subprocess.Popen(command, stdout=output, stderr=output, env=dict(system.layout.environment))
            if not system.wait(REBUILD_SECONDS, lambda: rebuild.poll() is not None):
                rebuild.kill()
        if rebuild.wait():
            self.notes.append(f"the rebuilding failed: {log_tail(log)}")
        system.let_up(DETECTOR)
        return time.time()


def offset_files(checkpoint: Path) -> list[Path]:
    """The files that say where each batch ends."""
    return [path for path in (checkpoint / "offsets").glob("*") if path.name.isdecimal()]


def damage(checkpoint: Path, how: Damage) -> None:
    """Do it to a checkpoint that nobody uses."""
    if how is Damage.DELETED:
        shutil.rmtree(checkpoint)
        return
    offsets = offset_files(checkpoint)
    newest = max(offsets, key=lambda path: int(path.name))
    content = newest.read_bytes()
    if how is Damage.NEWEST_DELETED:
        newest.unlink()
    elif how is Damage.TRUNCATED:
        newest.write_bytes(content[: len(content) // 2])
    elif how is Damage.ZEROED:
        newest.write_bytes(b"\0" * len(content))
    else:
        for path in offsets:
            path.write_bytes(path.read_bytes().replace(Topic.TRANSACTIONS.value.encode(), OTHER_TOPIC.encode()))
    # Hadoop's checksum beside it would catch a change of the bytes first; a damaged disk leaves either.
    for path in offsets:
        path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
