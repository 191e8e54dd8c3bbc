"""Loads and validates a user's own `dashboard.html` in addition to the package's templates."""

from pathlib import Path
from typing import Final

from flask import Flask
from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, TemplateError, TemplateSyntaxError

from fraudstream.errors import SettingsError

PAGE: Final = "alerts.html"
OWN_PAGE: Final = "dashboard.html"
"""Rendered instead of `PAGE` if the folder has it; it usually extends that one."""


def use_templates(app: Flask, folder: Path) -> None:
    """Add a folder of templates to an app, reloaded on change; validate them first.

    The package's come first: `{% extends "alerts.html" %}` means the package's page, whatever the folder holds.
    """
    validate_templates(folder)
    loaders: list[BaseLoader] = [] if app.jinja_loader is None else [app.jinja_loader]
    app.jinja_loader = ChoiceLoader([*loaders, FileSystemLoader(folder)])
    app.jinja_env.auto_reload = True


def validate_templates(folder: Path) -> None:
    """Compile a folder's templates, so that an error shows before the server starts.

    Raises SettingsError, with file and line, if one is not UTF-8 or not valid Jinja, or the folder does not exist.
    """
    if not folder.is_dir():
        raise SettingsError(
            "the templates folder does not exist", where=str(folder), remedy="name a folder with a dashboard.html"
        )
    environment = Environment(autoescape=True)
    for path in sorted(folder.glob("*.html")):
        try:
            environment.compile(path.read_text(encoding="utf-8"), path.name, str(path))
        except TemplateSyntaxError as e:
            raise _invalid(str(e.message), f"{path}:{e.lineno}") from e
        except (TemplateError, OSError, UnicodeDecodeError) as e:
            raise _invalid(str(e), str(path)) from e


def _invalid(why: str, where: str) -> SettingsError:
    return SettingsError(
        f"invalid template: {why}", where=where, remedy="fix it, or remove it to use the package's page"
    )
