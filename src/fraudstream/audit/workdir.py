"""A demo's folder as an audit sees it: its broker where that runs, else one started on its data for a while."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from fraudstream.errors import BrokerFailed, SettingsError
from fraudstream.kafka.broker import LOCK, PROPERTIES, STORAGE, BrokerPlan, start_broker
from fraudstream.runtime.files import exclusive_lock

_LISTENER: Final = re.compile(r"^advertised\.listeners=\w+://(?P<address>[^,\s]+)", re.MULTILINE)


@contextmanager
def broker_of(workdir: Path, plan: Callable[[Path], BrokerPlan], say: Callable[[str], None]) -> Iterator[str]:
    """The bootstrap servers of a demo's Kafka, for the length of a `with` block.

    Raises:
        SettingsError: It is no demo's folder, or its Kafka is elsewhere.
        BrokerFailed: Its broker does not start, or does not say where it listens.
    """
    data = workdir / "kafka"
    if not (data / STORAGE).is_dir():
        raise SettingsError(
            "this folder holds no Kafka of a demo",
            where=str(data),
            remedy="name the folder of a demo; where its Kafka is elsewhere, add --bootstrap-servers",
        )
    with exclusive_lock(data / LOCK, wait=False) as ours:
        running = not ours
    if running:
        yield _address(data)
        return
    with start_broker(plan(data), say) as broker:
        if broker is None:
            raise BrokerFailed("the broker did not start", where=str(data), remedy="read its log there")
        yield broker.bootstrap_servers


def _address(data: Path) -> str:
    found = None
    with suppress(OSError):
        found = _LISTENER.search((data / PROPERTIES).read_text())
    if found is None:
        raise BrokerFailed(
            "a broker runs on this data and does not say where it listens",
            where=str(data / PROPERTIES),
            remedy="name it with --bootstrap-servers",
        )
    return found["address"]
