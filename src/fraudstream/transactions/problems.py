"""What is wrong with the running system, as the detector reports it and `/api/system` lists it."""

from enum import StrEnum

from pydantic import BaseModel, Field, NonNegativeInt


class ProblemKind(StrEnum):
    """What can be wrong."""

    DATABASE = "database"
    RELAY = "relay"
    KAFKA = "kafka"
    DETECTOR = "detector"
    SLOTS = "slots"
    STARVED = "starved"
    LOSS = "loss"


class Problem(BaseModel, frozen=True):
    """One thing that is wrong: its sentence for people, since when (ISO 8601), and the partition where it is of one."""

    kind: ProblemKind
    message: str = Field(max_length=500)
    since: str | None = Field(None, max_length=40)
    partition: NonNegativeInt | None = None


class PartitionReport(BaseModel, frozen=True):
    """What the detector's status says of its partitions.

    `task_slots` is null for micro-batches, `reading` (the partitions that a task reads) on a cluster.
    """

    task_slots: NonNegativeInt | None = None
    reading: list[NonNegativeInt] | None = None
    problems: list[Problem] = []
