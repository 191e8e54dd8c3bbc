"""A trust store for Java with the authorities that this Python trusts, for `spark-submit --packages`."""

from __future__ import annotations

import hashlib
import ssl
import struct
from pathlib import Path
from typing import Final

# The JKS format (sun.security.provider.JavaKeyStore): a magic number, a version, the entries, a digest over all.
_MAGIC: Final = 0xFEEDFEED
_VERSION: Final = 2
_TRUSTED_CERTIFICATE: Final = 2
_WHITENER: Final = b"Mighty Aphrodite"

STORE_PASSWORD: Final = "changeit"


def write_trust_store(path: Path) -> int:
    """Write a Java key store (JKS) with the certificate authorities that this Python trusts; return their number.

    A bundled Java (from the wheel or a tarball) has its own list, which lacks the authorities that a company or a
    container added to the system's.
    """
    certificates = ssl.create_default_context().get_ca_certs(binary_form=True)
    content = struct.pack(">III", _MAGIC, _VERSION, len(certificates))
    for number, certificate in enumerate(certificates):
        content += struct.pack(">I", _TRUSTED_CERTIFICATE) + _text(f"authority {number}") + struct.pack(">Q", 0)
        content += _text("X.509") + struct.pack(">I", len(certificate)) + certificate
    # SHA-1 is part of the format; it detects accidental damage only.
    digest = hashlib.sha1(STORE_PASSWORD.encode("utf-16-be") + _WHITENER + content, usedforsecurity=False).digest()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content + digest)
    return len(certificates)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">H", len(encoded)) + encoded
