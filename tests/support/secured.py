"""The cluster of a secured broker as one of its users sees it, and a certificate."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fraudstream.kafka.client import Cluster
from fraudstream.kafka.secured import SecureFolder
from fraudstream.kafka_settings import KafkaSettings


def cluster_of(folder: SecureFolder, user: str, **other: object) -> Cluster:
    """By the file of settings that a person would source; `other` are further settings, or other values."""
    settings = dict(line.split("=", 1) for line in shlex.split(folder.environment(user).read_text()))
    address = settings.pop("FRAUDSTREAM_BOOTSTRAP_SERVERS")
    named = {name.removeprefix("FRAUDSTREAM_KAFKA_").lower(): value for name, value in settings.items()}
    return Cluster(address, KafkaSettings.model_validate(named | other))


def certificate(folder: Path, days: int) -> tuple[Path, Path]:
    """A self-signed certificate that ends in so many days, and its key."""
    files, key = (folder / "certificate.pem", folder / "key.pem"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    end = datetime.now(UTC) + timedelta(days=days)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = builder.not_valid_before(end - timedelta(days=400)).not_valid_after(end).sign(key, hashes.SHA256())
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
