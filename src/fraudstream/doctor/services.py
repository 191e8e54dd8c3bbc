"""Checks what the settings name: Kafka, Spark's master, the alert store, the dashboard, tokens and the model.

An address that is not set, and where nothing answers, is a note: nobody has started it yet. One that is set is missing.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import urllib3
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient, TopicDescription
from urllib3.exceptions import HTTPError

from fraudstream.config import ENVIRONMENT_PREFIX, Settings
from fraudstream.dashboard.web.security import validate_binding
from fraudstream.doctor.machine import Check, Checks, refuses_files
from fraudstream.errors import BrokerUnreachable, FraudstreamError, ModelNotFound, StoreError
from fraudstream.kafka.client import Cluster, is_denied
from fraudstream.kafka.rights import RIGHTS, Described, describe, missing_rights
from fraudstream.kafka.schema_registry import SchemaRegistry, subject_of
from fraudstream.kafka.topics import require_broker
from fraudstream.model.deployment.current import resolve
from fraudstream.model.deployment.registry import model_path
from fraudstream.runtime.spark import require_master
from fraudstream.store.backends.sqlite import SqliteBackend
from fraudstream.store.database import backend_of, schema_state
from fraudstream.transactions.wire import Topic

SECONDS: Final = 5.0
"""How long one request may take."""


def examine(checks: Checks, seconds: float = 15.0) -> list[Check]:
    """Run all checks at the same time, each in a thread; whatever one raises is its result, and stops no other."""
    results: Mapping[str, list[Check]] = {name: [] for name in checks}
    threads, deadline = dict[str, threading.Thread](), time.monotonic() + seconds
    for name, check in checks.items():
        threads[name] = threading.Thread(target=_run, args=(name, check, results[name]), daemon=True)
        threads[name].start()
    for name, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            remedy = "check its address, and the network to it"
            results[name].append(Check(name, False, f"no result within {seconds:.0f} s", remedy))
    return [each for result in results.values() for each in result]


def _run(name: str, check: Callable[[], Sequence[Check] | Iterator[Check]], results: list[Check]) -> None:
    try:
        results.extend(check())
    except FraudstreamError as e:
        results.append(_failure(name, e))
    except Exception as e:  # a defect or a surprise of one check is no reason to withhold the others
        remedy = "correct the settings of it; if they are right, report this as a bug"
        results.append(Check(name, False, f"it could not be checked: {type(e).__name__}: {e}", remedy))


def _failure(name: str, error: FraudstreamError, *, is_set: bool = True) -> Check:
    where = f" ({error.where})" if error.where else ""
    return Check(name, not is_set, f"{error.what}{where}", error.remedy)


def service_checks(settings: Settings, clock: Callable[[], datetime]) -> Checks:
    """List the checks of what is configured; they change nothing."""
    return {
        "Kafka": lambda: _kafka(settings),
        "schema registry": lambda: _schema_registry(settings),
        "Spark master": lambda: _spark_master(settings),
        "alert store": lambda: [_store(settings.database)],
        "dashboard": lambda: _dashboard(settings, clock),
        "tokens": lambda: _tokens(settings),
        "model": lambda: [_model(settings)],
    }


def _kafka(settings: Settings) -> Iterator[Check]:
    cluster = Cluster.of(settings)
    try:
        admin = require_broker(cluster, SECONDS)
    except BrokerUnreachable as e:
        yield _failure("Kafka", e, is_set=bool({"bootstrap_servers", "kafka"} & settings.model_fields_set))
        return
    yield Check("Kafka", True, f"{cluster.bootstrap_servers} answers to {cluster.settings.security_protocol}")
    topics = describe(admin, cluster, map(cluster.topic, Topic))
    yield _topics(cluster, topics)
    yield from _rights(admin, cluster, topics)
    if isinstance(transactions := topics[cluster.topic(Topic.TRANSACTIONS)], TopicDescription):
        yield _partitions(len(transactions.partitions), settings)


def _schema_registry(settings: Settings) -> Iterator[Check]:
    if settings.schema_registry is not None:
        registry = SchemaRegistry.of(settings)
        ids = registry.versions(subject_of(settings.kafka.topic_name(Topic.TRANSACTIONS)), 1)
        detail = f"newest schema id {max(ids)}" if ids else "no schema of the input topic yet"
        yield Check("schema registry", True, f"{registry.url} answers: {detail}")


def _topics(cluster: Cluster, topics: Described) -> Check:
    hidden = [name for name, each in topics.items() if isinstance(each, KafkaError) and is_denied(each)]
    exist = [name for name, each in topics.items() if isinstance(each, TopicDescription)]
    missing, created = [name for name in topics if name not in hidden + exist], cluster.settings.create_topics
    groups = {
        "exist": exist,
        "will be created by `produce` and `detect`" if created else "do not exist": missing,
        f"may not be described by {cluster.principal}": hidden,
    }
    detail = "; ".join(f"{', '.join(names)} {text}" for text, names in groups.items() if names)
    remedy = "nothing, if the commands that need them run as another user; see the rights" if hidden else ""
    if missing and not created:
        remedy = "create them with `fraudstream kafka topics --create`, or set FRAUDSTREAM_KAFKA_CREATE_TOPICS=true"
    return Check("topics", created or not missing, detail, remedy)


def _rights(admin: AdminClient, cluster: Cluster, topics: Described) -> Iterator[Check]:
    """Check the rights of each command; they suffice if this user may run one, as others may have the other rights."""
    lacking = {
        command: [right for right in missing_rights(admin, cluster, command, topics) if not right.purpose]
        for command in RIGHTS
    }
    allowed = [command for command, rights in lacking.items() if not rights]
    if allowed:
        yield Check("rights", True, f"{cluster.principal} may run {', '.join(allowed)}")
    for command, rights in lacking.items():
        if rights:
            names = ", ".join(f"{right.operation.name} {right.resource(cluster)}" for right in rights)
            remedy = f"nothing, if another user runs {command}; else " if allowed else ""
            remedy += "ask the administrator: `fraudstream kafka acls --print` lists the rights of each command"
            yield Check(f"rights of {command}", bool(allowed), f"{cluster.principal} lacks {names}", remedy)


def _partitions(partitions: int, settings: Settings) -> Check:
    # A local master gets as many slots as there are partitions.
    slots = settings.spark.get("spark.cores.max", "") if settings.spark_master else ""
    if slots.isdecimal() and int(slots) < partitions:
        remedy = f"set spark.cores.max to {partitions} or more: a partition without a task slot is not read"
        return Check("partitions", True, f"{partitions} of the input topic, and {slots} task slots", remedy)
    return Check("partitions", True, f"{partitions} of the input topic")


def _spark_master(settings: Settings) -> Iterator[Check]:
    master = settings.spark_master or "local"
    require_master(master)
    yield Check("Spark master", True, f"{master} answers" if master.startswith("spark://") else master)


def _store(url: str) -> Check:
    backend, name = backend_of(url), "alert store"
    if isinstance(backend, SqliteBackend) and not backend.path.exists():
        if reason := refuses_files(backend.path.parent):
            remedy = f"set --database or {ENVIRONMENT_PREFIX}DATABASE to a file that can be written"
            return Check(name, False, f"{backend.path} cannot be created: {reason}", remedy)
        return Check(name, True, f"{backend.where} will be created by `dashboard`")
    try:
        state = schema_state(url)
    except StoreError as e:
        return Check(name, False, f"{e.what} ({e.where})", backend.open_remedy)
    if state == "newer":
        remedy = "use the release of fraudstream that wrote it, or another database"
        return Check(name, False, f"the tables of {backend.where} are of a newer release", remedy)
    if state == "older":
        remedy = "run `fraudstream store migrate --backup FILE` while no dashboard is using it"
        return Check(name, not backend.is_shared, f"the tables of {backend.where} are of an earlier release", remedy)
    return Check(name, True, f"{backend.where} can be read" if state == "current" else f"{backend.where} is empty")


def _dashboard(settings: Settings, clock: Callable[[], datetime]) -> Iterator[Check]:
    url, is_set = settings.api.rstrip("/"), "api" in settings.model_fields_set
    pool = urllib3.PoolManager(timeout=SECONDS, retries=False)
    address = f"start it with `fraudstream dashboard`, or set its address with --api or {ENVIRONMENT_PREFIX}API"
    try:
        health = pool.request("GET", f"{url}/health")
        now = clock()
    except HTTPError as e:
        yield Check("dashboard", not is_set, f"{url} does not answer: {type(e).__name__}", address)
        return
    if health.status != 200:
        body = health.data[:200].decode(errors="replace")
        remedy = f"correct what it names; if that is no dashboard, {address}"
        yield Check("dashboard", not is_set, f"{url}/health answers {health.status}: {body}", remedy)
        return
    yield Check("dashboard", True, f"{url} answers")
    if date := health.headers.get("Date"):
        skew = abs((parsedate_to_datetime(date) - now).total_seconds())
        remedy = "set both clocks by NTP: latencies and times on the page depend on them"
        yield Check("clock", True, f"{skew:.0f} s from that of the dashboard", "" if skew <= 5.0 else remedy)
    for name, token in (("read_token", settings.read_token), ("ingest_token", settings.ingest_token)):
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        # The one route that is open to both.
        status = pool.request("GET", f"{url}/api/audit/head", headers=headers).status
        remedy = f"set {ENVIRONMENT_PREFIX}{name.upper()} to that of the dashboard"
        detail = f"{'the token' if token else 'no token'}: the dashboard answers {status}"
        yield Check(name, status == 200 or not (is_set or token), detail, "" if status == 200 else remedy)


def _tokens(settings: Settings) -> Iterator[Check]:
    validate_binding(settings)
    detail = "both are set" if settings.read_token else f"none, and the dashboard listens on {settings.host} only"
    yield Check("tokens", True, detail)


def _model(settings: Settings) -> Check:
    try:
        artifact, deployment = resolve(model_path(settings.model, settings.models))
    except ModelNotFound as e:
        return _failure("model", e, is_set="model" in settings.model_fields_set or settings.model.exists())
    return Check("model", True, f"{artifact.manifest.model_id}, alerts from a score of {deployment.threshold:.4f}")
