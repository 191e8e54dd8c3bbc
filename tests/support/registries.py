"""A schema registry in this process, with the part of Confluent's API that fraudstream uses."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


class FakeRegistry:
    """Subjects with the ids of their schemas in order; `status` is the answer to every request while it is set."""

    def __init__(self, login: str = "") -> None:
        self.schemas: dict[int, str] = {}
        self.subjects: dict[str, list[int]] = {}
        self.status = 0
        self.requests: list[str] = []
        self.login = login
        self.url = ""

    def register(self, subject: str, schema: str) -> int:
        known = {text: schema_id for schema_id, text in self.schemas.items()}
        schema_id = known.get(schema, len(self.schemas) + 1)
        self.schemas[schema_id] = schema
        versions = self.subjects.setdefault(subject, [])
        if schema_id not in versions:
            versions.append(schema_id)
        return schema_id

    def answer(self, method: str, path: list[str], content: Any) -> tuple[int, Any]:
        missing = (404, {"error_code": 40401, "message": "not found"})
        match method, path:
            case "POST", ["subjects", subject, "versions"]:
                try:
                    json.loads(content["schema"])
                except ValueError:
                    return 422, {"error_code": 42201, "message": "Invalid Avro schema"}
                return 200, {"id": self.register(subject, content["schema"])}
            case "GET", ["subjects", subject, "versions"] if subject in self.subjects:
                return 200, list(range(1, len(self.subjects[subject]) + 1))
            case "GET", ["subjects", subject, "versions", version] if subject in self.subjects:
                schema_id = self.subjects[subject][int(version) - 1]
                return 200, {"id": schema_id, "schema": self.schemas[schema_id], "version": int(version)}
            case "GET", ["schemas", "ids", schema_id] if int(schema_id) in self.schemas:
                return 200, {"schema": self.schemas[int(schema_id)]}
        return missing


@contextmanager
def fake_registry(login: str = "") -> Iterator[FakeRegistry]:
    """Run one on a free port; `login` is the `user:password` that it asks for."""
    registry = FakeRegistry(login)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = [unquote(part) for part in self.path.strip("/").split("/")]
            registry.requests.append(f"{self.command} {self.path}")
            expected = f"Basic {b64encode(registry.login.encode()).decode()}"
            if registry.status:
                status, content = registry.status, {"error_code": registry.status, "message": "set by the test"}
            elif registry.login and self.headers.get("Authorization") != expected:
                status, content = 401, {"error_code": 401, "message": "Unauthorized"}
            else:
                status, content = registry.answer(self.command, path, json.loads(body) if body else None)
            encoded = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
