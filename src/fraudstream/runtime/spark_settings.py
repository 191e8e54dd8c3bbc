"""Defines the Spark properties of every session, and checks those of the table `[spark]` of `fraudstream.toml`."""

import re
from collections.abc import Mapping
from typing import Final

from fraudstream.config import SETTINGS_FILE
from fraudstream.errors import SettingsError
from fraudstream.runtime.files import PRIVATE_UMASK

CORES: Final = "spark.cores.max"
"""The most cores of a standalone cluster that an application takes; without it, it takes all."""

AFFECTS_RESULTS: Final = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.session.timeZone": "UTC",
    # Without it a single malformed value would null the whole row.
    "spark.sql.json.enablePartialResults": "true",
    # A transaction may contain a key twice.
    "spark.sql.mapKeyDedupPolicy": "LAST_WIN",
    "spark.sql.streaming.metricsEnabled": "false",
    "spark.sql.dataFrameQueryContext.enabled": "false",
}
"""Nobody's setting takes precedence over these."""

AVRO_LIMITS: Final = {
    f"org.apache.avro.limits.{what}.maxLength": str(most)
    for what, most in (("bytes", 2**24), ("string", 2**24), ("collectionItems", 2**20))
}
"""Avro allocates the length that a record claims, and a few bytes can claim 2 GB: the JVM would run out of memory."""

DEFAULTS: Final = {
    # Before the options that a user sets for executors; the driver's JVM gets them with its session.
    "spark.executor.defaultJavaOptions": " ".join(f"-D{name}={most}" for name, most in AVRO_LIMITS.items()),
    "spark.ui.enabled": "false",
    # Spark keeps these for its UI, which is off: the text of each batch's plan, 140 KB, a thousand times.
    "spark.sql.ui.retainedExecutions": "10",
    "spark.ui.retainedJobs": "10",
    "spark.ui.retainedStages": "10",
    "spark.ui.retainedTasks": "100",
    # Hadoop sets its own permissions on what it writes (checkpoint, models), regardless of the process's umask.
    "spark.hadoop.fs.permissions.umask-mode": f"{PRIVATE_UMASK:03o}",
    "spark.cleaner.referenceTracking.cleanCheckpoints": "false",
    # Otherwise each function call makes eight calls to the JVM to record its line of Python, and the JVM takes a stack
    # trace of its own: 0.5 s for a plan of some hundred expressions.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    # Spark's own pattern shows a key store, and a JAAS configuration without the word "password".
    "spark.redaction.regex": "(?i)secret|password|token|access[.]?key|jaas|keystore[.]key",
}
"""Every user's setting takes precedence over these: in `[spark]`, `spark-defaults.conf` or `spark-submit`."""

LOOPBACK_DRIVER: Final = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
"""Defaults for a local master; the executors of a cluster have to reach the driver."""


def cores_for(slots: int, properties: Mapping[str, str]) -> str:
    """Return the cores with so many task slots: a standalone master gives none that are too few for an executor."""
    of_task, of_executor = (
        int(value) if (value := properties.get(name, "1")).isdecimal() and int(value) else 1
        for name in ("spark.task.cpus", "spark.executor.cores")
    )
    executors = -(-slots // max(1, of_executor // of_task)) if of_executor > 1 else slots * of_task
    return str(executors * of_executor)


_SECRET: Final = re.compile("secret|password|token|jaas|access[.]?key|account[.]key", re.IGNORECASE)
_OWN_SETTINGS: Final = {"spark.master": "spark_master", "spark.driver.memory": "driver_memory"}


def check_properties(properties: Mapping[str, str]) -> dict[str, str]:
    """Return the properties of `[spark]`; raises SettingsError for one that would be ignored or seen by others."""
    for name, value in properties.items():
        if not name.startswith("spark."):
            what, remedy = "is not a property of Spark", f"its name has to begin with spark.: spark.{name}"
        elif name in AFFECTS_RESULTS:
            what = "cannot be changed: a model's scores depend on it"
            remedy = f"remove it; it is always {AFFECTS_RESULTS[name]}"
        elif name in _OWN_SETTINGS:
            what, remedy = "has a setting of its own", f"set {_OWN_SETTINGS[name]} instead"
        elif _SECRET.search(f"{name}={value}"):
            what = "looks like a secret, and Spark's JVM gets these properties on its command line, where all see them"
            remedy = "set it in spark-defaults.conf in the directory that SPARK_CONF_DIR names, readable by you alone"
        else:
            continue
        raise SettingsError(f"{name} {what}", where=f"[spark] in {SETTINGS_FILE}", remedy=remedy)
    return dict(properties)
