"""The messages that cross a process boundary, as pydantic models: posted records, requests and responses."""
