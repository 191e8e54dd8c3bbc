"""Why a payment has its score: saved Spark models read and asked without Spark, exact to the stream's own score."""
