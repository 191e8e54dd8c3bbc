"""Who may ask the dashboard what: binding, tokens, Host and Origin, and the headers that fence the pages in."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from flask import Flask, Request, Response, abort, redirect, request, url_for
from pydantic import SecretStr
from werkzeug.wrappers import Response as BaseResponse

from fraudstream.config import Settings
from fraudstream.errors import SettingsError

COOKIE: Final = "fraudstream_session"
SESSION_HOURS: Final = 12
OPEN_ENDPOINTS: Final = frozenset({"pages.login", "pages.sign_in_with_token", "api.health", "api.ready", "static"})
"""Asked without a token: the way in, its style, and whether the service lives (they tell nothing about payments)."""

READERS_BLUEPRINTS: Final = frozenset({"actor", "system", "work"})
"""Who may read alerts may work them, and acknowledge losses: a person posts there with the session of the read token,
not a machine's token."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def validate_binding(settings: Settings) -> None:
    """See that payments are not shown to a network without a token.

    Raises:
        SettingsError: The host is not loopback, and one of the tokens is missing or empty.
    """
    if is_loopback(settings.host):
        return
    tokens = {"ingest_token": settings.ingest_token, "read_token": settings.read_token}
    missing = [name for name, token in tokens.items() if not _secret(token)]
    if missing:
        raise SettingsError(
            f"the dashboard does not listen on {settings.host} without {' and '.join(missing)}",
            where="settings of the dashboard",
            remedy="set FRAUDSTREAM_INGEST_TOKEN and FRAUDSTREAM_READ_TOKEN, or keep to --host 127.0.0.1",
        )


def guard(app: Flask, settings: Settings, clock: Callable[[], datetime]) -> None:
    """Have every request checked before it is served, and every answer fenced in."""
    reading, ingest = _secret(settings.read_token), _secret(settings.ingest_token)

    @app.before_request
    def check() -> BaseResponse | None:
        if not host_is_own(request, settings):
            abort(421, "this host name is not one of the dashboard's (setting public_hosts)")
        if request.method not in SAFE_METHODS and not same_origin(request, settings):
            abort(403, "a page of another origin may not post here")
        if request.endpoint in OPEN_ENDPOINTS:
            return None
        if request.method not in SAFE_METHODS and request.blueprint not in READERS_BLUEPRINTS:
            if ingest and not _bears(request, ingest):
                abort(401, "post with the header Authorization: Bearer and the ingest token")
            return None
        if not reading or _bears(request, reading) or _session_holds(request, reading, clock()):
            return None
        if request.path.startswith("/api/") or request.path == "/metrics":
            abort(401, "read with the header Authorization: Bearer and the read token")
        return redirect(url_for("pages.login"), code=303)

    @app.after_request
    def fence(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if request.endpoint != "static":
            response.headers.setdefault("Cache-Control", "no-store")
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="fraudstream"'
        return response


def sign_in(given: str, settings: Settings, now: datetime) -> str | None:
    """The value of a session's cookie for who knows the read token, None for who does not."""
    reading = _secret(settings.read_token)
    if not reading or not hmac.compare_digest(given.encode(), reading.encode()):
        return None
    expires = str(int((now + timedelta(hours=SESSION_HOURS)).timestamp()))
    return f"{expires}.{_sign(reading, expires)}"


def host_is_own(asked: Request, settings: Settings) -> bool:
    """Whether the Host header names this dashboard.

    A page of the internet can have its own name resolve to 127.0.0.1 and so read what listens there; the name that it
    then sends is not ours (DNS rebinding).
    """
    name = _hostname(f"//{asked.host}")
    if name is None:
        return False
    own = {"localhost", "127.0.0.1", "::1"} if is_loopback(settings.host) else {settings.host.strip("[]").lower()}
    # The address at which this very connection arrived: the only right one when bound to 0.0.0.0.
    connection = asked.environ.get("gunicorn.socket")
    if connection is not None:
        own.add(str(connection.getsockname()[0]))
    return name in own or name in {host.lower() for host in settings.public_hosts}


def same_origin(asked: Request, settings: Settings) -> bool:
    """Whether a request comes from a page of this dashboard, or from no page at all."""
    origin = asked.headers.get("Origin")
    if origin is None:
        return asked.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
    own = origin.partition("://")[2].lower() == asked.host.lower()
    return own or _hostname(origin) in {host.lower() for host in settings.public_hosts}


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _bears(asked: Request, token: str) -> bool:
    scheme, _, given = asked.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _session_holds(asked: Request, token: str, now: datetime) -> bool:
    expires, _, signature = asked.cookies.get(COOKIE, "").partition(".")
    if not hmac.compare_digest(signature.encode(), _sign(token, expires).encode()):
        return False
    return int(expires) > now.timestamp()


def _sign(token: str, expires: str) -> str:
    return hmac.new(token.encode(), f"fraudstream session until {expires}".encode(), hashlib.sha256).hexdigest()


def _secret(token: SecretStr | None) -> str:
    return token.get_secret_value() if token is not None else ""
