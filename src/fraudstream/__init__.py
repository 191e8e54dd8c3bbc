"""fraudstream: real-time credit card fraud detection on Kafka, Spark, Spark ML and Flask."""

from fraudstream.interface import Model, Scores, explain, load, score, train

__all__ = ["Model", "Scores", "explain", "load", "score", "train"]
