"""Configures logging with structlog: readable lines on a terminal, JSON elsewhere."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO, cast

import structlog

from fraudstream.transactions.masking import DataMask, log_processor


def set_up(level: str = "INFO", stream: TextIO | None = None, card_columns: Iterable[str] = ()) -> None:
    """Configure structlog and the standard library's logging to write to `stream` (default: standard error).

    `card_columns` are names whose values are masked, besides those that look or are named like a card number.
    """
    out = stream if stream is not None else cast(TextIO, _StandardError())
    on_terminal = out.isatty()
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer(sort_keys=True)
    )
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        log_processor(DataMask(card_columns)),
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if level != "DEBUG":
        handler.addFilter(_is_not_of_py4j)


class _StandardError:
    """Looks up standard error at each write: a notebook or a test may replace and close it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def _is_not_of_py4j(record: logging.LogRecord) -> bool:
    """Filter out the traces that py4j logs when its JVM ends; the failure is raised as well."""
    return "py4j" not in Path(record.pathname).parts
