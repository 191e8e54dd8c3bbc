"""Tracks which rows of a producer are acknowledged or refused, and displays its progress."""

import bisect
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaError, Message
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from fraudstream.kafka.progress import RunProgress, Spool
from fraudstream.kafka.topics import REFUSALS
from fraudstream.transactions.wire import event_id

LISTED_REFUSALS: Final = 20


@dataclass
class SessionProgress:
    """The progress of a session, and its result at the end; `DeliveryTracker` keeps it up to date.

    Attributes:
        run: The whole run, including earlier sessions.
        sent: Rows of this session enqueued in the client.
        failed: Rows that Kafka refused permanently.
        refusals: Describes the first few of them; `spool` is the file with all of them.
        trouble: Why Kafka accepts nothing at the moment; otherwise empty.
        interrupted: Whether a signal ended the session before its last row.
    """

    run: RunProgress
    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    seconds: float = 0.0
    refusals: list[str] = field(default_factory=list)
    spool: Path | None = None
    trouble: str = ""
    interrupted: bool = False

    @property
    def unacknowledged(self) -> int:
        """Rows without a delivery report; `--resume` sends them again."""
        return self.sent - self.acknowledged - self.failed

    @property
    def rate(self) -> float:
        """Acknowledged rows per second."""
        return self.acknowledged / self.seconds if self.seconds else 0.0

    @property
    def delivered(self) -> bool:
        """Whether Kafka has acknowledged every row that was sent; decides the exit code."""
        return self.acknowledged == self.sent


class DeliveryTracker:
    """Tracks the delivery of the rows of a session. Rows are numbered through the whole run, across all passes.

    `session` has the counts, of which the caller adds `sent`; `fatal` is the error that ends the run, if any.
    """

    def __init__(self, run: RunProgress, spool: Spool) -> None:
        self.session = SessionProgress(run, spool=spool.path)
        self.fatal: KafkaError | None = None
        self._run = run
        self._spool = spool
        self._settled = run.settled
        # Settled beyond a gap: each partition acknowledges in its own time.
        self._ahead: set[int] = set()
        # The number of the first row of each pass, also of the one that is resumed.
        self._passes = [run.settled - run.next_row]

    def start_pass(self, number: int) -> None:
        """Start another pass over the file, at the row with this number."""
        self._passes.append(number)

    def delivered(self, number: int, error: KafkaError | None, message: Message | None = None) -> None:
        """Handle the delivery report of a row: the mark advances over all rows that are settled without a gap.

        Raises ProgressFailed if Kafka refused the row and the spool cannot be written: it is not settled then.
        """
        if error is None:
            self.session.acknowledged += 1
            self.session.trouble = ""
            self._settle(number)
        elif error.code() in REFUSALS:
            self.add_refusal(number, error, (message.value() if message is not None else None) or b"")
        else:
            # Not settled: the mark stays before it.
            self.fatal = self.fatal or error

    def add_refusal(self, number: int, error: KafkaError, payload: bytes) -> None:
        """Spool and settle a row that Kafka refused permanently; ProgressFailed if the spool cannot be written."""
        pass_number, row = self._row_of(number)
        name = event_id(self._run.run_id, self._run.fingerprint, pass_number, row)
        self._spool.add(pass_number, row, name, error.str(), payload)
        self.session.failed += 1
        if len(self.session.refusals) < LISTED_REFUSALS:
            in_pass = f" of pass {pass_number}" if pass_number else ""
            self.session.refusals.append(f"row {row:,}{in_pass} was refused: {error.str()}")
        self._settle(number)

    def _settle(self, number: int) -> None:
        if number != self._settled:
            self._ahead.add(number)
            return
        self._settled += 1
        while self._settled in self._ahead:
            self._ahead.remove(self._settled)
            self._settled += 1

    def client_error(self, error: KafkaError) -> None:
        """Handle an error of the client: most are temporary (a broker is unavailable), some are fatal."""
        if error.fatal():
            self.fatal = self.fatal or error
        else:
            self.session.trouble = error.str()

    def progress(self, seconds: float) -> SessionProgress:
        """Return the progress, this many seconds after the start."""
        session, before = self.session, self._run
        pass_number, next_row = self._row_of(self._settled)
        session.seconds = seconds
        session.run = dataclasses.replace(
            before,
            settled=self._settled,
            pass_number=pass_number,
            next_row=next_row,
            sent=before.sent + session.sent,
            acknowledged=before.acknowledged + session.acknowledged,
            failed=before.failed + session.failed,
        )
        return session

    def _row_of(self, number: int) -> tuple[int, int]:
        index = bisect.bisect_right(self._passes, number) - 1
        return self._run.pass_number + index, number - self._passes[index]


LINE_SECONDS: Final = 5.0


@contextmanager
def show_production(console: Console, expected: int | None) -> Iterator[Callable[[SessionProgress], None]]:
    """Yield a callback for `produce` that displays its progress."""
    if not console.is_terminal:
        lines = 0

        def show_line(progress: SessionProgress) -> None:
            nonlocal lines
            if (due := progress.seconds // LINE_SECONDS) > lines:
                console.print(describe(progress), highlight=False, soft_wrap=True)
                lines = int(due)

        yield show_line
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("connecting", total=expected)

        def show(progress: SessionProgress) -> None:
            bar.update(task, completed=progress.run.settled, description=describe(progress))

        yield show


def describe(progress: SessionProgress) -> str:
    """Describe the progress in one line."""
    parts = [f"{progress.acknowledged:,} acknowledged", f"{progress.rate:,.0f} rows/s"]
    if progress.failed:
        parts.append(f"{progress.failed:,} refused")
    if progress.trouble:
        parts.append(f"waiting for Kafka: {progress.trouble.partition(' (after')[0]}")
    return " · ".join(parts)


def summary(progress: SessionProgress, where: str) -> str:
    """Summarise a session in a few lines, with the remedy for rows that were not delivered."""
    lines = [
        f"{progress.acknowledged:,} of {progress.sent:,} rows acknowledged by {where} in {progress.seconds:,.1f} s"
    ]
    lines += [f"  {refusal}" for refusal in progress.refusals]
    if progress.failed > len(progress.refusals):
        lines.append(f"  and {progress.failed - len(progress.refusals):,} more")
    if progress.failed:
        rows = "1 row is" if progress.failed == 1 else f"{progress.failed:,} rows are"
        lines.append(f"  {rows} stored, with the reason, in {progress.spool}")
    if progress.unacknowledged:
        lines.append(f"  {progress.unacknowledged:,} rows were not acknowledged; send them again with --resume")
    elif progress.interrupted:
        lines.append(f"  interrupted; continue at row {progress.run.next_row:,} with --resume")
    return "\n".join(lines)


def expected_rows(rows: int, limit: int | None, loop: bool) -> int | None:
    """Return how many of the `rows` a run will send, for the progress bar."""
    return limit if loop or (limit is not None and limit < rows) else rows
