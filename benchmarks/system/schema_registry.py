"""Runs a real schema registry, Apicurio with its in-memory store, for tests, chaos and benchmarks."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError

from fraudstream.config import Settings
from fraudstream.kafka.avro import AvroEncoder
from fraudstream.kafka.schema_registry import SchemaRegistry, subject_of
from fraudstream.runtime.files import exclusive_lock
from fraudstream.runtime.jars import spark_home
from fraudstream.runtime.java import STORE_PASSWORD, Java, write_trust_store
from fraudstream.runtime.processes import LOOPBACK, die_with_parent, free_port, wait_until
from fraudstream.transactions.data_source import DataSource
from fraudstream.transactions.wire import Topic

VERSION: Final = "3.0.9"
SHA256: Final = "2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43"
"""Of its archive on Maven Central: 109 MB, of the Apache licence 2.0."""

VARIABLE: Final = "FRAUDSTREAM_SCHEMA_REGISTRY"
START_SECONDS: Final = 180.0
_SETTINGS: Final = """<ivysettings><settings defaultResolver="central"/><caches defaultCacheDir="{cache}"/>
<resolvers><ibiblio name="central" m2compatible="true" usepoms="false"{root}/></resolvers></ivysettings>"""
_MODULE: Final = f"""<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">
<info organisation="fraudstream" module="tests"/><dependencies>
<dependency org="io.apicurio" name="apicurio-registry-app" rev="{VERSION}" transitive="false">
<artifact name="apicurio-registry-app" type="tar.gz" ext="tar.gz" m:classifier="all"/>
</dependency></dependencies></ivy-module>"""


def is_avro(environment: Mapping[str, str]) -> bool:
    """Whether `produce` is to send Avro."""
    return VARIABLE in environment


def avro_encoder(source: DataSource) -> AvroEncoder:
    """Make the encoder of `produce --avro` for a source, with the registry of this process's environment."""
    register = SchemaRegistry.of(Settings.load()).register
    numeric = dict(zip(source.columns, source.numeric, strict=True))
    return AvroEncoder(numeric, partial(register, subject_of(Topic.TRANSACTIONS)))


def fetch_registry(cache: Path, java: Java) -> Path:
    """Return the folder of the registry in the cache, fetched there with the resolver of the other jars if missing."""
    folder = cache.absolute() / "registry" / f"apicurio-{VERSION}"
    with exclusive_lock(cache / "registry.lock"):
        if not folder.exists():
            archive = _fetch(folder.with_name("ivy"), java)
            with archive.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != SHA256:
                raise SystemExit(f"{archive} has the sha256 {digest} and not the pinned one: delete it")
            draft = folder.with_suffix(".part")
            with tarfile.open(archive) as content:
                content.extractall(draft, filter="data")
            draft.rename(folder)
            shutil.rmtree(archive.parent)
    return folder


def _fetch(folder: Path, java: Java) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    mirror = os.environ.get("DEFAULT_ARTIFACT_REPOSITORY")
    settings = _SETTINGS.format(cache=folder, root=f' root="{mirror}"' if mirror else "")
    (folder / "settings.xml").write_text(settings)
    (folder / "ivy.xml").write_text(_MODULE)
    write_trust_store(folder / "trust.jks")
    command = [
        *(str(java.executable), f"-Djavax.net.ssl.trustStore={folder / 'trust.jks'}"),
        f"-Djavax.net.ssl.trustStorePassword={STORE_PASSWORD}",
        *("-cp", str(spark_home() / "jars" / "*"), "org.apache.ivy.Main"),
        *("-settings", str(folder / "settings.xml"), "-ivy", str(folder / "ivy.xml")),
        *("-retrieve", str(folder / "[artifact].[ext]")),
    ]
    with (folder / "log").open("w") as log:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
    return folder / "apicurio-registry-app.tar.gz"


@contextmanager
def running_registry(cache: Path, java: Java, log: Path) -> Iterator[str]:
    """Run a registry for the length of a `with` block; yields the URL of its API."""
    folder, port = fetch_registry(cache, java), free_port()
    command = [str(java.executable), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    command += ["-jar", str(next(folder.glob("*-runner.jar")))]
    environment = os.environ | {"QUARKUS_HTTP_HOST": LOOPBACK, "QUARKUS_HTTP_PORT": str(port)}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, preexec_fn=die_with_parent
        )
    url, pool = f"http://{LOOPBACK}:{port}/apis/ccompat/v7", urllib3.PoolManager(timeout=5.0, retries=False)

    def answers() -> bool:
        try:
            return process.poll() is not None or pool.request("GET", f"{url}/subjects").status == 200
        except HTTPError:
            return False

    try:
        if not wait_until(answers, START_SECONDS) or process.poll() is not None:
            raise SystemExit(f"the schema registry did not start: {log}")
        yield url
    finally:
        process.terminate()
        process.wait(30)
