"""Brokers of our own make, with little memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fraudstream.kafka.broker import BrokerPlan, RunningBroker, start_broker
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import free_port
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES


def broker_plan(folder: Path, java: Java, jars: Jars, **changes: Any) -> BrokerPlan:
    """A broker on a free port, with its data in `folder/kafka`, as a demo has it, and two partitions."""
    plain: dict[str, Any] = {"partitions": 2, "max_record_bytes": DEFAULT_MAX_RECORD_BYTES, "heap": "256m"}
    return BrokerPlan(free_port(), folder / "kafka", java, jars.broker, **(plain | changes))


@contextmanager
def running_broker(plan: BrokerPlan) -> Iterator[RunningBroker]:
    """That broker, for the length of a `with` block."""
    with start_broker(plan, lambda line: None) as running:
        assert running is not None
        yield running
