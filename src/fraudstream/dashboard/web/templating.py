"""A user's own `dashboard.html`: found in a folder beside the package's templates, and checked before serving."""

from pathlib import Path
from typing import Final

from flask import Flask
from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, TemplateError, TemplateSyntaxError

from fraudstream.errors import SettingsError

PAGE: Final = "alerts.html"
OWN_PAGE: Final = "dashboard.html"
"""Taken in place of `PAGE` where the folder has it; it will mostly extend that one."""


def use_templates(app: Flask, folder: Path) -> None:
    """Have an app find the templates of a folder, and see a change to one at the next request; validates them first.

    The package's come first: `{% extends "alerts.html" %}` means the package's page, whatever the folder holds.
    """
    validate_templates(folder)
    loaders: list[BaseLoader] = [] if app.jinja_loader is None else [app.jinja_loader]
    app.jinja_loader = ChoiceLoader([*loaders, FileSystemLoader(folder)])
    app.jinja_env.auto_reload = True


def validate_templates(folder: Path) -> None:
    """See that a folder's templates can be read, before a server is started that would answer each page with an error.

    Raises SettingsError, with file and line, where one is not UTF-8 or not Jinja, or the folder is not there.
    """
    if not folder.is_dir():
        raise SettingsError(
            "the folder of templates is not there", where=str(folder), remedy="name a folder with a dashboard.html"
        )
    environment = Environment(autoescape=True)
    for path in sorted(folder.glob("*.html")):
        try:
            environment.compile(path.read_text(encoding="utf-8"), path.name, str(path))
        except TemplateSyntaxError as e:
            raise _unusable(str(e.message), f"{path}:{e.lineno}") from e
        except (TemplateError, OSError, UnicodeDecodeError) as e:
            raise _unusable(str(e), str(path)) from e


def _unusable(why: str, where: str) -> SettingsError:
    return SettingsError(
        f"the template cannot be used: {why}",
        where=where,
        remedy="mend it, or take it away for the package's own page",
    )
