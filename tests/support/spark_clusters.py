"""A standalone Spark cluster of processes on this machine, each worker on a loopback address of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fraudstream.runtime.jars import spark_home
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import free_port, spawn, stop, wait_until

WORKER_CORES = 2
EXECUTOR = "CoarseGrainedExecutorBackend"


@dataclass
class SparkCluster:
    """A master and its workers."""

    folder: Path
    java: Java
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"spark://127.0.0.1:{self.port}"

    def start_master(self) -> None:
        self._start("master", "master.Master", "--host", "127.0.0.1", "--port", self.port, "--webui-port", free_port())
        assert wait_until(lambda: f"Starting Spark master at {self.url}" in self.log("master"), 60), self.log("master")

    def start_worker(self, host: str) -> None:
        """Start the worker of a host; it is registered when this returns."""
        registered = self.log("master").count("Registering worker")
        folder = self.folder / host
        options = ("--host", host, "--webui-port", free_port(), "-c", WORKER_CORES, "-m", "1g", "-d", folder)
        self._start(host, "worker.Worker", *options, self.url)
        assert wait_until(lambda: self.log("master").count("Registering worker") > registered, 60), self.log(host)

    def executors(self, host: str) -> list[psutil.Process]:
        """The executors of a worker, of all applications."""
        children = psutil.Process(self.processes[host].pid).children(recursive=True)
        return [each for each in children if _is_executor(each)]

    def kill_worker(self, host: str) -> None:
        """Kill a worker; its executors notice, and exit."""
        self.processes[host].kill()
        self.processes.pop(host).wait()

    def log(self, name: str) -> str:
        file = self.folder / f"{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            stop(process, 10)

    def _start(self, name: str, what: str, *arguments: object) -> None:
        command: list[str | Path] = [
            spark_home() / "bin" / "spark-class",
            f"org.apache.spark.deploy.{what}",
            *map(str, arguments),
        ]
        environment = {**os.environ, "JAVA_HOME": str(self.java.home), "SPARK_DAEMON_MEMORY": "128m"}
        self.processes[name] = spawn(command, log=self.folder / f"{name}.log", env=environment)


def _is_executor(process: psutil.Process) -> bool:
    try:
        return EXECUTOR in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # it has ended, as the small commands that a worker runs; perhaps as a zombie
        return False


@contextmanager
def spark_cluster(folder: Path, java: Java, hosts: tuple[str, ...]) -> Iterator[SparkCluster]:
    """Run a cluster for the length of a `with` block."""
    cluster = SparkCluster(folder, java)
    try:
        cluster.start_master()
        for host in hosts:
            cluster.start_worker(host)
        yield cluster
    finally:
        cluster.stop()
