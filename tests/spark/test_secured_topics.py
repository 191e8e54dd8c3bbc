"""A topic of a secured broker, by each login: read and written by librdkafka, and read by Spark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from confluent_kafka import Producer
from pyspark.sql import SparkSession

from brokers import broker_plan, running_broker
from fraudstream.errors import FraudstreamError
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import Watermarks
from fraudstream.kafka.topics import ensure_topics, require_broker
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.messages.ledger import Range
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import free_port
from fraudstream.scoring.topic import count_records
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, Topic
from identity import FolderWithTokens, identity_provider
from secured import cluster_of

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

SECRET = 'a "quoted" \\ secret'
TOPIC = Topic.TRANSACTIONS.value


@dataclass(frozen=True)
class Secured:
    """A secured broker: as a client with a password, one with a token, and one with a certificate sees it."""

    password: Cluster
    token: Cluster
    certificate: Cluster


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, java: Java, jars: Jars) -> Iterator[Secured]:
    root = tmp_path_factory.mktemp("secured")
    folder = FolderWithTokens(root / "secure")
    plan = broker_plan(root, java, jars, secure=folder, secure_port=free_port())
    with pytest.MonkeyPatch.context() as patch, identity_provider(folder.keys, "relay", SECRET) as endpoint:
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={folder.keys.as_uri()},{endpoint}"
        files = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.files={folder.keys}"
        patch.setenv("JDK_JAVA_OPTIONS", f"-XX:TieredStopAtLevel=1 {allowed} {files}")
        with running_broker(plan):
            token = {
                "sasl_mechanism": "OAUTHBEARER",
                "sasl_username": "relay",
                "sasl_password": SECRET,
                "sasl_password_file": None,
                "sasl_oauthbearer_token_endpoint_url": endpoint,
            }
            yield Secured(cluster_of(folder, "relay"), cluster_of(folder, "relay", **token), plan.cluster)


@pytest.mark.parametrize(
    "login", ["password", *(pytest.param(login, marks=pytest.mark.nightly) for login in ("token", "certificate"))]
)
def test_each_login_writes_the_topic_and_reads_it_with_spark(
    login: str, secured: Secured, spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster: Cluster = getattr(secured, login)
    ensure_topics(cluster, 2, DEFAULT_MAX_RECORD_BYTES, "relay")
    watermarks = Watermarks(cluster, TOPIC)
    before = watermarks.read()[0][1]
    producer = Producer(cluster.client())
    producer.produce(TOPIC, b"{}", partition=0)
    assert producer.flush(30) == 0
    assert watermarks.read()[0][1] == before + 1
    span = Range(0, before, before + 1)
    with cluster.spark_options(is_local=True) as options:
        assert count_records(spark, options, TOPIC, [span]) == {span: 1}
        spark.read.format("kafka").options(**options).option("subscribe", TOPIC).load().explain("extended")
    plan = capsys.readouterr().out
    assert "kafka" in plan.lower()
    assert not any(secret in plan for secret in (SECRET, "quoted", secured.password.settings.password()))


@pytest.mark.nightly
def test_the_error_names_a_wrong_client_secret_as_credentials(secured: Secured) -> None:
    wrong = secured.token.settings.model_dump() | {"sasl_password": "another"}
    with pytest.raises(FraudstreamError, match="credentials"):
        require_broker(Cluster(secured.token.bootstrap_servers, KafkaSettings.model_validate(wrong)))
