"""Explains scores from saved Spark models without Spark, exactly matching the stream's own score."""
