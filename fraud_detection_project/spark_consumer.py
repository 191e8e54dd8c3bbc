"""Scores the topic with Spark and carries each fraud to the dashboard."""

import sys

try:
    from launch import detect_frauds
except ModuleNotFoundError as e:
    sys.exit(f"fraudstream: {e}\n  remedy: use the project's Python: source .venv/bin/activate")

if __name__ == "__main__":
    detect_frauds(__file__)
