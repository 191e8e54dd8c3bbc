"""The files that our Kafka reads at its start: its settings, with the reasons for them, and how it logs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from fraudstream.runtime.processes import LOOPBACK, free_port

PROPERTIES: Final = "server.properties"
LOGGING: Final = "log4j2.properties"
LOG: Final = "broker.log"
STORAGE: Final = "log"

_SERVER: Final = """\
# Written by fraudstream at every start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners={listeners},CONTROLLER://{host}:{controller_port}
advertised.listeners={advertised}
listener.security.protocol.map={protocols},CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={storage}
auto.create.topics.enable=false
# One node has one copy of everything.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.num.partitions=1
# A relay that comes back takes over at once.
group.initial.rebalance.delay.ms=0
# Nothing is ever deleted: the audit works a record's outcome out again from the record. A year for offsets.
log.retention.ms=-1
log.retention.bytes=-1
offsets.retention.minutes=525600
message.max.bytes={max_record_bytes}
# A producer whose clock is a day ahead is a producer all the same (Kafka's default refuses more than an hour). A clock
# is not a hundred years off, and at a time beyond microseconds in 64 bits Spark's source ends, at each start again.
log.message.timestamp.after.max.ms=3155760000000
log.message.timestamp.before.max.ms=3155760000000
# After a kill -9 the controller takes its broker for alive until the session ends (Kafka's default: 9 s).
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# The default takes 128 of the heap's 512 MB for compacting topics, of which there is only the one with offsets.
log.cleaner.dedupe.buffer.size=16777216
"""

_LOG4J: Final = """\
# Written by fraudstream at every start.
status=error
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={log}
appender.file.filePattern={log}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=[%d{{ISO8601}}] %p %m (%c{{1}})%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=20MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=2
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=file
"""


class Listener(NamedTuple):
    """A loopback port that the broker listens on, and the one that it tells clients to come back to.

    The two differ where a proxy or a tunnel stands between: a Kafka client connects again to what it was told.
    """

    port: int
    advertised: int


def write_settings(data_dir: Path, port: int, max_record_bytes: int, more: Sequence[Listener] = ()) -> None:
    """Write both files into the data directory, for a broker on this loopback port and on those of `more`.

    The former log is put aside: readiness is read from the log, and what an earlier run wrote there must not count.
    """
    log = data_dir / LOG
    named = {"BROKER": Listener(port, port)} | {f"MORE{number}": listener for number, listener in enumerate(more, 1)}
    settings = _SERVER.format(
        host=LOOPBACK,
        listeners=",".join(f"{name}://{LOOPBACK}:{each.port}" for name, each in named.items()),
        advertised=",".join(f"{name}://{LOOPBACK}:{each.advertised}" for name, each in named.items()),
        protocols=",".join(f"{name}:PLAINTEXT" for name in named),
        # The one node's quorum is itself: its port may be another at each start.
        controller_port=free_port(),
        storage=data_dir / STORAGE,
        max_record_bytes=max_record_bytes,
    )
    (data_dir / PROPERTIES).write_text(settings)
    (data_dir / LOGGING).write_text(_LOG4J.format(log=log))
    if log.exists():
        log.replace(log.with_suffix(".log.old"))
