"""`fraudstream doctor` on real misconfigurations: each is named with its remedy, and the exit code is 1."""

from __future__ import annotations

import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine

from dashboards import running_dashboard
from fraudstream.cli.entry import cli
from fraudstream.config import Settings
from fraudstream.doctor.machine import Check, machine_checks
from fraudstream.doctor.services import examine, service_checks
from fraudstream.runtime.processes import LOOPBACK, free_port
from fraudstream.store.store import AlertStore
from saved_models import deployed_linear_model
from secured import certificate

TOKENS = {"FRAUDSTREAM_READ_TOKEN": "r" * 24, "FRAUDSTREAM_INGEST_TOKEN": "i" * 24}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no setting but those of the test."""
    for name in [name for name in os.environ if name.startswith("FRAUDSTREAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def doctor(*arguments: object) -> list[dict[str, Any]]:
    """Run the command; returns its checks, whose result its exit code tells."""
    result = CliRunner().invoke(cli, ["doctor", "--json", *map(str, arguments)])
    report = orjson.loads(result.stdout)
    checks: list[dict[str, Any]] = report["checks"]
    assert report["ok"] == all(check["ok"] for check in checks)
    assert result.exit_code == (0 if report["ok"] else 1)
    return checks


def only_failure(*arguments: object) -> dict[str, Any]:
    """Run the command; returns the one check that fails."""
    (failed,) = [check for check in doctor(*arguments) if not check["ok"]]
    assert failed["state"] == "failed"
    assert failed["remedy"]
    return failed


@contextmanager
def tls_port(folder: Path) -> Iterator[int]:
    """A port where a server expects TLS, as a secured broker does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder, 365))
    server = socket.create_server((LOOPBACK, 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def test_on_a_laptop_before_the_first_start_nothing_is_missing() -> None:
    checks = {check["name"]: check for check in doctor()}
    assert [name for name, check in checks.items() if not check["ok"]] == []
    assert checks["model"]["state"] == "note"
    assert "fraudstream train" in checks["model"]["remedy"]
    assert checks["alert store"]["detail"].endswith("will be created by `dashboard`")
    assert os.listdir() == []


def test_a_secured_kafka_without_settings_is_found(folder: Path) -> None:
    with tls_port(folder) as port:
        failed = only_failure("--bootstrap-servers", f"{LOOPBACK}:{port}")
    assert failed["name"] == "Kafka"
    assert "FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL" in failed["remedy"]


def test_a_dead_kafka_is_found() -> None:
    failed = only_failure("--bootstrap-servers", f"{LOOPBACK}:{free_port()}")
    assert failed["name"] == "Kafka"
    assert "connection refused" in failed["detail"]
    assert "fraudstream broker" in failed["remedy"]


def test_a_database_without_a_server_is_found() -> None:
    failed = only_failure("--database", f"postgresql+psycopg://user:secret@{LOOPBACK}:{free_port()}/alerts")
    assert failed["name"] == "alert store"
    assert "refused" in failed["detail"]
    assert "secret" not in failed["detail"]
    assert "that the server is up" in failed["remedy"]


def test_a_dead_spark_master_is_found() -> None:
    failed = only_failure("--spark-master", f"spark://{LOOPBACK}:{free_port()}")
    assert failed["name"] == "Spark master"
    assert "--spark-master" in failed["remedy"]


def test_a_public_host_without_tokens_is_found() -> None:
    failed = only_failure("--host", "0.0.0.0")
    assert failed["name"] == "tokens"
    assert "FRAUDSTREAM_INGEST_TOKEN" in failed["remedy"]


def test_short_tokens_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TOKENS:
        monkeypatch.setenv(name, "short")
    assert "16 characters" in only_failure()["detail"]


def test_a_dead_dashboard_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_API", f"http://{LOOPBACK}:{free_port()}")
    failed = only_failure()
    assert failed["name"] == "dashboard"
    assert "fraudstream dashboard" in failed["remedy"]


def test_a_heap_larger_than_the_memory_is_found() -> None:
    failed = only_failure("--driver-memory", "200g")
    assert failed["name"] == "heap"
    assert re.search(r"FRAUDSTREAM_DRIVER_MEMORY to \d+m", failed["remedy"])


@pytest.mark.parametrize("name", ["checkpoint", "archive"])
def test_a_directory_where_nothing_can_be_written_is_found(name: str, folder: Path) -> None:
    (folder / "file").touch()
    for path in (folder / "file" / name, Path("/proc") / name):
        failed = only_failure(f"--{name}", path)
        assert failed["name"] == name
        assert f"FRAUDSTREAM_{name.upper()}" in failed["remedy"]


def test_unknown_settings_are_found_and_the_machine_is_checked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_BOOTSTRAP_SERVER", "kafka:9092")
    (folder / "fraudstream.toml").write_text('[kafka]\nsasl_usrname = "u"\nsasl_mechanism = "GSSAPI"\n')
    checks = doctor()
    variable, key, kerberos = [check for check in checks if not check["ok"]]
    assert variable["name"] == key["name"] == kerberos["name"] == "settings"
    assert variable["remedy"] == "did you mean FRAUDSTREAM_BOOTSTRAP_SERVERS?"
    assert "Kerberos" in key["detail"] + kerberos["detail"]
    assert "did you mean kafka.sasl_username?" in (key["remedy"], kerberos["remedy"])
    names = {check["name"] for check in checks}
    assert "disk" in names
    assert "Kafka" not in names  # whose address is not known


def test_an_unknown_variable_is_found_and_the_rest_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_BOOTSTRAP_SERVER", "kafka:9092")
    failed = only_failure()
    assert failed["remedy"] == "did you mean FRAUDSTREAM_BOOTSTRAP_SERVERS?"
    assert {"Kafka", "model", "disk"} <= {check["name"] for check in doctor()}


def test_no_model_is_found(folder: Path) -> None:
    failed = only_failure("--model", folder / "models" / "current")
    assert failed["name"] == "model"
    assert "fraudstream train" in failed["remedy"]


def test_a_configured_machine_with_all_that_it_names_is_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, token in TOKENS.items():
        monkeypatch.setenv(name, token)
    model = deployed_linear_model(folder / "models")
    with running_dashboard(folder, model) as dashboard, socket.create_server((LOOPBACK, 0)) as master:
        arguments = (
            *("--api", f"http://{LOOPBACK}:{dashboard.port}", "--model", model, "--host", "0.0.0.0"),
            *("--spark-master", f"spark://{LOOPBACK}:{master.getsockname()[1]}", "--checkpoint", folder / "checkpoint"),
        )
        checks = {check["name"]: check for check in doctor(*arguments)}
        monkeypatch.setenv("FRAUDSTREAM_INGEST_TOKEN", "x" * 24)
        refused = only_failure(*arguments)
    of_services = ("dashboard", "clock", "read_token", "ingest_token", "model", "alert store", "Spark master", "tokens")
    assert {name: checks[name]["state"] for name in of_services} == dict.fromkeys(of_services, "ok")
    assert [name for name, check in checks.items() if not check["ok"]] == []
    assert refused["name"] == "ingest_token"
    assert "FRAUDSTREAM_INGEST_TOKEN" in refused["remedy"]


def test_a_clock_that_differs_is_noted(folder: Path) -> None:
    with running_dashboard(folder) as dashboard:
        settings = Settings.load(api=f"http://{LOOPBACK}:{dashboard.port}")
        checks = service_checks(settings, lambda: datetime.now(UTC) + timedelta(seconds=60))
        clock = {check.name: check for check in examine({"dashboard": checks["dashboard"]})}["clock"]
    assert clock.ok
    assert re.match("(59|60|61) s", clock.detail)
    assert "NTP" in clock.remedy


@pytest.mark.parametrize(("days", "state"), [(40, "ok"), (3, "note"), (-3, "failed")])
def test_the_end_of_a_certificate_is_found(folder: Path, days: int, state: str) -> None:
    file, _ = certificate(folder, 365)
    end = datetime.now(UTC) + timedelta(days=365)
    settings = Settings.load(
        kafka={"ssl_ca_location": file, "ssl_certificate_location": file, "ssl_key_location": file}
    )
    checks = machine_checks(settings, os.environ, lambda: end - timedelta(days=days))["certificates"]()
    for check, name in zip(checks, ("ca", "certificate"), strict=True):
        assert check.name == f"certificate of kafka.ssl_{name}_location"
        assert check.state == state
        assert f"{end:%Y-%m-%d}" in check.detail


def test_a_file_with_a_secret_that_everybody_can_read_is_noted(folder: Path) -> None:
    file = folder / "fraudstream.toml"
    file.write_text(f'read_token = "{"r" * 24}"\ningest_token = "{"i" * 24}"\n')
    for mode, states in ((0o644, ["note"]), (0o600, [])):
        file.chmod(mode)
        assert [check["state"] for check in doctor() if check["name"] == "files with secrets"] == states


@pytest.mark.parametrize(("revision", "ok"), [("9999", False), ("0010", True)])
def test_a_store_of_another_release_is_found(folder: Path, revision: str, ok: bool) -> None:
    url = f"sqlite:///{folder / 'alerts.db'}"
    AlertStore.open(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = ?", (revision,))
    engine.dispose()
    check = {check["name"]: check for check in doctor("--database", url)}["alert store"]
    assert check["ok"] is ok
    assert ("store migrate" if ok else "release of fraudstream that wrote it") in check["remedy"]


def test_a_check_that_fails_or_never_ends_stops_no_other() -> None:
    never = threading.Event()

    def failing() -> list[Check]:
        raise ValueError("surprise")

    def waiting() -> list[Check]:
        never.wait()
        return []

    results = examine({"a": failing, "b": waiting, "c": lambda: [Check("c", True, "fine")]}, seconds=0.2)
    never.set()
    assert [(each.name, each.state) for each in results] == [("a", "failed"), ("b", "failed"), ("c", "ok")]
    assert "surprise" in results[0].detail
    assert "no result" in results[1].detail
