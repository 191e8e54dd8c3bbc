"""The jars: fetched once by Spark's real resolver, here from a Maven repository in a folder in place of the network."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from fraudstream.errors import JarsChanged, JarsMissing
from fraudstream.runtime.jars import BROKER, CONNECTOR, PINS, SPARK_VERSION, fetch_jars, find_jars
from fraudstream.runtime.java import Java

POM = """<project><modelVersion>4.0.0</modelVersion>
<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></project>"""


def publish(repository: Path, coordinate: str) -> None:
    """Put an empty jar and its description into a Maven repository, with the sums that the resolver checks."""
    group, artifact, version = coordinate.split(":")
    folder = repository.joinpath(*group.split("."), artifact, version)
    folder.mkdir(parents=True)
    stem = folder / f"{artifact}-{version}"
    pom, jar = stem.with_name(stem.name + ".pom"), stem.with_name(stem.name + ".jar")
    pom.write_text(POM.format(group=group, artifact=artifact, version=version))
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
    for path in (pom, jar):
        sha1 = hashlib.sha1(path.read_bytes()).hexdigest()
        path.with_name(path.name + ".sha1").write_text(sha1)


def publish_all(repository: Path) -> str:
    """A repository with all that is asked for, and its pins beside it; returns its address."""
    pins = []
    for requirement in (CONNECTOR, BROKER):
        for coordinate in requirement.coordinates:
            publish(repository, coordinate)
            group, artifact, version = coordinate.split(":")
            (jar,) = (repository.joinpath(*group.split(".")) / artifact / version).glob("*.jar")
            sha256 = hashlib.sha256(jar.read_bytes()).hexdigest()
            pins.append(f"{sha256}  {requirement.name}/{group}_{artifact}-{version}.jar\n")
    pins_of(repository).write_text("".join(pins))
    return repository.as_uri() + "/"


def pins_of(repository: Path) -> Path:
    return repository.with_name("pins.sha256")


@dataclass(frozen=True)
class Fetch:
    """A cache that two threads filled at once, what they reported, and where they fetched from (now gone)."""

    cache: Path
    lines: list[str]
    pins: Path


@pytest.fixture(scope="session")
def fetch(tmp_path_factory: pytest.TempPathFactory, java: Java) -> Fetch:
    folder = tmp_path_factory.mktemp("jars")
    fetcher = Fetch(folder / "cache", [], pins_of(folder / "repository"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEFAULT_ARTIFACT_REPOSITORY", publish_all(folder / "repository"))
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(fetch_jars, fetcher.cache, java, fetcher.lines.append, fetcher.pins) for _ in range(2)]
            assert both[0].result() == both[1].result()
    shutil.rmtree(folder / "repository")
    return fetcher


@pytest.fixture
def fetched(tmp_path: Path, fetch: Fetch) -> Path:
    """A copy of the filled cache."""
    return shutil.copytree(fetch.cache, tmp_path / "cache")


def test_the_coordinates_are_those_of_the_installed_spark() -> None:
    assert importlib.metadata.version("pyspark") == SPARK_VERSION


def test_an_empty_cache_is_said_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(JarsMissing, match="connector, broker") as missing:
        find_jars(tmp_path)
    assert "fraudstream setup" in missing.value.remedy


@pytest.mark.spark
def test_both_sets_are_fetched_apart_and_named_as_they_come(fetch: Fetch) -> None:
    jars = find_jars(fetch.cache, fetch.pins)
    assert [jar.name for jar in jars.connector] == [
        f"org.apache.spark_spark-{name}_2.13-{SPARK_VERSION}.jar" for name in ("avro", "sql-kafka-0-10")
    ]
    assert [jar.name.partition("-")[0] for jar in jars.broker] == [
        "org.apache.kafka_kafka",
        "org.apache.kafka_kafka_2.13",
        "org.apache.logging.log4j_log4j",
        "scala",
    ]
    assert any("of 3 fetched" in line for line in fetch.lines)
    assert "broker: 3 jars, 0 MB" in fetch.lines


@pytest.mark.spark
def test_two_that_fetch_at_once_do_the_work_once(fetch: Fetch) -> None:
    assert sum(line.startswith("connector: resolving") for line in fetch.lines) == 1
    assert sum(line.startswith("broker: resolving") for line in fetch.lines) == 1


@pytest.mark.spark
def test_a_full_cache_serves_without_repository_or_java(fetched: Path, fetch: Fetch) -> None:
    def unexpected(line: str) -> None:
        pytest.fail(f"it fetched again: {line}")

    jars = fetch_jars(fetched, Java(Path("/nowhere"), 17, "PATH"), unexpected, fetch.pins)
    assert jars == find_jars(fetched, fetch.pins)


@pytest.mark.spark
def test_a_jar_that_was_cut_short_is_missing(fetched: Path, fetch: Fetch) -> None:
    jar = find_jars(fetched, fetch.pins).broker[0]
    jar.write_bytes(jar.read_bytes()[:-1])
    with pytest.raises(JarsMissing, match="broker"):
        find_jars(fetched, fetch.pins)


@pytest.mark.spark
def test_a_jar_whose_content_was_changed_is_refused_and_named(fetched: Path, fetch: Fetch) -> None:
    jar = find_jars(fetched, fetch.pins).connector[0]
    was = jar.stat()
    jar.write_bytes(b"?" + jar.read_bytes()[1:])
    os.utime(jar, ns=(was.st_atime_ns, was.st_mtime_ns))  # as if nobody had touched it
    with pytest.raises(JarsChanged, match="sha256") as error:
        find_jars(fetched, fetch.pins)
    assert error.value.where == str(jar)
    assert "fraudstream setup" in error.value.remedy


@pytest.mark.spark
def test_a_repository_that_serves_another_jar_is_refused(
    tmp_path: Path, java: Java, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEFAULT_ARTIFACT_REPOSITORY", publish_all(tmp_path / "repository"))
    # The pins of the release, and a repository with empty jars under the same names.
    with pytest.raises(JarsChanged, match="sha256 of a fetched jar") as error:
        fetch_jars(tmp_path / "cache", java, lambda line: None)
    assert "fraudstream setup" in error.value.remedy
    with pytest.raises(JarsMissing):
        find_jars(tmp_path / "cache")


def test_the_pins_are_of_the_releases_that_are_asked_for() -> None:
    names = [line.split()[1] for line in PINS.read_text().splitlines()]
    for requirement in (CONNECTOR, BROKER):
        for coordinate in requirement.coordinates:
            group, artifact, version = coordinate.split(":")
            assert f"{requirement.name}/{group}_{artifact}-{version}.jar" in names


@pytest.mark.spark
@pytest.mark.nightly
def test_what_an_interrupted_fetch_left_behind_does_not_hinder_the_next(
    tmp_path: Path, java: Java, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEFAULT_ARTIFACT_REPOSITORY", publish_all(tmp_path / "repository"))
    group, artifact, version = CONNECTOR.coordinates[0].split(":")
    half = tmp_path / "cache" / "ivy" / "connector" / "cache" / group / artifact
    half.mkdir(parents=True)
    (half / f"ivy-{version}.xml").write_text("<ivy-module version=")
    (half / f"ivydata-{version}.properties").write_text("resolver=central\n")
    unfinished = CONNECTOR.directory(tmp_path / "cache")
    unfinished.mkdir(parents=True)
    (unfinished / "some.jar").write_bytes(b"half")
    pins = pins_of(tmp_path / "repository")
    assert len(fetch_jars(tmp_path / "cache", java, lambda line: None, pins).connector) == len(CONNECTOR.coordinates)


@pytest.mark.spark
def test_a_fetch_that_fails_says_why_and_what_to_do(
    tmp_path: Path, java: Java, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEFAULT_ARTIFACT_REPOSITORY", (tmp_path / "nothing").as_uri() + "/")
    # No proxy listens there: the resolver's second repository, on the network, stays out of reach.
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=1")
    with pytest.raises(JarsMissing, match="could not be fetched: ") as failed:
        fetch_jars(tmp_path / "cache", java, lambda line: None)
    assert "unresolved dependency" in failed.value.what
    assert "proxy" in failed.value.remedy
    assert "fraudstream setup" in failed.value.remedy
