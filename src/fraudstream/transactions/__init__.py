"""What flows: names, the CSV source, the schema. No Spark, no Kafka, no Flask here."""
