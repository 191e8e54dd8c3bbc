"""Kafka: the bundled broker, the topics, and the clients that produce, read and replay."""
