"""Scores raw JSON transactions and assigns outcomes, identically in stream and batch."""
