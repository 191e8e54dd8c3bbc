"""Options shared by commands, parsers of their values, and a factory for the dashboard client."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click
import orjson

from fraudstream.config import Settings
from fraudstream.transactions.reading_options import DateOrder, Decimal, ReadingOptions

if TYPE_CHECKING:
    from fraudstream.relay.api_client import DashboardClient
    from fraudstream.transactions.data_source import DataSource

Function = TypeVar("Function", bound=Callable[..., Any])

PATH: Final = click.Path(path_type=Path)
TAKES_EFFECT: Final = "a running detector uses it within 15 seconds"


def several(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Combine options to one decorator."""

    def add(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def setting(*names: str) -> Callable[[Function], Function]:
    """Add an option for each of these settings; if unset it is None, and environment, file or default apply."""
    return several(*map(_option, names))


def _option(name: str) -> Callable[[Function], Function]:
    field = Settings.model_fields[name]
    default = field.get_default(call_default_factory=True, validated_data={})
    suffix = "" if default in (None, ()) or (isinstance(default, Path) and default.is_absolute()) else f"  [{default}]"
    kind = PATH if isinstance(default, Path) else {int: int, float: float}.get(type(default), str)
    help_text, metavar = f"{field.description}{suffix}", "ID|PATH" if name == "model" else None
    return click.option(f"--{name.replace('_', '-')}", name, type=kind, metavar=metavar, help=help_text)


def load_settings(**flags: object) -> Settings:
    """Load the settings with the path of the model, which may be named by its id, the beginning of it, or `current`."""
    settings = Settings.load(**flags)
    if len(settings.model.parts) > 1:  # a path, as is the default
        return settings
    from fraudstream.model.deployment.registry import model_path

    return settings.model_copy(update={"model": model_path(settings.model, settings.models)})


def print_json(content: Any) -> None:
    """Print a JSON document."""
    click.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def dashboard(settings: Settings) -> DashboardClient:
    """Create a client of the dashboard."""
    import urllib3

    from fraudstream.relay.api_client import DashboardClient

    return DashboardClient(urllib3.PoolManager(), settings.api, settings.read_token, settings.ingest_token)


def named_row(text: str) -> tuple[str, int]:
    """Parse `NAME=ROW`: a column and a row number from 0; the name may contain an equals sign."""
    name, _, row = text.rpartition("=")
    if not name or not row.isascii() or not row.isdecimal():
        raise click.BadParameter(f"{text!r} is not NAME=ROW, as in V26=30000")
    return name, int(row)


def listener_ports(text: str) -> tuple[int, int]:
    """Parse `PORT:ADVERTISED`: a port to listen on, and the one that is advertised to clients."""
    ports = [int(part) if part.isascii() and part.isdecimal() else 0 for part in text.split(":")]
    if len(ports) != 2 or not all(0 < port < 65536 for port in ports):
        raise click.BadParameter(f"{text!r} is not PORT:ADVERTISED, as in 9093:19093")
    return ports[0], ports[1]


def duration(text: str) -> float:
    """Parse a number of seconds, or a number with a unit: `90`, `30m`, `12h`, `7d`."""
    number = text.strip().lower()
    unit = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}.get(number[-1:])
    try:
        seconds = float(number) if unit is None else float(number[:-1]) * unit
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < math.inf:
        raise click.BadParameter(f"{text!r} is not a time, as in 90s, 12h or 7d")
    return seconds


_data_files = partial(
    click.option,
    type=PATH,
    multiple=True,
    help="A CSV, JSON Lines or Parquet file, also .gz or .zst, or a folder of them; repeatable.",
)
_FLAGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "decimal": {"type": click.Choice([each.value for each in Decimal])},
    "date_order": {"type": click.Choice([each.value for each in DateOrder])},
    "skip_rows": {"type": click.IntRange(0), "default": 0},
    "skip_broken": {"is_flag": False, "flag_value": "", "metavar": "[FILE]"},
    "labels": {"type": PATH},
}


def reading(data_flag: str = "--data", *, required: bool = True) -> Callable[[Function], Function]:
    """Add the options for data files: the command gets `data`, a tuple of paths, and `reading`."""

    def add(function: Function) -> Function:
        @wraps(function)
        def command(*args: Any, **flags: Any) -> Any:
            given = {name: flags.pop(name) for name in ReadingOptions.model_fields}
            return function(*args, reading=ReadingOptions.of(given), **flags)

        decorated: Any = command
        for name, field in reversed(ReadingOptions.model_fields.items()):
            flag = "--header/--no-header" if name == "has_header" else f"--{name.replace('_', '-')}"
            settings = {"default": None, "help": field.description, **_FLAGS.get(name, {})}
            decorated = click.option(flag, name, **settings)(decorated)
        return cast(Function, _data_files(data_flag, "data", required=required)(decorated))

    return add


def open_payments(data: Sequence[Path], reading: ReadingOptions) -> DataSource:
    """Open the data, and print what may have been read wrongly or was left out."""
    from fraudstream.transactions.data_source import open_data

    source = open_data(data, reading)
    for warning in source.warnings:
        click.echo(f"warning: {warning}", err=True)
    return source


earlier = click.option(
    "--history",
    "earlier",
    type=PATH,
    multiple=True,
    metavar="PATH",
    help="Earlier payments, of a model that reads a history: they count as before those of --data; repeatable.",
)


def open_earlier(earlier: Sequence[Path], reading: ReadingOptions) -> DataSource | None:
    """Open the earlier payments, read as the others; None if there are none."""
    return open_payments(earlier, reading) if earlier else None


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
ALGORITHMS: Final = ("auto", "logistic-regression", "random-forest", "gbt")
algorithm = partial(
    click.option,
    "--algorithm",
    type=click.Choice(ALGORITHMS),
    show_default=True,
)
legitimate_share = partial(
    click.option, "--legitimate-share", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True
)
max_alerts_per_day = partial(click.option, "--max-alerts-per-day", type=click.FloatRange(0, min_open=True))
