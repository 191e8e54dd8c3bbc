"""Connects an audit to the broker of a demo's workdir, and starts that broker if it is not running."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from fraudstream.config import Settings
from fraudstream.errors import BrokerFailed, SettingsError
from fraudstream.kafka.broker import LOCK, PROPERTIES, STORAGE, BrokerPlan, start_broker
from fraudstream.runtime.files import exclusive_lock
from fraudstream.runtime.processes import free_port

_LISTENER: Final = re.compile(r"^advertised\.listeners=\w+://(?P<address>[^,\s]+)", re.MULTILINE)


@contextmanager
def broker_of(workdir: Path, settings: Settings, report: Callable[[str], None]) -> Iterator[str]:
    """Provide the bootstrap servers of a demo's Kafka for the length of a `with` block.

    Raises:
        SettingsError: It is not a demo's folder, or its Kafka is elsewhere.
        BrokerFailed: Its broker does not start, or its advertised listener is unknown.
    """
    data = workdir / "kafka"
    if not (data / STORAGE).is_dir():
        raise SettingsError(
            "this folder contains no Kafka of a demo",
            where=str(data),
            remedy="give the workdir of a demo; if its Kafka is elsewhere, add --bootstrap-servers",
        )
    with exclusive_lock(data / LOCK, wait=False) as is_locked:
        is_running = not is_locked
    if is_running:
        yield _address(data)
        return
    with start_broker(BrokerPlan.of(settings, free_port(), data), report) as broker:
        if broker is None:
            raise BrokerFailed("the broker did not start", where=str(data), remedy="see its log there")
        yield broker.bootstrap_servers


def _address(data: Path) -> str:
    match = None
    with suppress(OSError):
        match = _LISTENER.search((data / PROPERTIES).read_text())
    if match is None:
        raise BrokerFailed(
            "a broker is running on this data, but its advertised listener is unknown",
            where=str(data / PROPERTIES),
            remedy="give its address with --bootstrap-servers",
        )
    return match["address"]
