"""Streams each row of the creditcard.csv beside this script to the topic credit_card_transactions."""

import sys

try:
    from launch import stream_payments
except ModuleNotFoundError as e:
    sys.exit(f"fraudstream: {e}\n  remedy: use the project's Python: source .venv/bin/activate")

DELAY_SECONDS = 0.01

if __name__ == "__main__":
    stream_payments(__file__, delay=DELAY_SECONDS)
