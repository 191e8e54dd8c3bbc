"""An identity provider that hands out signed tokens (OAuth 2, client credentials), for a broker with OAUTHBEARER."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from fraudstream.kafka.secured import SecureFolder

AUDIENCE = "kafka"
_HANDLER = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
_MODULE = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"


class FolderWithTokens(SecureFolder):
    """A secured broker whose clients may also log in with a token that the keys in `jwks.json` have signed."""

    @property
    def keys(self) -> Path:
        return self.path.parent / "jwks.json"

    def server_properties(self, listeners: list[str]) -> str:
        properties = super().server_properties(listeners)
        properties = properties.replace("sasl.enabled.mechanisms=", "sasl.enabled.mechanisms=OAUTHBEARER,")
        prefix = "listener.name.clients.oauthbearer.sasl"
        return properties + (
            f"{prefix}.jaas.config={_MODULE} required;\n"
            f"{prefix}.server.callback.handler.class={_HANDLER}\n"
            f"{prefix}.oauthbearer.jwks.endpoint.url={self.keys.as_uri()}\n"
            f"{prefix}.oauthbearer.expected.audience={AUDIENCE}\n"
        )


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _number(value: int) -> str:
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@contextmanager
def identity_provider(keys: Path, client: str, secret: str) -> Iterator[str]:
    """Serve tokens for one client, whose name is their subject; yields the address of the token endpoint."""
    key = rsa.generate_private_key(65_537, 2_048)
    public = key.public_key().public_numbers()
    jwk = {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": _number(public.n), "e": _number(public.e)}
    keys.write_text(json.dumps({"keys": [jwk]}))
    expected = "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") != expected:
                self.send_error(401)
                return
            now = int(time.time())
            claims = {"sub": client, "aud": AUDIENCE, "iss": "tests", "iat": now, "exp": now + 3_600, "scope": "kafka"}
            parts = ({"alg": "RS256", "kid": "1", "typ": "JWT"}, claims)
            text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
            signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
            token = {"access_token": f"{text}.{_encoded(signature)}", "token_type": "Bearer", "expires_in": 3_600}
            body = json.dumps(token).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
