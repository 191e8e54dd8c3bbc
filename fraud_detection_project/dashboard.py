"""Serves the live page of frauds on http://localhost:5000."""

import sys

try:
    from launch import serve_dashboard
except ModuleNotFoundError as e:
    sys.exit(f"fraudstream: {e}\n  remedy: use the project's Python: source .venv/bin/activate")

if __name__ == "__main__":
    serve_dashboard(__file__)
