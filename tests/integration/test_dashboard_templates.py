"""A dashboard.html of the user's own: it stands in for the page, within the same fence, and is checked beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from apps import create_app
from dashboards import alert
from fraudstream.config import Settings
from fraudstream.dashboard.app import validate_templates
from fraudstream.dashboard.views.queue import OWN_PAGE
from fraudstream.dashboard.web.security import HEADERS
from fraudstream.errors import SettingsError
from fraudstream.store.store import AlertStore

EXTENDED = '{% extends "alerts.html" %}{% block above %}<p>{{ stats.alerts }} so far</p>{% endblock %}'


@contextmanager
def client_with(folder: Path, **templates: str) -> Iterator[FlaskClient]:
    for name, text in templates.items():
        (folder / f"{name}.html").write_text(text)
    store = AlertStore.open(f"sqlite:///{folder / 'alerts.db'}")
    try:
        yield create_app(Settings(), store, templates=folder).test_client()
    finally:
        store.close()


def test_the_page_is_the_users_own_with_all_of_the_packages(tmp_path: Path) -> None:
    with client_with(tmp_path, dashboard=EXTENDED) as client:
        client.post("/api/alerts", json=[alert(1)])
        answer = client.get("/")
    assert "<p>1 so far</p>" in answer.text
    assert 'data-id="id-1"' in answer.text
    assert "Download Fraudulent Transactions CSV" in answer.text
    assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]


def test_a_change_shows_with_the_next_request(tmp_path: Path) -> None:
    with client_with(tmp_path, dashboard=EXTENDED) as client:
        assert "so far" in client.get("/").text
        (tmp_path / OWN_PAGE).write_text(EXTENDED.replace("so far", "until now"))
        assert "until now" in client.get("/").text


def test_a_folder_without_the_page_leaves_the_packages(tmp_path: Path) -> None:
    with client_with(tmp_path) as client:
        assert "Download Fraudulent Transactions CSV" in client.get("/").text


def test_a_template_with_a_name_of_the_packages_does_not_replace_it(tmp_path: Path) -> None:
    with client_with(tmp_path, dashboard=EXTENDED, alerts=EXTENDED) as client:
        assert "Download Fraudulent Transactions CSV" in client.get("/").text


def test_a_value_is_escaped_in_the_users_own_page_too(tmp_path: Path) -> None:
    with client_with(tmp_path, dashboard="{{ '<b>' }}") as client:
        assert client.get("/").text == "&lt;b&gt;"


@pytest.mark.parametrize("text", ["{% block %}", "one\ntwo {{ stats. }}", "{{ stats | unheard_of }}"])
def test_a_broken_template_is_reported_with_its_line(text: str, tmp_path: Path) -> None:
    (tmp_path / OWN_PAGE).write_text(text)
    with pytest.raises(SettingsError) as error:
        validate_templates(tmp_path)
    assert f"{OWN_PAGE}:{text.count(chr(10)) + 1}" in error.value.where


def test_a_template_that_is_no_text_is_reported(tmp_path: Path) -> None:
    (tmp_path / OWN_PAGE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="invalid template"):
        validate_templates(tmp_path)


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        validate_templates(tmp_path / "none")
