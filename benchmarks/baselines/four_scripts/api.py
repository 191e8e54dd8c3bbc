"""The dashboard's API as usually written: Flask's own server, frauds in a list."""

from __future__ import annotations

import argparse
import time
from typing import Any

from flask import Flask, jsonify, request

app = Flask(__name__)
frauds: list[dict[str, Any]] = []


@app.route("/api/fraud", methods=["POST"])
def add_fraud() -> Any:
    """Take one fraud; the time at which it came is kept for the measurement."""
    fraud = request.get_json()
    frauds.append({"at": time.time(), "partition": fraud["partition"], "offset": fraud["offset"]})
    return jsonify({"status": "ok"})


@app.route("/api/frauds")
def list_frauds() -> Any:
    """All that came, from a place on."""
    return jsonify(frauds[int(request.args.get("from", 0)) :])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    app.run(host="127.0.0.1", port=parser.parse_args().port, threaded=True)
