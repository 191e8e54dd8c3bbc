"""The archive of the input topic: Parquet files by day, with masked transactions."""
