"""What is reported of a cluster: executors that come and go, failed tasks, and the wait for cores."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from fraudstream.detector import cluster as watched
from fraudstream.detector.cluster import ClusterWatch
from fraudstream.runtime import cluster
from fraudstream.runtime.cluster import await_cores
from fraudstream.transactions.wire import EventType

DRIVER = "10.0.0.1:40000"


class Spark:
    """A session of which only what is read of it exists; tests/e2e/test_spark_cluster.py has a real one."""

    def __init__(self, **conf: str) -> None:
        self.executors: list[str] = []
        self.failed: dict[int, int] = {}
        self.conf = {"spark.master": "spark://one:7077", **conf}
        self._jsc = SimpleNamespace(sc=lambda: self)
        self.sparkContext: Any = self
        self.master = self.conf["spark.master"]

    def getConf(self) -> dict[str, str]:
        return self.conf

    def getExecutorMemoryStatus(self) -> Any:
        text = ",".join([DRIVER, *self.executors])
        return SimpleNamespace(keysIterator=lambda: SimpleNamespace(mkString=lambda separator: text))

    def statusTracker(self) -> Any:
        return SimpleNamespace(
            getActiveStageIds=lambda: list(self.failed),
            getStageInfo=lambda stage: SimpleNamespace(numFailedTasks=self.failed[stage]),
        )


def test_executors_that_come_and_go_and_failed_tasks_are_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    spark, messages = Spark(), list[str]()
    monkeypatch.setattr(watched, "task_slots", lambda _: 2 * len(spark.executors))

    def write(kind: EventType, message: str) -> None:
        assert kind is EventType.CLUSTER
        messages.append(message)

    watch = ClusterWatch(spark, SimpleNamespace(write=write))  # type: ignore[arg-type]  # what is used of them
    spark.executors = ["one:1", "two:1"]
    for spark.executors, spark.failed in (
        (["one:1", "two:1"], {0: 0}),
        (["two:1"], {0: 2}),
        (["two:1"], {0: 2}),
        (["two:1", "one:2"], {0: 3, 1: 0}),
    ):
        watch.poll()
    assert messages == [
        "Spark lost an executor at one:1: 2 task slots on 1 executor",
        "2 tasks of Spark failed in stage 0 and will be tried again",
        "Spark has a new executor at one:2: 4 task slots on 2 executors",
        "1 task of Spark failed in stage 0 and will be tried again",
    ]


class Clock(threading.Event):
    """Time passes only while somebody waits."""

    now = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0.0
        return self.is_set()


def reports(monkeypatch: pytest.MonkeyPatch, spark: Spark, slots: dict[float, int]) -> tuple[list[int], float]:
    """When the wait was reported, and when it ended, where there are so many slots from each time on."""
    clock, times = Clock(), list[int]()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(
        cluster, "task_slots", lambda _: next(n for at, n in reversed(slots.items()) if at <= clock.now)
    )
    await_cores(spark, 3, lambda message: times.append(round(clock.now)), clock)  # type: ignore[arg-type]
    return times, round(clock.now)


def test_the_wait_for_cores_is_reported_after_15_seconds_and_every_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reports(monkeypatch, Spark(), {0: 0, 140: 4}) == ([15, 75, 135], 140)
    assert reports(monkeypatch, Spark(), {0: 0, 3: 2, 5: 3}) == ([], 5)


def test_a_cluster_with_some_of_the_cores_is_waited_for_15_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reports(monkeypatch, Spark(), {0: 2}) == ([], 15)


def test_a_local_spark_and_one_that_allocates_on_demand_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for spark in (Spark(**{"spark.master": "local[4]"}), Spark(**{"spark.dynamicAllocation.enabled": "true"})):
        assert reports(monkeypatch, spark, {0: 0}) == ([], 0)


def test_the_report_names_the_master_and_what_was_asked_for() -> None:
    clock, messages = Clock(), list[str]()

    def report(message: str) -> None:
        messages.append(message)
        clock.set()

    spark = Spark(**{"spark.cores.max": "4", "spark.executor.memory": "3g"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: clock.now)
        patch.setattr(cluster, "task_slots", lambda _: 0)
        await_cores(spark, 3, report, clock)  # type: ignore[arg-type]
    assert messages[0].startswith("Spark has waited 15 s for 4 cores of spark://one:7077")
    assert "3g" in messages[0]
