"""Finds Java and the jars for the settings, and opens the Spark session of training and batch scoring."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import structlog

from fraudstream.config import Settings
from fraudstream.errors import JarsMissing
from fraudstream.runtime.jars import Jars, fetch_jars, find_jars, find_operator, operator_jar
from fraudstream.runtime.java import Java, find_java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = structlog.get_logger(__name__)
_report = partial(click.echo, err=True)


def java_for(settings: Settings) -> Java:
    """Find the Java to use."""
    return find_java(settings.java_home, settings.cache, os.environ)


def jars_for(settings: Settings) -> Jars:
    """Find the jars in the cache, and that of the history operator; fetch or compile first what is missing."""
    try:
        jars = find_jars(settings.cache)
    except JarsMissing:
        jars = fetch_jars(settings.cache, java_for(settings), _report)
    return replace(jars, connector=(*jars.connector, history_jar(settings)))


def history_jar(settings: Settings) -> Path:
    """Find the jar of the history operator; compile it first if it is missing."""
    return find_operator(settings.cache) or operator_jar(settings.cache, java_for(settings), _report)


@contextmanager
def batch_spark(
    settings: Settings, app: str, jars: Sequence[Path] = (), *, history: bool = False
) -> Iterator[SparkSession]:
    """Open a Spark session for training or batch scoring, with extra jars; its JVM logs to a file in the cache.

    With `history`, it can compute the history of entities.
    """
    from fraudstream.runtime.cluster import await_cores
    from fraudstream.runtime.jvm import BATCH_MASTER, SparkPlan
    from fraudstream.runtime.spark import spark_session

    master = settings.spark_master or BATCH_MASTER
    jars = (*jars, history_jar(settings)) if history else jars
    with spark_session(SparkPlan.of(settings, app, java_for(settings), master=master, jars=jars)) as spark:
        await_cores(spark, 1, log.warning, threading.Event())
        yield spark


_opened: Final = ExitStack()
_opening: Final = threading.Lock()
atexit.register(_opened.close)


@contextmanager
def shared_spark(settings: Settings) -> Iterator[SparkSession]:
    """Open a session on this process's context: the first call starts it, and the process's end stops it."""
    from pyspark import SparkContext

    with _opening:
        is_running = False
        with suppress(Exception):  # there is none, or its JVM ended, as with the thread that started it
            SparkContext._active_spark_context.getLocalProperty("")  # type: ignore[union-attr]  # noqa: SLF001
            is_running = True
        if not is_running:
            _opened.close()
            _opened.enter_context(batch_spark(settings, "python", history=True))
    with batch_spark(settings, "python") as spark:
        yield spark
