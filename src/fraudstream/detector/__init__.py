"""The detector: the Spark streaming query from Kafka to Kafka, its checkpoint, ledger and supervision."""
