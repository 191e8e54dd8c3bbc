"""The database engines that can hold the alert store: SQLite and PostgreSQL."""
