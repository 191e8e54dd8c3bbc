"""The Spark session of a Python that `spark-submit` started: on the JVM that is there; `spark.py` makes all others."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from fraudstream.runtime.jvm import with_enough_slots

# These bear on what is computed; the rest is comfort, where the user's word counts.
_BEARS_ON_RESULTS: Final = "spark.sql."


def is_submitted() -> bool:
    """Whether `spark-submit` started this process, from a JVM that waits for it."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


@contextmanager
def submitted_session(app: str, master: str, settings: Mapping[str, str]) -> Iterator[SparkSession]:
    """A session on the JVM of `spark-submit` for the length of a `with` block; the JVM stays for who started it.

    Args:
        app: Name shown in Spark's logs.
        master: The master that would be taken without `spark-submit`; its task slots are the least that is needed.
        settings: Spark settings; those that bear on no result give way to the ones given to `spark-submit`.
    """
    # With a gateway in the environment this launches nothing: it connects.
    gateway = launch_gateway()
    _leave_interrupts_to_python(gateway)
    conf = SparkConf(_jvm=gateway.jvm)
    for key, value in settings.items():
        if key.startswith(_BEARS_ON_RESULTS):
            conf.set(key, value)
        else:
            conf.setIfMissing(key, value)
    conf.setAppName(app)
    conf.setMaster(with_enough_slots(conf.get("spark.master", None) or master, master, os.cpu_count() or 1))
    with interrupt_handler_kept():
        context = SparkContext(conf=conf, gateway=gateway)
    context.setLogLevel("WARN")
    session = SparkSession(context)
    parent = os.getppid()
    try:
        yield session
    finally:
        # A JVM that has ended took the session along, and pyspark would complain at length.
        if os.getppid() == parent:
            with suppress(Exception):
                session.stop()


def _leave_interrupts_to_python(gateway: JavaGateway) -> None:
    """Have the JVM ignore SIGINT, as pyspark's own does: Ctrl-C reaches this process too, which then ends both."""
    signals = gateway.jvm.sun.misc
    with suppress(Py4JError):  # a Java without the module jdk.unsupported
        signals.Signal.handle(signals.Signal("INT"), signals.SignalHandler.SIG_IGN)


@contextmanager
def interrupt_handler_kept() -> Iterator[None]:
    """Put back the handler of SIGINT, which pyspark replaces with each context; does nothing but in the main thread."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
