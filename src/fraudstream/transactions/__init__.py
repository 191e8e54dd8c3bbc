"""Defines transactions: names, the CSV source, schemas and masking; without Spark, Kafka or Flask."""
