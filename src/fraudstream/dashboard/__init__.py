"""The pages and the API that an analyst uses. It reads the store; it knows neither Spark nor Kafka."""
