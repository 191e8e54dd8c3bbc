"""Shared fixtures of all levels: the Java and the jars of this machine, and a real broker for each worker."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
import structlog
from confluent_kafka.admin import NewTopic
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from jinja2 import FileSystemBytecodeCache
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from apps import create_app
from brokers import broker_plan, running_broker
from commands import Command
from dashboards import Clock, RunningDashboard, open_store, running_dashboard
from fraudstream.cli import main
from fraudstream.config import Settings
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.topics import open_admin
from fraudstream.runtime.jars import Jars, fetch_jars, operator_jar
from fraudstream.runtime.java import Java, find_java
from fraudstream.store.store import AlertStore

# A busy machine is slow and that is no defect. In CI the same examples each time: a new one is found locally, where
# it can be looked at, and not in the run of a change that has nothing to do with it.
settings.register_profile(
    "fraudstream",
    deadline=None,
    derandomize="CI" in os.environ,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow],
)
# Run by `make nightly`, over and above the tests that are marked so.
settings.register_profile("nightly", settings.get_profile("fraudstream"), derandomize=False, max_examples=300)
settings.load_profile("fraudstream")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def quick_jvms() -> Iterator[None]:
    """JVMs that live for seconds spend two fifths of their time in the second compiler, which pays after minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Templates are compiled once for the some hundred apps of a run, which spares each the tenth of a second."""
    compiled = FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "jinja_options", {"bytecode_cache": compiled})
        yield


@pytest.fixture(scope="session", autouse=True)
def prepared_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A new store begins as a copy of an empty one: its tables are made once for the some thousand stores of a run."""
    empty = tmp_path_factory.mktemp("store") / "empty.db"
    opening = AlertStore.open
    opening(f"sqlite:///{empty}").close()

    def open_copy(url: str, **options: Any) -> AlertStore:
        file = Path(url.removeprefix("sqlite:///"))
        if url.startswith("sqlite:////") and file.parent.is_dir() and not file.exists():
            shutil.copyfile(empty, file)
        return opening(url, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AlertStore, "open", open_copy)
        yield


@pytest.fixture(scope="session", autouse=True)
def loggers_are_not_cached() -> Iterator[None]:
    """A logger that one test's command has configured would keep its stream for all tests that follow."""
    configure = structlog.configure

    def without_cache(**settings: Any) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", without_cache)
        yield


@pytest.fixture(autouse=True)
def logging_is_restored() -> Iterator[None]:
    """What a command of the test has set up for the process ends with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def clock() -> Clock:
    """A clock that stands until a test moves it."""
    return Clock()


@pytest.fixture(scope="session")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Makes an empty store and its URL: a SQLite file in a folder, copied from one; `tests/postgres` has its own."""
    empty = tmp_path_factory.mktemp("empty") / "alerts.db"
    AlertStore.open(f"sqlite:///{empty}").close()
    return lambda folder: f"sqlite:///{copyfile(empty, folder / 'alerts.db')}"


@pytest.fixture
def store(tmp_path: Path, clock: Clock, store_url: Callable[[Path], str]) -> Iterator[AlertStore]:
    """An empty alert store."""
    with open_store(tmp_path, clock, url=store_url(tmp_path)) as store:
        yield store


@pytest.fixture
def client(store: AlertStore, clock: Clock) -> FlaskClient:
    """A client of the dashboard's app on that store."""
    return create_app(Settings(), store, clock=clock).test_client()


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[RunningDashboard]:
    """A dashboard in a process of its own, its store empty."""
    with running_dashboard(tmp_path) as running:
        yield running


@pytest.fixture
def run_here(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command to its end in this process, which spares each the second that a Python takes to import it."""

    def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["fraudstream", *map(str, arguments)])
        code = 0
        capfd.readouterr()
        try:
            main()
        except SystemExit as e:
            code = int(e.code or 0)
        output = capfd.readouterr()
        return subprocess.CompletedProcess(sys.argv, code, output.out, output.err)

    return run_here


@pytest.fixture(scope="session")
def cache() -> Path:
    """The project's real cache, which `make setup` fills."""
    return Settings.load().cache


@pytest.fixture(scope="session")
def java(cache: Path) -> Java:
    """The Java that the commands would take."""
    return find_java(None, cache, os.environ)


@pytest.fixture(scope="session")
def jars(cache: Path, java: Java) -> Jars:
    """The fetched jars and the history operator; fetches and compiles them where `make setup` was not run."""
    jars = fetch_jars(cache, java, lambda line: None)
    return replace(jars, connector=(*jars.connector, operator_jar(cache, java, lambda line: None)))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, java: Java, jars: Jars) -> Iterator[RunningBroker]:
    """A real Kafka on a free port with our five topics; tests that count records make topics of their own."""
    with running_broker(broker_plan(tmp_path_factory.mktemp("broker"), java, jars)) as running:
        yield running


@pytest.fixture(scope="session")
def cluster(broker: RunningBroker) -> Cluster:
    """That broker, as clients know it."""
    return Cluster(broker.bootstrap_servers)


@pytest.fixture(scope="session")
def new_topic(cluster: Cluster) -> Callable[..., str]:
    """Makes a topic that no other test knows: `new_topic(partitions=2, **{"max.message.bytes": "1024"})`."""
    numbers = itertools.count()

    def create(partitions: int = 1, **config: str) -> str:
        name = f"test-{next(numbers)}"
        admin = open_admin(cluster)
        admin.create_topics([NewTopic(name, num_partitions=partitions, config=config)])[name].result(timeout=30)
        return name

    return create


FOLDERS = ("e2e", "spark", "kafka", "browser", "postgres", "integration", "unit")
"""Of the tests, the dearest first: what is begun last must be short, or one worker ends long before the other."""
ON_ONE_WORKER = ("e2e", "spark", "kafka", "postgres")
"""Folders whose tests share a demo, a Spark session or a broker, which then is started by one worker alone."""


def _folder(path: str) -> str:
    """The folder of a test by its path from the project's root: of `tests/unit/test_x.py`, `unit`."""
    return path.split("/")[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by folder."""
    known = {folder: order for order, folder in enumerate(FOLDERS)}
    # `tests/postgres` has the tests of other folders again, but for those that are about a file.
    items[:] = [each for each in items if _folder(each.nodeid) != "postgres" or not each.get_closest_marker("sqlite")]
    items.sort(key=lambda item: known.get(_folder(item.nodeid), len(FOLDERS)))


class OneWorkerPerScope(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each file, and each of some folders, to one worker, in the order of collection.

    xdist's own `loadgroup` marks the ids of the tests, which pytest 9 computes anew.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = str(nodeid.split("::", 1)[0])
        return folder if (folder := _folder(path)) in ON_ONE_WORKER else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneWorkerPerScope:
    """How xdist deals the tests out to its workers."""
    config.option.loadscopereorder = False
    return OneWorkerPerScope(config, log)


REFUSE_SKIPS = "FRAUDSTREAM_TESTS_REFUSE_SKIPS"
MAY_SKIP = "needs ../shared"
_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note each test that was skipped for another reason than data that is not part of the project."""
    reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if report.skipped and (MAY_SKIP not in reason or SHARED.exists()):
        _skipped.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test fails the run: what is not run is not checked."""
    if os.environ.get(REFUSE_SKIPS) and _skipped and not hasattr(session.config, "workerinput"):
        sys.stderr.write("\n".join(("", "tests were skipped that must run:", *_skipped, "")))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
