"""Defines the errors that users can see, with their messages, exit codes and HTTP statuses.

FraudstreamError
├── SettingsError
├── SetupError: JarsMissing, JarsChanged
├── PortInUse
├── DataError: DataNotFound, EmptyData, BrokenRow, LabelError
├── ModelError: ModelNotFound, ModelCorrupt, ModelNamedDirectly, AliasRefused, DeploymentRefused, ChangedMeanwhile
├── KafkaFailure: BrokerUnreachable, KafkaAccessDenied, BrokerFailed, TopicMissing
├── SchemaRegistryFailed
├── SparkFailed
├── DetectorError: CheckpointDamaged
├── ArchiveError
├── StoreError
├── RequestError
├── RecordError
├── DashboardFailed
├── ProgressFailed
└── ProcessFailed
"""

from typing import ClassVar

DOCTOR = "`fraudstream doctor` checks this machine and what is configured"


class FraudstreamError(Exception):
    """The base class: what went wrong, where, and what the user can do about it.

    Args:
        what: What failed, in one sentence without a final full stop.
        where: A file and line, an address, a column; may be empty.
        remedy: What to do now, in one sentence; may be empty.
    """

    exit_code: ClassVar[int] = 1
    http_status: int = 500
    may_be_the_machine: ClassVar[bool] = False
    """Whether the machine may be the cause, so that the message should mention `fraudstream doctor`."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(self.message)

    @property
    def line(self) -> str:
        """The message in one line: what (where); remedy."""
        where = f" ({self.where})" if self.where else ""
        return f"{self.what}{where}" + (f"; {self.remedy}" if self.remedy else "")

    @property
    def message(self) -> str:
        """The message for the user in several lines: what, where, remedy."""
        lines = [self.what]
        if self.where:
            lines.append(f"  where:  {self.where}")
        if self.remedy:
            lines.append(f"  remedy: {self.remedy}")
        if self.may_be_the_machine and "fraudstream doctor" not in self.remedy:
            lines.append(f"  see:    {DOCTOR}")
        return "\n".join(lines)


class RequestError(FraudstreamError):
    """Raised when a request to the API is invalid; answered with `status`."""

    def __init__(self, what: str, *, status: int = 400, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.http_status = status


class RecordError(FraudstreamError):
    """Raised when a posted record cannot be stored; the reason names the member and its expected value."""

    http_status = 400


class SettingsError(FraudstreamError):
    """Raised when a setting is missing, malformed or contradicts another."""

    exit_code = 2
    http_status = 422


class SetupError(FraudstreamError):
    """Raised when this machine lacks something that fraudstream needs."""

    exit_code = 3
    may_be_the_machine = True


class JarsMissing(SetupError):
    """Raised when the Kafka or connector jars are missing and could not be fetched."""


class JarsChanged(SetupError):
    """Raised when a jar's sha256 is not the pinned one."""


class PortInUse(FraudstreamError):
    """Raised when another process is listening on the requested port."""

    may_be_the_machine = True


class DataError(FraudstreamError):
    """Raised when a CSV cannot be used."""


class DataNotFound(DataError):
    """Raised when the CSV does not exist or cannot be read."""


class EmptyData(DataError):
    """Raised when a CSV has no header, or a header without rows."""


class BrokenRow(DataError):
    """Raised when a row's number of cells differs from the header's, or it is not text."""


class LabelError(DataError):
    """Raised when there is no label column, or it is not binary."""


class ModelError(FraudstreamError):
    """Raised when a model artifact cannot be used."""

    http_status = 409


class ModelNotFound(ModelError):
    """Raised when the path holds no artifact and no `current` file."""


class ModelCorrupt(ModelError):
    """Raised when a file of an artifact is missing or its sha256 differs from the manifest's."""


class ModelNamedDirectly(ModelError):
    """Raised when a deployment needs a `current` file, but an artifact was named directly."""


class AliasRefused(ModelError):
    """Raised when an alias does not fit the active model."""

    exit_code = 2
    http_status = 422


class DeploymentRefused(ModelError):
    """Raised when a trained model is not deployed: it is worse than the active one beyond a bound."""


class ChangedMeanwhile(ModelError):
    """Raised when the deployment has changed since the user who wants to change it read it."""

    exit_code = 2


class KafkaFailure(FraudstreamError):
    """Raised when a Kafka operation failed."""


class BrokerUnreachable(KafkaFailure):
    """Raised when the bootstrap servers do not answer."""

    may_be_the_machine = True


class KafkaAccessDenied(KafkaFailure):
    """Raised when Kafka's authorizer does not allow an operation on a topic, a group or the cluster."""


class BrokerFailed(KafkaFailure):
    """Raised when our own broker exited or never became ready."""

    may_be_the_machine = True


class TopicMissing(KafkaFailure):
    """Raised when a topic does not exist."""


class SchemaRegistryFailed(FraudstreamError):
    """Raised when the schema registry does not answer, or refuses a request."""


class SparkFailed(FraudstreamError):
    """Raised when Spark could not start, or a Spark operation failed."""

    may_be_the_machine = True


class DetectorError(FraudstreamError):
    """Raised when the streaming query cannot run."""


class CheckpointDamaged(DetectorError):
    """Raised when a checkpoint is broken, or belongs to another topic or release."""


class ArchiveError(FraudstreamError):
    """Raised when the archive of transactions cannot be opened or written, or is of another topic."""


class StoreError(FraudstreamError):
    """Raised when the alert store cannot be opened or written."""

    http_status = 503


class DashboardFailed(FraudstreamError):
    """Raised when the dashboard does not answer, or rejects a command's request."""


class ProgressFailed(FraudstreamError):
    """Raised when the producer cannot write its progress file, or the file of rows that the broker rejected."""


class ProcessFailed(FraudstreamError):
    """Raised when a process of the demo never became ready in several starts."""

    may_be_the_machine = True
