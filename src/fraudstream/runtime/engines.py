"""Finds Java and the jars for the settings, and opens the Spark session of training and batch scoring."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fraudstream.config import Settings
from fraudstream.errors import JarsMissing
from fraudstream.runtime.files import tighten
from fraudstream.runtime.jars import Jars, fetch_jars, find_jars
from fraudstream.runtime.java import Java, find_java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def java_for(settings: Settings) -> Java:
    """Find the Java to use."""
    return find_java(settings.java_home, settings.cache, os.environ)


def jars_for(settings: Settings) -> Jars:
    """Find the jars in the cache; fetch them first if they are missing."""
    try:
        return find_jars(settings.cache)
    except JarsMissing:
        return fetch_jars(settings.cache, java_for(settings), lambda line: click.echo(line, err=True))


@contextmanager
def batch_spark(settings: Settings, app: str, jars: Sequence[Path] = ()) -> Iterator[SparkSession]:
    """Open a Spark session for training or batch scoring, with extra jars; its JVM logs to a file in the cache."""
    from fraudstream.runtime.jvm import BATCH_MASTER, SparkPlan
    from fraudstream.runtime.spark import spark_session

    log = settings.cache / "logs" / f"{app}.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    tighten(log.parent)
    plan = SparkPlan(
        app=f"fraudstream {app}",
        java_home=java_for(settings).home,
        master=settings.spark_master or BATCH_MASTER,
        memory=settings.driver_memory,
        jars=jars,
        log=log,
    )
    with spark_session(plan) as spark:
        yield spark
