"""A detector as a process of its own, on one checkpoint."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commands import command_line
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import KafkaLedger
from fraudstream.messages.ledger import LedgerEntry
from fraudstream.runtime.processes import stop


class Detector:
    """The command, on one checkpoint."""

    def __init__(self, bootstrap: str, models: Path, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.checkpoint = folder / "checkpoint"
        self.log = folder / "detector.log"
        self._ready = folder / "ready"
        self._arguments = command_line(
            "detect", "--bootstrap-servers", bootstrap, "--model", models / "current",
            "--checkpoint", self.checkpoint, "--batch-interval", "5 seconds",
        )  # fmt: skip

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        self._ready.unlink(missing_ok=True)
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                self._arguments,
                stdout=output,
                stderr=output,
                env={**os.environ, "FRAUDSTREAM_READY_FILE": str(self._ready)},
            )
        try:
            yield process
        finally:
            stop(process, 30)

    def entries(self) -> list[LedgerEntry]:
        return KafkaLedger(Cluster(self.bootstrap)).read()

    def has_entered(self, records: int) -> bool:
        return sum(entry.records for entry in self.entries()) >= records
