"""Options shared by commands, and factories for Java, jars, Spark sessions and the dashboard client."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import orjson

from fraudstream.config import Settings

if TYPE_CHECKING:
    from fraudstream.relay.api_client import DashboardClient

Function = TypeVar("Function", bound=Callable[..., Any])

PATH: Final = click.Path(path_type=Path)
TAKES_EFFECT: Final = "a running detector uses it within 15 seconds"


def setting(name: str) -> Callable[[Function], Function]:
    """Create an option for one setting; if unset it is None, and environment, file or default apply."""
    field = Settings.model_fields[name]
    default = field.get_default(call_default_factory=True, validated_data={})
    suffix = "" if default in (None, ()) or (isinstance(default, Path) and default.is_absolute()) else f"  [{default}]"
    kind = PATH if isinstance(default, Path) else {int: int, float: float}.get(type(default), str)
    return click.option(f"--{name.replace('_', '-')}", name, type=kind, help=f"{field.description}{suffix}")


def print_json(content: Any) -> None:
    """Print a JSON document."""
    click.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def dashboard(settings: Settings) -> DashboardClient:
    """Create a client of the dashboard."""
    import urllib3

    from fraudstream.relay.api_client import DashboardClient

    return DashboardClient(urllib3.PoolManager(), settings.api, settings.read_token, settings.ingest_token)


class NamedRow(click.ParamType[tuple[str, int]]):
    """`NAME=ROW`: a column and a row number from 0; the name may contain an equals sign."""

    name = "NAME=ROW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Parse the text."""
        if isinstance(value, tuple):
            return value
        name, _, row = str(value).rpartition("=")
        if not name or not row.isascii() or not row.isdecimal():
            self.fail(f"{value!r} is not NAME=ROW, as in V26=30000", param, ctx)
        return name, int(row)


class ListenerPorts(click.ParamType[tuple[int, int]]):
    """`PORT:ADVERTISED`: a port to listen on, and the one that is advertised to clients."""

    name = "PORT:ADVERTISED"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse the text."""
        if isinstance(value, tuple):
            return value
        ports = [int(part) if part.isascii() and part.isdecimal() else 0 for part in str(value).split(":")]
        if len(ports) != 2 or not all(0 < port < 65536 for port in ports):
            self.fail(f"{value!r} is not PORT:ADVERTISED, as in 9093:19093", param, ctx)
        return ports[0], ports[1]


class Duration(click.ParamType[float]):
    """A number of seconds, or a number with a unit: `90`, `30m`, `12h`, `7d`."""

    name = "TIME"
    _SECONDS: Final = MappingProxyType({"s": 1, "m": 60, "h": 3_600, "d": 86_400})

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse the text."""
        if isinstance(value, (int, float)):
            return float(value)
        text = str(value).strip().lower()
        unit = self._SECONDS.get(text[-1:])
        try:
            seconds = float(text[:-1]) * unit if unit is not None else float(text)
        except ValueError:
            seconds = -1.0
        if not 0.0 <= seconds < math.inf:
            self.fail(f"{value!r} is not a time, as in 90s, 12h or 7d", param, ctx)
        return seconds


kafka = setting("bootstrap_servers")
data = click.option("--data", type=PATH, required=True, help="A CSV (also .gz) with a header.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
