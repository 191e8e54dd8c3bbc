"""The settings of Kafka, from environment and file."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr, ValidationError

from fraudstream.config import Settings, unknown_variables, variables
from fraudstream.errors import SettingsError
from fraudstream.kafka.client import Cluster
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.transactions.wire import Topic

Load = Callable[..., Settings]
PASSWORD = 'h"unt\\er2'


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads the settings of a file, and of an environment whose names are without `FRAUDSTREAM_`."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("FRAUDSTREAM_"):
            monkeypatch.delenv(name)

    def loaded(file: str = "", **environment: str) -> Settings:
        Path("fraudstream.toml").write_text(file)
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(f"FRAUDSTREAM_{name}", value)
            return Settings.load()

    return loaded


def kafka(**values: Any) -> KafkaSettings:
    return KafkaSettings.model_validate(values)


def refusal(load: Load, file: str = "", **environment: str) -> SettingsError:
    with pytest.raises(SettingsError) as refused:
        load(file, **environment)
    return refused.value


VALUES: dict[str, str | int | bool] = {
    "security_protocol": "SSL",
    "sasl_mechanism": "SCRAM-SHA-256",
    "sasl_username": "ann",
    "sasl_password": "1234",
    "sasl_password_file": "/run/secrets/kafka",
    "sasl_oauthbearer_token_endpoint_url": "https://id.bank.example/token",
    "sasl_oauthbearer_scope": "kafka",
    "ssl_ca_location": "/etc/kafka/ca.pem",
    "ssl_certificate_location": "/etc/kafka/client.pem",
    "ssl_key_location": "/etc/kafka/client.key",
    "topic_prefix": "bank.",
    "topic_transactions": "payments",
    "topic_alerts": "suspects",
    "topic_unscorable": "unknown",
    "topic_dead_letters": "broken",
    "topic_events": "events",
    "topic_ledger": "ledger",
    "topic_verdicts": "verdicts",
    "group_relay": "relays",
    "create_topics": False,
    "replication_factor": 3,
    "min_insync_replicas": 2,
    "retention_ms": -1,
}
TABLES = ("librdkafka", "java")


@pytest.mark.parametrize("name", [name for name in KafkaSettings.model_fields if name not in TABLES])
def test_each_setting_is_taken_from_environment_and_file(name: str, load: Load) -> None:
    value = VALUES[name]
    # With TLS a certificate requires its key; without, neither is used.
    by_environment = load(**{f"KAFKA_{name.upper()}": str(value)})
    by_file = load(f"[kafka]\n{name} = {orjson.dumps(value).decode()}")
    assert by_environment == by_file
    setting = getattr(by_file.kafka, name)
    text = setting.get_secret_value() if isinstance(setting, SecretStr) else setting
    assert text == (Path(str(value)) if isinstance(setting, Path) else value)


@pytest.mark.parametrize("table", [f"kafka.{name}" for name in TABLES] + ["spark"])
def test_tables_take_dotted_names_with_and_without_quotes(table: str, load: Load) -> None:
    file = f'[{table}]\na.b = 1\na.c.d = "x"\n"a.e" = true\nf = "y"'
    properties = {"a.b": "1", "a.c.d": "x", "a.e": "true", "f": "y"}
    variable = table.upper().replace(".", "_")

    def content(settings: Settings) -> dict[str, str]:
        owner = settings.kafka if table.startswith("kafka.") else settings
        return dict(getattr(owner, table.rpartition(".")[2]))

    assert content(load(file)) == properties
    assert content(load(**{variable: orjson.dumps(properties).decode()})) == properties
    assert content(load(file, **{variable: '{"a.b": "2"}'})) == properties | {"a.b": "2"}


def test_the_environment_precedes_the_file_name_by_name(load: Load) -> None:
    settings = load('[kafka]\ntopic_prefix = "a."\ngroup_relay = "b"', KAFKA_TOPIC_PREFIX="c.").kafka
    assert (settings.topic_prefix, settings.group_relay) == ("c.", "b")


def test_the_spark_master_is_not_a_property_of_spark(load: Load) -> None:
    settings = load('[spark]\nspark.cores.max = "2"', SPARK_MASTER="spark://host:7077")
    assert (settings.spark_master, settings.spark) == ("spark://host:7077", {"spark.cores.max": "2"})


@pytest.mark.parametrize("in_file", ["password_file", "sasl_password_file"])
@pytest.mark.parametrize("in_environment", ["PASSWORD_FILE", "SASL_PASSWORD_FILE"])
def test_the_password_file_has_two_names(in_file: str, in_environment: str, load: Load) -> None:
    file, variable = f'[kafka]\n{in_file} = "/file"', {f"KAFKA_{in_environment}": "/environment"}
    assert load(file).kafka.sasl_password_file == Path("/file")
    assert load(**variable).kafka.sasl_password_file == Path("/environment")
    assert load(file, **variable).kafka.sasl_password_file == Path("/environment")


def test_names_have_the_prefix_unless_they_are_set() -> None:
    settings = kafka(topic_prefix="bank.", topic_alerts="suspects")
    expected = {topic: f"bank.{topic.value}" for topic in Topic} | {Topic.ALERTS: "suspects"}
    assert {topic: settings.topic_name(topic) for topic in Topic} == expected
    assert settings.group == "bank.fraudstream-relay"
    assert kafka(topic_prefix="bank.", group_relay="relays").group == "relays"
    assert kafka().topic_name(Topic.LEDGER) == "detector_ledger"


def test_a_topic_is_found_by_its_name() -> None:
    named = Cluster("", kafka(topic_prefix="bank.", topic_alerts="suspects"))
    assert all(named.topic_of(named.topic(topic)) is topic for topic in Topic)
    with pytest.raises(ValueError, match="'fraud_alerts' is not a topic"):
        named.topic_of("fraud_alerts")


@pytest.mark.parametrize(
    "names",
    [{"topic_alerts": "a", "topic_events": "a"}, {"topic_prefix": "x.", "topic_alerts": "x.detector_events"}],
)
def test_two_topics_of_one_name_are_refused(names: dict[str, str], load: Load) -> None:
    error = refusal(load, **{f"KAFKA_{name.upper()}": value for name, value in names.items()})
    assert f"two topics have the name {names['topic_alerts']}" in error.what


@pytest.mark.parametrize("name", ["a b", "", "ä", "x" * 250])
def test_what_is_no_name_of_a_topic_is_refused(name: str, load: Load) -> None:
    error = refusal(load, KAFKA_TOPIC_LEDGER=name)
    assert "kafka.topic_ledger" in error.what
    assert "FRAUDSTREAM_KAFKA_TOPIC_LEDGER" in error.where


@pytest.mark.parametrize("mechanism", ["GSSAPI", "gssapi", "Kerberos"])
def test_kerberos_is_refused_by_name(mechanism: str, load: Load) -> None:
    error = refusal(load, KAFKA_SASL_MECHANISM=mechanism)
    assert "Kerberos (GSSAPI) is not supported" in error.what
    assert "FRAUDSTREAM_KAFKA_SASL_MECHANISM" in error.where


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({}, "sasl_mechanism and sasl_username and sasl_password or sasl_password_file"),
        ({"sasl_mechanism": "PLAIN", "sasl_password": PASSWORD}, "sasl_username"),
        ({"sasl_mechanism": "PLAIN", "sasl_username": "u"}, "sasl_password or sasl_password_file"),
        (
            {"sasl_mechanism": "OAUTHBEARER", "sasl_username": "u", "sasl_password": PASSWORD},
            "sasl_oauthbearer_token_endpoint_url",
        ),
    ],
)
@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
def test_sasl_names_what_it_requires(protocol: str, values: dict[str, str], missing: str, load: Load) -> None:
    variables = {f"KAFKA_{name.upper()}": value for name, value in values.items()}
    error = refusal(load, KAFKA_SECURITY_PROTOCOL=protocol, **variables)
    assert error.what == f"setting 'kafka' cannot be used: {protocol} requires {missing}"
    assert PASSWORD not in "".join(traceback.format_exception(error))


def test_a_certificate_requires_its_key_where_tls_is_used() -> None:
    with pytest.raises(ValidationError, match="SSL requires ssl_key_location"):
        kafka(security_protocol="SSL", ssl_certificate_location="c.pem")
    with pytest.raises(ValidationError, match="SSL requires ssl_certificate_location"):
        kafka(security_protocol="SSL", ssl_key_location="c.key")
    assert kafka(ssl_certificate_location="c.pem").ssl_key_location is None


def test_password_and_password_file_at_once_are_refused(load: Load) -> None:
    error = refusal(load, KAFKA_SASL_PASSWORD=PASSWORD, KAFKA_PASSWORD_FILE="/f")
    assert "sasl_password and sasl_password_file are both set" in error.what


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("KAFKA_SASL_PASWORD", "KAFKA_SASL_PASSWORD"),
        ("KAFKA_PASSWORDFILE", "KAFKA_PASSWORD_FILE"),
        ("KAFKA_TOPICS_PREFIX", "KAFKA_TOPIC_PREFIX"),
        ("KAFKA_BOOTSTRAP_SERVERS", "BOOTSTRAP_SERVERS"),
        ("DATABSE", "DATABASE"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(variable: str, nearest: str, load: Load) -> None:
    error = refusal(load, **{variable: PASSWORD})
    assert error.what == f"there is no setting FRAUDSTREAM_{variable}"
    assert error.remedy == f"did you mean FRAUDSTREAM_{nearest}?"
    assert PASSWORD not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("file", "name", "nearest"),
    [
        ('[kafka]\nsasl_pasword = "x"', "kafka.sasl_pasword", "kafka.sasl_password"),
        ('databse = "x"', "databse", "database"),
        ('[kafak]\nsasl_password = "x"', "kafak", "kafka"),
    ],
)
def test_an_unknown_name_in_the_file_is_refused_with_the_nearest(
    file: str, name: str, nearest: str, load: Load
) -> None:
    error = refusal(load, file)
    assert (error.what, error.where) == (f"there is no setting {name}", "fraudstream.toml")
    assert error.remedy == f"did you mean {nearest}?"


def test_a_name_like_no_other_is_refused_with_where_to_look(load: Load) -> None:
    assert "docs/reference.md" in refusal(load, "zzz_qqq = 1").remedy


def test_variables_of_the_tests_and_of_others_are_no_settings() -> None:
    assert unknown_variables(["FRAUDSTREAM_TESTS_X", "KAFKA_SASL_PASWORD", *variables()]) == []
    assert unknown_variables(["fraudstream_x"]) == ["fraudstream_x"]


def test_what_is_not_json_or_not_toml_is_named(load: Load) -> None:
    for field, variable in (("kafka", {"KAFKA_LIBRDKAFKA": "a=b"}), ("public_hosts", {"PUBLIC_HOSTS": "host"})):
        error = refusal(load, **variable)
        assert f'field "{field}"' in error.what
        assert "JSON" in error.remedy
    error = refusal(load, "[kafka")
    assert "it is not TOML" in error.what
    assert error.where == "fraudstream.toml"
