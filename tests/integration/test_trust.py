"""The trust store: what this Python trusts, as a real Java reads it."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from fraudstream.runtime.java import STORE_PASSWORD, Java, write_trust_store


def test_java_reads_every_authority_that_python_trusts(tmp_path: Path, java: Java) -> None:
    store = tmp_path / "new" / "trust.jks"
    count = write_trust_store(store)
    listed = subprocess.run(
        [
            *(java.executable, "-m", "java.base/sun.security.tools.keytool.Main", "-list"),
            *("-keystore", store, "-storepass", STORE_PASSWORD),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.count("trustedCertEntry") == count
    assert count == len(ssl.create_default_context().get_ca_certs())
