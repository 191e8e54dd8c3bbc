"""`fraudstream schema` and its subcommands: on `current` alone, and against a dashboard with prepared answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from apps import create_app
from columns import model_with_contract, row, samples
from dashboards import Clock
from fraudstream.cli.schema import schema
from fraudstream.config import Settings
from fraudstream.dashboard.services.revisions import deployed_model
from fraudstream.errors import AliasRefused, DashboardFailed, SettingsError
from fraudstream.model.deployment.current import read_current
from fraudstream.store.store import AlertStore

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def current(tmp_path: Path) -> Path:
    return model_with_contract(tmp_path / "models")


@pytest.fixture
def api(tmp_path: Path, current: Path) -> Iterator[str]:
    """A dashboard that has seen V3 renamed to third."""
    store = AlertStore.open(f"sqlite:///{tmp_path / 'alerts.db'}", clock=Clock())
    app = create_app(Settings(model=current), store, clock=Clock(), deployment=deployed_model(current))
    app.test_client().post("/api/events", json=samples(row(n, V3=None, third=row(n)["V3"]) for n in range(80)))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    store.close()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(schema, [str(argument) for argument in arguments], catch_exceptions=True)


def test_show_prints_contract_sets_and_suggestions(api: str, current: Path) -> None:
    result = run("--api", api, "--model", current)
    assert result.exit_code == 0, result.exception
    for text in ("V1", "100 %", "column V3 missing", "suggested: third=V3"):
        assert text in result.output
    assert '"suggestions"' in run("--api", api, "--json").output


def test_show_prints_the_contract_alone_where_no_dashboard_answers(current: Path) -> None:
    result = run("--api", NOBODY, "--model", current)
    assert result.exit_code == 0, result.exception
    assert "Amount" in result.output
    assert "the dashboard does not answer" in result.output


def test_an_alias_is_declared_and_taken_back_without_a_dashboard(current: Path) -> None:
    assert "revision 2: a=b is read as V3" in run("alias", "a=b=V3", "--model", current, "--why", "renamed").output
    assert (dict(read_current(current).aliases), read_current(current).why) == ({"a=b": "V3"}, "renamed")
    assert read_current(current).who not in ("", "dashboard")
    assert "no longer an alias" in run("unalias", "a=b", "--model", current).output
    assert dict(read_current(current).aliases) == {}


def test_what_is_no_pair_or_no_feature_is_refused(current: Path) -> None:
    assert isinstance(run("alias", "third", "--model", current).exception, SettingsError)
    assert isinstance(run("alias", "third=V9", "--model", current).exception, AliasRefused)


def test_a_suggestion_is_listed_and_accepted_with_its_evidence(api: str, current: Path) -> None:
    listed = run("suggestions", "--api", api).output
    assert "third=V3" in listed
    assert "sampled values are" in listed
    assert "revision 2: third is read as V3" in run("accept", "third=V3", "--api", api).output
    assert "sampled values are" in read_current(current).why


def test_a_suggestion_is_refused_for_good(api: str) -> None:
    assert "will not be suggested" in run("refuse", "third=V3", "--api", api).output
    assert "no aliases are suggested" in run("suggestions", "--api", api).output
    assert run("suggestions", "--json", "--api", api).output.strip() == "[]"
    assert isinstance(run("accept", "third=V3", "--api", api).exception, SettingsError)


def test_a_dashboard_that_is_not_there_is_reported_with_a_remedy() -> None:
    error = run("suggestions", "--api", NOBODY).exception
    assert isinstance(error, DashboardFailed)
    assert "--api" in error.remedy
