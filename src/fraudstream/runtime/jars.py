"""Downloads the jars of the broker and of Spark's Kafka connector from a Maven repository, and verifies them."""

import contextlib
import hashlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.request import urlopen

import orjson

from fraudstream.errors import JarsChanged, JarsMissing
from fraudstream.runtime.files import exclusive_lock, replace_json

SPARK_VERSION: Final = "4.2.0"
KAFKA_VERSION: Final = "4.2.0"
SCALA: Final = "2.13"

Report = Callable[[str], None]

PINS: Final = Path(__file__).with_name("jars.sha256")
REPOSITORY_VARIABLE: Final = "DEFAULT_ARTIFACT_REPOSITORY"
"""The variable with which Spark's resolver is given a mirror."""
MAVEN_CENTRAL: Final = "https://repo1.maven.org/maven2"

_LIST: Final = "jars.json"
_FETCH: Final = "run `fraudstream setup` (in a clone: `make setup`)"
_AT_ONCE: Final = 8
_TIMEOUT_SECONDS: Final = 30.0


class Pin(NamedTuple):
    """A jar of a set: its coordinates and its sha256."""

    coordinates: str
    sha256: str

    @property
    def name(self) -> str:
        """The name of its file in the cache."""
        group, artifact, version = self.coordinates.split(":")
        return f"{group}_{artifact}-{version}.jar"


@dataclass(frozen=True)
class JarSet:
    """The jars of one class path: what they are for, and their folder in the cache, another one for other jars.

    There are two: Spark's connector is built on Kafka's clients 3.9, the broker on 4.2.
    """

    name: str
    folder: str
    coordinates: tuple[str, ...]

    def directory(self, cache: Path) -> Path:
        """The folder of its jars."""
        return cache / "jars" / self.folder

    def pins(self, pins: Path) -> list[Pin]:
        """Read the pinned jars of this set, in the order of their names."""
        lines = (line.split() for line in pins.read_text().splitlines() if not line.startswith("#"))
        return sorted(Pin(coordinates, sha256) for sha256, name, coordinates in lines if name == self.name)


CONNECTOR: Final = JarSet(
    "connector",
    "connector-56d0fec0",
    tuple(f"org.apache.spark:{each}_{SCALA}:{SPARK_VERSION}" for each in ("spark-sql-kafka-0-10", "spark-avro")),
)
BROKER: Final = JarSet(
    "broker",
    "broker-9a233e9f",
    (
        f"org.apache.kafka:kafka_{SCALA}:{KAFKA_VERSION}",
        # Kafka's own tools (`kafka-topics` and the like), which `fraudstream kafka` runs.
        f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
        # The logging backend of Apache's own distribution of Kafka 4.2; without it nothing is logged.
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3",
    ),
)


@dataclass(frozen=True)
class Jars:
    """The class paths of Spark's Kafka connector and of the broker."""

    connector: tuple[Path, ...]
    broker: tuple[Path, ...]


def find_jars(cache: Path, pins: Path = PINS, *, reread: bool = False) -> Jars:
    """Find the jars in the cache; a file that has changed since it was last read is verified against its pinned sha256.

    `reread` verifies every file (50 MB; for `fraudstream doctor`).

    Raises:
        JarsMissing: A set was never fetched completely, or one of its files is missing or has another size.
        JarsChanged: The sha256 of a file is not the pinned one.
    """
    by_set = {jar_set.name: _present(jar_set, cache, pins, reread=reread) for jar_set in (CONNECTOR, BROKER)}
    connector, broker = by_set[CONNECTOR.name], by_set[BROKER.name]
    if connector is None or broker is None:
        missing = ", ".join(name for name, jars in by_set.items() if jars is None)
        raise JarsMissing(f"the jars are not in the cache: {missing}", where=str(cache), remedy=_FETCH)
    # Spark ships Scala's library, which Kafka 4 needs too.
    return Jars(connector, (*broker, *sorted((spark_home() / "jars").glob(f"scala-library-{SCALA}.*.jar"))))


def fetch_jars(cache: Path, report: Report, pins: Path = PINS) -> Jars:
    """Download the jars that are missing; safe to call from several processes.

    Raises:
        JarsMissing: One could not be downloaded; says why. The next try goes on with those that are missing.
        JarsChanged: The sha256 of a downloaded file is not the pinned one.
    """
    cache = cache.absolute()
    missing = [jar_set for jar_set in (CONNECTOR, BROKER) if _present(jar_set, cache, pins) is None]
    if missing:
        lock = cache / "jars.lock"
        with exclusive_lock(lock, wait=False) as is_locked:
            if not is_locked:
                report("another process is fetching the jars; waiting for it")
        with exclusive_lock(lock):
            for jar_set in missing:
                if _present(jar_set, cache, pins) is None:
                    _fetch(jar_set, cache, report, pins)
    return find_jars(cache, pins)


def _fetch(jar_set: JarSet, cache: Path, report: Report, pins: Path) -> None:
    folder, pinned = jar_set.directory(cache), jar_set.pins(pins)
    folder.mkdir(parents=True, exist_ok=True)
    report(f"{jar_set.name}: fetching {len(pinned)} jars from {os.environ.get(REPOSITORY_VARIABLE, MAVEN_CENTRAL)}")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for number, pin in enumerate(pool.map(partial(_fetch_jar, folder), pinned), 1):
            report(f"{jar_set.name}: {number} of {len(pinned)} fetched, last {pin.coordinates}")
    # Written last: without the list the folder counts as not fetched.
    entries = _entries(folder, {pin.name: pin.sha256 for pin in pinned})
    replace_json(folder / _LIST, {"jars": entries})
    report(f"{jar_set.name}: {len(pinned)} jars, {sum(each['bytes'] for each in entries) / 1e6:.0f} MB")


def _fetch_jar(folder: Path, pin: Pin) -> Pin:
    jar = folder / pin.name
    if _sha256(jar) != pin.sha256:  # else it is of an earlier try
        download(pin.coordinates, jar, pin.sha256)
    return pin


def download(coordinates: str, target: Path, sha256: str, ending: str = ".jar") -> None:
    """Download a file of a Maven repository and verify it: that of the coordinates which has this `ending`.

    Raises JarsMissing if it cannot be downloaded, JarsChanged if it is another one than expected.
    """
    group, artifact, version = coordinates.split(":")
    repository = os.environ.get(REPOSITORY_VARIABLE, MAVEN_CENTRAL).rstrip("/")
    url = f"{repository}/{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}{ending}"
    draft = target.with_name(f"{target.name}.part")
    try:
        with urlopen(url, timeout=_TIMEOUT_SECONDS) as source, draft.open("wb") as file:  # noqa: S310 - the user's choice
            shutil.copyfileobj(source, file)
    except (OSError, HTTPException) as e:
        raise JarsMissing(
            f"{coordinates} could not be fetched: {getattr(e, 'reason', None) or e}",
            where=url,
            remedy="check the network (behind a proxy: HTTPS_PROXY=…; for a mirror of Maven Central: "
            f"{REPOSITORY_VARIABLE}=URL; for an authority of your own: SSL_CERT_FILE=…), then " + _FETCH,
        ) from e
    if _sha256(draft) != sha256:
        draft.unlink()
        what = f"the sha256 of a fetched jar is not the pinned one: {target.name}"
        raise JarsChanged(what, where=url, remedy=f"see what that repository serves, then {_FETCH}")
    draft.replace(target)


def spark_home() -> Path:
    """Locate pyspark without importing it, which takes half a second; JarsMissing if it is not installed."""
    spark = importlib.util.find_spec("pyspark")
    if spark is None or spark.origin is None:
        raise JarsMissing("pyspark is not installed", remedy="install fraudstream as its README says")
    return Path(spark.origin).parent


def _entries(directory: Path, sums: Mapping[str, str]) -> list[dict[str, Any]]:
    """List the jars with size and modification time: while these are unchanged, no jar needs to be read again."""
    files = {name: (directory / name).stat() for name in sorted(sums)}
    return [
        {"name": name, "bytes": each.st_size, "mtime_ns": each.st_mtime_ns, "sha256": sums[name]}
        for name, each in files.items()
    ]


def _present(jar_set: JarSet, cache: Path, pins: Path, *, reread: bool = False) -> tuple[Path, ...] | None:
    directory = jar_set.directory(cache.absolute())
    pinned = {pin.name: pin.sha256 for pin in jar_set.pins(pins)}
    try:
        recorded = orjson.loads((directory / _LIST).read_bytes())["jars"]
        entries = _entries(directory, pinned)
    except (OSError, orjson.JSONDecodeError, KeyError):
        return None
    sizes = {each["name"]: each["bytes"] for each in recorded}
    if not entries or any(sizes.get(each["name"], each["bytes"]) != each["bytes"] for each in entries):
        return None
    jars = tuple(directory / each["name"] for each in entries)
    if recorded == entries and not reread:
        return jars
    for jar in jars:
        if _sha256(jar) != pinned[jar.name]:
            raise JarsChanged(
                "the sha256 of a jar is not the pinned one",
                where=str(jar),
                remedy=f"delete {directory}, then {_FETCH}",
            )
    with contextlib.suppress(OSError):  # a read-only cache
        replace_json(directory / _LIST, {"jars": entries})
    return jars


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
