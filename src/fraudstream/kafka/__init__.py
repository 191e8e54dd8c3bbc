"""Kafka itself: our own broker, the topics, the producer. What flows over it is in `transactions/`."""
