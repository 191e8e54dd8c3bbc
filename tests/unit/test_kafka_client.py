"""The properties that the clients of Kafka get from the settings, and the errors that they end in."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError

import fraudstream
from fraudstream.config import Settings
from fraudstream.errors import BrokerUnreachable, KafkaAccessDenied, KafkaFailure, SettingsError
from fraudstream.kafka.client import Cluster, denied, is_final, unreachable
from fraudstream.kafka.topics import require_broker
from fraudstream.kafka_settings import KafkaSettings

PASSWORD = 'h"unt\\er2'
ADDRESS = "127.0.0.1:1"
OPEN = {"bootstrap.servers": ADDRESS, "log_level": 0, "allow.auto.create.topics": False}
SCRAM = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "detect"}
OIDC = SCRAM | {"sasl_mechanism": "OAUTHBEARER", "sasl_oauthbearer_token_endpoint_url": "https://id.bank.example/token"}


@pytest.fixture
def pem(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a file that begins like a PEM file."""

    def make(name: str) -> Path:
        (tmp_path / name).write_text("-----BEGIN CERTIFICATE-----\n")
        return tmp_path / name

    return make


def cluster(**values: Any) -> Cluster:
    return Cluster(ADDRESS, KafkaSettings.model_validate(values))


def test_an_open_broker_is_given_no_security_and_asked_to_create_nothing() -> None:
    assert Cluster(ADDRESS).client() == OPEN
    with Cluster(ADDRESS).spark_options(is_local=False) as options:
        assert options == {"kafka.bootstrap.servers": ADDRESS}
    named = cluster(topic_prefix="bank.", sasl_username="unused", ssl_ca_location="nowhere.pem")
    assert named.client() == OPEN


PROVIDER = "org.apache.kafka.common.config.provider.DirectoryConfigProvider"
COMMON = "org.apache.kafka.common.security"


@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
@pytest.mark.parametrize(
    ("mechanism", "module"),
    [
        ("PLAIN", f"{COMMON}.plain.PlainLoginModule"),
        ("SCRAM-SHA-256", f"{COMMON}.scram.ScramLoginModule"),
        ("SCRAM-SHA-512", f"{COMMON}.scram.ScramLoginModule"),
    ],
)
def test_a_password_is_given_to_both_clients(
    protocol: str, mechanism: str, module: str, pem: Callable[[str], Path]
) -> None:
    ca = pem("ca.pem")
    secured = cluster(
        security_protocol=protocol,
        sasl_mechanism=mechanism,
        sasl_username='de"tect',
        sasl_password=PASSWORD,
        ssl_ca_location=ca,
    )
    tls = protocol == "SASL_SSL"
    assert secured.client() == OPEN | {
        "security.protocol": protocol,
        "sasl.mechanism": mechanism,
        "sasl.username": 'de"tect',
        "sasl.password": PASSWORD,
    } | ({"ssl.ca.location": str(ca)} if tls else {})
    with secured.spark_options(is_local=True) as options:
        login = options.pop("kafka.sasl.jaas.config")
        assert options == {
            "kafka.bootstrap.servers": ADDRESS,
            "kafka.security.protocol": protocol,
            "kafka.sasl.mechanism": mechanism,
            "kafka.config.providers": "secrets",
            "kafka.config.providers.secrets.class": PROVIDER,
        } | ({"kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.location": str(ca)} if tls else {})
        secret = secret_file(login)
        assert login == f'{module} required username="de\\"tect" password="${{secrets:{secret.parent}:{secret.name}}}";'
        assert secret.read_text() == r"h\"unt\\er2"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert not secret.parent.exists()


def secret_file(login: str) -> Path:
    """The file that the provider reads in place of the password."""
    folder, _, name = login.partition("${secrets:")[2].partition("}")[0].rpartition(":")
    return Path(folder) / name


def test_oauthbearer_asks_the_token_endpoint_of_the_identity_provider(pem: Callable[[str], Path]) -> None:
    ca = pem("ca.pem")
    secured = cluster(**OIDC, sasl_password=PASSWORD, sasl_oauthbearer_scope="kafka", ssl_ca_location=ca)
    assert secured.client() == OPEN | {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(ca),
        "https.ca.location": str(ca),
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": "detect",
        "sasl.oauthbearer.client.secret": PASSWORD,
        "sasl.oauthbearer.scope": "kafka",
        "sasl.oauthbearer.token.endpoint.url": "https://id.bank.example/token",
    }
    with secured.spark_options(is_local=True) as options:
        login = options["kafka.sasl.jaas.config"]
        secret = secret_file(login)
        assert login == (
            f'{COMMON}.oauthbearer.OAuthBearerLoginModule required clientId="detect" '
            f'clientSecret="${{secrets:{secret.parent}:{secret.name}}}" '
            f'ssl.truststore.type="PEM" ssl.truststore.location="{ca}" scope="kafka";'
        )
        assert options["kafka.sasl.oauthbearer.token.endpoint.url"] == "https://id.bank.example/token"
        handler = options["kafka.sasl.login.callback.handler.class"]
        assert handler == f"{COMMON}.oauthbearer.secured.OAuthBearerLoginCallbackHandler"


def test_a_client_certificate_is_given_to_both_clients(pem: Callable[[str], Path]) -> None:
    certificate, key = pem("client.pem"), pem("client.key")
    secured = cluster(security_protocol="SSL", ssl_certificate_location=certificate, ssl_key_location=key)
    assert secured.client() == OPEN | {
        "security.protocol": "SSL",
        "ssl.certificate.location": str(certificate),
        "ssl.key.location": str(key),
    }
    for is_local in (True, False):
        with secured.spark_options(is_local=is_local) as options:
            assert options == {
                "kafka.bootstrap.servers": ADDRESS,
                "kafka.security.protocol": "SSL",
                "kafka.config.providers": "secrets",
                "kafka.config.providers.secrets.class": PROVIDER,
                "kafka.ssl.keystore.type": "PEM",
                "kafka.ssl.keystore.certificate.chain": f"${{secrets:{certificate.parent}:client.pem}}",
                "kafka.ssl.keystore.key": f"${{secrets:{key.parent}:client.key}}",
            }


def test_relative_paths_are_made_absolute_for_the_jvm(
    pem: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem("ca.pem")
    monkeypatch.chdir(tmp_path)
    with cluster(security_protocol="SSL", ssl_ca_location="ca.pem").spark_options(is_local=True) as options:
        assert options["kafka.ssl.truststore.location"] == str(tmp_path / "ca.pem")


def test_further_properties_precede_our_own_in_their_client_alone() -> None:
    both = cluster(
        librdkafka={"socket.timeout.ms": 7, "log_level": 3},
        java={"request.timeout.ms": 9, "security.protocol": "SSL"},
    )
    assert both.client() == OPEN | {
        "log_level": "3",
        "security.protocol": "PLAINTEXT",
        "socket.timeout.ms": "7",
    }
    with both.spark_options(is_local=True) as options:
        assert options == {
            "kafka.bootstrap.servers": ADDRESS,
            "kafka.security.protocol": "SSL",
            "kafka.request.timeout.ms": "9",
        }


def test_a_user_s_config_providers_stand_beside_our_own(tmp_path: Path) -> None:
    java = {"config.providers": "env", "config.providers.env.class": "EnvVarConfigProvider"}
    secured = cluster(**SCRAM, sasl_password="hunter2", java=java)
    with secured.spark_options(is_local=True) as options:
        assert options["kafka.config.providers"] == "secrets,env"
        assert {f"kafka.{name}": value for name, value in java.items()}.items() - options.items() == {
            ("kafka.config.providers", "env")
        }


@pytest.mark.parametrize("properties", [SCRAM, OIDC, SCRAM | {"sasl_mechanism": "PLAIN"}])
@pytest.mark.parametrize("is_local", [True, False])
def test_no_password_is_shown(properties: dict[str, str], is_local: bool, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2")
    direct = cluster(
        **properties,
        sasl_password="hunter2",
        librdkafka={"ssl.key.password": "hunter2"},
        java={"ssl.key.password": "hunter2"},
    )
    by_file = cluster(**properties, sasl_password_file=tmp_path / "password")
    for secured in (direct, by_file):
        assert "hunter2" not in repr(secured) + str(secured.settings) + repr(Settings(kafka=secured.settings))
    with by_file.spark_options(is_local=is_local) as options:
        assert "hunter2" not in str(options)


@pytest.mark.parametrize("content", ["hunter2", "hunter2\n", "hunter2\r\n"])
def test_a_line_break_at_the_end_is_no_part_of_the_password(content: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(content)
    secured = cluster(**SCRAM, sasl_password_file=tmp_path / "password")
    assert secured.client()["sasl.password"] == "hunter2"
    with secured.spark_options(is_local=True) as options:
        assert secret_file(options["kafka.sasl.jaas.config"]).read_text() == "hunter2"


def test_executors_read_the_password_file_itself(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2")
    with cluster(**SCRAM, sasl_password_file=tmp_path / "password").spark_options(is_local=False) as options:
        assert secret_file(options["kafka.sasl.jaas.config"]) == tmp_path / "password"


@pytest.mark.parametrize("content", ["hunter2\n", "hun\nter2", 'hun"ter2', "hun\\ter2"])
def test_executors_take_only_a_password_that_java_reads_as_it_is(content: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(content)
    secured = cluster(**SCRAM, sasl_password_file=tmp_path / "password")
    with pytest.raises(SettingsError, match="may hold no line break") as refused, secured.spark_options(is_local=False):
        pass
    assert (refused.value.where, "ter2" in str(refused.value)) == (str(tmp_path / "password"), False)


def test_executors_require_a_password_file() -> None:
    secured = cluster(**SCRAM, sasl_password="hunter2")
    with pytest.raises(SettingsError, match="must be in a file") as refused, secured.spark_options(is_local=False):
        pass
    assert "FRAUDSTREAM_KAFKA_SASL_PASSWORD_FILE" in refused.value.remedy


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "der").write_bytes(b"\xff\xfe")
    (tmp_path / "text").write_text("hunter2")
    missing = cluster(**SCRAM, sasl_password_file=tmp_path / "none")
    for file, reason in (("none", "No such file"), (".", "Is a directory"), ("der", "not text"), ("text", "not PEM")):
        secured = cluster(security_protocol="SSL", ssl_ca_location=tmp_path / file)
        with pytest.raises(SettingsError, match=reason) as refused:
            secured.client()
        assert "kafka.ssl_ca_location" in refused.value.what
        assert refused.value.where == str(tmp_path / file)
    with pytest.raises(SettingsError, match=r"kafka\.sasl_password_file cannot be read"):
        missing.client()


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"no.such.property": "1"}, 'No such configuration property: "no.such.property"'),
        ({"sasl.mechanism": "GSSAPI", "security.protocol": "SASL_SSL"}, "No provider for SASL mechanism GSSAPI"),
    ],
)
def test_a_property_that_the_client_refuses_is_named(properties: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match="Kafka's client refuses a setting") as refused:
        require_broker(cluster(librdkafka=properties))
    assert reason in refused.value.what


DOWN = (KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")  # noqa: SLF001 - the client's name for it
TRANSPORT, TLS = KafkaError._TRANSPORT, KafkaError._SSL  # noqa: SLF001 - the client's names for them
HOST = f"ssl://{ADDRESS}/bootstrap"
TLS_FAILED = f"{HOST}: SSL handshake failed: error:0A00"
CAUSES: dict[str, tuple[str, list[tuple[int, str]], str, str]] = {
    "no such host": (
        "PLAINTEXT",
        [(KafkaError._RESOLVE, f"{HOST}: Failed to resolve '{ADDRESS}': Name or service not known (after 3ms)")],  # noqa: SLF001
        f"there is no such address: Failed to resolve '{ADDRESS}': Name or service not known",
        "--bootstrap-servers",
    ),
    "refused": (
        "PLAINTEXT",
        [(TRANSPORT, f"{HOST}: Connect to ipv4#1.2.3.4:9 failed: Connection refused (after 0ms in state CONNECT)")],
        "connection refused",
        "fraudstream broker",
    ),
    "TLS to a plain listener": (
        "SSL",
        [(TLS, f"{TLS_FAILED}010B:SSL routines::wrong version number: connecting to a PLAINTEXT broker listener?")],
        "the broker does not speak TLS on this port",
        "FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL",
    ),
    "another authority": (
        "SSL",
        [
            (
                TLS,
                f"{TLS_FAILED}0086:SSL routines::certificate verify failed: broker certificate could not be verified",
            )
        ],
        "the broker's certificate is not trusted (broker certificate could not be verified)",
        "FRAUDSTREAM_KAFKA_SSL_CA_LOCATION",
    ),
    "no client certificate": (
        "SSL",
        [(TLS, f"{TLS_FAILED}045C:SSL routines::tlsv13 alert certificate required: SSL alert number 116")],
        "the broker refuses this client's certificate, or requires one",
        "FRAUDSTREAM_KAFKA_SSL_CERTIFICATE_LOCATION",
    ),
    "closed": (
        "PLAINTEXT",
        [(TRANSPORT, "kafka-alerts:9/bootstrap: Disconnected (after 1ms in state APIVERSION_QUERY)"), DOWN],
        "Disconnected",
        "check that a broker listens there",
    ),
    "TLS without SASL": (
        "SSL",
        [
            (TRANSPORT, f"{HOST}: Disconnected: incorrect security.protocol configuration"),
            DOWN,
        ],
        "no answer to SSL; the broker may expect a login on this port",
        "FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL",
    ),
    "nothing at all": ("PLAINTEXT", [], "no answer", "check that a broker listens there"),
    "unknown": (
        "PLAINTEXT",
        [(TRANSPORT, f"{HOST}: Connect to ipv4#1.2.3.4:9 failed: No route to host (after 3ms in state CONNECT)"), DOWN],
        "No route to host",
        "--bootstrap-servers",
    ),
}


@pytest.mark.parametrize("case", CAUSES)
def test_causes_of_no_answer_are_distinguished_with_a_remedy(case: str) -> None:
    protocol, errors, what, remedy = CAUSES[case]
    error = unreachable(cluster(security_protocol=protocol), [KafkaError(*each) for each in errors])
    assert isinstance(error, BrokerUnreachable)
    assert error.what.startswith(f"cannot connect to Kafka: {what}")
    assert error.where == ADDRESS
    assert remedy in error.remedy


def test_refused_credentials_are_reported_with_principal_and_without_password() -> None:
    secured = cluster(**SCRAM, sasl_password="hunter2")
    text = f"sasl_{HOST}: SASL authentication error: Authentication failed due to invalid credentials (after 9ms)"
    errors = [KafkaError(KafkaError._AUTHENTICATION, text), KafkaError(*DOWN)]  # noqa: SLF001 - the client's name for it
    error = unreachable(secured, errors)
    assert isinstance(error, KafkaFailure)
    assert error.what == (
        "Kafka refuses the credentials of User:detect: "
        "SASL authentication error: Authentication failed due to invalid credentials"
    )
    assert "hunter2" not in str(error)


def test_waiting_ends_when_all_brokers_are_down_or_credentials_are_refused() -> None:
    refused = KafkaError(KafkaError._AUTHENTICATION, "")  # noqa: SLF001 - the client's name for it
    assert is_final([KafkaError(TRANSPORT, ""), KafkaError(*DOWN)])
    assert is_final([refused])
    assert not is_final([KafkaError(TRANSPORT, "")])


def test_every_producer_chooses_partitions_as_java_does() -> None:
    assert cluster(librdkafka={"partitioner": "random"}).producer()["partitioner"] == "murmur2_random"
    sources = {path: path.read_text() for path in (Path(fraudstream.__file__).parent).rglob("*.py")}
    assert [path for path, text in sources.items() if re.search(r"Producer\([^)]*client\(\)", text)] == []


@pytest.mark.parametrize(
    ("values", "principal"),
    [
        ({}, "User:ANONYMOUS"),
        ({"security_protocol": "SSL"}, "User:(subject of the client certificate)"),
        ({**SCRAM, "sasl_password": "x"}, "User:detect"),
    ],
)
def test_a_denial_names_principal_operation_and_resource(values: dict[str, str], principal: str) -> None:
    error = denied(cluster(**values), "WRITE", "topic fraud_alerts")
    assert isinstance(error, KafkaAccessDenied)
    assert error.what == f"Kafka does not allow {principal} to WRITE topic fraud_alerts"
    assert "fraudstream kafka acls --print" in error.remedy
