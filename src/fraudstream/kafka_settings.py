"""Defines the settings of Kafka: security, names of topics and of the consumer group, and how topics are created."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from fraudstream.errors import SettingsError
from fraudstream.transactions.wire import Topic

_KERBEROS: Final = ("GSSAPI", "KERBEROS")
_TOPIC: Final = r"^[A-Za-z0-9._-]{1,249}$"


def flat_table(value: object) -> object:
    """Flatten a table of properties: in TOML an unquoted `a.b = 1` is a table `a` with the key `b`."""
    if not isinstance(value, Mapping):
        return value
    properties: dict[str, str] = {}
    for name, content in value.items():
        nested = flat_table(content)
        if isinstance(nested, Mapping):
            properties |= {f"{name}.{key}": each for key, each in nested.items()}
        else:
            properties[str(name)] = str(content).lower() if isinstance(content, bool) else str(content)
    return properties


def named_in_full(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace `password_file` by `sasl_password_file`, unless that is set too."""
    named = dict(values)
    if (short := named.pop("password_file", None)) is not None:
        named.setdefault("sasl_password_file", short)
    return named


def _without_kerberos(value: object) -> object:
    if isinstance(value, str) and value.upper() in _KERBEROS:
        raise ValueError(
            "Kerberos (GSSAPI) is not supported: the packaged client of confluent-kafka is built without it; "
            "use SCRAM-SHA-512, PLAIN, OAUTHBEARER or a client certificate"
        )
    return value


Properties = Annotated[dict[str, str], BeforeValidator(flat_table)]


class KafkaSettings(BaseModel):
    """Each field is a key of `[kafka]` in `fraudstream.toml`, and also `FRAUDSTREAM_KAFKA_<NAME>`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Protocol of the broker's listener: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
    )
    sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None, BeforeValidator(_without_kerberos)
    ] = Field(None, description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER (OIDC); with a SASL protocol.")
    sasl_username: str | None = Field(None, description="User name; with OAUTHBEARER the client id.")
    sasl_password: SecretStr | None = Field(None, description="Password; with OAUTHBEARER the client secret.")
    sasl_password_file: Path | None = Field(
        None,
        description="A file with the password, instead of the password; also `FRAUDSTREAM_KAFKA_PASSWORD_FILE`. On a "
        "Spark cluster it is read on every host.",
    )
    sasl_oauthbearer_token_endpoint_url: str | None = Field(
        None, description="The identity provider's token endpoint, with OAUTHBEARER."
    )
    sasl_oauthbearer_scope: str | None = Field(None, description="The scope to ask for, with OAUTHBEARER.")
    ssl_ca_location: Path | None = Field(
        None, description="PEM file with the certificates of the authorities to trust; by default the system's."
    )
    ssl_certificate_location: Path | None = Field(
        None, description="PEM file with the client's certificate, for a broker that asks for one."
    )
    ssl_key_location: Path | None = Field(
        None, description="PEM file with the client's private key (PKCS #8, not encrypted)."
    )
    topic_prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description="Prefix of every name of a topic or group that is not set itself.",
    )
    topic_transactions: str | None = Field(None, pattern=_TOPIC, description="Name of the input topic.")
    topic_alerts: str | None = Field(None, pattern=_TOPIC, description="Name of the topic of alerts.")
    topic_unscorable: str | None = Field(None, pattern=_TOPIC, description="Name of that of unscorable transactions.")
    topic_dead_letters: str | None = Field(None, pattern=_TOPIC, description="Name of the topic of dead letters.")
    topic_events: str | None = Field(None, pattern=_TOPIC, description="Name of the topic of the detector's events.")
    topic_ledger: str | None = Field(None, pattern=_TOPIC, description="Name of the topic of the ledger.")
    topic_verdicts: str | None = Field(None, pattern=_TOPIC, description="Name of the topic of the analysts' verdicts.")
    group_relay: str | None = Field(None, min_length=1, description="Name of the consumer group of the relays.")
    create_topics: bool = Field(True, description="Whether missing topics are created.")
    replication_factor: int | None = Field(
        None, ge=1, le=32767, description="Replicas of a topic when it is created; by default the broker's setting."
    )
    min_insync_replicas: int | None = Field(
        None, ge=1, description="min.insync.replicas of a topic when it is created; by default the broker's setting."
    )
    retention_ms: int | None = Field(
        None,
        ge=-1,
        description="retention.ms of a topic when it is created, but for the ledger, which is compacted; -1 for ever; "
        "by default the broker's setting.",
    )
    librdkafka: Properties = Field(
        default_factory=dict,
        repr=False,
        description="Further client properties of librdkafka (produce, relay, archive, audit).",
    )
    java: Properties = Field(default_factory=dict, repr=False, description="Further client properties of Java (Spark).")

    @model_validator(mode="before")
    @classmethod
    def full_names(cls, values: object) -> object:
        """Replace the short name of the password file."""
        return named_in_full(values) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def has_credentials(self) -> Self:
        """Require what the security protocol needs; what it does not need is ignored."""
        required: dict[str, object] = {}
        if self.uses_sasl:
            required["sasl_mechanism"] = self.sasl_mechanism
            required["sasl_username"] = self.sasl_username
            required["sasl_password or sasl_password_file"] = self.sasl_password or self.sasl_password_file
            if self.sasl_mechanism == "OAUTHBEARER":
                required["sasl_oauthbearer_token_endpoint_url"] = self.sasl_oauthbearer_token_endpoint_url
        if self.sasl_password is not None and self.sasl_password_file is not None:
            raise ValueError("sasl_password and sasl_password_file are both set; set one of them")
        if self.uses_tls and (self.ssl_certificate_location or self.ssl_key_location):
            required["ssl_certificate_location"] = self.ssl_certificate_location
            required["ssl_key_location"] = self.ssl_key_location
        if missing := [name for name, value in required.items() if not value]:
            raise ValueError(f"{self.security_protocol} requires {' and '.join(missing)}")
        names = [self.topic_name(topic) for topic in Topic]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two topics have the name {repeated}")
        return self

    @property
    def uses_sasl(self) -> bool:
        """Whether clients authenticate with SASL."""
        return self.security_protocol.startswith("SASL_")

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def is_customized(self) -> bool:
        """Whether any client property differs from those of an open broker."""
        return self.security_protocol != "PLAINTEXT" or bool(self.librdkafka) or bool(self.java)

    def topic_name(self, topic: Topic) -> str:
        """Return the name of a topic on this cluster."""
        return str(getattr(self, f"topic_{topic.name.lower()}") or f"{self.topic_prefix}{topic.value}")

    @property
    def group(self) -> str:
        """The consumer group of the relays; all other readers use its name too, without joining it."""
        return self.group_relay or f"{self.topic_prefix}fraudstream-relay"

    def password(self) -> str:
        """Return the SASL password, read from its file if it is in one; raises SettingsError."""
        if self.sasl_password_file is None:
            return self.sasl_password.get_secret_value() if self.sasl_password else ""
        return read_setting("sasl_password_file", self.sasl_password_file).rstrip("\r\n")


def read_setting(name: str, path: Path) -> str:
    """Read the file that a setting of Kafka names; raises SettingsError."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not text"
        raise SettingsError(
            f"the file of the setting kafka.{name} cannot be read: {reason}",
            where=str(path),
            remedy=f"correct FRAUDSTREAM_KAFKA_{name.upper()}, or the rights of the file",
        ) from e


def require_pem(name: str, path: Path) -> None:
    """Raise SettingsError if the file of a setting is not PEM; with OIDC, librdkafka would abort the process."""
    if "-----BEGIN " not in read_setting(name, path):
        raise SettingsError(
            f"the file of the setting kafka.{name} is not PEM",
            where=str(path),
            remedy="convert it, such as with `openssl x509 -inform der`, or name the file that is PEM",
        )
