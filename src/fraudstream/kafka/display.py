"""What a person sees of the producer at work: a bar on a terminal, a line every few seconds elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from fraudstream.kafka.production import Produced

LINE_SECONDS: Final = 5.0

_CHUNK: Final = 1 << 20
_GZIP_MAGIC: Final = b"\x1f\x8b"


@contextmanager
def show_production(console: Console, expected: int | None) -> Iterator[Callable[[Produced], None]]:
    """Yield the function that `produce` tells how far it is."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("connecting", total=expected)

        def show(produced: Produced) -> None:
            bar.update(task, completed=produced.run.settled, description=describe(produced))

        yield show


def describe(produced: Produced) -> str:
    """How far it is, in one line."""
    parts = [f"{produced.acknowledged:,} acknowledged", f"{produced.rate:,.0f} rows/s"]
    if produced.failed:
        parts.append(f"{produced.failed:,} refused")
    if produced.trouble:
        parts.append(f"waiting for Kafka: {produced.trouble.partition(' (after')[0]}")
    return " · ".join(parts)


def summary(produced: Produced, where: str) -> str:
    """What became of a session, in a few lines, with what to do about what was not delivered."""
    lines = [
        f"{produced.acknowledged:,} of {produced.sent:,} rows acknowledged by {where} in {produced.seconds:,.1f} s"
    ]
    for refusal in produced.refusals:
        in_pass = f" of pass {refusal.pass_number}" if refusal.pass_number else ""
        lines.append(f"  row {refusal.row:,}{in_pass} was refused: {refusal.why}")
    if produced.failed > len(produced.refusals):
        lines.append(f"  and {produced.failed - len(produced.refusals):,} more")
    if produced.failed:
        rows = "1 row is" if produced.failed == 1 else f"{produced.failed:,} rows are"
        lines.append(f"  {rows} kept, with the reason, in {produced.spool}")
    if produced.unacknowledged:
        lines.append(f"  {produced.unacknowledged:,} rows are not acknowledged; send them again with --resume")
    elif produced.interrupted:
        lines.append(f"  interrupted; go on at row {produced.run.next_row:,} with --resume")
    return "\n".join(lines)


def expected_rows(path: Path, limit: int | None, loop: bool) -> int | None:
    """The rows that a run will send, for the bar: line ends counted, so an estimate where cells hold line ends."""
    if loop:
        return limit
    with path.open("rb") as file:
        if file.peek(2)[:2] == _GZIP_MAGIC:
            return limit
        ends = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK), b""))
        if not ends:
            return limit
        file.seek(-1, 2)
        rows = ends - (file.read(1) == b"\n")
    return rows if limit is None else min(rows, limit)


def _lines(console: Console) -> Callable[[Produced], None]:
    lines = 0

    def show(produced: Produced) -> None:
        nonlocal lines
        if (due := produced.seconds // LINE_SECONDS) > lines:
            console.print(describe(produced), highlight=False, soft_wrap=True)
            lines = int(due)

    return show
