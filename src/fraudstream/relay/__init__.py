"""Carries the records of the output topics from Kafka to the API of the dashboard."""
