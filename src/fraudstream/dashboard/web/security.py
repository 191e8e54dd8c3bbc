"""Secures the dashboard: binding, tokens, rate limits, Host and Origin checks, and security headers."""

import contextlib
import hmac
import ipaddress
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import structlog
from flask import Flask, Request, Response, g, redirect, request, url_for
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from pydantic import SecretStr
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as BaseResponse

from fraudstream.config import SETTINGS_FILE, Settings
from fraudstream.errors import RequestError, SettingsError
from fraudstream.store.sessions import Session, Sessions

WRONG_TOKENS: Final = 20
WINDOW_SECONDS: Final = 60
COUNTED_SECONDS: Final = 3_600

log = structlog.get_logger(__name__)


class Attempt(NamedTuple):
    """A presented token: its kind, for the log, and the name of the token that it matches (empty for none)."""

    kind: str
    name: str


def limit_attempts(app: Flask, presented: Callable[[], Attempt | None]) -> Callable[[], Attempt | None]:
    """Rate-limit logins: answer 429 to an address that has presented too many wrong tokens within a minute.

    A correct token still passes if this address has presented it before, and on loopback, where all clients share an
    address: guesses do not lock out a relay. From elsewhere the answer to a guess is 429 while the limit is exceeded,
    whether it is correct or not. Call it before any other check of requests is registered. Returns `presented`,
    computed once per request.
    """
    known: set[tuple[str, str]] = set()

    def attempt() -> Attempt | None:
        if "attempt" not in g:
            g.attempt = None  # stays if the body cannot be read, which has its own answer
            g.attempt = presented()
        result: Attempt | None = g.attempt
        return result

    limiter = Limiter(
        get_remote_address,
        app=app,
        application_limits=[f"{WRONG_TOKENS} per {WINDOW_SECONDS} second"],
        application_limits_deduct_when=lambda _response: (token := attempt()) is not None and not token.name,
        # Not the endpoint: a token can be tried at an unknown address as well.
        request_identifier=lambda: "tokens",
        storage_uri="memory://",
        strategy="moving-window",
    )

    @limiter.request_filter
    def is_exempt() -> bool:
        token, address = attempt(), get_remote_address()
        return token is None or (bool(token.name) and (is_loopback(address) or (address, token.name) in known))

    @app.before_request
    def remember() -> None:
        token = attempt()
        if token is not None and token.name:
            known.add((get_remote_address(), token.name))

    @app.after_request
    def log_failure(response: Response) -> Response:
        token, address = attempt(), get_remote_address()
        if token is not None and not token.name:
            failures = limiter.storage.incr(f"failures of {address}", COUNTED_SECONDS)
            if failures & (failures - 1) == 0:  # 1, 2, 4, 8 …: many guesses do not fill the log
                log.warning("wrong token", what=token.kind, address=address, failures_this_hour=failures)
        if response.status_code == 429:
            response.headers["Retry-After"] = str(WINDOW_SECONDS)
        return response

    return attempt


COOKIE: Final = "fraudstream_session"
SIGN_IN: Final = "pages.sign_in_with_token"
OPEN_ENDPOINTS: Final = frozenset(
    {"pages.login", SIGN_IN, "pages.sign_out", "pages.preferences", "system.health", "system.ready", "static"}
)
"""Open without a token: sign-in and sign-out, theme and zone, static files, and health (nothing about payments)."""

MIN_TOKEN_CHARS: Final = 16
MAX_SIGN_IN_BYTES: Final = 4 * 1024
SESSION_CHECK_SECONDS: Final = 5.0
"""How often a live stream checks whether its session was ended or revoked."""

AUDIT_HEAD: Final = "audit.chain_head"
"""Readable with the ingest token as well: the relay publishes it, and it contains nothing about payments."""

READER_BLUEPRINTS: Final = frozenset({"actor", "system", "views", "work"})
"""Whoever may read alerts may triage them, save views and acknowledge losses: people post there with the session of
the read token, not a machine's token."""

READER_FORMS: Final = frozenset({"pages.save_reason_codes"})
"""What they post there by forms of pages."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def is_loopback(host: str) -> bool:
    """Return whether an address is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def validate_binding(settings: Settings) -> None:
    """Check that payments are neither exposed to a network nor accepted without a token.

    Raises SettingsError if only one token is set, one is too short, or the host is not loopback and none is set.
    """
    tokens = {"ingest_token": _secret(settings.ingest_token), "read_token": _secret(settings.read_token)}
    missing = [name for name, token in tokens.items() if not token]
    if len(missing) == 1:
        (is_set,) = tokens.keys() - set(missing)
        raise SettingsError(
            f"{is_set} is set and {missing[0]} is not: the routes that it protects would be open to everybody",
            where=f"FRAUDSTREAM_{missing[0].upper()}, or {missing[0]} in {SETTINGS_FILE}",
            remedy="set both tokens; or neither, on loopback",
        )
    short = [name for name, token in tokens.items() if token and len(token) < MIN_TOKEN_CHARS]
    if short:
        raise SettingsError(
            f"{' and '.join(short)} must have at least {MIN_TOKEN_CHARS} characters",
            where=", ".join(f"FRAUDSTREAM_{name.upper()}" for name in short) + f", or {SETTINGS_FILE}",
            remedy="generate one with `openssl rand -hex 24`",
        )
    if missing and not is_loopback(settings.host):
        raise SettingsError(
            f"the dashboard does not listen on {settings.host} without {' and '.join(missing)}",
            where="settings of the dashboard",
            remedy="set FRAUDSTREAM_INGEST_TOKEN and FRAUDSTREAM_READ_TOKEN, or use --host 127.0.0.1",
        )


def guard(app: Flask, settings: Settings, sessions: Sessions) -> None:
    """Check every request before it is served, and add security headers to every response."""
    reading, ingest = _secret(settings.read_token), _secret(settings.ingest_token)
    tokens = {name: token for name, token in (("read", reading), ("ingest", ingest)) if token}

    def presented() -> Attempt | None:
        if request.endpoint == SIGN_IN:
            request.max_content_length = MAX_SIGN_IN_BYTES
            if request.method == "POST":
                return Attempt("sign-in", "read" if _is(request.form.get("token", ""), reading) else "")
        bearer = _bearer(request)
        if bearer is None or not tokens or request.endpoint in OPEN_ENDPOINTS:
            return None
        return Attempt("bearer token", next((name for name, token in tokens.items() if _is(bearer, token)), ""))

    attempt = limit_attempts(app, presented)

    def has_token(name: str) -> bool:
        token = attempt()
        return token is not None and token.name == name

    @app.before_request
    def check() -> BaseResponse | None:
        try:
            request.query_string.decode()
        except UnicodeDecodeError:
            request.environ["QUERY_STRING"], request.query_string = "", b""  # Werkzeug fails at each reading of it
            raise RequestError("the address holds bytes that are not UTF-8; percent-encode them") from None
        if not host_is_own(request, settings):
            raise RequestError("unknown host name; add it to the setting public_hosts", status=421)
        if request.method not in SAFE_METHODS and not same_origin(request, settings):
            raise RequestError("a page of another origin may not post here", status=403)
        g.session = sessions.find(request.cookies.get(COOKIE, "")) if request.endpoint != "static" else None
        if request.endpoint in OPEN_ENDPOINTS:
            return None
        is_of_readers = request.blueprint in READER_BLUEPRINTS or request.endpoint in READER_FORMS
        if request.method not in SAFE_METHODS and not is_of_readers:
            if ingest and not has_token("ingest"):
                raise RequestError("post with the header Authorization: Bearer and the ingest token", status=401)
            return None
        if not reading or has_token("read") or g.session is not None:
            return None
        if request.endpoint == AUDIT_HEAD and has_token("ingest"):
            return None
        if request.path.startswith("/api/") or request.path == "/metrics":
            raise RequestError("read with the header Authorization: Bearer and the read token", status=401)
        return redirect(url_for("pages.login"), code=303)

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if request.endpoint != "static":
            response.headers.setdefault("Cache-Control", "no-store")
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="fraudstream"'
        return response


def acting_session() -> Session | None:
    """Return the session of this request; None for a request with a token, or if no tokens are set."""
    session: Session | None = g.get("session")
    return session


def while_signed_in(pieces: Iterator[bytes], sessions: Sessions) -> Iterator[bytes]:
    """Yield the pieces of a stream for as long as the session that reads it lasts."""
    session_id = request.cookies.get(COOKIE, "") if acting_session() is not None else None

    def guarded() -> Iterator[bytes]:
        checked_at = time.monotonic()
        with contextlib.closing(pieces):  # type: ignore[type-var]
            for piece in pieces:
                if session_id is not None and time.monotonic() - checked_at > SESSION_CHECK_SECONDS:
                    if sessions.find(session_id) is None:
                        return
                    checked_at = time.monotonic()
                yield piece

    return guarded()


def behind_proxies(app: Callable[..., Any], trusted: Sequence[IPv4Network | IPv6Network]) -> Callable[..., Any]:
    """Wrap the WSGI app to trust X-Forwarded-For, -Proto, -Host and -Prefix from declared proxies.

    Those of other clients are ignored. Each such proxy has to set all four, or to remove those that a client sends.
    """
    proxied = ProxyFix(app, x_for=1, x_proto=1, x_host=1, x_prefix=1)

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        with contextlib.suppress(ValueError):
            client = ipaddress.ip_address(environ.get("REMOTE_ADDR", ""))
            if any(client in network for network in trusted):
                return proxied(environ, start_response)
        return app(environ, start_response)

    return serve


def host_is_own(incoming: Request, settings: Settings) -> bool:
    """Return whether the Host header names this dashboard.

    A page on the internet can let its own name resolve to 127.0.0.1 and so read the services there; the name that it
    sends is not ours (DNS rebinding).
    """
    name = _hostname(f"//{incoming.host}")
    if name is None:
        return False
    own = {"localhost", "127.0.0.1", "::1"} if is_loopback(settings.host) else {settings.host.strip("[]").lower()}
    # The local address of this connection: the only valid one when bound to 0.0.0.0.
    connection = incoming.environ.get("gunicorn.socket")
    if connection is not None:
        own.add(str(connection.getsockname()[0]))
    return name in own or name in {host.lower() for host in settings.public_hosts}


def same_origin(incoming: Request, settings: Settings) -> bool:
    """Return whether a request comes from a page of this dashboard, or from no page at all."""
    origin = incoming.headers.get("Origin")
    if origin is None:
        return incoming.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
    own = origin.partition("://")[2].lower() == incoming.host.lower()
    return own or _hostname(origin) in {host.lower() for host in settings.public_hosts}


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _bearer(incoming: Request) -> str | None:
    scheme, _, token = incoming.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _is(presented: str, token: str) -> bool:
    return bool(token) and hmac.compare_digest(presented.encode(errors="replace"), token.encode())


def _secret(token: SecretStr | None) -> str:
    return token.get_secret_value() if token is not None else ""
