"""A broker, a model and a filled topic for `run.py --self`; a topic that is there already is named to it instead."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.study import broker
from benchmarks.system.backlog import fill, repeated
from benchmarks.system.material import prepare
from fraudstream.transactions.wire import Topic


@dataclass(frozen=True)
class Filled:
    """A topic with rows, and the model to score them with; `description` says what that is made of."""

    bootstrap_servers: str
    topic: str
    model: Path
    description: str = ""


@contextmanager
def filled_topic(rows: int, algorithm: str, partitions: int, say: Callable[[str], None]) -> Iterator[Filled]:
    """Start a broker, simulate, train and fill the topic; all of it is gone in the end."""
    with tempfile.TemporaryDirectory(prefix="fraudstream-whole-") as folder:
        material = prepare(Path(folder), None, algorithm, os.environ, say)
        manifest = material.manifest
        description = (
            f"{manifest.algorithm}: {', '.join(f'{name} {value}' for name, value in manifest.parameters.items())}"
        )
        with broker(Path(folder), partitions) as bootstrap:
            say(f"filling the topic with {rows:,} rows ...")
            fill(bootstrap, partitions, repeated(list(material.source.json_rows()), rows), lambda done: None)
            yield Filled(bootstrap, Topic.TRANSACTIONS.value, material.model, description)
