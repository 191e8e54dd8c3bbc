"""The streaming query: source, routes, supervision. What a row scores is in `scoring/`."""
