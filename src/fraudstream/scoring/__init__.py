"""From a raw JSON row to a score and an outcome, the same in stream and batch. Where it goes is in `detector/`."""
