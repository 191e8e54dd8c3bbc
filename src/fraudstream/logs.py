"""Logging set-up, once a process: lines for people on a terminal, JSON elsewhere. Loggers come from structlog."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog


def set_up(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Configure structlog and the standard library's logging to write to `stream` (default: standard error)."""
    out = stream if stream is not None else sys.stderr
    on_terminal = out.isatty()
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer(sort_keys=True)
    )
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
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
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # It logs a trace at INFO when the JVM is stopped under it, which is how a session ends.
    logging.getLogger("py4j").setLevel(logging.WARNING)
    for chatty in ("py4j.clientserver", "py4j.java_gateway", "alembic"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL if "py4j" in chatty else logging.WARNING)
