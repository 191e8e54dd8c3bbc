"""Defines the names and help texts of the metrics that dashboard and archive expose to Prometheus."""

from typing import Final, NamedTuple


class Metric(NamedTuple):
    """A metric's name and help text."""

    name: str
    help: str


PAYMENTS_SEEN: Final = Metric("fraudstream_payments_seen", "Payments that Kafka has acknowledged, by its end offsets.")
PAYMENTS_SCORED: Final = Metric(
    "fraudstream_payments_scored", "Payments that were scored, from samples, without rejected records."
)
LAG: Final = Metric("fraudstream_lag", "Payments acknowledged and not yet known to be scored.")
RATE: Final = Metric("fraudstream_payments_per_second", "Payments acknowledged a second, over the last ten seconds.")
ALERTS: Final = Metric("fraudstream_alerts", "Alerts in the store.")
UNSCORABLE: Final = Metric("fraudstream_unscorable", "Payments in the store that could not be scored.")
DEAD_LETTERS: Final = Metric("fraudstream_dead_letters", "Records in the topic that are not payments.")
REJECTED: Final = Metric("fraudstream_rejected", "Records posted to the API that could not be stored.")
CONFLICTS: Final = Metric("fraudstream_conflicts", "Alerts that share an id with another payment.")
DUPLICATES: Final = Metric("fraudstream_duplicates", "Alerts posted again and suppressed: the store has each once.")
VIEWERS: Final = Metric("fraudstream_stream_viewers", "Open live streams.")
PROBLEMS: Final = Metric("fraudstream_problems", "Current problems by kind, as in /api/system.")
PROCESS_RUNNING: Final = Metric("fraudstream_process_running", "1 while a process reports that it is running.")
TASK_SLOTS: Final = Metric("fraudstream_task_slots", "Task slots of the detector's Spark, in Real-time Mode.")
PARTITION_LAG: Final = Metric("fraudstream_partition_lag", "Payments acknowledged and not yet scored, by partition.")
PARTITION_STARVED: Final = Metric("fraudstream_partition_starved", "1 while a partition is not read.")
LOST_UNACKNOWLEDGED: Final = Metric("fraudstream_lost_unacknowledged", "Lost records that nobody has acknowledged.")
ALERT_LATENCY: Final = Metric(
    "fraudstream_alert_latency_seconds", "Time from producing a payment to storing or pushing its alert."
)
ARCHIVED: Final = Metric("fraudstream_archived", "Records that the archive process has written since it was started.")
ARCHIVE_LAG: Final = Metric("fraudstream_archive_lag", "Records of the input topic that are not in the archive yet.")
ARCHIVE_LOST: Final = Metric(
    "fraudstream_archive_lost", "Records that Kafka deleted before they were archived, since the process was started."
)
ARCHIVE_FAILING: Final = Metric("fraudstream_archive_failing", "1 while no file can be written, as on a full disk.")

LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, float("inf"))
"""Upper bounds in seconds: fine in the range of Real-time Mode, coarse where only an outage explains the latency."""
