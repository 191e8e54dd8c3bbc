"""A secured broker with a real authorizer: logins, the rights of each command, and what is said without one."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from cryptography import x509
from structlog.testing import capture_logs

from brokers import broker_plan, running_broker
from fraudstream.config import Settings
from fraudstream.errors import (
    BrokerFailed,
    BrokerUnreachable,
    FraudstreamError,
    KafkaAccessDenied,
    KafkaFailure,
    TopicMissing,
)
from fraudstream.kafka.broker import BrokerPlan, RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import KafkaLedger, Watermarks
from fraudstream.kafka.rekeying import RekeyPlan, rekey
from fraudstream.kafka.rights import RIGHTS, Right, keyed_topic
from fraudstream.kafka.secured import SecureFolder
from fraudstream.kafka.topics import ensure_topics, open_admin, require_broker, topic_layout
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import free_port, wait_until
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, Topic
from secured import cluster_of

pytestmark = pytest.mark.kafka

PREFIX = "acme."


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, java: Java, jars: Jars) -> BrokerPlan:
    folder = tmp_path_factory.mktemp("secured")
    return broker_plan(
        folder,
        java,
        jars,
        secure=SecureFolder(folder / "secure"),
        secure_port=free_port(),
        kafka=KafkaSettings(topic_prefix=PREFIX, retention_ms=86_400_000, min_insync_replicas=1, replication_factor=1),
    )


@pytest.fixture(scope="module")
def secured(plan: BrokerPlan) -> Iterator[RunningBroker]:
    with running_broker(plan) as running:
        yield running


@pytest.fixture(scope="module")
def folder(plan: BrokerPlan, secured: RunningBroker) -> SecureFolder:
    assert plan.secure is not None
    return plan.secure


@pytest.fixture(scope="module")
def user(folder: SecureFolder) -> Callable[..., Cluster]:
    """The cluster as a user of the folder sees it, by the file of settings that a person would source."""

    def user(name: str, **other: object) -> Cluster:
        return cluster_of(folder, name, **{"topic_prefix": PREFIX} | other)

    return user


@pytest.fixture(scope="module")
def admin(plan: BrokerPlan, secured: RunningBroker) -> AdminClient:
    return open_admin(plan.cluster)


def use(cluster: Cluster, command: str) -> None:
    ensure_topics(cluster, 2, DEFAULT_MAX_RECORD_BYTES, command)


@pytest.mark.parametrize("command", RIGHTS)
def test_with_exactly_its_rights_a_command_may_start(command: str, user: Callable[..., Cluster]) -> None:
    use(user(command), command)


# With a right that it needs, and one that it goes on without.
@pytest.mark.parametrize(
    "command", ["produce", *(pytest.param(name, marks=pytest.mark.nightly) for name in RIGHTS if name != "produce")]
)
def test_without_any_one_right_the_command_names_it(
    command: str, user: Callable[..., Cluster], admin: AdminClient
) -> None:
    cluster = user(command)

    def refusal() -> str:
        """The message of the error, or of the warning if the command goes on without."""
        with capture_logs() as logs:
            try:
                use(cluster, command)
            except KafkaAccessDenied as e:
                return e.what
        return "".join(str(each["event"]) for each in logs if each["log_level"] == "warning")

    for right in _needed(command):
        entry = _acl(right, cluster, command)
        _delete(admin, entry)
        try:
            assert wait_until(lambda: bool(refusal()), 20)
            missing = f"Kafka does not allow User:{command} to {right.operation.name} {right.resource(cluster)}"
            assert refusal() == missing
        finally:
            for future in admin.create_acls([entry]).values():
                future.result()
        assert wait_until(lambda: not refusal(), 20)


def _needed(command: str) -> Iterator[Right]:
    """Without DESCRIBE where READ or WRITE includes it."""
    for right in RIGHTS[command]:
        others = {each.operation for each in RIGHTS[command] if each.topic == right.topic}
        if right.operation is not AclOperation.DESCRIBE or not others & {AclOperation.READ, AclOperation.WRITE}:
            yield right


def _acl(right: Right, cluster: Cluster, command: str) -> AclBinding:
    kind, name = (ResourceType.GROUP, cluster.group)
    if right.topic is not None:
        kind, name = ResourceType.TOPIC, cluster.topic(right.topic)
    literal, allow = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    return AclBinding(kind, name, literal, f"User:{command}", "*", right.operation, allow)


def _delete(admin: AdminClient, entry: AclBinding) -> None:
    same = AclBindingFilter(
        entry.restype,
        entry.name,
        entry.resource_pattern_type,
        entry.principal,
        entry.host,
        entry.operation,
        entry.permission_type,
    )
    for future in admin.delete_acls([same]).values():
        assert len(future.result()) == 1


def test_a_topic_that_may_not_be_described_is_not_created(user: Callable[..., Cluster]) -> None:
    with pytest.raises(KafkaAccessDenied, match=r"User:produce to READ topic acme\.detector_ledger"):
        use(user("produce"), "checkpoint")


def test_missing_topics_are_not_created_where_the_setting_says_so(user: Callable[..., Cluster]) -> None:
    cluster = user("admin", create_topics=False, topic_prefix="elsewhere.")
    with pytest.raises(TopicMissing, match=r"the topic elsewhere\.credit_card_transactions does not exist"):
        use(cluster, "produce")


def test_topics_are_created_with_the_prefix_and_the_settings(secured: RunningBroker, plan: BrokerPlan) -> None:
    from confluent_kafka.admin import ConfigResource

    admin = open_admin(plan.cluster)
    names = {topic: PREFIX + topic.value for topic in Topic}
    existing = set(admin.list_topics(timeout=10).topics)
    assert existing - {"__consumer_offsets"} == set(names.values())
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names.values()]
    configs = {each.name: future.result() for each, future in admin.describe_configs(resources).items()}
    assert configs[names[Topic.ALERTS]]["retention.ms"].value == "86400000"
    assert configs[names[Topic.LEDGER]]["cleanup.policy"].value == "compact"
    assert {config["min.insync.replicas"].value for config in configs.values()} == {"1"}


def test_the_input_topic_is_read_and_the_ledger_written_by_their_users_alone(user: Callable[..., Cluster]) -> None:
    produce, detect = user("produce"), user("detect")
    producer = Producer(produce.client())
    producer.produce(produce.topic(Topic.TRANSACTIONS), b"{}", partition=1)
    assert producer.flush(30) == 0
    assert topic_layout(produce, produce.topic(Topic.TRANSACTIONS)) == (2, DEFAULT_MAX_RECORD_BYTES)
    marks = Watermarks(detect, detect.topic(Topic.TRANSACTIONS))
    assert marks.read() == {0: (0, 0), 1: (0, 1)}
    assert marks.next_records({1: 0}) == {1: 0}
    assert KafkaLedger(detect).read() == []
    with pytest.raises(FraudstreamError, match="does not allow User:produce to READ topic"):
        KafkaLedger(produce).read()


SECURITY = "the broker expects TLS on this port"


@pytest.mark.parametrize(
    ("settings", "error", "cause"),
    [
        ({"security_protocol": "PLAINTEXT"}, BrokerUnreachable, SECURITY),
        ({"security_protocol": "SASL_PLAINTEXT"}, BrokerUnreachable, SECURITY),
        ({"security_protocol": "SSL"}, BrokerUnreachable, "may expect a login"),
        ({"ssl_ca_location": None}, BrokerUnreachable, "certificate is not trusted"),
        ({"sasl_mechanism": "PLAIN"}, KafkaFailure, "Unsupported SASL mechanism"),
        ({"sasl_password_file": None, "sasl_password": "wrong"}, KafkaFailure, "invalid credentials"),
        ({"sasl_username": "nobody"}, KafkaFailure, "invalid credentials"),
    ],
)
def test_the_error_names_why_a_client_cannot_connect(
    settings: dict[str, object], error: type[FraudstreamError], cause: str, user: Callable[..., Cluster]
) -> None:
    with pytest.raises(error, match=cause) as raised:
        require_broker(user("produce", **settings))
    assert "FRAUDSTREAM_KAFKA_" in raised.value.remedy


def test_the_error_names_a_broker_without_tls(broker: RunningBroker, user: Callable[..., Cluster]) -> None:
    cluster = Cluster(broker.bootstrap_servers, user("produce").settings)
    with pytest.raises(BrokerUnreachable, match="does not speak TLS"):
        require_broker(cluster)


def test_the_error_names_a_missing_client_certificate(plan: BrokerPlan, secured: RunningBroker) -> None:
    cluster = plan.cluster
    without = {"ssl_certificate_location": None, "ssl_key_location": None}
    with pytest.raises(BrokerUnreachable, match="client's certificate"):
        require_broker(replace(cluster, settings=cluster.settings.model_copy(update=without)))


def rekey_plan(cluster: Cluster) -> RekeyPlan:
    source = cluster.topic(Topic.TRANSACTIONS)
    # The topic has what other tests of this broker sent, some without a card.
    return RekeyPlan(cluster, source, keyed_topic(source), lambda value: "card")


def test_rekey_copies_with_exactly_its_rights(user: Callable[..., Cluster]) -> None:
    plan = rekey_plan(user("rekey"))
    assert rekey(plan, threading.Event()).copied == sum(
        end - begin for begin, end in Watermarks(plan.cluster, plan.source).read().values()
    )


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("kind", "suffix", "operation"),
    [
        (ResourceType.TOPIC, "", AclOperation.WRITE),
        (ResourceType.TOPIC, "", AclOperation.READ),
        (ResourceType.GROUP, "-rekey", AclOperation.READ),
        (ResourceType.TRANSACTIONAL_ID, "-rekey", AclOperation.WRITE),
    ],
)
def test_without_a_right_on_a_resource_of_its_own_rekey_names_it(
    kind: ResourceType, suffix: str, operation: AclOperation, user: Callable[..., Cluster], admin: AdminClient
) -> None:
    plan = rekey_plan(user("rekey"))
    rekey(plan, threading.Event())
    literal, allow = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    entry = AclBinding(kind, f"{plan.target}{suffix}", literal, "User:rekey", "*", operation, allow)
    what = f"{operation.name} {kind.name.lower().replace('_', ' ')} {plan.target}{suffix}"

    def refusal() -> str:
        try:
            rekey(plan, threading.Event())
        except KafkaAccessDenied as e:
            return e.what
        return ""

    _delete(admin, entry)
    try:
        assert wait_until(lambda: refusal() == f"Kafka does not allow User:rekey to {what}", 30)
    finally:
        for future in admin.create_acls([entry]).values():
            future.result()


def test_the_folder_is_its_owner_s_alone(folder: SecureFolder) -> None:
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.path.iterdir()} == {0o600}


def test_the_broker_s_certificate_is_signed_by_the_folder_s_authority(folder: SecureFolder) -> None:
    authority, broker = (x509.load_pem_x509_certificate(path.read_bytes()) for path in (folder.ca, folder.broker))
    broker.verify_directly_issued_by(authority)


def test_a_folder_with_other_files_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(BrokerFailed, match="this folder has other files"):
        SecureFolder(tmp_path).prepare("127.0.0.1:9092")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_new_certificate_deletes_the_key_of_a_former_authority(tmp_path: Path) -> None:
    folder, former = SecureFolder(tmp_path / "secure"), tmp_path / "secure" / "ca.key"
    folder.prepare("127.0.0.1:9092")
    former.touch()
    folder.prepare("127.0.0.1:9092")
    assert former.exists()
    folder.broker.unlink()
    folder.prepare("127.0.0.1:9092")
    assert not former.exists()


def test_prepared_again_the_folder_keeps_its_passwords_and_certificates(folder: SecureFolder) -> None:
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    folder.prepare(f"127.0.0.1:{Settings.model_fields['port'].default}")
    again = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    changed = {name for name in before if before[name] != again[name]}
    assert changed == {f"{name}.env" for name in ("admin", *RIGHTS)} | {"admin.properties"}
