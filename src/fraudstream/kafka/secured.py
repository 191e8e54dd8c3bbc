"""Secures the bundled broker: its own certificate, a user for each command, and their rights."""

import datetime as dt
import ipaddress
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fraudstream.errors import BrokerFailed
from fraudstream.kafka.client import Cluster, failure
from fraudstream.kafka.rights import REQUEST_SECONDS, RIGHTS, acls
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.runtime.processes import LOOPBACK

ADMIN: Final = "admin"
"""A user that may do everything, for Kafka's own tools."""
USERS: Final = (ADMIN, *RIGHTS)

_SUBJECT: Final = "fraudstream-broker"
_MECHANISM: Final = "SCRAM-SHA-512"

OPEN: Final[Mapping[str, Any]] = KafkaSettings().model_dump(
    include={"security_protocol", "librdkafka", "java", "create_topics", "replication_factor", "min_insync_replicas"}
)
"""The settings of the bundled broker where they are not the user's, by name; it has one replica of everything."""

_LOGIN: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required"


@dataclass(frozen=True)
class SecureFolder:
    """The folder with the certificate, passwords and ready settings of a secured broker; only its owner reads it."""

    path: Path

    @property
    def ca(self) -> Path:
        """The broker's certificate, which signs itself, for clients to trust."""
        return self.path / "ca.pem"

    @property
    def broker(self) -> Path:
        """The broker's certificate and key."""
        return self.path / "broker.pem"

    def password(self, user: str) -> Path:
        """The file with the password of a user."""
        return self.path / f"{user}.password"

    def environment(self, user: str) -> Path:
        """The file with the settings of a user, as environment variables."""
        return self.path / f"{user}.env"

    def prepare(self, bootstrap_servers: str) -> None:
        """Write what is missing or expires soon, and the settings of each user for this address."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(self.path.iterdir()) and not self.ca.exists():  # which is written first
                raise BrokerFailed(
                    "this folder has other files", where=str(self.path), remedy="give --secure a folder of its own"
                )
            self.path.chmod(0o700)
            self._write_certificate()
            for user in USERS:
                if not self.password(user).exists():
                    _write(self.password(user), secrets.token_urlsafe(24).encode())
                _write(self.environment(user), self._settings(user, bootstrap_servers).encode())
            _write(self.path / f"{ADMIN}.properties", self._properties(bootstrap_servers).encode())
        except OSError as e:
            raise BrokerFailed(
                f"cannot write the certificates and passwords: {e.strerror}",
                where=str(e.filename or self.path),
                remedy="give --secure a folder that you own",
            ) from e

    def server_properties(self, listeners: list[str]) -> str:
        """Build the broker's properties for its listeners for clients, by name."""
        files = {"broker": self.broker, "ca": self.ca}
        general = _filled("secured.properties", mechanism=_MECHANISM, subject=_SUBJECT, admin=ADMIN, **files)
        jaas = (f"listener.name.{name.lower()}.{_MECHANISM.lower()}.sasl.jaas.config={_LOGIN};\n" for name in listeners)
        return general + "".join(jaas)

    def security(self) -> dict[str, Any]:
        """Return the settings with which the broker connects to itself, by name."""
        files = {"ssl_ca_location": self.ca, "ssl_certificate_location": self.broker, "ssl_key_location": self.broker}
        return {**OPEN, **files, "security_protocol": "SSL"}

    def _settings(self, user: str, bootstrap_servers: str) -> str:
        files = {"password_file": shlex.quote(str(self.password(user))), "ca": shlex.quote(str(self.ca))}
        return _filled("secured_user.env", servers=bootstrap_servers, mechanism=_MECHANISM, user=user, **files)

    def _properties(self, bootstrap_servers: str) -> str:
        login = {"login": _LOGIN, "user": ADMIN, "password": self.password(ADMIN).read_text(), "ca": self.ca}
        return _filled("secured_admin.properties", servers=bootstrap_servers, mechanism=_MECHANISM, **login)

    def _write_certificate(self) -> None:
        now = dt.datetime.now(dt.UTC)
        if self.broker.exists():
            current = x509.load_pem_x509_certificate(self.broker.read_bytes())
            if current.not_valid_after_utc - now > dt.timedelta(days=30):
                return
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _SUBJECT)])
        addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        # A client's clock may be a little behind.
        begin, end = now - dt.timedelta(hours=1), now + dt.timedelta(days=3_650)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin, end)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )
        # PKCS #8, the only format that Java reads.
        form, encryption = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        _write(self.ca, certificate)
        _write(self.broker, certificate + key.private_bytes(serialization.Encoding.PEM, form, encryption))
        (self.path / "ca.key").unlink(missing_ok=True)  # of the authority of an earlier release


def _filled(template: str, **values: object) -> str:
    return Path(__file__).with_name(template).read_text().format(**values)


def _write(path: Path, content: bytes) -> None:
    path.touch(0o600)
    path.chmod(0o600)
    path.write_bytes(content)


def admit_users(admin: AdminClient, folder: SecureFolder, cluster: Cluster) -> None:
    """Create the users with their passwords, and the rights of each; raises KafkaFailure.

    Through the broker, not when its storage is formatted: a command's arguments are visible to everyone.
    """
    credentials: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(
            user,
            ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, iterations=4_096),
            folder.password(user).read_bytes(),
        )
        for user in USERS
    ]
    bindings = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{command}", "*", operation, AclPermissionType.ALLOW)
        for command in RIGHTS
        for kind, name, operation in acls(cluster, command)
    ]
    anything: Any = None
    kind, pattern, permission = ResourceType.ANY, ResourcePatternType.ANY, AclPermissionType.ANY
    former = [
        AclBindingFilter(kind, anything, pattern, f"User:{user}", anything, AclOperation.ANY, permission)
        for user in USERS
    ]
    try:
        # Rights of another prefix, or of a release that needed others, are removed first.
        # One after the other: new rights must not be among those that are removed.
        for request in (
            partial(admin.alter_user_scram_credentials, credentials),
            partial(admin.delete_acls, former),
            partial(admin.create_acls, bindings),
        ):
            for future in request(request_timeout=REQUEST_SECONDS).values():
                future.result()
    except KafkaException as e:
        raise failure("cannot create the users", e, cluster, "ALTER", "the cluster") from e
