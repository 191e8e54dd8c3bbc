"""The cluster of a secured broker as one of its users sees it."""

from __future__ import annotations

from fraudstream.kafka.client import Cluster
from fraudstream.kafka.secured import SecureFolder
from fraudstream.kafka_settings import KafkaSettings


def cluster_of(folder: SecureFolder, user: str, **other: object) -> Cluster:
    """By the file of settings that a person would source; `other` are further settings, or other values."""
    settings = dict(line.split("=", 1) for line in folder.environment(user).read_text().splitlines())
    address = settings.pop("FRAUDSTREAM_BOOTSTRAP_SERVERS")
    named = {name.removeprefix("FRAUDSTREAM_KAFKA_").lower(): value for name, value in settings.items()}
    return Cluster(address, KafkaSettings.model_validate(named | other))
