"""Trains on the creditcard.csv beside this script; leaves scaler_model/ and fraud_detection_model/ here."""

import sys

try:
    from launch import train_model
except ModuleNotFoundError as e:
    sys.exit(f"fraudstream: {e}\n  remedy: use the project's Python: source .venv/bin/activate")

if __name__ == "__main__":
    train_model(__file__)
