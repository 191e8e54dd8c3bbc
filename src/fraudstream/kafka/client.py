"""Builds the properties of every Kafka client, librdkafka's and Java's, from the same settings."""

import ssl
import tempfile
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException

from fraudstream.config import Settings
from fraudstream.errors import BrokerUnreachable, KafkaAccessDenied, KafkaFailure, SettingsError
from fraudstream.kafka_settings import KafkaSettings, read_setting, require_pem
from fraudstream.transactions.wire import Topic

PROPERTIES: Final[Mapping[str, dict[str, Any]]] = tomllib.loads(Path(__file__).with_name("clients.toml").read_text())
"""Those that no setting decides, by kind of client."""
_OAUTH_HANDLER: Final = "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler"
_PROVIDERS: Final = "config.providers"
_SECRETS: Final = "secrets"
"""The name under which Java's clients know the provider that reads secrets from files."""


@dataclass(frozen=True)
class Cluster:
    """A Kafka cluster: its address, and the settings of its clients, topics and group."""

    bootstrap_servers: str
    settings: KafkaSettings = field(default_factory=KafkaSettings)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the cluster of the settings."""
        return cls(settings.bootstrap_servers, settings.kafka)

    @property
    def group(self) -> str:
        """The consumer group of the relays."""
        return self.settings.group

    def topic(self, topic: Topic) -> str:
        """Return the name of a topic on this cluster."""
        return self.settings.topic_name(topic)

    def topic_of(self, name: str) -> Topic:
        """Return the topic of a name on this cluster; raises ValueError if it is none of ours."""
        try:
            return next(topic for topic in Topic if self.topic(topic) == name)
        except StopIteration:
            raise ValueError(f"{name!r} is not a topic of fraudstream") from None

    @property
    def principal(self) -> str:
        """The principal that the broker's authorizer knows this client by, as far as the settings tell."""
        if self.settings.uses_sasl:
            return f"User:{self.settings.sasl_username}"
        return "User:(subject of the client certificate)" if self.settings.uses_tls else "User:ANONYMOUS"

    def client(self) -> dict[str, Any]:
        """Return the properties of a librdkafka client; raises SettingsError for a file that cannot be read."""
        each = self.settings
        properties: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            # librdkafka would log each failed attempt to standard error; final errors are raised as exceptions.
            "log_level": 0,
            # Else a producer or an admin client that asks for a topic makes most brokers create it.
            "allow.auto.create.topics": False,
        }
        if each.is_customized:
            properties["security.protocol"] = each.security_protocol
        if each.uses_tls:
            for name in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location"):
                path = getattr(each, name)
                if path is not None:
                    require_pem(name, path)
                    properties[name.replace("_", ".")] = str(path)
        if each.uses_sasl:
            properties["sasl.mechanism"] = each.sasl_mechanism
            if each.sasl_mechanism == "OAUTHBEARER":
                oidc = {
                    "sasl.oauthbearer.method": "oidc",
                    "sasl.oauthbearer.client.id": each.sasl_username,
                    "sasl.oauthbearer.client.secret": each.password(),
                    "sasl.oauthbearer.token.endpoint.url": each.sasl_oauthbearer_token_endpoint_url,
                    "sasl.oauthbearer.scope": each.sasl_oauthbearer_scope or None,
                    "https.ca.location": each.ssl_ca_location and str(each.ssl_ca_location),
                }
                properties |= {name: value for name, value in oidc.items() if value is not None}
            else:
                properties |= {"sasl.username": each.sasl_username, "sasl.password": each.password()}
        return properties | each.librdkafka

    def producer(self) -> dict[str, Any]:
        """Return the properties of a librdkafka producer, which sends a key to the partition that Java's would take.

        Else the records of a key, of which some are ours and some those of a Java client, would be on two partitions.
        """
        return self.client() | {"partitioner": "murmur2_random"}

    @contextmanager
    def spark_options(self, *, is_local: bool) -> Iterator[dict[str, str]]:
        """Yield the options of Spark's Kafka source and sink, without a secret in them.

        A client in the JVM reads the password from a file when it is made: on this machine from a private copy that
        exists for the length of the `with` block; on a cluster every executor reads the file of the setting. Raises
        SettingsError.
        """
        if not self.settings.uses_sasl:
            yield self._options(None)
        elif is_local:
            with tempfile.TemporaryDirectory(prefix="fraudstream-kafka-") as folder:
                secret = Path(folder) / "password"
                secret.touch(0o600)
                secret.write_text(_escaped(self.settings.password()))
                yield self._options(secret)
        else:
            yield self._options(_for_executors(self.settings))

    def _options(self, secret: Path | None) -> dict[str, str]:
        each, properties = self.settings, dict[str, str]()
        certificate, key = (each.ssl_certificate_location, each.ssl_key_location) if each.uses_tls else (None, None)
        if secret is not None or certificate is not None:
            provider = "org.apache.kafka.common.config.provider.DirectoryConfigProvider"
            properties |= {_PROVIDERS: _SECRETS, f"{_PROVIDERS}.{_SECRETS}.class": provider}
        if each.is_customized:
            properties["security.protocol"] = each.security_protocol
        if each.uses_tls:
            properties |= self._truststore()
        if certificate is not None and key is not None:
            properties["ssl.keystore.type"] = "PEM"
            properties["ssl.keystore.certificate.chain"] = _content_of(certificate)
            properties["ssl.keystore.key"] = _content_of(key)
        if secret is not None:
            properties |= self._jaas(secret)
        providers = [table[_PROVIDERS] for table in (properties, each.java) if _PROVIDERS in table]
        properties = {"bootstrap.servers": self.bootstrap_servers} | properties | each.java
        if providers:
            properties[_PROVIDERS] = ",".join(providers)
        return {f"kafka.{name}": value for name, value in properties.items()}

    def _truststore(self) -> dict[str, str]:
        path = self.settings.ssl_ca_location
        return {} if path is None else {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(path.absolute())}

    def _jaas(self, secret: Path) -> dict[str, str]:
        each, mechanism = self.settings, str(self.settings.sasl_mechanism)
        username = _escaped(str(each.sasl_username))
        arguments = {"username": username, "password": _content_of(secret)}
        properties = {"sasl.mechanism": mechanism}
        if mechanism == "OAUTHBEARER":
            # The truststore is for the token endpoint.
            arguments = {"clientId": username, "clientSecret": _content_of(secret)} | self._truststore()
            if each.sasl_oauthbearer_scope:
                arguments["scope"] = _escaped(each.sasl_oauthbearer_scope)
            properties["sasl.oauthbearer.token.endpoint.url"] = str(each.sasl_oauthbearer_token_endpoint_url)
            properties["sasl.login.callback.handler.class"] = _OAUTH_HANDLER
        pairs = " ".join(f'{name}="{value}"' for name, value in arguments.items())
        return properties | {"sasl.jaas.config": f"{PROPERTIES['login_modules'][mechanism]} required {pairs};"}


def _escaped(text: str) -> str:
    """Escape a text for quotation marks in Java's login configuration."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _content_of(path: Path) -> str:
    path = path.absolute()
    return f"${{{_SECRETS}:{path.parent}:{path.name}}}"


def _for_executors(settings: KafkaSettings) -> Path:
    """Return the file that every executor reads; Java takes its content as it is."""
    if settings.sasl_password_file is None:
        raise SettingsError(
            "on a Spark cluster Kafka's password must be in a file: an executor does not know this environment",
            where="FRAUDSTREAM_KAFKA_SASL_PASSWORD",
            remedy="set FRAUDSTREAM_KAFKA_SASL_PASSWORD_FILE to a file that is at the same path on every host",
        )
    content = read_setting("sasl_password_file", settings.sasl_password_file)
    if any(character in content for character in '\n\r"\\'):
        raise SettingsError(
            "on a Spark cluster the file with Kafka's password may hold no line break, quotation mark or backslash",
            where=str(settings.sasl_password_file),
            remedy="write it without a line break: printf %s PASSWORD > FILE",
        )
    return settings.sasl_password_file


_DENIED: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}


def denied(cluster: Cluster, operation: str, resource: str) -> KafkaAccessDenied:
    """Build the error about a right that is missing, such as `WRITE` on `topic fraud_alerts`."""
    return KafkaAccessDenied(
        f"Kafka does not allow {cluster.principal} to {operation} {resource}",
        where=cluster.bootstrap_servers,
        remedy="`fraudstream kafka acls --print` lists the rights that each command needs; ask the administrator",
    )


def is_denied(error: KafkaError) -> bool:
    """Whether Kafka's authorizer refused a request."""
    return error.code() in _DENIED


def failure(
    what: str,
    cause: KafkaException,
    cluster: Cluster,
    operation: str,
    resource: str,
    remedy: str = "check the broker's log",
) -> KafkaFailure:
    """Build the error for a failed operation on a resource, such as `READ` on `topic fraud_alerts`."""
    error: KafkaError = cause.args[0]
    if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
        return denied(cluster, "DESCRIBE", f"group {cluster.group}")
    if is_denied(error):
        return denied(cluster, operation, resource)
    return KafkaFailure(f"{what}: {error.str()}", where=f"{resource} at {cluster.bootstrap_servers}", remedy=remedy)


_CONNECTION_ERRORS: Final = tomllib.loads(Path(__file__).with_name("connection_errors.toml").read_text("utf-8"))


def is_final(errors: Iterable[KafkaError]) -> bool:
    """Whether the client has tried every broker, or trying again would not help."""
    return any(error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION) for error in errors)  # noqa: SLF001


def unreachable(cluster: Cluster, errors: Collection[KafkaError]) -> KafkaFailure:
    """Tell why no broker answered, from the errors that the client reported meanwhile."""
    for error in errors:
        if error.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001 - the client's name for it
            return KafkaFailure(
                f"Kafka refuses the credentials of {cluster.principal}: {_short(error.str())}",
                where=cluster.bootstrap_servers,
                remedy="check FRAUDSTREAM_KAFKA_SASL_MECHANISM, …_SASL_USERNAME and …_SASL_PASSWORD or its file",
            )
    what, remedy = _cause(cluster, [error.str() for error in errors])
    return BrokerUnreachable(f"cannot connect to Kafka: {what}", where=cluster.bootstrap_servers, remedy=remedy)


def _cause(cluster: Cluster, texts: list[str]) -> tuple[str, str]:
    """Classify what librdkafka reported; returns the cause and the remedy."""
    settings, both = cluster.settings, " ".join(texts)
    if _speaks_tls(cluster.bootstrap_servers):  # librdkafka only hears that the connection was closed
        both += " SSL listener"
    first = _short(texts[0]) if texts else "no answer"
    values = {
        "first": "no answer" if "brokers are down" in first else first,
        "protocol": settings.security_protocol,
        "login": "no login" if settings.uses_sasl else "a login",
        "ca": settings.ssl_ca_location or "the system's",
        **_CONNECTION_ERRORS["texts"],
    }
    matching = (each for each in _CONNECTION_ERRORS["causes"] if any(pattern in both for pattern in each["patterns"]))
    cause = next(each for each in matching if not (settings.uses_tls and each.get("only_without_tls")))
    return cause["what"].format(**values), cause["remedy"].format(**values)


def _speaks_tls(bootstrap_servers: str) -> bool:
    host, _, port = bootstrap_servers.partition(",")[0].rpartition(":")
    try:
        ssl.get_server_certificate((host.strip("[]"), int(port)), timeout=2.0)
    except (OSError, ValueError, OverflowError) as e:
        # A server that asks for a certificate speaks TLS too.
        return isinstance(e, ssl.SSLError) and "ALERT" in str(e).upper()
    return True


def _short(reason: str) -> str:
    # 127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)
    text = reason.rpartition("failed: ")[2].rpartition("/bootstrap: ")[2].partition(" (after")[0]
    return text.partition(":error:")[0].strip()
