"""Ids of entities, and which label a transaction had at a time."""
