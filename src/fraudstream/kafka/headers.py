"""The headers of a Kafka record, read so that a hostile name cannot end the process."""

import gc
from operator import methodcaller
from typing import Final

from confluent_kafka import Message

_READ: Final = methodcaller("headers")
"""Of a name that is not UTF-8 the client makes a null pointer, and leaves its error to be found by the next call.

Python's fast path for a call of a method does not look for such an error, this one does: the null pointer would end the
process where it is touched.
"""


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """The headers, in order; raises ValueError where a name is not UTF-8."""
    try:
        headers = _READ(message) or []
    except (UnicodeDecodeError, SystemError) as e:
        raise ValueError("the name of a header is not UTF-8") from e
    # The second time the client gives its list without an error: a null pointer is no referent.
    if any(len(gc.get_referents(pair)) < 2 for pair in headers):
        raise ValueError("the name of a header is not UTF-8")
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in headers]
