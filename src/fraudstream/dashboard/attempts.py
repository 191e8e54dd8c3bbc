"""Limits how often an address may present a wrong token, without locking out who presents the right one."""

from collections.abc import Callable
from typing import Final, NamedTuple

import structlog
from flask import Flask, Response, g
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

WRONG_TOKENS: Final = 20
WINDOW_SECONDS: Final = 60
COUNTED_SECONDS: Final = 3_600

log = structlog.get_logger(__name__)


class Attempt(NamedTuple):
    """A token that a request presents: as what, for the log, and the name of the token that it is (empty for none)."""

    how: str
    right: str


def limit_attempts(
    app: Flask, presented: Callable[[], Attempt | None], is_loopback: Callable[[str], bool]
) -> Callable[[], Attempt | None]:
    """Answer 429 to an address that has presented too many wrong tokens within a minute, until that is over.

    A right token is let through all the same where this address has presented it before, and on loopback, where
    everybody has the same address: nobody's guesses lock out a relay. From elsewhere the answer to a guess is 429 while
    the limit is exceeded, whether it is right or not. To be called before any other check of the app's requests is
    registered; returns `presented`, worked out once for each request.
    """
    known: set[tuple[str, str]] = set()

    def attempt() -> Attempt | None:
        if "attempt" not in g:
            g.attempt = None  # where the body cannot be read, which is answered by itself
            g.attempt = presented()
        found: Attempt | None = g.attempt
        return found

    limiter = Limiter(
        get_remote_address,
        app=app,
        application_limits=[f"{WRONG_TOKENS} per {WINDOW_SECONDS} second"],
        application_limits_deduct_when=lambda _response: _is_wrong(attempt()),
        # Not the endpoint: a token can be tried at an address that does not exist as well.
        request_identifier=lambda: "tokens",
        storage_uri="memory://",
        strategy="moving-window",
    )

    @limiter.request_filter
    def is_exempt() -> bool:
        found, address = attempt(), get_remote_address()
        return found is None or (bool(found.right) and (is_loopback(address) or (address, found.right) in known))

    @app.before_request
    def remember() -> None:
        found = attempt()
        if found is not None and found.right:
            known.add((get_remote_address(), found.right))

    @app.after_request
    def tell(response: Response) -> Response:
        found, address = attempt(), get_remote_address()
        if found is not None and _is_wrong(found):
            failures = limiter.storage.incr(f"failures of {address}", COUNTED_SECONDS)
            if failures & (failures - 1) == 0:  # 1, 2, 4, 8 …: a storm of guesses does not fill the log
                log.warning("a wrong token was presented", what=found.how, address=address, failures_this_hour=failures)
        if response.status_code == 429:
            response.headers["Retry-After"] = str(WINDOW_SECONDS)
        return response

    return attempt


def _is_wrong(attempt: Attempt | None) -> bool:
    return attempt is not None and not attempt.right
