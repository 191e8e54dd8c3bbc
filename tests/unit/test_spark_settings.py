"""Which of Spark's properties a session has: the user's, our defaults, and what affects results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark import SparkConf, SparkContext

from fraudstream.errors import SettingsError
from fraudstream.runtime.jvm import SparkPlan
from fraudstream.runtime.spark import OWN_CORES, configure
from fraudstream.runtime.spark_settings import AFFECTS_RESULTS, CORES, DEFAULTS, check_properties, cores_for

CLUSTER = "spark://one:7077"


@pytest.fixture(autouse=True)
def no_jvm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another test of this process may have one, with properties of its own."""
    monkeypatch.setattr(SparkContext, "_jvm", None)


def properties(master: str, user: dict[str, str] | None = None, **plan: Any) -> dict[str, str]:
    """The session's properties, where the user's own files and `spark-submit` have given `user`."""
    conf = SparkConf(loadDefaults=False).setMaster(master).setAll(list((user or {}).items()))
    return dict(configure(conf, SparkPlan(app="test", java_home=Path("/java"), **plan)).getAll())


def test_the_toml_file_wins_over_sparks_own_files_and_both_over_our_defaults() -> None:
    user = {"spark.ui.retainedJobs": "20", "spark.ui.retainedStages": "20"}
    own = properties(CLUSTER, user, conf={"spark.ui.retainedJobs": "30", "spark.ui.enabled": "true"})
    assert (own["spark.ui.retainedJobs"], own["spark.ui.retainedStages"]) == ("30", "20")
    assert own["spark.ui.retainedTasks"] == DEFAULTS["spark.ui.retainedTasks"]
    assert own["spark.ui.enabled"] == "true"
    assert own["spark.redaction.regex"] == DEFAULTS["spark.redaction.regex"]


def test_nobody_changes_what_affects_results() -> None:
    own = properties("local[2]", dict.fromkeys(AFFECTS_RESULTS, "other"), conf=dict.fromkeys(AFFECTS_RESULTS, "other"))
    assert {name: own[name] for name in AFFECTS_RESULTS} == AFFECTS_RESULTS


def test_only_a_local_driver_has_the_loopback_address() -> None:
    assert properties("local[2]")["spark.driver.host"] == "127.0.0.1"
    assert properties("local[2]", {"spark.driver.host": "10.0.0.7"})["spark.driver.host"] == "10.0.0.7"
    assert not {"spark.driver.host", "spark.driver.bindAddress"} & properties(CLUSTER).keys()


def test_cores_are_ours_to_change_only_where_the_user_set_none() -> None:
    own = properties(CLUSTER, slots=3)
    assert (own[CORES], OWN_CORES in own) == ("3", True)
    for given in ({"user": {CORES: "4"}}, {"conf": {CORES: "4"}}):
        own = properties(CLUSTER, slots=3, **given)
        assert (own[CORES], OWN_CORES in own) == ("4", False)


def test_executors_get_the_connector_beside_the_users_own_jars() -> None:
    jars = (Path("/kafka.jar"), Path("/clients.jar"))
    assert (
        properties(CLUSTER, {"spark.jars": "/own.jar"}, jars=jars)["spark.jars"] == "/own.jar,/kafka.jar,/clients.jar"
    )
    assert "spark.jars" not in properties("local[2]", jars=jars)


@pytest.mark.parametrize("whose", ["user", "conf"])
def test_cores_are_counted_by_the_size_of_the_users_executors(whose: str) -> None:
    assert properties(CLUSTER, slots=3, **{whose: {"spark.executor.cores": "2"}})[CORES] == "4"


@pytest.mark.parametrize(
    ("of_executor", "of_task", "cores"),
    [
        (None, None, 5),
        ("1", None, 5),
        ("3", None, 6),  # two executors of three slots
        ("4", None, 8),
        ("4", "2", 12),  # three executors of two slots
        ("3", "2", 15),  # five executors of one slot, each with a core that no task uses
        (None, "2", 10),
        ("0", "-1", 5),  # what is no number of cores is for Spark to refuse
        ("four", "", 5),
    ],
)
def test_cores_are_those_of_whole_executors(of_executor: str | None, of_task: str | None, cores: int) -> None:
    given = {"spark.executor.cores": of_executor, "spark.task.cpus": of_task}
    assert cores_for(5, {name: value for name, value in given.items() if value is not None}) == str(cores)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark.driver.extraJavaOptions", "-Djavax.net.ssl.trustStorePassword=hunter2"),
        ("spark.hadoop.fs.s3a.access.key", "hunter2"),
        ("spark.hadoop.fs.azure.account.key.x.dfs.core.windows.net", "hunter2"),
        ("spark.executorEnv.OPTS", "sasl.jaas.config=hunter2"),
    ],
)
def test_a_secret_is_refused_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        check_properties({"spark.executor.memory": "1g", name: value})
    assert name in str(refused.value)
    assert "hunter2" not in f"{refused.value} {refused.value.where} {refused.value.remedy}"
