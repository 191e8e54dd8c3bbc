"""Creates missing topics, and queries the layout and settings of topics."""

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AclOperation, AdminClient, ConfigResource, NewTopic, ResourceType, TopicDescription

from fraudstream.errors import KafkaAccessDenied, KafkaFailure, SettingsError, TopicMissing
from fraudstream.kafka.client import Cluster, denied, failure, is_denied, is_final, unreachable
from fraudstream.kafka.rights import REQUEST_SECONDS, Described, describe, optional_topics, require_rights, topics_of
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, Topic, output_limit

REFUSALS: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG})
"""Errors that refuse a single record for certain; any other concerns the topic or the cluster, and Kafka may have
accepted the record."""

_LIMIT: Final = "max.message.bytes"
_CLEANUP: Final = "cleanup.policy"
_RETENTION: Final = ("retention.ms", "retention.bytes", "min.insync.replicas")


def open_admin(cluster: Cluster) -> AdminClient:
    """Return an admin client; it connects at the first request."""
    return AdminClient(cluster.client() | {"reconnect.backoff.max.ms": 250})


def require_broker(cluster: Cluster, timeout: float = 5.0) -> AdminClient:
    """Return an admin client whose cluster has answered within `timeout` seconds.

    Raises KafkaFailure, such as BrokerUnreachable, with the cause, if it is known, or SettingsError.
    """
    errors: list[KafkaError] = []
    try:
        admin = AdminClient(cluster.client() | {"reconnect.backoff.max.ms": 250, "error_cb": errors.append})
    except KafkaException as e:
        raise SettingsError(
            f"Kafka's client refuses a setting: {e.args[0].str()}",
            where="FRAUDSTREAM_KAFKA_..., or [kafka] and [kafka.librdkafka] of fraudstream.toml",
            remedy="correct it; librdkafka's documentation lists the properties of [kafka.librdkafka]",
        ) from e
    began = time.monotonic()
    # Without topics: those of others are no concern of ours, and may be thousands.
    answer = admin.describe_cluster(request_timeout=timeout)
    while not answer.done():
        admin.poll(0.05)  # runs the callback above
        # A broker that is just being started may refuse connections for a second.
        if errors and time.monotonic() - began > 1.0 and is_final(errors):
            raise unreachable(cluster, errors)
    try:
        answer.result()
    except KafkaException as e:
        admin.poll(0)
        raise unreachable(cluster, errors) from e
    return admin


def ensure_topics(
    cluster: Cluster, partitions: int, max_record_bytes: int, command: str | None = None
) -> dict[Topic, int]:
    """Create those topics of a command, or all, that are missing; existing ones are not changed.

    `partitions` is the number for the input topic. The output topics have one each: they have few records, and one
    partition keeps their order. Returns the partitions of each topic; a command starts without its optional ones.
    Raises the errors of `require_broker`; KafkaAccessDenied if the command lacks a right; TopicMissing for a topic that
    is not to be created; KafkaFailure if the cluster refused to create one, or it was not visible in time.
    """
    admin = require_broker(cluster)
    topics = list(Topic) if command is None else topics_of(command)
    names = {cluster.topic(topic): topic for topic in topics}
    existing = describe(admin, cluster, names)
    missing = [name for name, each in existing.items() if isinstance(each, KafkaError) and not is_denied(each)]
    optional = set() if command is None else {cluster.topic(each) for each in optional_topics(command)}
    required = [name for name in missing if name not in optional]
    if not cluster.settings.create_topics:
        if required:
            raise _missing(required[0], cluster)
        missing = []
    for name in tuple(missing):
        try:
            _create(admin, cluster, names[name], partitions, max_record_bytes)
        except KafkaAccessDenied:
            if name not in optional:
                raise
            missing.remove(name)
    if missing:
        existing |= _await_visible(admin, cluster, missing)
    if command is not None:
        require_rights(admin, cluster, command, existing)
    there = (name for name, each in existing.items() if name not in optional or isinstance(each, TopicDescription))
    return {names[name]: len(_described(existing, name, cluster).partitions) for name in there}


def ensure_copy(cluster: Cluster, source: str, target: str, partitions: int | None, added_bytes: int) -> None:
    """Create the topic for a copy of another, unless it exists: with its limits, and as many partitions if None.

    A record of the copy may have `added_bytes` more. Raises the errors of `require_broker`, TopicMissing,
    KafkaAccessDenied, and KafkaFailure if the target is compacted.
    """
    admin = require_broker(cluster)
    topics = describe(admin, cluster, (source, target))
    layout, missing = _described(topics, source, cluster).partitions, topics[target]
    if isinstance(missing, KafkaError) and not is_denied(missing) and cluster.settings.create_topics:
        limits = {name: _config(cluster, source, name) for name in (_LIMIT, *_RETENTION)}
        config = {name: value for name, value in limits.items() if value is not None}
        config[_LIMIT] = str(int(config.get(_LIMIT, DEFAULT_MAX_RECORD_BYTES)) + added_bytes)
        new = NewTopic(target, partitions or len(layout), len(layout[0].replicas), config=config)
        _create_topic(admin, cluster, new)
        topics |= _await_visible(admin, cluster, [target])
    for name, operation in ((source, AclOperation.READ), (target, AclOperation.WRITE), (target, AclOperation.READ)):
        allowed = _described(topics, name, cluster).authorized_operations
        if allowed is not None and operation not in allowed:
            raise denied(cluster, operation.name, f"topic {name}")
    require_uncompacted(cluster, target)


def _described(topics: Described, name: str, cluster: Cluster) -> TopicDescription:
    described = topics[name]
    if isinstance(described, KafkaError):
        raise denied(cluster, "DESCRIBE", f"topic {name}") if is_denied(described) else _missing(name, cluster)
    return described


def require_rights_of(command: str, cluster: Cluster) -> None:
    """Check the rights of a command, on those of its topics that exist; raises like `ensure_topics`."""
    admin = require_broker(cluster)
    require_rights(admin, cluster, command, describe(admin, cluster, map(cluster.topic, topics_of(command))))


def _create(admin: AdminClient, cluster: Cluster, topic: Topic, partitions: int, max_record_bytes: int) -> None:
    settings, name, is_input = cluster.settings, cluster.topic(topic), topic is Topic.TRANSACTIONS
    config = {_LIMIT: str(max_record_bytes if is_input else output_limit(max_record_bytes))}
    if settings.min_insync_replicas is not None:
        config["min.insync.replicas"] = str(settings.min_insync_replicas)
    # The ledger must outlive the records it accounts for: each entry has its own key, so compaction removes nothing.
    if topic is Topic.LEDGER:
        config[_CLEANUP] = "compact"
    elif settings.retention_ms is not None:
        config["retention.ms"] = str(settings.retention_ms)
    # -1: the broker's own setting.
    new = NewTopic(name, partitions if is_input else 1, settings.replication_factor or -1, config=config)
    _create_topic(admin, cluster, new)


def _create_topic(admin: AdminClient, cluster: Cluster, new: NewTopic) -> None:
    name = new.topic
    try:
        admin.create_topics([new], request_timeout=REQUEST_SECONDS)[name].result()
    except KafkaException as e:
        if e.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # else another process created it first
            raise failure(f"cannot create the topic {name}", e, cluster, "CREATE", f"topic {name}") from e


def topic_layout(cluster: Cluster, topic: str) -> tuple[int, int]:
    """Return the number of partitions of a topic and its maximum record size, in bytes; raises as `require_topic`."""
    partitions, limit = require_topic(cluster, topic).partitions, _config(cluster, topic, _LIMIT)
    return len(partitions), DEFAULT_MAX_RECORD_BYTES if limit is None else int(limit)


def topic_id(cluster: Cluster, topic: str) -> str:
    """Return Kafka's id of a topic (a recreated topic has another one); raises KafkaFailure, such as TopicMissing."""
    return str(require_topic(cluster, topic).topic_id)


def is_compacted(cluster: Cluster, topic: str) -> bool:
    """Whether a topic is compacted; False if its settings cannot be read."""
    return "compact" in (_config(cluster, topic, _CLEANUP) or "")


def require_uncompacted(cluster: Cluster, topic: str) -> None:
    """Raise KafkaFailure if a topic for keyed transactions is compacted: only the last of each key would remain."""
    if is_compacted(cluster, topic):
        what = f"the topic {topic} is compacted: of all transactions with the same key it retains the last one alone"
        remedy = "set cleanup.policy=delete with `fraudstream kafka configs`, or send to another topic or without key"
        raise KafkaFailure(what, where=cluster.bootstrap_servers, remedy=remedy)


def require_topic(cluster: Cluster, topic: str) -> TopicDescription:
    """Describe a topic; raises BrokerUnreachable, KafkaAccessDenied or TopicMissing."""
    return _described(describe(require_broker(cluster), cluster, [topic]), topic, cluster)


def _missing(topic: str, cluster: Cluster) -> TopicMissing:
    remedy = "create it with `fraudstream kafka topics --create`, or set FRAUDSTREAM_KAFKA_CREATE_TOPICS=true"
    if cluster.settings.create_topics:
        remedy = "`fraudstream produce` and `fraudstream detect` create the topics; see --bootstrap-servers"
    return TopicMissing(f"the topic {topic} does not exist", where=cluster.bootstrap_servers, remedy=remedy)


def _await_visible(admin: AdminClient, cluster: Cluster, names: Sequence[str]) -> Described:
    """Wait until a broker lists the topics: the controller responds before the brokers have the metadata."""
    deadline = time.monotonic() + 30.0
    while True:
        described = describe(admin, cluster, names)
        if all(not isinstance(each, KafkaError) and each.partitions for each in described.values()):
            return described
        if time.monotonic() > deadline:
            where, remedy = ", ".join(sorted(names)), "check the broker's log"
            raise KafkaFailure("created topics are not visible", where=where, remedy=remedy)
        time.sleep(0.05)


def _config(cluster: Cluster, topic: str, key: str) -> str | None:
    """Return a setting of a topic; None if the cluster does not authorise the request."""
    # A client that is not referred to ends with its requests unanswered.
    admin, resource = open_admin(cluster), ConfigResource(ResourceType.TOPIC, topic)
    futures = admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)
    try:
        return str(futures[resource].result()[key].value)
    except KafkaException:
        return None
