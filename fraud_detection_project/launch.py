"""Runs the four scripts beside this file on the package, with the files in this folder."""

import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, ParamSpec

import click

from fraudstream import logs
from fraudstream.cli.entry import cli, run_to_exit
from fraudstream.config import Settings
from fraudstream.errors import DataNotFound, FraudstreamError, ModelError, ModelNotFound
from fraudstream.kafka.progress import progress_path
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.deployment.current import CURRENT_FILE, resolve
from fraudstream.runtime.engines import jars_for, java_for
from fraudstream.runtime.files import PRIVATE_UMASK
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.processes import LOOPBACK, die_with_parent, stop_signals
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.wire import Topic

DATA: Final = "creditcard.csv"
JVM_END_SECONDS: Final = 10.0

_Arguments = ParamSpec("_Arguments")


def _script(program: Callable[_Arguments, None]) -> Callable[_Arguments, None]:
    """Run a script's program to its end, with the same messages and exit codes as the commands."""

    def run(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> None:
        from fraudstream.runtime.spark import is_submitted

        signal.signal(signal.SIGTERM, _exit)
        os.umask(PRIVATE_UMASK)
        if is_submitted():
            # Otherwise a killed spark-submit JVM would leave its Python process behind.
            die_with_parent(by=signal.SIGTERM)
        settings = Settings.load()
        logs.set_up(settings.log_level, card_columns=settings.card_columns)
        program(*arguments, **options)

    return lambda *arguments, **options: run_to_exit(lambda: run(*arguments, **options))


@_script
def stream_payments(script: str, *, delay: float) -> None:
    """Run `kafka_producer.py`: send the rows of the creditcard.csv beside the script, `delay` seconds apart."""
    folder = _folder(script)
    data = _data(folder)
    progress = progress_path(folder, Settings.load().kafka.topic_name(Topic.TRANSACTIONS), open_data(data).fingerprint)
    _command("produce", "--data", data, "--delay", delay, "--progress-file", progress)


@_script
def train_model(script: str) -> None:
    """Run `model.py`: train on the creditcard.csv beside the script and write the models there too."""
    folder = _folder(script)
    settings = script_settings(folder)
    _command("train", "--data", _data(folder), "--models", settings.models, "--deploy")
    artifact, _ = resolve(settings.models)
    copy_models(artifact, folder)
    click.echo(f"{artifact.scaler_path.name} and {artifact.classifier_path.name} are in {folder}")


@_script
def detect_frauds(script: str) -> None:
    """Run `spark_consumer.py`: score the topic and post alerts to the dashboard's API, in one process."""
    from fraudstream.detector.service import run_detector
    from fraudstream.runtime.spark import is_submitted

    settings = script_settings(_folder(script))
    submitted = is_submitted()
    jars = Jars((), ()) if submitted else jars_for(settings)
    try:
        with stop_signals() as stop, _relaying(settings, stop):
            click.echo(f"frauds from {settings.bootstrap_servers} go to {settings.api}; Ctrl-C stops", err=True)
            with _jvm_may_end_first(stop if submitted else None):
                run_detector(settings, "realtime", java_for(settings), jars, stop)
    except ModelNotFound as e:
        raise ModelNotFound(e.what, where=e.where, remedy="train one first: spark-submit model.py") from e


@_script
def serve_dashboard(script: str) -> None:
    """Run `dashboard.py`: serve the API and the page, with a templates/dashboard.html beside the script if any."""
    folder = _folder(script)
    settings = script_settings(folder)
    templates = folder / "templates"
    _command(
        "dashboard", "--database", settings.database, "--model", settings.model,
        *(("--templates", templates) if templates.is_dir() else ()),
    )  # fmt: skip


def script_settings(folder: Path) -> Settings:
    """Load the settings; unset paths default to the scripts' folder, and the relay posts to the dashboard's port."""
    settings = Settings.load().with_defaults(
        models=folder / "models", checkpoint=folder / "checkpoint", database=f"sqlite:///{folder / 'alerts.db'}"
    )
    host = LOOPBACK if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, never bound
    host = f"[{host}]" if ":" in host else host
    return settings.with_defaults(model=settings.models / CURRENT_FILE, api=f"http://{host}:{settings.port}")


def copy_models(artifact: ModelArtifact, folder: Path) -> None:
    """Copy the scaler and the classifier to `folder`, under their own names, for loading with Spark.

    The copies are for other programs: scoring uses the artifact, whose checksums are verified. Raises ModelError if
    they cannot be written.
    """
    try:
        for saved in (artifact.scaler_path, artifact.classifier_path):
            with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as unfinished:
                draft = shutil.copytree(saved, Path(unfinished) / saved.name)
                shutil.rmtree(folder / saved.name, ignore_errors=True)
                draft.rename(folder / saved.name)
    except OSError as e:
        raise ModelError(
            f"the models cannot be copied: {e.strerror or e}", where=str(folder), remedy="check disk and permissions"
        ) from e


def _exit(*_: object) -> None:
    """Exit cleanly: partial files are removed first, whatever signals follow."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _command(*arguments: object) -> None:
    cli.main([str(argument) for argument in arguments], standalone_mode=False)


def _folder(script: str) -> Path:
    return Path(script).absolute().parent


def _data(folder: Path) -> Path:
    data = folder / DATA
    if not data.exists():
        raise DataNotFound(
            f"there is no {DATA} beside the script",
            where=str(data),
            remedy=f"put Kaggle's {DATA} there, or simulate one: fraudstream simulate --rows 60000 --output {data}",
        )
    return data


@contextmanager
def _relaying(settings: Settings, stop: threading.Event) -> Iterator[None]:
    """Run the relay in a thread for the length of a `with` block; when either ends, `stop` ends the other."""
    from fraudstream.relay.service import run_relay

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="relay") as pool:
        # The detector reports readiness; the relay waits for a dashboard for as long as it takes.
        relay = pool.submit(run_relay, settings.model_copy(update={"ready_file": None}), stop)
        relay.add_done_callback(lambda _: stop.set())
        try:
            yield
        finally:
            stop.set()
    relay.result()


@contextmanager
def _jvm_may_end_first(stop: threading.Event | None) -> Iterator[None]:
    """Treat a failure in the `with` block as a normal stop if the JVM of `spark-submit` is shutting down.

    The JVM stops its queries before it exits, and our signal comes only when it has exited.
    """
    try:
        yield
    except FraudstreamError:
        raise
    except Exception:
        if stop is None or not stop.wait(JVM_END_SECONDS):
            raise
