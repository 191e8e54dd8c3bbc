"""The alert store: tables, reads, writes and search."""
