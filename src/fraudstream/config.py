"""Loads the settings from flags, environment, `fraudstream.toml` and defaults, in this order of precedence."""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, Self

from pydantic import Field, IPvAnyNetwork, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from fraudstream.errors import SettingsError
from fraudstream.kafka_settings import KafkaSettings, Properties, named_in_full
from fraudstream.transactions.envelope import envelope_paths
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES

ENVIRONMENT_PREFIX = "FRAUDSTREAM_"
SETTINGS_FILE = "fraudstream.toml"


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fraudstream"


class Settings(BaseSettings):
    """All settings with their defaults; each field is also `FRAUDSTREAM_<NAME>` and a key of `fraudstream.toml`."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        toml_file=SETTINGS_FILE,
        frozen=True,
        extra="forbid",
        # The input of the table `kafka` has the password.
        hide_input_in_errors=True,
    )

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka's bootstrap servers, comma-separated.")
    models: Path = Field(Path("models"), description="Directory of the model artifacts and of `current`.")
    model: Path = Field(Path("models/current"), description="The model: its id, name or tag, `current`, or a path.")
    checkpoint: Path = Field(Path("checkpoint"), description="Directory of the detector's checkpoint.")
    archive: Path = Field(Path("archive"), description="Directory of the archive of transactions.")
    profiles: Path = Field(Path("profiles"), description="Directory of the daily profiles of entities.")
    database: str = Field(
        "sqlite:///alerts.db",
        description="URL of the alert store: sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE.",
    )
    api: str = Field("http://127.0.0.1:5000", description="The dashboard that the relay posts to.")
    schema_registry: str | None = Field(
        None,
        pattern=r"^https?://[^@\s]+$",
        description="URL of a schema registry with Confluent's API, to read Avro records and for `produce --avro`.",
    )
    schema_registry_user: str | None = Field(None, description="User name, or API key, at the schema registry.")
    schema_registry_password: SecretStr | None = Field(None, description="Password, or API secret, of that user.")
    schema_registry_ca: Path | None = Field(
        None, description="PEM file with the authorities to trust at the schema registry; by default the system's."
    )
    relay_id: str | None = Field(
        None,
        pattern="^[A-Za-z0-9._-]{1,249}$",
        description="Name of this relay, different from that of every other and the same after a restart; by default "
        "the host's name.",
    )
    host: str = Field("127.0.0.1", description="Address that the dashboard binds to.")
    port: int = Field(5000, ge=0, le=65535, description="Port of the dashboard.")
    public_hosts: tuple[str, ...] = Field(
        (), description="Host names, besides its own address, at which the dashboard is reachable (JSON list)."
    )
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = Field(
        (),
        description="Addresses or networks of the proxies whose X-Forwarded-For, -Proto, -Host and -Prefix headers are "
        "trusted, comma-separated; no others are.",
    )
    ingest_token: SecretStr | None = Field(
        None, description="Token that a relay must present to post: 16 characters or more; requires read_token."
    )
    read_token: SecretStr | None = Field(
        None, description="Token that a reader must present: 16 characters or more; requires ingest_token."
    )
    card_columns: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Columns that contain card numbers, besides those that look or are named like one, "
        "comma-separated: relay, archive and dashboard mask them before anything is stored (give all the same).",
    )
    entity_key: Path = Field(
        Path("entity.key"),
        description="File with the key of which the ids of card numbers are made; created at first use, and secret.",
    )
    currency: str | None = Field(
        None, pattern="^[A-Z]{3}$", description="Currency of the amounts, shown beside them on pages, such as EUR."
    )
    explain_alerts: bool = Field(True, description="Whether the dashboard computes the reasons for alerts.")
    partitions: int = Field(2, ge=1, description="Partitions of the input topic when it is created.")
    max_record_bytes: int = Field(
        DEFAULT_MAX_RECORD_BYTES, ge=1024, description="Largest transaction in bytes; larger ones are dead letters."
    )
    envelope: str = Field(
        "",
        description="Where the transaction is in a record: debezium, cloudevents, or a path such as payload.after or "
        "notificationItems[].item; by default the record is the transaction.",
    )
    sample_every: int = Field(256, ge=1, description="Sample one transaction in this many (and one a second).")
    batch_interval: str = Field("2 minutes", description="Checkpoint interval of Real-time Mode.")
    micro_batch_interval: str = Field("200 milliseconds", description="Trigger interval of micro-batch mode.")
    driver_memory: str = Field(
        "2g",
        pattern="^[1-9][0-9]{0,9}[kmgtKMGT]$",
        description='Heap of Spark\'s JVM in Java\'s notation: "2g", "512m".',
    )
    spark_master: str | None = Field(None, description="Spark master; by default local with enough task slots.")
    java_home: Path | None = Field(None, description="A Java 17+ to use instead of the detected one.")
    cache: Path = Field(default_factory=_default_cache, description="Directory of the jars and of Spark's logs.")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Minimum level that is logged.")
    ready_file: Path | None = Field(None, description="File that a service writes when it is ready (used by demo).")
    kafka: KafkaSettings = Field(
        default_factory=KafkaSettings, description="Security, names and creation of topics: a table, see below."
    )
    spark: Properties = Field(
        default_factory=dict, description="Any of Spark's own properties, such as spark.executor.memory: a table."
    )

    @field_validator("envelope")
    @classmethod
    def is_an_envelope(cls, value: str) -> str:
        """Validate the envelope."""
        envelope_paths(value)
        return value

    @field_validator("card_columns", "trusted_proxies", mode="before")
    @classmethod
    def split_at_commas(cls, value: object) -> object:
        """Split a comma-separated value, as in the environment; leave a list, as in the file."""
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: flags, environment, file; no `.env` and no secrets directory."""
        return init_settings, _Environment(settings_cls), TomlConfigSettingsSource(settings_cls)

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Load the settings; a flag that is None counts as not set. Raises SettingsError, which names the setting."""
        settings, errors = cls.load_with_errors(**flags)
        if settings is None or errors:
            raise errors[0]
        return settings

    @classmethod
    def load_with_errors(cls, **flags: Any) -> tuple[Self | None, list[SettingsError]]:
        """Load the settings, with all that is wrong with them; None if they cannot be used."""
        overrides = {name: value for name, value in flags.items() if value is not None}
        errors = [_unknown(name, "the environment", variables()) for name in unknown_variables(os.environ)]
        try:
            return cls(**overrides), errors
        except ValidationError as e:
            errors += map(_invalid, e.errors())
        except TOMLDecodeError as e:
            errors.append(SettingsError(f"it is not TOML: {e}", where=SETTINGS_FILE, remedy="correct the file"))
        except SourceError as e:
            errors.append(SettingsError(str(e), where="the environment", remedy="write its value as JSON"))
        return None, errors

    def with_defaults(self, **defaults: Any) -> Self:
        """Copy the settings with other defaults for what is set by neither flag, environment nor file."""
        return self.model_copy(update={k: v for k, v in defaults.items() if k not in self.model_fields_set})


class _Environment(EnvSettingsSource):
    """Reads nested names for `kafka` alone: `FRAUDSTREAM_SPARK_MASTER` is no key of the table `spark`."""

    def explode_env_vars(self, field_name: str, field: FieldInfo, env_vars: Mapping[str, str | None]) -> dict[str, Any]:
        # In full before it is merged with the file, which may use the other name.
        return named_in_full(super().explode_env_vars(field_name, field, env_vars)) if field_name == "kafka" else {}


def variables() -> list[str]:
    """List the environment variables that are settings."""
    names = [*Settings.model_fields, *(f"kafka_{name}" for name in KafkaSettings.model_fields), "kafka_password_file"]
    return [f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in names]


def unknown_variables(environ: Iterable[str]) -> list[str]:
    """List the variables with our prefix that are no settings, such as misspelled ones."""
    known, of_the_tests = set(variables()), f"{ENVIRONMENT_PREFIX}TESTS_"
    ours = (name for name in environ if name.upper().startswith(ENVIRONMENT_PREFIX))
    return sorted(name for name in ours if name.upper() not in known and not name.startswith(of_the_tests))


def _invalid(error: ErrorDetails) -> SettingsError:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = [f"kafka.{each}" for each in KafkaSettings.model_fields] + list(Settings.model_fields)
        return _unknown(name, SETTINGS_FILE, known)
    return SettingsError(
        f"setting {name!r} cannot be used: {error['msg'].removeprefix('Value error, ')}",
        where=f"flag, {ENVIRONMENT_PREFIX}{name.replace('.', '_').upper()} or {SETTINGS_FILE}",
        remedy="correct it, or omit it to use the default",
    )


def _unknown(name: str, where: str, known: Iterable[str]) -> SettingsError:
    nearest = difflib.get_close_matches(name, list(known), 1, 0.5)
    return SettingsError(
        f"there is no setting {name}",
        where=where,
        remedy=f"did you mean {nearest[0]}?" if nearest else "docs/reference.md lists the settings; remove it",
    )
