"""The headers of a Kafka record, read so that a hostile name cannot end the process."""

from __future__ import annotations

from confluent_kafka import Message


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """The headers, in order.

    To be called once for a message: after a name that is not UTF-8 the client gives a list with a null pointer in it.

    Raises:
        ValueError: A name is not UTF-8.
    """
    try:
        headers = message.headers() or []
    except UnicodeDecodeError as e:
        raise ValueError("the name of a header is not UTF-8") from e
    return [(str(name), value.encode() if isinstance(value, str) else value) for name, value in list(headers)]
