"""The certificate authorities that this machine trusts, written as Java reads them; `jars` uses it when Java's fail."""

import hashlib
import ssl
import struct
from pathlib import Path
from typing import Final

# Of the JKS format (sun.security.provider.JavaKeyStore): a number, a version, the entries, a sum over the lot.
_MAGIC: Final = 0xFEEDFEED
_VERSION: Final = 2
_TRUSTED_CERTIFICATE: Final = 2
_WHITENER: Final = b"Mighty Aphrodite"

STORE_PASSWORD: Final = "changeit"  # noqa: S105 - Java's customary word; it guards public certificates against nothing


def write_trust_store(path: Path) -> int:
    """Write a Java key store (JKS) with the authorities that this Python trusts; returns how many there are.

    A Java of one's own (the wheel's, a tarball's) brings its own list, which lacks the authority that a company or a
    container added to the system's.
    """
    certificates = ssl.create_default_context().get_ca_certs(binary_form=True)
    content = struct.pack(">III", _MAGIC, _VERSION, len(certificates))
    for number, certificate in enumerate(certificates):
        content += struct.pack(">I", _TRUSTED_CERTIFICATE) + _text(f"authority {number}") + struct.pack(">Q", 0)
        content += _text("X.509") + struct.pack(">I", len(certificate)) + certificate
    # SHA-1 is the format's own; it finds accidents and is no protection.
    digest = hashlib.sha1(STORE_PASSWORD.encode("utf-16-be") + _WHITENER + content, usedforsecurity=False).digest()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content + digest)
    return len(certificates)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">H", len(encoded)) + encoded
