"""The contenders: how each is started, where it tells how far it is, and where its alerts come out."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import orjson

from benchmarks.baselines.environments import python_of, versions_in
from benchmarks.baselines.exported import ARRAYS, PLAIN
from benchmarks.baselines.measuring import Sample, merged
from benchmarks.baselines.stage import AlertTopic, Contender, Running, Stage, own_topics, reader_at_end, started
from benchmarks.system.material import FRAUDSTREAM
from benchmarks.system.system import ROOT
from fraudstream.config import Settings
from fraudstream.runtime.jars import find_jars
from fraudstream.runtime.java import find_java
from fraudstream.runtime.processes import free_port
from fraudstream.transactions.wire import Topic

OURS: Final = "fraudstream"


def _baseline_environment() -> dict[str, str]:
    """Ours, with nothing but this checkout to import from."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def plain_consumer(variant: str, processes: int) -> Contender:
    """confluent-kafka, orjson and numpy."""
    name = f"plain_consumer_{variant}_{processes}"

    @contextmanager
    def start(stage: Stage, offset: str) -> Iterator[Running]:
        python = python_of("plain_consumer")
        with ExitStack() as stack:
            prefix = stack.enter_context(own_topics(stage.bootstrap_servers, name))
            alerts = stack.enter_context(reader_at_end(stage.bootstrap_servers, f"{prefix}{Topic.ALERTS.value}"))
            commands: list[list[str | Path]] = [
                [
                    python, "-m", "benchmarks.baselines.plain_consumer.consumer",
                    "--bootstrap-servers", stage.bootstrap_servers, "--topic", stage.topic,
                    "--model", stage.folder / ARRAYS, "--variant", variant,
                    "--share", f"{number + 1}/{processes}", "--group", prefix, "--prefix", prefix, "--start", offset,
                ]
                for number in range(processes)
            ]  # fmt: skip
            pids, lines, failure = started(stack, name, commands, stage, _baseline_environment())
            yield Running(pids, lambda: merged(lines()), AlertTopic(alerts).read, failure)

    def version() -> Mapping[str, str]:
        return versions_in(python_of("plain_consumer"), "confluent-kafka", "orjson", "numpy")

    return Contender(name, start, version, {"variant": variant, "processes": processes}, "plain_consumer")


def quix_streams() -> Contender:
    """Quix Streams."""
    name = "quix_streams"

    @contextmanager
    def start(stage: Stage, offset: str) -> Iterator[Running]:
        python = python_of(name)
        with ExitStack() as stack:
            prefix = stack.enter_context(own_topics(stage.bootstrap_servers, name))
            alerts = stack.enter_context(reader_at_end(stage.bootstrap_servers, f"{prefix}{Topic.ALERTS.value}"))
            command: list[str | Path] = [
                python, "-m", "benchmarks.baselines.quix_streams.application",
                "--bootstrap-servers", stage.bootstrap_servers, "--topic", stage.topic, "--model", stage.folder / PLAIN,
                "--group", prefix, "--prefix", prefix, "--start", offset,
            ]  # fmt: skip
            pids, lines, failure = started(stack, name, [command], stage, _baseline_environment())
            yield Running(pids, lambda: merged(lines()), AlertTopic(alerts).read, failure)

    return Contender(name, start, lambda: versions_in(python_of(name), "quixstreams", "orjson"), {"processes": 1}, name)


def four_scripts() -> Contender:
    """The four-script system as usually written."""
    name = "four_scripts"

    @contextmanager
    def start(stage: Stage, offset: str) -> Iterator[Running]:
        settings, python = Settings.load(), python_of(name)
        port = free_port()
        api = f"http://127.0.0.1:{port}"
        env = _baseline_environment()
        env["JAVA_HOME"] = str(find_java(settings.java_home, settings.cache, os.environ).home)
        jars = ",".join(str(jar) for jar in find_jars(settings.cache).connector)
        with ExitStack() as stack:
            checkpoint = stack.enter_context(tempfile.TemporaryDirectory(dir=stage.folder))
            commands: list[list[str | Path]] = [
                [python, "-m", "benchmarks.baselines.four_scripts.api", "--port", str(port)],
                [
                    python, "-m", "benchmarks.baselines.four_scripts.detector",
                    "--bootstrap-servers", stage.bootstrap_servers, "--topic", stage.topic,
                    "--model", stage.folder, "--jars", jars, "--api", api,
                    "--checkpoint", checkpoint, "--first-offsets", str(stage.first_offsets), "--start", offset,
                ],
            ]  # fmt: skip
            pids, lines, failure = started(stack, name, commands, stage, env)

            def alerts() -> dict[tuple[int, int], float]:
                try:
                    with urllib.request.urlopen(f"{api}/api/frauds", timeout=10) as answer:
                        documents = json.load(answer)
                except OSError:  # not up yet
                    return {}
                first_times: dict[tuple[int, int], float] = {}
                for each in documents:
                    first_times.setdefault((each["partition"], each["offset"]), each["at"])
                return first_times

            yield Running(pids, lambda: lines()[1], alerts, failure, is_watched=False)

    return Contender(
        name,
        start,
        lambda: versions_in(python_of(name), "pyspark", "flask", "requests"),
        {"master": "local[2]", "memory": "2g", "max_offsets_per_trigger": 100_000},
        name,
    )


def detector(name: str, trigger: str) -> Contender:
    """`fraudstream detect`; its checkpoint serves again for the latency, so that the backlog is not read twice."""

    @contextmanager
    def start(stage: Stage, offset: str) -> Iterator[Running]:
        checkpoint = stage.folder / f"checkpoint-{trigger}-{uuid4().hex[:4] if offset == 'earliest' else 'kept'}"
        checkpoint_copy = stage.folder / f"checkpoint-{trigger}-kept"
        with ExitStack() as stack:
            alerts = stack.enter_context(reader_at_end(stage.bootstrap_servers, Topic.ALERTS.value))
            events = stack.enter_context(reader_at_end(stage.bootstrap_servers, Topic.EVENTS.value))
            command: list[str | Path] = [
                *FRAUDSTREAM, "detect", "--model", stage.model.absolute(), "--trigger", trigger,
                "--bootstrap-servers", stage.bootstrap_servers, "--checkpoint", checkpoint,
            ]  # fmt: skip
            pids, _, failure = started(stack, name, [command], stage, os.environ)
            progress: list[Sample] = []

            def samples() -> list[Sample]:
                while messages := events.consume(1000, 0.001):
                    for message in messages:
                        event = orjson.loads(message.value() or b"{}")
                        if event.get("type") == "progress":
                            positions = event["positions"][stage.topic].values()
                            read = sum(each["position"] for each in positions) - stage.first_offsets
                            progress.append(Sample(message.timestamp()[1] / 1000, read))
                return progress

            yield Running(pids, samples, AlertTopic(alerts).read, failure)
        if offset == "earliest" and not checkpoint_copy.exists():
            checkpoint.rename(checkpoint_copy)

    def version() -> Mapping[str, str]:
        return versions_in(Path(sys.executable), "fraudstream", "pyspark")

    return Contender(name, start, version, {"trigger": trigger, "command": "fraudstream detect"}, reads_own_topic=True)


def baselines() -> list[Contender]:
    """All of them, without ours."""
    return [
        four_scripts(),
        detector("micro_batch", "micro-batch"),
        *(plain_consumer(variant, processes) for variant in ("bare", "contract") for processes in (1, 2)),
        quix_streams(),
    ]
