"""Finding alerts: an index of columns and words, kept up to date behind the commits, and what asks it."""
