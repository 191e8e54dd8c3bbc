"""Every metric's name, once: what `/metrics` exposes to Prometheus; the values come from the rooms that own them."""

from typing import Final, NamedTuple


class Metric(NamedTuple):
    """A metric's name and the sentence that `/metrics` gives with it."""

    name: str
    help: str


PAYMENTS_SEEN: Final = Metric("fraudstream_payments_seen", "Payments that Kafka has acknowledged, by its end offsets.")
PAYMENTS_SCORED: Final = Metric("fraudstream_payments_scored", "Payments whose outcome is known, from samples.")
LAG: Final = Metric("fraudstream_lag", "Payments acknowledged and not yet known to be scored.")
RATE: Final = Metric("fraudstream_payments_per_second", "Payments acknowledged a second, over the last ten seconds.")
ALERTS: Final = Metric("fraudstream_alerts", "Alerts in the store.")
UNSCORABLE: Final = Metric("fraudstream_unscorable", "Payments in the store that the model must not judge.")
DEAD_LETTERS: Final = Metric("fraudstream_dead_letters", "Records in the topic that were no payments.")
REJECTED: Final = Metric("fraudstream_rejected", "Records posted to the API that could not be stored.")
CONFLICTS: Final = Metric("fraudstream_conflicts", "Alerts that share an id with another payment.")
DUPLICATES: Final = Metric("fraudstream_duplicates", "Alerts posted again and suppressed: the store has each once.")
VIEWERS: Final = Metric("fraudstream_stream_viewers", "Live streams that are open now.")
PROBLEMS: Final = Metric("fraudstream_problems", "What is wrong now, by kind, as /api/system lists it.")
PROCESS_RUNNING: Final = Metric("fraudstream_process_running", "1 while a process says that it runs, by process.")
TASK_SLOTS: Final = Metric("fraudstream_task_slots", "Task slots of the detector's Spark, in Real-time Mode.")
PARTITION_LAG: Final = Metric("fraudstream_partition_lag", "Payments acknowledged and not yet scored, by partition.")
PARTITION_STARVED: Final = Metric("fraudstream_partition_starved", "1 while a partition is not read.")
LOST_UNACKNOWLEDGED: Final = Metric(
    "fraudstream_lost_unacknowledged", "Records that were lost and that nobody has acknowledged."
)
ALERT_LATENCY: Final = Metric(
    "fraudstream_alert_latency_seconds", "From a payment's production to the commit of its alert or its way to a page."
)

LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, float("inf"))
"""Upper bounds in seconds: fine where Real-time Mode lives, coarse where only a stop of something explains it."""
