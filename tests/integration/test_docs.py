"""Every command, setting, metric and route is documented."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from apps import create_app
from fraudstream import metrics
from fraudstream.cli.entry import cli
from fraudstream.config import Settings, variables
from fraudstream.kafka.rights import RIGHTS
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.store.store import AlertStore

ROOT = Path(__file__).parents[2]


SETTINGS = Settings.model_fields | {f"kafka.{name}": field for name, field in KafkaSettings.model_fields.items()}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_setting_says_what_it_is(name: str) -> None:
    assert SETTINGS[name].description
    assert f"| `{name}` |" in (ROOT / "docs" / "reference.md").read_text()


def test_every_variable_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference.md").read_text()
    assert [name for name in variables() if f"`{name}`" not in text] == []


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_stands_in_the_readme(name: str) -> None:
    assert f"fraudstream {name}" in (ROOT / "README.md").read_text()


def test_every_local_link_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for part in page.read_text().split("](")[1:]
        if not (target := part.split(")")[0].split("#")[0]).startswith("http")
        and target
        and not (page.parent / target).exists()
    ]
    assert broken == []


def test_five_walks_list_existing_files_and_count_them() -> None:
    section = (ROOT / "docs" / "architecture.md").read_text().split("## Five walks\n")[1].split("\n## ")[0]
    walks = section.split("### ")[1:]
    assert len(walks) == 5
    for walk in walks:
        heading, *lines = walk.splitlines()
        files = [line.split("`")[1] for line in lines if line.startswith("- ")]
        assert heading.endswith(f": {len(files)} files")
        assert len(set(files)) == len(files)
        assert [file for file in files if not (ROOT / "src" / "fraudstream" / file).is_file()] == []


def test_the_commands_of_a_secured_broker_are_parsed_and_have_a_user() -> None:
    """They are run as they stand by `make nightly`: tests/e2e/test_production.py."""
    text = (ROOT / "docs" / "production.md").read_text()
    (block,) = re.findall(r"^```bash\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line.removesuffix("&")) for line in block.splitlines() if "() {" not in line]
    for program, name, *arguments in lines:
        command = cli.commands[name]
        command.make_parser(click.Context(command)).parse_args(arguments)
        assert program == "fraudstream" or name in RIGHTS
    assert {program for program, *_ in lines} == {"fraudstream", "with"}


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "http.md").read_text()
    names = [value.name for value in vars(metrics).values() if isinstance(value, metrics.Metric)]
    assert names
    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_route_is_documented(tmp_path: Path) -> None:
    store = AlertStore.open(f"sqlite:///{tmp_path / 'alerts.db'}")
    try:
        rules = list(create_app(Settings.load(), store).url_map.iter_rules())
    finally:
        store.close()
    text = (ROOT / "docs" / "http.md").read_text().replace("<path:", "<")
    missing = [
        f"{method} {rule.rule}"
        for rule in rules
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        if f"`{method} {rule.rule.replace('<path:', '<')}`" not in text and rule.endpoint != "static"
    ]
    assert missing == []
