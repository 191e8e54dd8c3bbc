"""Plans the stream's plan over and over beside the running query, so that the JVM has compiled what a batch's end runs.

Real-time Mode plans the whole query anew at each batch's end and judges nothing meanwhile. The planner runs once in two
minutes, so that the JVM would interpret it for the first half hour: see docs/decisions/0022-latency.md.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import structlog
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

log = structlog.get_logger(__name__)

REHEARSALS: Final = 40
FIRST_AFTER_SECONDS: Final = 15.0
"""The way back after a crash has the cores for itself first."""

REST_SECONDS: Final = 1.0
"""Between two rehearsals: the rows that are judged meanwhile do not wait for them."""


class Rehearsal:
    """Plans what a query runs, without running it; the last one that was asked for.

    Args:
        spark: The query's session.
        first_after: Seconds until the first rehearsal.
        rest: Seconds between two.
        times: How many.
    """

    def __init__(
        self,
        spark: SparkSession,
        *,
        first_after: float = FIRST_AFTER_SECONDS,
        rest: float = REST_SECONDS,
        times: int = REHEARSALS,
    ) -> None:
        self._spark = spark
        self._first_after = first_after
        self._rest = rest
        self._times = times
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, plan: Callable[[], DataFrame]) -> None:
        """Rehearse a plan in a thread of its own; once in a process, for the JVM stays warm.

        Args:
            plan: Makes the batch form of the stream's plan; called in that thread.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(plan,), name="rehearsal", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Have it end after the planning that is under way, and wait for that."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, plan: Callable[[], DataFrame]) -> None:
        if self._ended.wait(self._first_after):
            return
        try:
            records = plan()
            for _ in range(self._times):
                rehearse(self._spark, records)
                if self._ended.wait(self._rest):
                    return
        except (Py4JError, PySparkException, OSError) as e:
            # A session that is being stopped, or a broker that is away: the pauses are longer, nothing else.
            log.debug("the plan was not rehearsed to the end", reason=str(e).splitlines()[0])


def rehearse(spark: SparkSession, records: DataFrame) -> None:
    """Analyse, optimise and generate the code of a plan anew; nothing of it is run."""
    # A copy: the nodes of the plan itself are marked as analysed, and a batch's end analyses all of them.
    logical = cast(Any, records)._jdf.queryExecution().logical().clone()  # noqa: SLF001  pyspark cannot plan again
    execution = cast(Any, spark)._jsparkSession.sessionState().executePlan(logical, _every_row(spark))  # noqa: SLF001
    execution.toRdd()
    execution.toString()


def _every_row(spark: SparkSession) -> Any:
    jvm = cast(Any, spark)._jvm  # noqa: SLF001
    return jvm.org.apache.spark.sql.execution.CommandExecutionMode.ALL()


@contextmanager
def rehearsing(spark: SparkSession) -> Iterator[Rehearsal]:
    """A rehearsal that ends with the block."""
    rehearsal = Rehearsal(spark)
    try:
        yield rehearsal
    finally:
        rehearsal.end()
