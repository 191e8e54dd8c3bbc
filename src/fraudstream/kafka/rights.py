"""Lists the rights that each command needs from Kafka's authorizer, and checks those of a client."""

import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient, ResourceType, TopicDescription

from fraudstream.kafka.client import Cluster, denied, failure, is_denied
from fraudstream.transactions.wire import Topic

log = structlog.get_logger(__name__)

REQUEST_SECONDS: Final = 30.0


class Right(NamedTuple):
    """A right on a topic, or on the relays' consumer group where `topic` is None.

    A command starts without one that has a `purpose`, and does all but that.
    """

    operation: AclOperation
    topic: Topic | None
    purpose: str = ""

    def resource(self, cluster: Cluster) -> str:
        """Name the resource on a cluster."""
        return f"group {cluster.group}" if self.topic is None else f"topic {cluster.topic(self.topic)}"


def _right(text: str, purpose: str) -> Right:
    operation, _, topic = text.partition(" ")
    return Right(AclOperation[operation], None if topic == "group" else Topic[topic.upper()], purpose)


RIGHTS: Final[Mapping[str, tuple[Right, ...]]] = {
    command: tuple(
        _right(text, "" if purpose == "needed" else purpose) for purpose, each in rights.items() for text in each
    )
    for command, rights in tomllib.loads(Path(__file__).with_suffix(".toml").read_text()).items()
}
"""By command, its rights when the topics exist; READ and WRITE include DESCRIBE."""


def keyed_topic(source: str) -> str:
    """Return the topic that a keyed copy of another goes to by default."""
    return f"{source}_keyed"


def rekey_name(target: str) -> str:
    """Return the name of the consumer group and the transactional id of the copy to a topic."""
    return f"{target}-rekey"


_Acl = tuple[ResourceType, str, AclOperation]


def acls(cluster: Cluster, command: str) -> list[_Acl]:
    """List the rights of a command with the resources that they are on, also those that only their use checks."""
    entries = [
        (ResourceType.GROUP, cluster.group, right.operation)
        if right.topic is None
        else (ResourceType.TOPIC, cluster.topic(right.topic), right.operation)
        for right in RIGHTS[command]
    ]
    if command == "rekey":
        target = keyed_topic(cluster.topic(Topic.TRANSACTIONS))
        operations = [AclOperation[name] for name in ("CREATE", "READ", "WRITE", "DESCRIBE_CONFIGS")]
        entries += [(ResourceType.TOPIC, target, operation) for operation in operations]
        entries.append((ResourceType.GROUP, rekey_name(target), AclOperation.READ))
        entries.append((ResourceType.TRANSACTIONAL_ID, rekey_name(target), AclOperation.WRITE))
    return entries


def topics_of(command: str) -> list[Topic]:
    """List the topics that a command uses."""
    return list(dict.fromkeys(right.topic for right in RIGHTS[command] if right.topic is not None))


def optional_topics(command: str) -> set[Topic]:
    """Return the topics without which a command starts, and does all but their purpose."""
    return set(topics_of(command)) - {right.topic for right in RIGHTS[command] if not right.purpose}


_NOT_THERE: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE)

Described = Mapping[str, TopicDescription | KafkaError]
"""By name, topics with the client's rights; the error for one that does not exist or may not be described."""


def describe(admin: AdminClient, cluster: Cluster, names: Iterable[str]) -> dict[str, TopicDescription | KafkaError]:
    """Describe topics with the client's rights on them; raises KafkaFailure."""
    futures = admin.describe_topics(
        TopicCollection(list(names)), include_authorized_operations=True, request_timeout=REQUEST_SECONDS
    )
    descriptions: dict[str, TopicDescription | KafkaError] = {}
    for name, future in futures.items():
        try:
            descriptions[name] = future.result()
        except KafkaException as e:
            error: KafkaError = e.args[0]
            if error.code() not in _NOT_THERE and not is_denied(error):
                raise failure(f"cannot describe the topic {name}", e, cluster, "DESCRIBE", f"topic {name}") from e
            descriptions[name] = error
    return descriptions


def missing_rights(admin: AdminClient, cluster: Cluster, command: str, topics: Described) -> Iterator[Right]:
    """Yield the rights of a command that this client lacks, on `topics` as described and on the group."""
    for right in RIGHTS[command]:
        if right.topic is None:
            allowed: Collection[Enum] | None = _rights_on_group(admin, cluster)
        else:
            described = topics[cluster.topic(right.topic)]
            allowed = _denied_all(described) if isinstance(described, KafkaError) else described.authorized_operations
        # A cluster without an authorizer allows everything; an old one does not tell.
        if allowed is not None and right.operation not in allowed:
            yield right


def _denied_all(error: KafkaError) -> list[AclOperation] | None:
    return [] if is_denied(error) else None


def _rights_on_group(admin: AdminClient, cluster: Cluster) -> list[AclOperation] | None:
    future = admin.describe_consumer_groups(
        [cluster.group], include_authorized_operations=True, request_timeout=REQUEST_SECONDS
    )[cluster.group]
    try:
        described: Any = future.result()
    except KafkaException as e:
        # A group that does not exist yet, or a broker that has just started: its first use will tell.
        return _denied_all(e.args[0])
    return list(described.authorized_operations) if described.authorized_operations else None


def require_rights(admin: AdminClient, cluster: Cluster, command: str, topics: Described) -> None:
    """Raise KafkaAccessDenied for the first right that the command cannot do without; log the others."""
    for right in missing_rights(admin, cluster, command, topics):
        error = denied(cluster, right.operation.name, right.resource(cluster))
        if not right.purpose:
            raise error
        log.warning(error.what, needed=right.purpose, remedy=error.remedy)


def acl_arguments(cluster: Cluster, command: str, principal: str) -> Iterator[list[str]]:
    """Yield the arguments of Kafka's own `kafka-acls` for each resource of a command."""
    entries = acls(cluster, command)
    for kind, name in dict.fromkeys((kind, name) for kind, name, _ in entries):
        names = [each.name for *resource, each in entries if resource == [kind, name]]
        flags = [part for each in names for part in ("--operation", each.title().replace("_", ""))]
        resource = [f"--{kind.name.lower().replace('_', '-')}", name]
        yield ["--add", "--allow-principal", principal, *flags, *resource]
