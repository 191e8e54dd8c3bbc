"""Secures the bundled broker: its own certificate authority, a user for each command, and their rights."""

import datetime as dt
import ipaddress
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
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

from fraudstream.config import ENVIRONMENT_PREFIX
from fraudstream.errors import BrokerFailed
from fraudstream.kafka.client import Cluster, failure
from fraudstream.kafka.rights import REQUEST_SECONDS, RIGHTS, acls
from fraudstream.runtime.processes import LOOPBACK

ADMIN: Final = "admin"
"""A user that may do everything, for Kafka's own tools."""
USERS: Final = (ADMIN, *RIGHTS)

_SUBJECT: Final = "fraudstream-broker"
_MECHANISM: Final = "SCRAM-SHA-512"

OPEN: Final[Mapping[str, Any]] = {
    "security_protocol": "PLAINTEXT",
    "librdkafka": {},
    "java": {},
    # A single node has one replica of everything.
    "create_topics": True,
    "replication_factor": None,
    "min_insync_replicas": None,
}
"""The settings of the bundled broker where they are not the user's, by name."""

_LOGIN: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required"


@dataclass(frozen=True)
class SecureFolder:
    """The folder with the certificates, passwords and ready settings of a secured broker; only its owner reads it."""

    path: Path

    @property
    def ca(self) -> Path:
        """The certificate of the authority, which clients trust."""
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
            if any(self.path.iterdir()) and not (self.path / "ca.key").exists():  # which is written first
                raise BrokerFailed(
                    "this folder has other files", where=str(self.path), remedy="give --secure a folder of its own"
                )
            self.path.chmod(0o700)
            self._write_certificates()
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
        template = Path(__file__).with_name("secured.properties").read_text()
        general = template.format(mechanism=_MECHANISM, broker=self.broker, ca=self.ca, subject=_SUBJECT, admin=ADMIN)
        jaas = (f"listener.name.{name.lower()}.{_MECHANISM.lower()}.sasl.jaas.config={_LOGIN};\n" for name in listeners)
        return general + "".join(jaas)

    def security(self) -> dict[str, Any]:
        """Return the settings with which the broker connects to itself, by name."""
        files = {"ssl_ca_location": self.ca, "ssl_certificate_location": self.broker, "ssl_key_location": self.broker}
        return {**OPEN, **files, "security_protocol": "SSL"}

    def _settings(self, user: str, bootstrap_servers: str) -> str:
        settings = {
            "BOOTSTRAP_SERVERS": bootstrap_servers,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": _MECHANISM,
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD_FILE": str(self.password(user)),
            "KAFKA_SSL_CA_LOCATION": str(self.ca),
        }
        return "".join(f"{ENVIRONMENT_PREFIX}{name}={shlex.quote(value)}\n" for name, value in settings.items())

    def _properties(self, bootstrap_servers: str) -> str:
        password = self.password(ADMIN).read_text()
        return (
            f"# For Kafka's own tools: --bootstrap-server {bootstrap_servers} --command-config with this file.\n"
            f"security.protocol=SASL_SSL\nsasl.mechanism={_MECHANISM}\n"
            f'sasl.jaas.config={_LOGIN} username="{ADMIN}" password="{password}";\n'
            f"ssl.truststore.type=PEM\nssl.truststore.location={self.ca}\n"
        )

    def _write_certificates(self) -> None:
        authority_key = self.path / "ca.key"
        if not self.ca.exists() or not authority_key.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            name = _name("fraudstream's own certificate authority")
            authority = _certificate(name, name, key.public_key(), key, days=3_650, is_authority=True)
            _write(authority_key, _pem(key))
            _write(self.ca, authority.public_bytes(serialization.Encoding.PEM))
            self.broker.unlink(missing_ok=True)
        if self.broker.exists():
            current = x509.load_pem_x509_certificate(self.broker.read_bytes())
            if current.not_valid_after_utc - dt.datetime.now(dt.UTC) > dt.timedelta(days=30):
                return
        authority = x509.load_pem_x509_certificate(self.ca.read_bytes())
        signer = serialization.load_pem_private_key(authority_key.read_bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)  # noqa: S101 - written above
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(_name(_SUBJECT), authority.subject, key.public_key(), signer, days=365)
        _write(self.broker, certificate.public_bytes(serialization.Encoding.PEM) + _pem(key))


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    days: int,
    *,
    is_authority: bool = False,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A client's clock may be a little behind.
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if not is_authority:
        addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    # PKCS #8, the only format that Java reads.
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


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
        for request in (
            admin.alter_user_scram_credentials(credentials, request_timeout=REQUEST_SECONDS),
            admin.delete_acls(former, request_timeout=REQUEST_SECONDS),
            admin.create_acls(bindings, request_timeout=REQUEST_SECONDS),
        ):
            for future in request.values():
                future.result()
    except KafkaException as e:
        raise failure("cannot create the users", e, cluster, "ALTER", "the cluster") from e
