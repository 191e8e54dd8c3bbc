"""The alert store: its tables, its transactions and its search."""
