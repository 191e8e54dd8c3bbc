"""Creates missing topics, and queries the layout and settings of topics."""

from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ClusterMetadata, ConfigResource, NewTopic, ResourceType

from fraudstream.errors import BrokerUnreachable, KafkaFailure, TopicMissing
from fraudstream.runtime.processes import wait_until
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, RELAYED_TOPICS, Topic, output_limit

REFUSALS: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG})
"""Errors that refuse a single record for certain; any other concerns the topic or the cluster, and Kafka may have
accepted the record."""

_LIMIT: Final = "max.message.bytes"
_CLEANUP: Final = "cleanup.policy"
_CHECK_LOG: Final = "check the broker's log"
_REQUEST_SECONDS: Final = 30.0


def open_admin(bootstrap_servers: str) -> AdminClient:
    """Return an admin client; it connects at the first request."""
    return AdminClient(_client(bootstrap_servers))


def require_broker(bootstrap_servers: str, timeout: float = 5.0) -> ClusterMetadata:
    """Return the metadata of the cluster within `timeout` seconds; BrokerUnreachable has the cause, if known."""
    reasons: list[str] = []
    config: dict[str, Any] = {**_client(bootstrap_servers), "error_cb": lambda error: reasons.append(error.str())}
    admin = AdminClient(config)
    try:
        return admin.list_topics(timeout=timeout)
    except KafkaException as e:
        # Run the callback above, which has more detail than the exception's "transport failure".
        admin.poll(0)
        why = next((reason for reason in reasons if "ailed" in reason), "no answer")
        raise BrokerUnreachable(
            f"cannot connect to Kafka: {_short(why)}",
            where=bootstrap_servers,
            remedy="start one with `fraudstream broker`, or set yours with --bootstrap-servers "
            "or FRAUDSTREAM_BOOTSTRAP_SERVERS",
        ) from e


def _short(reason: str) -> str:
    # 127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)
    return reason.rpartition("failed: ")[2].rpartition("/bootstrap: ")[2].partition(" (after")[0]


def ensure_topics(bootstrap_servers: str, partitions: int, max_record_bytes: int) -> dict[str, int]:
    """Create those of the six topics that are missing; existing ones are not changed.

    `partitions` is the number for the input topic. The output topics have one each: they have few records, and one
    partition keeps their order. Raises BrokerUnreachable, or KafkaFailure if the cluster refused to create a topic, or
    it was not visible in time.
    """
    existing = require_broker(bootstrap_servers).topics
    admin = open_admin(bootstrap_servers)
    limit = output_limit(max_record_bytes)
    topics = [
        NewTopic(Topic.TRANSACTIONS.value, num_partitions=partitions, config={_LIMIT: str(max_record_bytes)}),
        *(NewTopic(each.value, num_partitions=1, config=_output_config(each, limit)) for each in RELAYED_TOPICS),
    ]
    missing = [topic for topic in topics if topic.topic not in existing]
    for topic in missing:
        _create(admin, topic)
    if missing:
        _await_visible(admin, {topic.topic for topic in missing})
    return {
        each.topic: each.num_partitions if each in missing else len(existing[each.topic].partitions) for each in topics
    }


def _output_config(name: str, limit: int) -> dict[str, str]:
    # The ledger must outlive the records it accounts for: each entry has its own key, so compaction removes nothing.
    return {_LIMIT: str(limit)} | ({_CLEANUP: "compact"} if name == Topic.LEDGER else {})


def topic_layout(bootstrap_servers: str, topic: str) -> tuple[int, int]:
    """Return the number of partitions of a topic and its maximum record size, in bytes.

    Raises BrokerUnreachable or TopicMissing.
    """
    partitions = require_topic(bootstrap_servers, topic)
    limit = _config(bootstrap_servers, topic, _LIMIT)
    return len(partitions), DEFAULT_MAX_RECORD_BYTES if limit is None else int(limit)


def topic_id(bootstrap_servers: str, topic: str) -> str:
    """Return Kafka's id of a topic (a recreated topic has another one); raises KafkaFailure, such as TopicMissing."""
    require_topic(bootstrap_servers, topic)
    admin = open_admin(bootstrap_servers)
    try:
        futures = admin.describe_topics(TopicCollection([topic]), request_timeout=_REQUEST_SECONDS)
        return str(futures[topic].result().topic_id)
    except KafkaException as e:
        raise _failure(f"cannot describe the topic {topic}", e, bootstrap_servers) from e


def is_compacted(bootstrap_servers: str, topic: str) -> bool:
    """Whether a topic is compacted; False if its settings cannot be read."""
    return "compact" in (_config(bootstrap_servers, topic, _CLEANUP) or "")


def require_topic(bootstrap_servers: str, topic: str) -> list[int]:
    """Return the partitions of a topic; raises BrokerUnreachable or TopicMissing."""
    metadata = require_broker(bootstrap_servers).topics.get(topic)
    if metadata is None:
        raise TopicMissing(
            f"the topic {topic} does not exist",
            where=bootstrap_servers,
            remedy="`fraudstream produce` and `fraudstream detect` create the topics; see --bootstrap-servers",
        )
    return sorted(metadata.partitions)


def _client(bootstrap_servers: str) -> dict[str, Any]:
    # librdkafka would log each failed attempt to standard error; final errors are raised as exceptions.
    return {"bootstrap.servers": bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 250}


def _create(admin: AdminClient, topic: NewTopic) -> None:
    try:
        admin.create_topics([topic], request_timeout=_REQUEST_SECONDS)[topic.topic].result()
    except KafkaException as e:
        error: KafkaError = e.args[0]
        if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:  # else another process created it first
            raise _failure(f"cannot create the topic {topic.topic}", e, topic.topic) from e


def _await_visible(admin: AdminClient, names: set[str]) -> None:
    """Wait until a broker lists the topics: the controller responds before the brokers have the metadata."""

    def all_visible() -> bool:
        topics = admin.list_topics(timeout=_REQUEST_SECONDS).topics
        return all(name in topics and topics[name].partitions for name in names)

    if not wait_until(all_visible, _REQUEST_SECONDS, every=0.05):
        raise KafkaFailure("created topics are not visible", where=", ".join(sorted(names)), remedy=_CHECK_LOG)


def _config(bootstrap_servers: str, topic: str, key: str) -> str | None:
    """Return a setting of a topic; None if the cluster does not authorise the request."""
    # A client that is not referred to ends with its requests unanswered.
    admin, resource = open_admin(bootstrap_servers), ConfigResource(ResourceType.TOPIC, str(topic))
    futures = admin.describe_configs([resource], request_timeout=_REQUEST_SECONDS)
    try:
        return str(futures[resource].result()[key].value)
    except KafkaException:
        return None


def _failure(what: str, cause: KafkaException, where: str) -> KafkaFailure:
    error: KafkaError = cause.args[0]
    return KafkaFailure(f"{what}: {error.str()}", where=where, remedy=_CHECK_LOG)
