"""Alerts after Kafka: the relay that carries them, the store that keeps them. The pages are in `dashboard/`."""
