"""fraudstream: real-time credit card fraud detection on Kafka, Spark, Spark ML and Flask."""
