"""Kafka's own command-line tools, run from the broker's jars for those who have no Kafka distribution."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fraudstream.errors import SettingsError
from fraudstream.runtime.java import Java

TOOLS: Final = {
    "topics": "org.apache.kafka.tools.TopicCommand",
    "configs": "kafka.admin.ConfigCommand",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
}
"""By the name of the script in Kafka's distribution, without `kafka-` and `.sh`, the class that it starts."""

_HEAP: Final = "256m"
_LOGGING: Final = Path(__file__).with_name("tools_log4j2.properties")


def tool_class(tool: str) -> str:
    """The class of a tool by its name in `TOOLS`, or by that of the script in Kafka's distribution ("kafka-topics.sh").

    Raises SettingsError, with the names there are, for any other.
    """
    found = TOOLS.get(tool.removeprefix("kafka-").removesuffix(".sh"))
    if found is None:
        raise SettingsError(
            f"there is no Kafka tool {tool!r} here", where="fraudstream kafka", remedy=f"take one of {', '.join(TOOLS)}"
        )
    return found


def tool_command(program: str, arguments: Sequence[str], java: Java, jars: Sequence[Path]) -> list[str]:
    """The command that runs a tool."""
    return [
        str(java.executable),
        f"-Xmx{_HEAP}",
        "-XX:+UseSerialGC",
        # The quick compiler alone, as for the broker: a tool lives for a second.
        "-XX:TieredStopAtLevel=1",
        f"-Dlog4j2.configurationFile={_LOGGING}",
        "-cp",
        ":".join(map(str, jars)),
        program,
        *arguments,
    ]
