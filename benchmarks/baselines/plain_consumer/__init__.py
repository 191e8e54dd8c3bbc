"""A plain consumer: confluent-kafka, orjson and numpy."""
